//! Who is invited to come into a group in the place of being added, also by what is planned and not yet committed.

use weft_proto::consent::AddBy;
use weft_proto::kind::{Add, Ask, Ban, ChangeRole, Create, Decline, Join, Leave, Setting, Update};
use weft_proto::limits::{INVITATIONS_PER_USER_MAX, INVITED_DAYS, INVITED_PER_GROUP_MAX};
use weft_proto::{Body, ClientId, JoinRule, Position, Role, RoomId};
use weft_runtime::Clock as _;
use weft_storage::Batch;
use weft_storage::tables::change::{self, Changed};
use weft_storage::tables::group_invitation::{self, GroupInvitation};

use crate::create;
use crate::messages::code;
use crate::support::{World, grown, id, text, user_id};

const DAY_MS: u64 = 24 * 3_600_000;

fn add(name: &str) -> Body {
    Body::Add(Add { user: user_id(name), role: Role::Member })
}

fn decline(name: &str) -> Body {
    Body::Decline(Decline { user: user_id(name) })
}

fn join() -> Body {
    Body::Join(Join { link: None })
}

fn room(name: &str) -> RoomId {
    RoomId::new(name).expect("id")
}

/// These users decide by themselves into which groups they come.
async fn are_asked(world: &World, names: &[&str]) {
    for name in names {
        let by = Body::Setting(Setting { add_by: Some(AddBy::None), ..Setting::default() });
        let answer = world.send(name, &format!("{name}~{name}"), None, &by).await;
        assert_eq!(answer["type"], "done", "{answer}");
    }
}

async fn done(world: &World, from: &str, number: u128, body: Body) -> serde_json::Value {
    let answer = world.send(from, "team", Some(id(number)), &body).await;
    assert_eq!(answer["type"], "done", "{number}: {answer}");
    answer
}

async fn seq(world: &World, from: &str, number: u128, body: Body) -> u64 {
    let answer = world.send(from, "team", Some(id(number)), &body).await;
    answer["seq"].as_u64().unwrap_or_else(|| panic!("{number} is refused: {answer}"))
}

/// Who is invited.
async fn invited(world: &World) -> Vec<String> {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let users = group_invitation::invited(&*snapshot, &room("team"), None, 2_000).await;
    users.expect("read").iter().map(ToString::to_string).collect()
}

/// What the syncs of a user are told of invitations.
async fn told(world: &World, who: &str) -> Vec<Changed> {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let range = change::range(&user_id(who), Position::MIN, Position::MAX);
    let rows = snapshot.scan(range, usize::MAX, false).await.expect("scan");
    let rows = rows.iter().map(|(key, value)| change::decode(key, value).expect("row").1);
    rows.filter(|changed| matches!(changed, Changed::Invitation(..))).collect()
}

