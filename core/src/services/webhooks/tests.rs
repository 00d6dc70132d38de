use weft_proto::History;
use weft_proto::limits::{WEBHOOKS_PER_MAKER_MAX, WEBHOOKS_PER_ROOM_MAX, WEBHOOKS_PER_USER_MAX};
use weft_runtime::Clock as _;

use super::super::testing::{World, add, code, create, remove, room, text, user};
use super::*;

const URL: &str = "https://hooks.example/geheim";

async fn with_team() -> World {
    let mut world = World::new().await;
    for name in ["alice", "bob"] {
        let (user, password) = (name.into(), "hunter22".into());
        let signup = svc::Signup { user, password, ..svc::Signup::default() };
        world.context.signup(signup).await.expect("signup");
    }
    let members = create(&["bob"], History::All);
    world.commit(vec![(room("team"), user("alice"), members)]).await;
    world
}

async fn make(world: &World, name: &str, room: &str) -> Result<svc::Webhook, Failure> {
    let (token, room) = (world.token(name), room.to_owned());
    let request = svc::MakeWebhook { token, room, url: URL.into(), ..svc::MakeWebhook::default() };
    world.context.webhook_make(request).await
}

async fn list(world: &World, name: &str, room: &str) -> Vec<svc::Webhook> {
    let request = svc::ListWebhooks { token: world.token(name), room: room.into() };
    world.context.webhook_list(request).await.expect("a list").webhooks
}

/// Owner and id of those that are to be told of an entry.
async fn told(world: &World, room: &str, seq: u64) -> Vec<(String, String)> {
    let places = vec![svc::Place { room: room.into(), seq }];
    let request = svc::ListWebhookTargets { places, after: String::new() };
    let page = world.context.webhook_targets(request).await.expect("targets");
    assert_eq!((page.done, &*page.after), (1, ""));
    let place = |it: svc::WebhookTarget| it.webhook.expect("a webhook");
    page.targets.into_iter().map(place).map(|it| (it.owner, it.id)).collect()
}

async fn look(world: &World, (owner, id): (&str, &str), room: &str, seq: u64) -> svc::WebhookFacts {
    let webhook = Some(svc::WebhookPlace { owner: owner.into(), id: id.into() });
    let target = Some(svc::WebhookTarget { webhook, room: room.into(), seq });
    world.context.webhook_look(svc::LookAtWebhook { target }).await.expect("facts")
}

#[tokio::test]
async fn who_may_change_a_group_makes_its_webhooks_and_everybody_their_own() {
    let world = with_team().await;
    let made = make(&world, "alice", "team").await.expect("made");
    assert_eq!((made.secret.len(), &*made.by, &*made.url), (SECRET_BYTES, "alice", URL));
    assert_eq!(code(make(&world, "bob", "team").await), ErrorCode::Forbidden);
    assert_eq!(code(make(&world, "bob", "alice~bob").await), ErrorCode::NoSuchRoom);
    let own = make(&world, "bob", "").await.expect("made");
    assert_eq!(list(&world, "bob", "").await[0].id, own.id);
    let shown = list(&world, "alice", "team").await;
    assert_eq!((shown.len(), &*shown[0].id, shown[0].secret.len()), (1, &*made.id, 0));
    let remove = async |name: &str, room: &str, id: &str| {
        let (token, room, id) = (world.token(name), room.into(), id.into());
        world.context.webhook_remove(svc::RemoveWebhook { token, room, id }).await
    };
    assert_eq!(code(remove("bob", "", &made.id).await), ErrorCode::NotFound);
    remove("alice", "team", &made.id).await.expect("removed");
    assert!(list(&world, "alice", "team").await.is_empty());
    assert_eq!(list(&world, "bob", "").await.len(), 1);
}

#[tokio::test]
async fn there_are_so_many_and_no_more() {
    let mut world = with_team().await;
    for number in 0..2 {
        let group = room(&format!("other{number}"));
        world.commit(vec![(group, user("alice"), create(&[], History::All))]).await;
    }
    for _ in 0..WEBHOOKS_PER_USER_MAX {
        make(&world, "alice", "").await.expect("made");
    }
    assert_eq!(code(make(&world, "alice", "").await), ErrorCode::LimitReached);
    for _ in 0..WEBHOOKS_PER_ROOM_MAX {
        make(&world, "alice", "team").await.expect("made");
    }
    assert_eq!(code(make(&world, "alice", "team").await), ErrorCode::LimitReached);
    for _ in WEBHOOKS_PER_USER_MAX + WEBHOOKS_PER_ROOM_MAX..WEBHOOKS_PER_MAKER_MAX {
        make(&world, "alice", "other0").await.expect("made");
    }
    assert_eq!(code(make(&world, "alice", "other1").await), ErrorCode::LimitReached);
    let (token, id) = (world.token("alice"), list(&world, "alice", "").await[0].id.clone());
    let remove = svc::RemoveWebhook { token, id, ..svc::RemoveWebhook::default() };
    world.context.webhook_remove(remove).await.expect("removed");
    make(&world, "alice", "other1").await.expect("there is a place again");
}

