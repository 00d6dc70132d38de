//! Of two users of whom one has blocked the other, neither writes to the other; and who is blocked puts who blocked them
//! into no group.

use bytes::Bytes;
use serde_json::{Value, json};
use weft_nats::MadeBy;
use weft_proto::consent::AddBy;
use weft_proto::kind::{Add, Delete, Edit, Join, Mark, Pin, React, Remove, Setting, Update};
use weft_proto::{Body, JoinRule, Position};
use weft_storage::Batch;
use weft_storage::tables::change::{self, Changed};
use weft_storage::tables::relation;

use crate::create;
use crate::relations::{blocked, contact, done};
use crate::support::{World, grown, id, text, user_id};

fn code(answer: &Value) -> &str {
    answer["error"]["code"].as_str().unwrap_or_else(|| panic!("not refused: {answer}"))
}

fn add(name: &str) -> Body {
    Body::Add(Add { user: user_id(name), role: weft_proto::Role::Member })
}

/// One message of each.
async fn talk(world: &World) {
    for (number, who) in [(1, "ann"), (2, "bob")] {
        let answer = world.send(who, "ann~bob", Some(id(number)), &text("hello")).await;
        assert_eq!(answer["seq"], u64::try_from(number).expect("few"));
    }
}

#[tokio::test]
async fn neither_writes_to_the_other_until_they_are_unblocked() {
    let world = World::new(&["ann", "bob", "cem"]).await;
    let owner = world.own("n1").await;
    talk(&world).await;
    done(&world, "ann", 10, blocked("bob", true)).await;
    let edit = Body::Edit(Edit { target: 2, text: "x".into(), ranges: vec![] });
    let react = Body::React(React { target: 1, emoji: "+".into() });
    for (number, body) in (20..).zip([text("x"), edit, react, Body::Pin(Pin { target: 2 })]) {
        for (number, who) in [(number, "bob"), (number + 10, "ann")] {
            let answer = world.send(who, "ann~bob", Some(id(number)), &body).await;
            assert_eq!(code(&answer), "not_allowed", "{who} {body:?}");
        }
    }
    // What was taken before is, and who takes back what they wrote may.
    let again = world.send("bob", "ann~bob", Some(id(2)), &text("hello")).await;
    assert_eq!((&again["type"], &again["seq"]), (&json!("ack"), &json!(2)));
    let answer = world.send("bob", "ann~bob", Some(id(40)), &Body::Delete(Delete::of(2))).await;
    assert_eq!(answer["seq"], 3);
    // Nobody else is concerned.
    for (number, who, room) in
        [(41, "bob", "bob~cem"), (42, "ann", "ann~cem"), (43, "bob", "bob~bob")]
    {
        let answer = world.send(who, room, Some(id(number)), &text("x")).await;
        assert_eq!(answer["seq"], 1, "{who} in {room}");
    }
    done(&world, "ann", 11, blocked("bob", false)).await;
    for (number, who) in [(50, "ann"), (51, "bob")] {
        let answer = world.send(who, "ann~bob", Some(id(number)), &text("again")).await;
        assert_eq!(answer["type"], "ack", "{who}");
    }
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn in_common_groups_both_write_and_who_is_blocked_adds_nobody_who_blocks_them() {
    let world = World::new(&["ann", "bob", "cem"]).await;
    let owner = world.own("n1").await;
    world.send("cem", "team", Some(id(1)), &create(&["ann", "bob"])).await;
    done(&world, "ann", 10, blocked("bob", true)).await;
    for (number, who) in [(2, "ann"), (3, "bob")] {
        let answer = world.send(who, "team", Some(id(number)), &text("x")).await;
        assert_eq!(answer["type"], "ack", "{who}");
    }
    let answer = world.send("bob", "bobs", Some(id(4)), &create(&["cem", "ann"])).await;
    assert_eq!(code(&answer), "not_allowed");
    assert!(answer["error"]["message"].as_str().is_some_and(|it| it.contains("ann")), "{answer}");
    world.send("bob", "bobs", Some(id(5)), &create(&["cem"])).await;
    assert_eq!(code(&world.send("bob", "bobs", Some(id(6)), &add("ann")).await), "not_allowed");
    // Somebody else may, and so may who blocks.
    world.send("ann", "anns", Some(id(7)), &create(&[])).await;
    assert_eq!(world.send("ann", "anns", Some(id(8)), &add("bob")).await["seq"], 2);
    assert_eq!(
        world.send("cem", "team", Some(id(9)), &add("ann")).await["error"]["code"],
        "already_member"
    );
    owner.leave().await.expect("leave");
}

fn add_by(by: AddBy) -> Body {
    Body::Setting(Setting { add_by: Some(by), ..Setting::default() })
}

/// What becomes of somebody whom another one puts into a group, new or not.
async fn put_into(world: &World, number: u128, who: &str, whom: &str) -> &'static str {
    let group = format!("of-{who}");
    let answers = [
        world.send(who, &format!("g{number}"), Some(id(number)), &create(&[whom])).await,
        world.send(who, &group, Some(id(number + 1)), &add(whom)).await,
    ];
    let invited = answers.each_ref().map(|answer| answer["invited"][0] == whom);
    match answers.each_ref().map(|answer| answer["type"].as_str().unwrap_or_default()) {
        ["ack", "ack"] => {
            assert_eq!(invited, [false; 2], "{answers:?}");
            let remove = Body::Remove(Remove { user: user_id(whom) });
            let removed = world.send(who, &group, Some(id(number + 2)), &remove).await;
            assert_eq!(removed["type"], "ack");
            "added"
        }
        ["ack", "done"] => {
            assert_eq!(invited, [true; 2], "{answers:?}");
            "invited"
        }
        _ => {
            assert_eq!(answers.each_ref().map(code), ["not_allowed"; 2]);
            "refused"
        }
    }
}