#[tokio::test]
async fn who_is_invited_comes_in_declines_or_is_invited_no_more() {
    let world = World::new(&["ann", "bob", "cem", "dia", "eve"]).await;
    let owner = world.own("n1").await;
    are_asked(&world, &["bob", "cem", "dia"]).await;
    let made = world.send("ann", "team", Some(id(1)), &create(&["bob", "eve"])).await;
    assert_eq!((&made["seq"], &made["invited"]), (&1.into(), &serde_json::json!(["bob"])));
    let again = world.send("ann", "team", Some(id(1)), &create(&["bob", "eve"])).await;
    assert_eq!(made, again, "a resend gets the same answer");
    let entry = world.entries("team").await.remove(0);
    let Body::Create(Create { members, .. }) = &entry.body else { panic!("{entry:?}") };
    assert_eq!(members, &[user_id("eve")], "who is invited is no member");
    let heard = world.bus.change_that(|_, frame| frame["type"] == "invitation").await;
    assert_eq!(heard.users, ["bob"]);
    assert!(heard.head.starts_with("invitation/bob/team "), "{}", heard.head);
    // A resend of an `add` is answered as it was, whatever became of it.
    let answer = done(&world, "ann", 2, add("cem")).await;
    assert_eq!(answer["invited"], serde_json::json!(["cem"]));
    assert_eq!(done(&world, "ann", 2, add("cem")).await, answer);
    done(&world, "ann", 3, add("cem")).await;
    assert_eq!(told(&world, "cem").await, [Changed::Invitation(room("team"))], "once");
    assert_eq!(invited(&world).await, ["bob", "cem"]);
    for (from, number, body, expected) in [
        ("bob", 10, text("x"), "no_such_room"),
        ("dia", 11, join(), "no_such_room"),
        ("dia", 12, decline("dia"), "no_such_room"),
        ("eve", 13, decline("bob"), "forbidden"),
        ("dia", 14, decline("bob"), "no_such_room"),
        ("ann", 15, decline("dia"), "not_found"),
        ("eve", 16, add("dia"), "forbidden"),
    ] {
        assert_eq!(code(&world, from, "team", number, body).await, expected, "{number}");
    }
    assert_eq!(seq(&world, "bob", 20, join()).await, 2, "into a group that is not open");
    assert_eq!(invited(&world).await, ["cem"]);
    assert_eq!(told(&world, "bob").await.len(), 1, "its devices hear that it has ended");
    done(&world, "cem", 21, decline("cem")).await;
    world.bus.change_that(|_, frame| frame["state"] == "ended" && frame["room"] == "team").await;
    assert_eq!(code(&world, "cem", "team", 22, join()).await, "no_such_room");
    done(&world, "ann", 23, add("cem")).await;
    done(&world, "ann", 24, decline("cem")).await;
    assert!(invited(&world).await.is_empty(), "taken back");
    done(&world, "ann", 25, add("cem")).await;
    assert_eq!(
        seq(&world, "ann", 26, Body::Ban(Ban { user: user_id("cem"), removed: false })).await,
        3
    );
    assert_eq!(code(&world, "cem", "team", 27, join()).await, "no_such_room");
    assert_eq!(code(&world, "ann", "team", 28, add("cem")).await, "banned");
    assert!(invited(&world).await.is_empty());
    // Who asks to come in is let in.
    let rule = Update { join: Some(JoinRule::Ask), ..Update::default() };
    assert_eq!(seq(&world, "ann", 30, Body::Update(rule)).await, 4);
    done(&world, "dia", 31, Body::Ask(Ask::default())).await;
    assert_eq!(seq(&world, "ann", 32, add("dia")).await, 5);
    // Who was there and is invited again comes back, as a member whatever was said.
    assert_eq!(seq(&world, "dia", 33, Body::Leave(Leave {})).await, 6);
    done(&world, "ann", 34, Body::Add(Add { user: user_id("dia"), role: Role::Admin })).await;
    assert_eq!(seq(&world, "dia", 35, join()).await, 7);
    assert_eq!(
        seq(
            &world,
            "ann",
            36,
            Body::ChangeRole(ChangeRole { user: user_id("dia"), role: Role::Admin })
        )
        .await,
        8
    );
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn what_is_planned_and_not_committed_counts() {
    let world = World::new(&["ann", "bob", "cem"]).await;
    let owner = world.own("n1").await;
    are_asked(&world, &["bob", "cem"]).await;
    seq(&world, "ann", 1, create(&[])).await;
    world.gate(false);
    let before = *world.engine.commits.borrow();
    let underway = world.publish("ann", "team", Some(id(3)), &text("underway"));
    grown(&world.engine.commits, before).await;
    let before = *world.engine.snapshots.borrow();
    let tokens: Vec<String> = [
        ("ann", add("bob")),
        ("bob", join()),
        ("bob", decline("bob")),
        ("ann", add("cem")),
        ("cem", decline("cem")),
        ("cem", join()),
        ("ann", add("cem")),
    ]
    .into_iter()
    .zip(10..)
    .map(|((from, body), number)| world.publish(from, "team", Some(id(number)), &body))
    .collect();
    grown(&world.engine.snapshots, before).await;
    world.gate(true);
    assert_eq!(world.bus.answer_to(&underway).await["seq"], 2);
    let mut answers = Vec::new();
    for token in &tokens {
        let answer = world.bus.answer_to(token).await;
        let word = answer["error"]["code"].as_str().or(answer["type"].as_str());
        answers.push(word.expect("a word").to_owned());
    }
    let expected = ["done", "ack", "forbidden", "done", "done", "no_such_room", "done"];
    assert_eq!(answers, expected);
    assert_eq!(invited(&world).await, ["cem"]);
    for who in ["bob", "cem"] {
        assert_eq!(told(&world, who).await.len(), 1, "{who}");
    }
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn an_invitation_ends_after_some_weeks_and_there_are_only_so_many() {
    let world = World::new(&["ann", "bob", "cem", "dia"]).await;
    let mut batch = Batch::new([9; 16]);
    let row = |invited_ms| GroupInvitation { by: "ann".into(), invited_ms };
    for number in 1..u16::try_from(INVITED_PER_GROUP_MAX).expect("few") {
        let at = (user_id(&format!("u{number}")), room("team"));
        group_invitation::put(&mut batch, number, &at, &row(0));
    }
    for number in 0..u16::try_from(INVITATIONS_PER_USER_MAX).expect("few") {
        let at = (user_id("dia"), room(&format!("g{number}")));
        group_invitation::put(&mut batch, 2_000 + number, &at, &row(world.clock.now_ms()));
    }
    world.store.commit(batch).await.expect("commit");
    let owner = world.own("n1").await;
    are_asked(&world, &["bob", "cem", "dia"]).await;
    seq(&world, "ann", 1, create(&[])).await;
    assert_eq!(code(&world, "ann", "team", 2, add("dia")).await, "limit_reached", "of a user");
    done(&world, "ann", 3, add("bob")).await;
    assert_eq!(code(&world, "ann", "team", 4, add("cem")).await, "limit_reached", "of a group");
    done(&world, "ann", 5, decline("bob")).await;
    done(&world, "ann", 6, add("cem")).await;
    world.clock.advance_ms(INVITED_DAYS * DAY_MS);
    let late = ClientId::from_parts(world.clock.now_ms(), 7);
    let answer = world.send("cem", "team", Some(late), &join()).await;
    assert_eq!(answer["error"]["code"], "no_such_room", "its time is over: {answer}");
    owner.leave().await.expect("leave");
}
