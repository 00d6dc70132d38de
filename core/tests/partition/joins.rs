//! Who comes into groups by themselves.

use bytes::Bytes;
use weft_proto::kind::{Ban, Join, Leave, Remove, Update};
use weft_proto::limits::GROUPS_PER_USER_MAX;
use weft_proto::{Body, JoinRule, Membership, RoomId};
use weft_storage::Batch;
use weft_storage::tables::user_room;

use crate::create;
use crate::messages::code;
use crate::support::{World, grown, id, text, user_id};

fn join() -> Body {
    Body::Join(Join { link: None })
}

fn rule(rule: JoinRule) -> Body {
    Body::Update(Update { join: Some(rule), ..Update::default() })
}

#[tokio::test]
async fn everybody_comes_into_an_open_group_and_nobody_into_another() {
    let world = World::new(&["ann", "bob", "cem", "dia"]).await;
    let owner = world.own("n1").await;
    let taken = async |from: &str, number: u128, body: Body| {
        let answer = world.send(from, "team", Some(id(number)), &body).await;
        answer["seq"].as_u64().unwrap_or_else(|| panic!("refused: {answer}"))
    };
    assert_eq!(code(&world, "bob", "team", 1, join()).await, "no_such_room");
    taken("ann", 2, create(&["cem"])).await;
    assert_eq!(code(&world, "bob", "team", 3, join()).await, "no_such_room");
    assert_eq!(code(&world, "ann", "team", 4, join()).await, "already_member");
    taken("cem", 5, Body::Leave(Leave {})).await;
    assert_eq!(code(&world, "cem", "team", 6, join()).await, "not_member");
    taken("ann", 7, rule(JoinRule::Open)).await;
    assert_eq!(taken("bob", 8, join()).await, 4);
    let (event, head) = world.bus.event("team", 4).await;
    assert_eq!((event.also, head.membership), (vec![user_id("bob")], Membership::Joins));
    taken("bob", 9, text("hello")).await;
    taken("cem", 10, join()).await;
    taken("ann", 11, Body::Remove(Remove { user: user_id("bob") })).await;
    taken("bob", 12, join()).await;
    taken("ann", 13, Body::Ban(Ban { user: user_id("bob"), removed: false })).await;
    assert_eq!(code(&world, "bob", "team", 14, join()).await, "banned");
    let full = Update { members_max: Some(2), ..Update::default() };
    taken("ann", 15, Body::Update(full)).await;
    assert_eq!(code(&world, "dia", "team", 16, join()).await, "room_full");
    assert_eq!(code(&world, "zoe", "team", 17, join()).await, "no_such_user");
    taken("ann", 18, Body::Update(Update { archived: Some(true), ..Update::default() })).await;
    assert_eq!(code(&world, "dia", "team", 19, join()).await, "archived");
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn who_joins_in_the_moment_in_which_a_group_closes_is_in_or_not() {
    let world = World::new(&["ann", "bob", "cem", "dia"]).await;
    let owner = world.own("n1").await;
    world.send("ann", "team", Some(id(1)), &create(&["cem"])).await;
    world.gate(false);
    let before = *world.engine.commits.borrow();
    let mut sent = vec![world.publish("ann", "team", Some(id(2)), &rule(JoinRule::Open))];
    grown(&world.engine.commits, before).await;
    for (number, (from, body)) in (3..).zip([
        ("bob", join()),
        ("bob", join()),
        ("cem", Body::Leave(Leave {})),
        ("cem", join()),
        ("ann", rule(JoinRule::Invitation)),
        ("dia", join()),
        ("bob", text("in")),
    ]) {
        sent.push(world.publish(from, "team", Some(id(number)), &body));
    }
    world.gate(true);
    let mut answers = Vec::new();
    for token in sent {
        let answer = world.bus.answer_to(&token).await;
        let code = answer["error"]["code"].as_str().map(str::to_owned);
        answers.push(code.unwrap_or_else(|| answer["seq"].to_string()));
    }
    assert_eq!(answers, ["2", "3", "already_member", "4", "5", "6", "no_such_room", "7"]);
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn who_is_in_as_many_groups_as_one_may_be_joins_no_more() {
    let world = World::new(&["ann", "bob"]).await;
    let mut batch = Batch::new([7; 16]);
    for number in 0..GROUPS_PER_USER_MAX {
        let room = RoomId::new(&format!("g{number}")).expect("id");
        batch.set(user_room::key(&user_id("bob"), &room), Bytes::new());
    }
    world.store.commit(batch).await.expect("commit");
    let owner = world.own("n1").await;
    world.send("ann", "team", Some(id(1)), &create(&[])).await;
    world.send("ann", "team", Some(id(2)), &rule(JoinRule::Open)).await;
    assert_eq!(code(&world, "bob", "team", 3, join()).await, "too_many_groups");
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn a_group_that_many_join_becomes_large_and_knows_them_all() {
    let names: Vec<String> = (0..130).map(|number| format!("m{number:03}")).collect();
    let users: Vec<&str> = names.iter().map(String::as_str).collect();
    let world = World::new(&users).await;
    let owner = world.own("n1").await;
    world.send("m000", "team", Some(id(1)), &create(&users[1..90])).await;
    world.send("m000", "team", Some(id(2)), &rule(JoinRule::Open)).await;
    for (number, name) in (3..).zip(&users[90..120]) {
        assert_eq!(world.send(name, "team", Some(id(number)), &join()).await["seq"], number as u64);
    }
    owner.leave().await.expect("leave");
    let owner = world.own("n2").await;
    assert_eq!(code(&world, "m119", "team", 200, join()).await, "already_member");
    assert_eq!(world.send("m125", "team", Some(id(201)), &join()).await["seq"], 33);
    assert_eq!(world.send("m125", "team", Some(id(202)), &text("x")).await["seq"], 34);
    owner.leave().await.expect("leave");
}