#[tokio::test]
async fn who_may_add_a_user_to_groups_is_what_that_user_says() {
    let world = World::new(&["ann", "bob", "cem"]).await;
    let owner = world.own("n1").await;
    for (number, who) in [(1, "bob"), (2, "cem")] {
        let group = format!("of-{who}");
        assert_eq!(world.send(who, &group, Some(id(number)), &create(&[])).await["seq"], 1);
    }
    let adders = async |number: u128| {
        let mut may = Vec::new();
        for (beside, who) in [(0, "bob"), (3, "cem")] {
            may.push(put_into(&world, number + beside, who, "ann").await);
        }
        (may[0], may[1])
    };
    assert_eq!(adders(100).await, ("added", "added"), "everybody, as a rule");
    done(&world, "ann", 10, add_by(AddBy::None)).await;
    assert_eq!(adders(110).await, ("invited", "invited"));
    done(&world, "ann", 11, add_by(AddBy::Known)).await;
    assert_eq!(adders(120).await, ("invited", "invited"));
    // Who writes to somebody is not known to them by that.
    world.send("bob", "ann~bob", Some(id(3)), &text("hello")).await;
    assert_eq!(adders(130).await, ("invited", "invited"));
    world.send("ann", "ann~bob", Some(id(4)), &text("hi")).await;
    done(&world, "cem", 12, contact("ann", true)).await;
    assert_eq!(adders(140).await, ("added", "invited"), "whom the adder knows does not count");
    done(&world, "ann", 13, contact("cem", true)).await;
    assert_eq!(adders(150).await, ("added", "added"));
    done(&world, "ann", 14, blocked("cem", true)).await;
    assert_eq!(adders(160).await, ("added", "refused"), "a block counts more");
    done(&world, "ann", 15, add_by(AddBy::None)).await;
    assert_eq!(adders(170).await, ("invited", "refused"), "contacts, too");
    // The user joins by themselves, and puts others in.
    let open = Body::Update(Update { join: Some(JoinRule::Open), ..Update::default() });
    assert_eq!(world.send("bob", "of-bob", Some(id(5)), &open).await["type"], "ack");
    let join = Body::Join(Join { link: None });
    assert_eq!(world.send("ann", "of-bob", Some(id(6)), &join).await["type"], "ack");
    assert_eq!(world.send("ann", "anns", Some(id(7)), &create(&["bob"])).await["type"], "ack");
    done(&world, "ann", 16, add_by(AddBy::All)).await;
    assert_eq!(put_into(&world, 180, "cem", "ann").await, "refused", "but for who is blocked");
    owner.leave().await.expect("leave");
}

