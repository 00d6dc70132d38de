use weft_proto::kind::{Edit, React};
use weft_proto::notify::Notify;
use weft_proto::{ErrorCode, History};
use weft_storage::tables::relation::Relation;

use super::super::testing::{World, add, code, create, room, text, user};
use super::*;

async fn registered(world: &World, name: &str, device: &str) {
    let (user, password) = (name.to_owned(), "hunter22".to_owned());
    let signup =
        svc::Signup { user: user.clone(), password: password.clone(), ..svc::Signup::default() };
    // The second device of a user finds the account.
    let _ = world.context.signup(signup).await;
    let login = svc::Login { user, password, device: device.into(), ..svc::Login::default() };
    let token = world.context.login(login).await.expect("login").token;
    let push = svc::Push {
        kind: "webhook".into(),
        address: format!("https://push.example/{name}/{device}"),
        secret: vec![7; 32],
        ..svc::Push::default()
    };
    let request = svc::SetPush { token, push: Some(push) };
    world.context.push_set(request).await.expect("set");
}

async fn targets(world: &World, name: &str, seq: u64) -> Vec<(String, bool)> {
    let places = vec![svc::Place { room: name.into(), seq }];
    let request = svc::ListPushTargets { places, after: String::new() };
    let page = world.context.push_targets(request).await.expect("targets");
    assert_eq!((page.done, page.after.as_str()), (1, ""));
    page.targets.into_iter().map(|it| (format!("{}/{}", it.user, it.device), it.first)).collect()
}

async fn look(world: &World, name: &str, seq: u64, who: &str) -> svc::PushFacts {
    let target = svc::PushTarget {
        room: name.into(),
        seq,
        user: who.into(),
        device: "phone".into(),
        ..svc::PushTarget::default()
    };
    let request = svc::LookAtPush { target: Some(target) };
    world.context.push_look(request).await.expect("facts")
}

fn of(device: &str, first: bool) -> (String, bool) {
    (device.to_owned(), first)
}

#[tokio::test]
async fn who_may_be_notified_is_who_has_a_device_and_did_not_do_it() {
    let mut world = World::new().await;
    for (name, device) in [("alice", "phone"), ("bob", "phone"), ("bob", "tablet")] {
        registered(&world, name, device).await;
    }
    world.one("team", "alice", create(&["bob", "cem"], History::All)).await;
    world.one("team", "alice", text("hello")).await;
    assert_eq!(targets(&world, "team", 1).await, []);
    assert_eq!(targets(&world, "team", 2).await, [of("bob/phone", false), of("bob/tablet", false)]);
    world.one("alice~bob", "bob", text("hi")).await;
    assert_eq!(targets(&world, "alice~bob", 1).await, [of("alice/phone", true)]);
    let react = React { target: 2, emoji: "+1".into() };
    world.one("team", "bob", Body::React(react)).await;
    assert_eq!(targets(&world, "team", 3).await, [of("alice/phone", true)]);
    let edit = Edit { target: 2, text: "hello!".into(), ranges: Vec::new() };
    world.one("team", "alice", Body::Edit(edit)).await;
    assert_eq!(targets(&world, "team", 4).await, [], "it mentions nobody");
    assert_eq!(targets(&world, "team", 99).await, [], "there is none");
    let bad = svc::Place { room: "a.b".into(), seq: 1 };
    let request = svc::ListPushTargets { places: vec![bad], after: String::new() };
    assert_eq!(code(world.context.push_targets(request).await), ErrorCode::BadId);
}

#[tokio::test]
async fn what_holds_is_told_as_it_is_at_that_moment() {
    let mut world = World::new().await;
    for name in ["alice", "bob"] {
        registered(&world, name, "phone").await;
    }
    world.one("team", "alice", create(&["bob"], History::All)).await;
    world.one("team", "alice", text("hello")).await;
    let facts = look(&world, "team", 2, "bob").await;
    assert_eq!((facts.what.as_str(), facts.text.as_str()), ("message", "hello"));
    assert_eq!((facts.from.as_str(), facts.is_direct, facts.is_read), ("alice", false, false));
    assert_eq!((facts.badge, facts.push.expect("keys").secret.len()), (1, 32));
    assert!(look(&world, "team", 2, "alice").await.is_own);
    let setting =
        Setting { notify: Notify::Mentions.into(), muted_until_ms: 7, ..Setting::default() };
    world.set("bob", "team", setting).await;
    let facts = look(&world, "team", 2, "bob").await;
    assert_eq!((facts.room_notify(), facts.muted_until_ms), (Notify::Mentions, 7));
    let mark = Mark { read: 2, read_ordinal: 1, ..Mark::default() };
    world.mark("team", "bob", &mark).await;
    let facts = look(&world, "team", 2, "bob").await;
    assert_eq!((facts.is_read, facts.badge), (true, 0));
    world.relate("bob", "alice", Relation { contact: false, blocked: true }).await;
    assert!(look(&world, "team", 2, "bob").await.is_blocked);
    // Who has no device with a registration is told nothing at all, and neither is who is no member.
    world.one("team", "alice", add("cem")).await;
    assert_eq!(look(&world, "team", 3, "cem").await, svc::PushFacts::default());
    registered(&world, "dan", "phone").await;
    assert_eq!(look(&world, "team", 2, "dan").await.what, "");
    assert!(world.members(&room("team")).contains(&user("cem")));
}
