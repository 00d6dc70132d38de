//! Whom messages mention, what they do not count, and where they come from.

use serde_json::{Value, json};
use weft_proto::kind::{Add, Delete, Remove};
use weft_proto::{Body, Role, RoomId};
use weft_storage::tables::mention;

use crate::create;
use crate::support::{World, grown, id, text, user_id};

/// A message, or an edit of one, that mentions users; `*`: everyone.
pub fn mentioning(names: &[&str], target: Option<u64>, more: Value) -> Body {
    let range = |name: &&str| match *name {
        "*" => json!({ "at": 0, "len": 1, "style": "mention", "everyone": "all" }),
        user => json!({ "at": 0, "len": 1, "style": "mention", "user": user }),
    };
    let mut body = more;
    body["text"] = "hello".into();
    body["ranges"] = names.iter().map(range).collect();
    if let Some(target) = target {
        body["kind"] = "edit".into();
        body["target"] = target.into();
    }
    Body::from_json(body.to_string().as_bytes()).expect("a body")
}

fn says(names: &[&str]) -> Body {
    mentioning(names, None, json!({}))
}

fn edits(target: u64, names: &[&str]) -> Body {
    mentioning(names, Some(target), json!({}))
}

/// How many messages after a seq mention the user.
async fn unread(world: &World, room: &str, who: &str, read: u64) -> u64 {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let of = (&RoomId::new(room).expect("id"), &user_id(who));
    mention::unread(&*snapshot, of, (read, |_| true)).await.expect("counted")
}

async fn code(world: &World, sender: &str, room: &str, number: u128, body: Body) -> String {
    let answer = world.send(sender, room, Some(id(number)), &body).await;
    answer["error"]["code"].as_str().unwrap_or_else(|| panic!("not refused: {answer}")).to_owned()
}