#[tokio::test]
async fn a_secret_that_was_renewed_is_good_for_another_day() {
    let mut world = with_team().await;
    let made = make(&world, "alice", "team").await.expect("made");
    world.one("team", "alice", text("x")).await;
    let renew =
        svc::RenewWebhook { token: world.token("alice"), room: "team".into(), id: made.id.clone() };
    let renewed = world.context.webhook_renew(renew).await.expect("renewed").secret;
    let facts = look(&world, ("team", &made.id), "team", 2).await;
    assert_eq!(facts.secrets, [renewed.clone(), made.secret]);
    world.clock.advance_ms(OLD_SECRET_MS);
    assert_eq!(look(&world, ("team", &made.id), "team", 2).await.secrets, [renewed]);
}

#[tokio::test]
async fn a_group_tells_of_all_and_a_users_own_of_what_is_for_them() {
    let mut world = with_team().await;
    let group = make(&world, "alice", "team").await.expect("made");
    let own = make(&world, "bob", "").await.expect("made");
    let (group, own) = (("team".to_owned(), group.id), ("bob~bob".to_owned(), own.id));
    world.commit(vec![(room("team"), user("alice"), text("for nobody"))]).await;
    assert_eq!(told(&world, "team", 2).await, std::slice::from_ref(&group));
    let direct = RoomId::direct(&user("alice"), &user("bob"));
    world.commit(vec![(direct.clone(), user("alice"), text("hello"))]).await;
    world.commit(vec![(direct.clone(), user("bob"), text("hello, too"))]).await;
    assert_eq!(told(&world, "alice~bob", 1).await, std::slice::from_ref(&own));
    assert_eq!(told(&world, "alice~bob", 2).await, [], "it is their own");
    let facts = look(&world, (&own.0, &own.1), "alice~bob", 1).await;
    assert!(facts.is_wanted && facts.url == URL && !facts.frame.is_empty());
    // Of a room that they left they hear nothing.
    assert!(look(&world, (&own.0, &own.1), "team", 2).await.is_wanted);
    world.commit(vec![(room("team"), user("alice"), remove("bob"))]).await;
    assert!(!look(&world, (&own.0, &own.1), "team", 2).await.is_wanted);
    assert!(look(&world, (&group.0, &group.1), "team", 2).await.is_wanted);
    world.commit(vec![(room("team"), user("alice"), add("bob"))]).await;
    assert!(look(&world, (&own.0, &own.1), "team", 2).await.is_wanted);
    // Paused by its owner: nothing.
    let pause = async |paused| {
        let (token, id) = (world.token("bob"), own.1.clone());
        let paused = Some(paused);
        let change = svc::ChangeWebhook { token, id, paused, ..svc::ChangeWebhook::default() };
        world.context.webhook_change(change).await.expect("changed")
    };
    assert_eq!(pause(true).await.state(), WebhookState::Paused);
    assert_eq!(told(&world, "alice~bob", 1).await, []);
    assert!(!look(&world, (&own.0, &own.1), "alice~bob", 1).await.is_wanted);
    assert_eq!(pause(false).await.state(), WebhookState::Active);
    assert_eq!(told(&world, "alice~bob", 1).await, [own]);
}

#[tokio::test]
async fn who_fails_for_too_long_is_told_nothing_and_its_maker_hears_of_it_once() {
    let world = with_team().await;
    let made = make(&world, "alice", "team").await.expect("made");
    let webhook = svc::WebhookPlace { owner: "team".into(), id: made.id.clone() };
    let note = async |said: svc::NoteWebhook| {
        let webhook = Some(webhook.clone());
        world.context.webhook_note(svc::NoteWebhook { webhook, ..said }).await.expect("noted")
    };
    let failed = |ends| {
        let failed = Some("status 500".to_owned());
        svc::NoteWebhook { failed, ends, ..svc::NoteWebhook::default() }
    };
    assert!(note(failed(false)).await.is_none());
    let since_ms = list(&world, "alice", "team").await[0].failing_since_ms;
    assert_eq!(since_ms, world.clock.now_ms());
    world.clock.advance_ms(5);
    note(failed(false)).await;
    assert_eq!(list(&world, "alice", "team").await[0].failing_since_ms, since_ms);
    let delivered = svc::NoteWebhook { delivered: Some(0), ..svc::NoteWebhook::default() };
    note(delivered.clone()).await;
    assert_eq!(list(&world, "alice", "team").await[0].failing_since_ms, 0);
    note(svc::NoteWebhook { missed: 3, ..svc::NoteWebhook::default() }).await;
    let word = note(failed(true)).await.expect("a word");
    assert_eq!((word.room.as_str(), word.sender.as_str()), ("alice~alice", "alice"));
    let said = word.body.as_message().expect("a message").text.clone();
    assert!(said.contains("team") && said.contains("status 500") && !said.contains("geheim"));
    assert!(note(failed(true)).await.is_none(), "once");
    note(delivered).await;
    let shown = list(&world, "alice", "team").await.remove(0);
    assert_eq!((shown.state(), shown.missed), (WebhookState::Failed, 3));
    let resumed = svc::OperatorResumeWebhook { webhook: Some(webhook) };
    world.context.webhook_resume(resumed).await.expect("resumed");
    let shown = list(&world, "alice", "team").await.remove(0);
    assert_eq!((shown.state(), &*shown.reason), (WebhookState::Active, ""));
}
