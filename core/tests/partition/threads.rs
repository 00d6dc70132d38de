//! Threads: what begins one, what is counted, also of what is planned and not yet committed.

use serde_json::json;
use weft_core::partition::quota::QuotaLimits;
use weft_proto::kind::{Add, Delete, Deleted, Edit, Leave};
use weft_proto::{Body, Position, Role, RoomId};
use weft_storage::tables::change::{self, Changed};
use weft_storage::tables::journal::{self, JournalMark};
use weft_storage::tables::message::Thread;
use weft_storage::tables::thread;
use weft_storage::tables::thread_follower::{self, ThreadFollower};

use crate::create;
use crate::messages::{code, entries, rows};
use crate::support::{World, grown, id, text, user_id};

fn reply(root: u64) -> Body {
    let json = format!(r#"{{"text":"a reply","thread":{root}}}"#);
    Body::from_json(json.as_bytes()).expect("a body")
}

fn delete(target: u64) -> Body {
    Body::Delete(Delete::of(target))
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
        ("cem", 13, 2, "no_such_room"),
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

/// What the syncs of a user are told of threads of the group, each at its place: each thread once, where its row is.
async fn told(world: &World, who: &str) -> Vec<(u64, ThreadFollower)> {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let range = change::range(&user_id(who), Position::MIN, Position::MAX);
    let rows = snapshot.scan(range, usize::MAX, false).await.expect("scan");
    let mut told = Vec::new();
    for (key, value) in rows {
        let (position, changed) = change::decode(&key, &value).expect("row");
        let Changed::Thread(room, root) = changed else { panic!("{changed:?}") };
        let at = [(user_id(who), (room, root))];
        let row = thread_follower::get_many(&*snapshot, &at).await.expect("read").remove(0);
        let (written, row) = row.expect("a row");
        assert_eq!(written, position, "{who}: {root}");
        assert!(told.iter().all(|(of, _)| *of != root), "{who}: {root} twice");
        told.push((root, row));
    }
    told
}

fn follower(follows: bool, read: u64) -> ThreadFollower {
    ThreadFollower { follows, read }
}

async fn commit_no(world: &World) -> u64 {
    weft_core::partition::take::read_row(&world.store, 0).await.expect("row").last_commit_no()
}

#[tokio::test]
async fn a_users_devices_hear_of_threads_once_at_the_newest_place() {
    let world = World::new(&["ann", "bob", "cem"]).await;
    let owner = world.own("n1").await;
    world.send("ann", "team", Some(id(1)), &create(&["bob", "cem"])).await;
    world.send("ann", "team", Some(id(2)), &text("root")).await;
    world.send("bob", "team", Some(id(3)), &reply(2)).await;
    for (name, expected) in
        [("ann", vec![(2, follower(true, 2))]), ("bob", vec![(2, follower(true, 2))])]
    {
        assert_eq!(told(&world, name).await, expected, "{name}");
        let frame = json!({ "type": "mark", "room": "team", "user": name, "thread": 2, "read": 2,
                            "following": true });
        world.bus.change_that(|it, said| it.users == [name] && *said == frame).await;
    }
    assert!(told(&world, "cem").await.is_empty());
    // Whoever follows it already is told nothing of the next one.
    let before = told(&world, "bob").await;
    world.send("ann", "team", Some(id(4)), &reply(2)).await;
    assert_eq!(told(&world, "bob").await, before);
    let begun = commit_no(&world).await;
    world.send("ann", "team", Some(id(5)), &mark(r#""thread":2,"read":3"#)).await;
    let frame = json!({ "type": "mark", "room": "team", "user": "ann", "thread": 2, "read": 3,
                        "following": true });
    let change = world.bus.change_that(|_, said| *said == frame).await;
    assert_eq!((&change.users[..], change.group.as_str()), (&["ann".to_owned()][..], ""));
    assert!(change.head.starts_with("mark/team/ann/2 "), "{}", change.head);
    assert_eq!(told(&world, "ann").await, [(2, follower(true, 3))]);
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let page = journal::follow(&*snapshot, 0, begun, 9).await.expect("read").expect("a page");
    let [(_, row)] = &page.rows[..] else { panic!("{page:?}") };
    let named = JournalMark { room: "team".into(), user: "ann".into(), thread: 2, own: false };
    assert_eq!((row.entries.len(), &row.marks[..]), (0, &[named][..]));
    // What moves nothing has no commit of its own.
    world.send("ann", "team", Some(id(6)), &mark(r#""thread":2,"read":3"#)).await;
    world.send("ann", "team", Some(id(7)), &mark(r#""thread":2,"follow":true"#)).await;
    assert_eq!(commit_no(&world).await, begun + 1);
    // One commit, and what is planned while that is underway.
    world.gate(false);
    let before = *world.engine.commits.borrow();
    let say = |number, who: &str, body: &Body| world.publish(who, "team", Some(id(number)), body);
    let mut sent = vec![say(10, "cem", &mark(r#""thread":2,"follow":true"#))];
    grown(&world.engine.commits, before).await;
    for (number, body) in (11..).zip([
        mark(r#""thread":2,"follow":false"#),
        reply(2),
        mark(r#""thread":2,"read":5"#),
        text("another root"),
        reply(6),
    ]) {
        sent.push(say(number, "cem", &body));
    }
    world.gate(true);
    for token in sent {
        let answer = world.bus.answer_to(&token).await;
        assert!(answer["error"].is_null(), "{answer}");
    }
    assert_eq!(told(&world, "cem").await, [(2, follower(true, 5)), (6, follower(true, 6))]);
    owner.leave().await.expect("leave");
    let owner = world.own("n2").await;
    world.send("cem", "team", Some(id(20)), &mark(r#""thread":2,"read":7"#)).await;
    assert_eq!(told(&world, "cem").await, [(6, follower(true, 6)), (2, follower(true, 7))]);
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn who_has_left_hears_nothing_of_the_threads_that_they_began() {
    let names: Vec<String> = (0..101).map(|number| format!("m{number}")).collect();
    let users: Vec<&str> = names.iter().map(String::as_str).collect();
    for count in [3, 101] {
        let world = World::new(&users[..count]).await;
        let owner = world.own("n1").await;
        world.send("m0", "team", Some(id(1)), &create(&users[1..count - 1])).await;
        let add = Body::Add(Add { user: user_id(users[count - 1]), role: Role::Member });
        world.send("m0", "team", Some(id(2)), &add).await;
        for (number, who) in [(3, "m1"), (4, "m2")] {
            world.send(who, "team", Some(id(number)), &text("root")).await;
        }
        world.send("m1", "team", Some(id(5)), &Body::Leave(Leave {})).await;
        owner.leave().await.expect("leave");
        // Another owner of a large group knows nobody yet.
        let owner = world.own("n2").await;
        for (number, root) in [(6, 3), (7, 4)] {
            world.send("m0", "team", Some(id(number)), &reply(root)).await;
        }
        assert_eq!(followed(&world, "m1", 3).await, None, "{count}");
        assert!(told(&world, "m1").await.is_empty(), "{count}");
        assert_eq!(told(&world, "m2").await, [(4, follower(true, 6))], "{count}");
        owner.leave().await.expect("leave");
    }
}
