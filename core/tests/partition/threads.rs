//! Threads: what begins one, what is counted, also of what is planned and not yet committed.

use weft_core::partition::quota::QuotaLimits;
use weft_proto::kind::{Add, Delete, Deleted, Edit};
use weft_proto::{Body, Role, RoomId};
use weft_storage::tables::message::Thread;
use weft_storage::tables::{thread, thread_follower};

use crate::create;
use crate::messages::{code, entries, rows};
use crate::support::{World, grown, id, text, user_id};

fn reply(root: u64) -> Body {
    let json = format!(r#"{{"text":"a reply","thread":{root}}}"#);
    Body::from_json(json.as_bytes()).expect("a body")
}

fn delete(target: u64) -> Body {
    Body::Delete(Delete { target })
}

/// How many replies a thread has, and the newest one: as its root's row says it. The table has the same.
async fn counted(world: &World, room: &str, root: u64) -> Option<(u64, u64)> {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let at = (&RoomId::new(room).expect("id"), root);
    let listed = thread::counted(&*snapshot, at, u64::MAX - 1).await.expect("read");
    let told = rows(world, room).await.get(&root).and_then(|row| row.thread);
    assert_eq!(told, listed);
    told.map(|Thread { replies, last_reply }| (replies, last_reply))
}

#[tokio::test]
async fn replies_in_a_thread_are_counted_there_and_not_in_the_room() {
    let world = World::new(&["ann", "bob", "cem"]).await;
    let owner = world.own("n1").await;
    world.send("ann", "team", Some(id(1)), &create(&["bob"])).await;
    assert_eq!(world.send("ann", "team", Some(id(2)), &text("root")).await["ordinal"], 1);
    let answer = world.send("bob", "team", Some(id(3)), &reply(2)).await;
    assert_eq!((&answer["seq"], &answer["ordinal"]), (&3.into(), &1.into()));
    assert_eq!(world.send("ann", "team", Some(id(4)), &text("main")).await["ordinal"], 2);
    world.send("ann", "team", Some(id(5)), &reply(2)).await;
    assert_eq!(counted(&world, "team", 2).await, Some((2, 5)));
    for (sender, number, root, expected) in [
        ("bob", 10, 1, "not_found"),
        ("bob", 11, 99, "not_found"),
        ("bob", 12, 3, "bad_request"),
        ("cem", 13, 2, "not_member"),
    ] {
        assert_eq!(code(&world, sender, "team", number, reply(root)).await, expected, "{number}");
    }
    // A deleted reply is counted no more, and what is left of it is still in the thread.
    let edit = Body::Edit(Edit { target: 3, text: "y".into(), ranges: Vec::new() });
    assert_eq!(world.send("bob", "team", Some(id(14)), &edit).await["seq"], 6);
    assert_eq!(world.send("bob", "team", Some(id(15)), &delete(3)).await["seq"], 7);
    assert_eq!(counted(&world, "team", 2).await, Some((1, 5)));
    let log = entries(&world, "team").await;
    let left = |seq: usize| log[seq - 1].entry.body.clone();
    assert_eq!(left(3), Body::Deleted(Deleted { by: 7, thread: Some(2) }));
    assert_eq!(left(6), Body::Deleted(Deleted { by: 7, thread: None }));
    // So is a thread whose root is deleted, but nobody goes on with it.
    assert_eq!(world.send("ann", "team", Some(id(16)), &delete(2)).await["seq"], 8);
    assert_eq!(counted(&world, "team", 2).await, Some((1, 5)));
    assert_eq!(code(&world, "bob", "team", 17, reply(2)).await, "deleted");
    assert_eq!(world.send("ann", "team", Some(id(18)), &delete(5)).await["seq"], 9);
    assert_eq!(counted(&world, "team", 2).await, Some((0, 5)));
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn nobody_answers_in_a_thread_that_they_may_not_read() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    let create = Body::from_json(br#"{"kind":"create","title":"T","history":"joined"}"#);
    world.send("ann", "team", Some(id(1)), &create.expect("a body")).await;
    world.send("ann", "team", Some(id(2)), &text("before")).await;
    let add = Body::Add(Add { user: user_id("bob"), role: Role::Member });
    world.send("ann", "team", Some(id(3)), &add).await;
    assert_eq!(code(&world, "bob", "team", 4, reply(2)).await, "not_found");
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn threads_of_what_is_planned_and_not_committed_are_counted() {
    let mut world = World::new(&["ann", "bob"]).await;
    world.quota = QuotaLimits { rate_per_s: 1_000_000, burst: 1_000_000 };
    let owner = world.own("n1").await;
    let room = "ann~bob";
    world.send("ann", room, Some(id(1)), &text("kept")).await;
    world.send("bob", room, Some(id(2)), &reply(1)).await;
    world.gate(false);
    let before = *world.engine.commits.borrow();
    let mut sent = vec![world.publish("ann", room, Some(id(3)), &text("underway"))];
    grown(&world.engine.commits, before).await;
    for (number, (sender, body)) in (4..).zip([
        ("bob", reply(3)),   // 4
        ("bob", reply(3)),   // 5
        ("ann", reply(1)),   // 6
        ("bob", delete(4)),  // 7
        ("bob", delete(2)),  // 8
        ("ann", delete(6)),  // 9
        ("ann", text("x")),  // 10
        ("ann", delete(10)), // 11
        ("bob", reply(10)),
        ("bob", reply(5)),
        ("bob", reply(3)), // 12
    ]) {
        sent.push(world.publish(sender, room, Some(id(number)), &body));
    }
    world.gate(true);
    let mut codes = Vec::new();
    for token in sent {
        let answer = world.bus.answer_to(&token).await;
        codes.push(answer["error"]["code"].as_str().unwrap_or("ok").to_owned());
    }
    assert_eq!(codes[9..], ["deleted", "bad_request", "ok"]);
    assert!(codes[..9].iter().all(|code| code == "ok"), "{codes:?}");
    assert_eq!(counted(&world, room, 3).await, Some((2, 12)));
    assert_eq!(counted(&world, room, 1).await, Some((0, 6)));
    assert_eq!(counted(&world, room, 10).await, None);
    owner.leave().await.expect("leave");
}

/// Whether the user follows the thread, and up to where they have read it.
async fn followed(world: &World, user: &str, root: u64) -> Option<(bool, u64)> {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let room = RoomId::new("team").expect("id");
    let at = (&user_id(user), &room);
    let rows = thread_follower::of_room(&*snapshot, at, u64::MAX, 99).await.expect("read");
    rows.into_iter().find(|(of, _)| *of == root).map(|(_, row)| (row.follows, row.read))
}

fn mark(json: &str) -> Body {
    Body::from_json(format!(r#"{{"kind":"mark",{json}}}"#).as_bytes()).expect("a mark")
}

#[tokio::test]
async fn who_writes_in_a_thread_or_began_it_or_is_mentioned_follows_it_unless_they_said_no() {
    let world = World::new(&["ann", "bob", "cem", "dia"]).await;
    let owner = world.own("n1").await;
    world.send("ann", "team", Some(id(1)), &create(&["bob", "cem", "dia"])).await;
    world.send("ann", "team", Some(id(2)), &text("root")).await;
    assert_eq!(followed(&world, "ann", 2).await, None);
    world.send("bob", "team", Some(id(3)), &reply(2)).await;
    for name in ["ann", "bob"] {
        assert_eq!(followed(&world, name, 2).await, Some((true, 2)), "{name}");
    }
    let mention =
        r#"{"text":"@cem","thread":2,"ranges":[{"at":0,"len":4,"style":"mention","user":"cem"}]}"#;
    let mention = Body::from_json(mention.as_bytes()).expect("a body");
    world.send("bob", "team", Some(id(4)), &mention).await;
    assert_eq!(followed(&world, "cem", 2).await, Some((true, 3)));
    assert_eq!(followed(&world, "dia", 2).await, None);
    // Marks only grow, and are answered as those of rooms are.
    for (number, body, expected) in [
        (5, mark(r#""thread":2,"read":4"#), Some((true, 4))),
        (6, mark(r#""thread":2,"read":3"#), Some((true, 4))),
        (7, mark(r#""thread":2,"follow":false"#), Some((false, 4))),
        (8, mark(r#""thread":2,"read":4"#), Some((false, 4))),
    ] {
        let answer = world.send("cem", "team", Some(id(number)), &body).await;
        assert_eq!(answer["type"], "done", "{answer}");
        assert_eq!(followed(&world, "cem", 2).await, expected, "{number}");
    }
    world.send("bob", "team", Some(id(9)), &mention).await;
    assert_eq!(followed(&world, "cem", 2).await, Some((false, 4)), "they have said no");
    world.send("cem", "team", Some(id(10)), &reply(2)).await;
    assert_eq!(followed(&world, "cem", 2).await, Some((true, 4)), "until they write");
    world.send("dia", "team", Some(id(11)), &mark(r#""thread":2,"follow":true"#)).await;
    assert_eq!(followed(&world, "dia", 2).await, Some((true, 6)));
    for (number, json, expected) in [
        (20, r#""thread":1,"follow":true"#, "not_found"),
        (21, r#""thread":3,"follow":true"#, "bad_request"),
        (22, r#""thread":2,"read":99"#, "not_found"),
    ] {
        assert_eq!(code(&world, "dia", "team", number, mark(json)).await, expected, "{json}");
    }
    let mut sent = Vec::new();
    world.gate(false);
    let before = *world.engine.commits.borrow();
    sent.push(world.publish("dia", "team", Some(id(30)), &text("a new root")));
    grown(&world.engine.commits, before).await;
    // What is planned and not committed counts.
    let says =
        [("bob", reply(7)), ("dia", mark(r#""thread":7,"follow":false"#)), ("ann", reply(7))];
    for (number, (sender, body)) in (31..).zip(says) {
        sent.push(world.publish(sender, "team", Some(id(number)), &body));
    }
    world.gate(true);
    for token in sent {
        let answer = world.bus.answer_to(&token).await;
        assert!(answer["error"].is_null(), "{answer}");
    }
    assert_eq!(followed(&world, "dia", 7).await, Some((false, 7)));
    assert_eq!(followed(&world, "bob", 7).await, Some((true, 7)));
    assert_eq!(followed(&world, "ann", 7).await, Some((true, 8)));
    owner.leave().await.expect("leave");
}