#[tokio::test]
async fn members_are_mentioned_until_an_edit_or_a_deletion_takes_it_back() {
    let world = World::new(&["ann", "bob", "cem", "dia"]).await;
    let owner = world.own("n1").await;
    let sent = async |from: &str, number: u128, body: Body| {
        world.send(from, "team", Some(id(number)), &body).await["seq"].as_u64().expect("an ack")
    };
    let counts = async |read: u64| {
        let of = async |who| unread(&world, "team", who, read).await;
        [of("ann").await, of("bob").await, of("cem").await]
    };
    assert_eq!(sent("ann", 1, create(&["bob", "cem"])).await, 1);
    assert_eq!(sent("ann", 2, says(&["bob", "bob", "ann"])).await, 2);
    assert_eq!(counts(0).await, [0, 1, 0]);
    assert_eq!(sent("ann", 3, says(&["*", "bob"])).await, 3);
    assert_eq!(counts(0).await, [0, 2, 1]);
    for (number, from, body, expected) in [
        (10, "ann", says(&["dia"]), "not_member"),
        (11, "ann", edits(2, &["dia"]), "not_member"),
        (12, "bob", says(&["*"]), "forbidden"),
        (13, "dia", says(&["bob"]), "no_such_room"),
    ] {
        assert_eq!(code(&world, from, "team", number, body).await, expected, "{number}");
    }
    // An edit counts for whom it mentions anew, from its own place on.
    assert_eq!(sent("ann", 4, edits(2, &["bob", "cem"])).await, 4);
    assert_eq!((counts(0).await, counts(2).await), ([0, 2, 2], [0, 1, 2]));
    assert_eq!(counts(3).await, [0, 0, 1]);
    assert_eq!(sent("ann", 5, edits(3, &["bob"])).await, 5);
    assert_eq!((counts(0).await, counts(2).await), ([0, 2, 1], [0, 1, 1]));
    assert_eq!(sent("ann", 6, edits(2, &[])).await, 6);
    assert_eq!(counts(0).await, [0, 1, 0]);
    assert_eq!(sent("ann", 7, Body::Delete(Delete::of(3))).await, 7);
    assert_eq!(counts(0).await, [0, 0, 0]);
    // Who was mentioned and has left does not keep anybody from editing.
    assert_eq!(sent("bob", 8, says(&["cem"])).await, 8);
    let removes = Body::Remove(Remove { user: user_id("cem") });
    assert_eq!(sent("ann", 9, removes).await, 9);
    assert_eq!(sent("bob", 20, edits(8, &["cem", "ann"])).await, 10);
    assert_eq!(code(&world, "bob", "team", 21, says(&["cem"])).await, "not_member");
    assert_eq!(counts(9).await, [1, 0, 0]);
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn a_silent_message_counts_for_nobody_edited_or_not() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    let room = "ann~bob";
    world.send("ann", room, Some(id(1)), &text("one")).await;
    let silent = mentioning(&["bob"], None, json!({ "silent": true, "skip_push": true }));
    let answer = world.send("ann", room, Some(id(2)), &silent).await;
    assert_eq!((&answer["seq"], &answer["ordinal"]), (&json!(2), &json!(1)), "{answer}");
    world.send("ann", room, Some(id(3)), &edits(2, &["bob", "ann"])).await;
    assert_eq!(unread(&world, room, "bob", 0).await, 0);
    let skips = mentioning(&["bob"], None, json!({ "skip_push": true }));
    let answer = world.send("ann", room, Some(id(4)), &skips).await;
    assert_eq!((&answer["seq"], &answer["ordinal"]), (&json!(4), &json!(2)), "{answer}");
    assert_eq!(unread(&world, room, "bob", 0).await, 1);
    assert_eq!(code(&world, "ann", room, 5, says(&["*"])).await, "bad_request");
    let (_, head) = world.bus.event(room, 2).await;
    let (_, loud) = world.bus.event(room, 4).await;
    assert_eq!((head.is_unread, loud.is_unread), (false, true));
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn mentions_that_are_planned_and_not_committed_are_taken_back_too() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    let room = "ann~bob";
    world.send("ann", room, Some(id(1)), &text("one")).await;
    world.gate(false);
    let before = *world.engine.commits.borrow();
    let mut sent = vec![world.publish("ann", room, Some(id(2)), &says(&["bob"]))];
    grown(&world.engine.commits, before).await;
    let bodies = [
        says(&["bob"]),
        says(&["bob"]),
        edits(2, &[]),
        edits(3, &["bob"]),
        Body::Delete(Delete::of(4)),
        edits(1, &["bob"]),
    ];
    for (number, body) in (3..).zip(&bodies) {
        sent.push(world.publish("ann", room, Some(id(number)), body));
    }
    world.gate(true);
    for token in sent {
        let answer = world.bus.answer_to(&token).await;
        assert!(answer["error"].is_null(), "{answer}");
    }
    // The third message, and the first one by its edit.
    assert_eq!(unread(&world, room, "bob", 0).await, 2);
    assert_eq!(unread(&world, room, "bob", 3).await, 1);
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn a_mention_of_what_a_member_is_not_shown_does_not_count_for_them() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    let joined = Body::from_json(br#"{"kind":"create","title":"T","history":"joined"}"#);
    world.send("ann", "team", Some(id(1)), &joined.expect("a body")).await;
    world.send("ann", "team", Some(id(2)), &text("before")).await;
    let add = Body::Add(Add { user: user_id("bob"), role: Role::Member });
    world.send("ann", "team", Some(id(3)), &add).await;
    assert_eq!(world.send("ann", "team", Some(id(4)), &edits(2, &["bob"])).await["seq"], 4);
    assert_eq!(unread(&world, "team", "bob", 3).await, 0);
    owner.leave().await.expect("leave");
}

fn forwards(room: &str, seq: u64) -> Body {
    let body = json!({ "text": "x", "forwarded": { "room": room, "seq": seq } });
    Body::from_json(body.to_string().as_bytes()).expect("a body")
}

#[tokio::test]
async fn what_is_forwarded_says_who_wrote_it_and_no_more() {
    let world = World::new(&["ann", "bob", "cem"]).await;
    let owner = world.own("n1").await;
    let send = async |from: &str, room: &str, number: u128, body: Body| {
        world.send(from, room, Some(id(number)), &body).await
    };
    send("bob", "ann~bob", 1, text("a secret")).await;
    send("ann", "team", 2, create(&["cem"])).await;
    assert_eq!(send("ann", "team", 3, forwards("ann~bob", 1)).await["seq"], 2);
    let origin = async |room: &str, seq: u64| {
        let entries = world.entries(room).await;
        let frame = entries[usize::try_from(seq).expect("small") - 1].to_frame();
        serde_json::from_slice::<Value>(&frame).expect("json")["forwarded"].clone()
    };
    assert_eq!(origin("team", 2).await, json!({ "from": "bob" }));
    // On and on, it stays the first one's; within the room it says where.
    assert_eq!(send("cem", "ann~cem", 4, forwards("team", 2)).await["seq"], 1);
    assert_eq!(origin("ann~cem", 1).await, json!({ "from": "bob" }));
    assert_eq!(send("cem", "ann~cem", 5, forwards("ann~cem", 1)).await["seq"], 2);
    assert_eq!(origin("ann~cem", 2).await, json!({ "room": "ann~cem", "seq": 1, "from": "bob" }));
    let forged = |fields: Value| {
        let body = json!({ "text": "x", "forwarded": fields });
        Body::from_json(body.to_string().as_bytes()).expect("a body")
    };
    send("bob", "ann~bob", 6, Body::Delete(Delete::of(1))).await;
    for (number, from, room, body, expected) in [
        (10, "cem", "team", forwards("ann~bob", 1), "not_found"),
        (11, "ann", "team", forwards("ann~bob", 1), "not_found"),
        (12, "ann", "team", forwards("ann~bob", 2), "not_found"),
        (13, "ann", "team", forwards("team", 1), "not_found"),
        (14, "ann", "team", forwards("team", 9), "not_found"),
        (15, "ann", "team", forwards("nowhere", 1), "not_found"),
        (16, "bob", "ann~bob", forwards("team", 2), "not_found"),
        (17, "ann", "team", forged(json!({ "from": "bob" })), "bad_request"),
        (
            18,
            "ann",
            "team",
            forged(json!({ "room": "team", "seq": 2, "from": "ann" })),
            "bad_request",
        ),
    ] {
        assert_eq!(code(&world, from, room, number, body).await, expected, "{number}");
    }
    // Who has left forwards what they may still read.
    let removes = Body::Remove(Remove { user: user_id("cem") });
    send("ann", "team", 30, removes).await;
    send("ann", "team", 31, text("later")).await;
    assert_eq!(send("cem", "ann~cem", 32, forwards("team", 2)).await["seq"], 3);
    assert_eq!(code(&world, "cem", "ann~cem", 33, forwards("team", 4)).await, "not_found");
    // A resend is told by what was sent, not by what became of it.
    assert_eq!(send("ann", "team", 3, forwards("ann~bob", 1)).await["seq"], 2);
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn what_cant_be_read_is_not_forwarded_and_the_owner_goes_on() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    let room = RoomId::new("ann~bob").expect("id");
    for number in 1..=2 {
        world.send("ann", "ann~bob", Some(id(number)), &text("x")).await;
    }
    let mut batch = weft_storage::Batch::new([5; 16]);
    batch.set(weft_storage::tables::log::range(&room, 1..2).start, "damaged");
    batch.set(weft_storage::tables::message::key(&room, 2), "damaged");
    world.store.commit(batch).await.expect("commit");
    for (number, seq) in [(3, 1), (4, 2)] {
        assert_eq!(
            code(&world, "bob", "bob~bob", number, forwards("ann~bob", seq)).await,
            "not_found"
        );
    }
    assert_eq!(world.send("bob", "bob~bob", Some(id(5)), &text("on")).await["seq"], 1);
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn any_member_of_a_large_group_can_be_mentioned() {
    let names: Vec<String> = (0..101).map(|number| format!("m{number}")).collect();
    let mut users: Vec<&str> = names.iter().map(String::as_str).collect();
    users.push("other");
    let world = World::new(&users).await;
    let owner = world.own("n1").await;
    world.send("m0", "team", Some(id(1)), &create(&users[1..100])).await;
    let add = Body::Add(Add { user: user_id("m100"), role: Role::Member });
    world.send("m0", "team", Some(id(2)), &add).await;
    owner.leave().await.expect("leave");
    // Another owner knows nobody yet.
    let owner = world.own("n2").await;
    let answer = world.send("m1", "team", Some(id(3)), &says(&["m7", "m100"])).await;
    assert_eq!(answer["seq"], 3, "{answer}");
    assert_eq!(code(&world, "m1", "team", 4, says(&["other"])).await, "not_member");
    assert_eq!(world.send("m0", "team", Some(id(5)), &says(&["*"])).await["seq"], 4);
    for (who, expected) in [("m7", 2), ("m100", 2), ("m50", 1), ("m0", 0)] {
        assert_eq!(unread(&world, "team", who, 2).await, expected, "{who}");
    }
    owner.leave().await.expect("leave");
}