/// A block that is planned, and the message that comes after it in the log of the same owner.
#[tokio::test]
async fn a_block_that_is_planned_counts() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    talk(&world).await;
    let begun = *world.engine.commits.borrow();
    world.gate(false);
    let mut tokens = vec![world.publish("ann", "ann~ann", None, &blocked("bob", true))];
    grown(&world.engine.commits, begun).await;
    tokens.push(world.publish("bob", "ann~bob", None, &text("late")));
    tokens.push(world.publish("ann", "ann~ann", None, &blocked("bob", false)));
    tokens.push(world.publish("bob", "ann~bob", None, &text("in time")));
    world.gate(true);
    let mut answers = Vec::new();
    for token in &tokens {
        answers.push(world.bus.answer_to(token).await);
    }
    assert_eq!(code(&answers[1]), "not_allowed");
    assert_eq!(answers[3]["seq"], 3);
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn a_relation_that_cannot_be_read_stops_nobody() {
    let world = World::new(&["ann", "bob"]).await;
    let mut batch = Batch::new(rand::random());
    let key = relation::key(&(user_id("ann"), user_id("bob")));
    batch.set(key, Bytes::from_static(b"nonsense"));
    world.store.commit(batch).await.expect("commit");
    let owner = world.own("n1").await;
    talk(&world).await;
    owner.leave().await.expect("leave");
}

/// What the syncs of a user are told of the room's marks.
async fn told(world: &World, who: &str) -> Vec<Changed> {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let range = change::range(&user_id(who), Position::MIN, Position::MAX);
    let rows = snapshot.scan(range, usize::MAX, false).await.expect("scan");
    let rows = rows.iter().map(|(key, value)| change::decode(key, value).expect("row").1);
    rows.filter(|changed| matches!(changed, Changed::Mark(..))).collect()
}

#[tokio::test]
async fn marks_are_for_the_own_devices_alone() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    talk(&world).await;
    let read = |seq| Body::Mark(Mark { read: Some(seq), ..Mark::default() });
    let of = |who| Changed::Mark(weft_proto::RoomId::new("ann~bob").expect("id"), user_id(who));
    let mark = async |who: &str, number, seq| {
        let answer =
            world.send_made((who, "ann~bob"), (id(number), MadeBy::Edge), &read(seq)).await;
        assert_eq!(answer, json!({ "type": "done" }), "{who}");
    };
    // Of who blocks, and of who is blocked.
    for (number, who, writes) in [(10, "ann", "ann"), (20, "bob", "ann")] {
        let other = if who == "ann" { "bob" } else { "ann" };
        let sent = world.send(writes, "ann~bob", Some(id(number)), &text("x")).await;
        done(&world, who, number + 1, blocked(other, true)).await;
        mark("bob", number + 2, sent["seq"].as_u64().expect("an ack")).await;
        assert_eq!(told(&world, "ann").await, []);
        assert_eq!(told(&world, "bob").await, [of("bob")]);
        done(&world, who, number + 3, blocked(other, false)).await;
    }
    let sent = world.send("ann", "ann~bob", Some(id(30)), &text("again")).await;
    mark("bob", 31, sent["seq"].as_u64().expect("an ack")).await;
    assert_eq!(told(&world, "ann").await, [of("bob")]);
    owner.leave().await.expect("leave");
}
