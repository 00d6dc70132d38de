//! What expires in a room, what is deleted with it, and what is not.

use serde_json::json;
use tokio::time::{Duration, sleep};
use weft_nats::IngestMessage;
use weft_proto::kind::{Delete, Expire, Mark, Pin, React, Update};
use weft_proto::{Body, ClientId, RoomId};
use weft_runtime::Clock as _;
use weft_storage::Batch;
use weft_storage::tables::head::{self, Head};
use weft_storage::tables::{expiry, log, mention, message, pin, reaction, thread};

use crate::create;
use crate::mentions::mentioning;
use crate::support::{START_MS, World, grown, text, user_id};

const DAY_MS: u64 = 86_400_000;

pub fn keeps(days: u32) -> Body {
    Body::Update(Update { retention_days: Some(days), ..Update::default() })
}

fn room(name: &str) -> RoomId {
    RoomId::new(name).expect("id")
}

/// A client id of this moment.
fn id(world: &World, number: u128) -> ClientId {
    ClientId::from_parts(world.clock.now_ms(), number)
}

async fn code(world: &World, from: &str, to: &str, number: u128, body: Body) -> String {
    let answer = world.send(from, to, Some(id(world, number)), &body).await;
    answer["error"]["code"].as_str().unwrap_or_else(|| panic!("not refused: {answer}")).to_owned()
}

async fn taken(world: &World, to: &str, number: u128, body: Body) -> u64 {
    let answer = world.send("ann", to, Some(id(world, number)), &body).await;
    answer["seq"].as_u64().unwrap_or_else(|| panic!("refused: {answer}"))
}

async fn head_of(world: &World, name: &str) -> Head {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let row = snapshot.get(head::key(&room(name))).await.expect("read");
    head::decode(&row.expect("a head")).expect("whole").1
}

/// The rooms that are listed, and under which hour.
async fn listed(world: &World) -> Vec<(u32, RoomId)> {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    expiry::due(&*snapshot, 0, (None, u32::MAX - 1), usize::MAX).await.expect("read")
}

/// How many rows the store has of messages of a room with a seq in these: entries and all that belongs to them.
async fn rows(world: &World, name: &str, seqs: std::ops::Range<u64>) -> usize {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let tables = [log::range, message::range, reaction::range_of, thread::range_of, pin::range];
    let mut count = 0;
    for range in tables {
        let range = range(&room(name), seqs.clone());
        count += snapshot.scan(range, usize::MAX, false).await.expect("scan").len();
    }
    count
}

async fn mentions(world: &World, name: &str, who: &str) -> u64 {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let of = (&room(name), &user_id(who));
    mention::unread(&*snapshot, of, (0, |_| true)).await.expect("counted")
}

/// Tells the owner that something has expired, as it tells itself.
fn tell(world: &World, name: &str, hour: u32) {
    let body = Body::Expire(Expire { hour }).to_json();
    world.log.publish(IngestMessage::of_owner(&user_id("weft"), &room(name), body.into()));
}

/// The same, and waits until it is done: by a command that comes after it.
pub async fn expire(world: &World, name: &str, number: u128) {
    tell(world, name, head_of(world, name).await.expiry_hour);
    let mark = Body::Mark(Mark { read: Some(1), ..Mark::default() });
    world.send("ann", name, Some(id(world, number)), &mark).await;
}

#[tokio::test]
async fn what_is_as_old_as_the_rule_is_deleted_with_all_that_belongs_to_it() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    taken(&world, "team", 1, create(&["bob"])).await;
    let root = taken(&world, "team", 2, mentioning(&["bob", "*"], None, json!({}))).await;
    let react = |target| Body::React(React { target, emoji: "+".into() });
    taken(&world, "team", 3, react(root)).await;
    taken(&world, "team", 4, Body::Pin(Pin { target: root })).await;
    let reply = |root: u64| mentioning(&[], None, json!({ "thread": root }));
    taken(&world, "team", 5, reply(root)).await;
    taken(&world, "team", 6, text("old")).await;
    world.clock.advance_ms(3 * DAY_MS);
    // A second that is kept, with the same; and what is done late to the first.
    let late = taken(&world, "team", 7, mentioning(&["bob"], None, json!({}))).await;
    taken(&world, "team", 8, react(late)).await;
    let last_reply = taken(&world, "team", 9, reply(root)).await;
    taken(&world, "team", 10, mentioning(&["bob", "*"], Some(root), json!({}))).await;
    assert_eq!(mentions(&world, "team", "bob").await, 2);
    assert!(listed(&world).await.is_empty(), "it keeps all for ever");
    let rule = taken(&world, "team", 11, keeps(2)).await;
    let before = rows(&world, "team", late..rule + 1).await;
    let hour = expiry::hour_of(world.clock.now_ms());
    assert_eq!(listed(&world).await, [(hour, room("team"))]);
    expire(&world, "team", 12).await;
    assert_eq!(rows(&world, "team", 0..late).await, 0);
    assert_eq!(rows(&world, "team", late..rule + 1).await, before, "no row more is deleted");
    assert_eq!(mentions(&world, "team", "bob").await, 1);
    let head = head_of(&world, "team").await;
    assert_eq!((head.first_seq, head.expired_ordinal, head.seq, head.ordinal), (late, 2, rule, 3));
    // By its next one, in two days.
    let taken_ms = START_MS + 3 * DAY_MS;
    assert_eq!(head.expiry_hour, expiry::hour_of(taken_ms + 2 * DAY_MS) + 1);
    assert_eq!(listed(&world).await, [(head.expiry_hour, room("team"))]);
    // What has expired is not there: for nobody who knows its seq.
    for (number, body) in [
        (20, react(root)),
        (21, Body::Pin(Pin { target: root })),
        (22, Body::Delete(Delete::of(root))),
        (23, reply(root)),
        (24, mentioning(&[], Some(root), json!({}))),
        (25, mentioning(&[], None, json!({ "reply_to": root }))),
    ] {
        assert_eq!(code(&world, "ann", "team", number, body).await, "not_found");
    }
    // A reply goes by its own time, and leaves nothing of its thread when it is deleted.
    taken(&world, "team", 26, Body::Delete(Delete::of(last_reply))).await;
    assert_eq!(rows(&world, "team", 0..late).await, 0);
    assert_eq!(head_of(&world, "team").await.first_seq, late);
    owner.leave().await.expect("leave");
    // What is read anew goes on.
    let owner = world.own("n2").await;
    assert_eq!(taken(&world, "team", 30, text("new")).await, rule + 2);
    world.clock.advance_ms(2 * DAY_MS + 3_600_000);
    expire(&world, "team", 31).await;
    let head = head_of(&world, "team").await;
    assert_eq!((head.first_seq, head.seq), (rule + 3, rule + 2), "all of it");
    assert_eq!((head.expired_ordinal, head.ordinal, head.expiry_hour), (4, 4, 0));
    assert!(listed(&world).await.is_empty() && world.entries("team").await.is_empty());
    assert_eq!(rows(&world, "team", 0..rule + 9).await, 0);
    // An empty room goes on where it was.
    assert_eq!(taken(&world, "team", 32, text("again")).await, rule + 3);
    assert_eq!(listed(&world).await.len(), 1);
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn only_the_rule_of_that_moment_deletes_and_only_what_both_clocks_say_is_old() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    taken(&world, "ann~bob", 1, text("one")).await;
    taken(&world, "ann~bob", 2, keeps(2)).await;
    world.clock.advance_ms(2 * DAY_MS - 1_000);
    expire(&world, "ann~bob", 3).await;
    assert_eq!(world.entries("ann~bob").await.len(), 2, "a second too early");
    let hour = head_of(&world, "ann~bob").await.expiry_hour;
    assert_eq!(hour, expiry::hour_of(START_MS + 2 * DAY_MS) + 1);
    // The owner's clock is ahead, as far as it may be; the server's is not.
    world.ahead_ms.store(60_000, std::sync::atomic::Ordering::SeqCst);
    expire(&world, "ann~bob", 4).await;
    assert_eq!(world.entries("ann~bob").await.len(), 2);
    world.ahead_ms.store(0, std::sync::atomic::Ordering::SeqCst);
    world.clock.advance_ms(DAY_MS);
    // It is taken back, or made another one, before the owner comes to it.
    world.gate(false);
    let rule = world.publish("bob", "ann~bob", Some(id(&world, 5)), &keeps(0));
    tell(&world, "ann~bob", hour);
    world.gate(true);
    world.bus.answer_to(&rule).await;
    expire(&world, "ann~bob", 6).await;
    assert_eq!(world.entries("ann~bob").await.len(), 3);
    assert!(listed(&world).await.is_empty(), "it keeps all for ever again");
    tell(&world, "ann~bob", hour);
    taken(&world, "ann~bob", 7, keeps(10)).await;
    expire(&world, "ann~bob", 8).await;
    assert_eq!(world.entries("ann~bob").await.len(), 4);
    // Twice is once.
    taken(&world, "ann~bob", 9, keeps(1)).await;
    let hour = head_of(&world, "ann~bob").await.expiry_hour;
    world.gate(false);
    (0..3).for_each(|_| tell(&world, "ann~bob", hour));
    world.gate(true);
    expire(&world, "ann~bob", 10).await;
    assert_eq!(head_of(&world, "ann~bob").await.first_seq, 3);
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn nobody_sends_what_the_owner_tells_itself() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    taken(&world, "ann~bob", 1, text("one")).await;
    taken(&world, "ann~bob", 2, keeps(1)).await;
    let hour = head_of(&world, "ann~bob").await.expiry_hour;
    world.clock.advance_ms(9 * DAY_MS);
    let refused = code(&world, "ann", "ann~bob", 3, Body::Expire(Expire { hour })).await;
    assert_eq!(refused, "bad_request");
    assert_eq!(world.entries("ann~bob").await.len(), 2);
    assert_eq!(code(&world, "bob", "ann~bob", 4, keeps(1)).await, "unchanged");
    let mixed = Update { retention_days: Some(2), topic: Some("t".into()), ..Update::default() };
    assert_eq!(code(&world, "bob", "ann~bob", 5, Body::Update(mixed)).await, "bad_request");
    owner.leave().await.expect("leave");
}

/// An edit that mentions somebody is planned, and not committed, when what has expired is looked up.
#[tokio::test]
async fn what_an_open_commit_makes_of_a_message_goes_with_it() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    let first = taken(&world, "ann~bob", 1, text("one")).await;
    taken(&world, "ann~bob", 2, keeps(2)).await;
    let hour = head_of(&world, "ann~bob").await.expiry_hour;
    world.clock.advance_ms(2 * DAY_MS + 1);
    world.send("ann", "ann~bob", Some(id(&world, 3)), &text("the clocks agree")).await;
    let count = |counter: &tokio::sync::watch::Sender<u64>| *counter.borrow();
    world.gate(false);
    let before = count(&world.engine.commits);
    let edit = mentioning(&["bob"], Some(first), json!({}));
    let edit = world.publish("ann", "ann~bob", Some(id(&world, 4)), &edit);
    grown(&world.engine.commits, before).await;
    let before = count(&world.engine.snapshots);
    tell(&world, "ann~bob", hour);
    grown(&world.engine.snapshots, before).await;
    world.gate(true);
    assert_eq!(world.bus.answer_to(&edit).await["type"], "ack");
    world.send("ann", "ann~bob", Some(id(&world, 5)), &text("after it")).await;
    assert_eq!(head_of(&world, "ann~bob").await.first_seq, 3);
    assert_eq!(rows(&world, "ann~bob", 0..3).await, 0);
    assert_eq!(mentions(&world, "ann~bob", "bob").await, 0);
    owner.leave().await.expect("leave");
}

/// Writes messages of that time at the end of a room that keeps entries for a day.
async fn fill(world: &World, name: &str, messages: u64, time_ms: u64) {
    let mut head = Head { retention_days: 1, ..Head::default() };
    while head.seq < messages {
        let mut batch = Batch::new(rand::random());
        for order in 0..1_000.min(messages - head.seq) {
            (head.seq, head.ordinal, head.time_ms) = (head.seq + 1, head.ordinal + 1, time_ms);
            let entry = weft_proto::Entry {
                room: room(name),
                seq: head.seq,
                ordinal: head.ordinal,
                from: user_id("ann"),
                client_id: None,
                time_ms,
                body: text("a message of a usual length, as people write them"),
            };
            log::put(&mut batch, u16::try_from(order).expect("few"), &entry);
        }
        if head.expiry_hour == 0 {
            let hour = expiry::hour_of_end(&head, time_ms);
            expiry::list(&mut batch, 0, &room(name), &mut head, hour);
        }
        head::put(&mut batch, &room(name), 1_000, &head);
        world.store.commit(batch).await.expect("commit");
    }
}

#[tokio::test(start_paused = true)]
async fn idle_rooms_expire_by_themselves_and_nothing_before_its_time() {
    let world = World::new(&["ann", "bob"]).await;
    for (name, messages, age_days) in
        [("ann~za", 1, 3), ("ann~zb", 4_500, 2), ("ann~zc", 3, 0), ("ann~zd", 2_000, 9)]
    {
        fill(&world, name, messages, START_MS - age_days * DAY_MS).await;
    }
    // A row that no head confirms, and a room that can't be read.
    let mut batch = Batch::new([1; 16]);
    batch.set(expiry::key(0, 7, &room("ann~zc")), Vec::new());
    batch.set(expiry::key(0, 8, &room("ann~zx")), Vec::new());
    batch.set(head::key(&room("ann~zx")), &b"x"[..]);
    world.store.commit(batch).await.expect("commit");
    let owner = world.own("n1").await;
    while listed(&world).await.len() > 2 {
        sleep(Duration::from_secs(1)).await;
    }
    for (name, first, last) in
        [("ann~za", 2, 1), ("ann~zb", 4_501, 4_500), ("ann~zc", 0, 3), ("ann~zd", 2_001, 2_000)]
    {
        let head = head_of(&world, name).await;
        assert_eq!((head.first_seq, head.seq), (first, last), "{name}");
        assert_eq!(world.entries(name).await.len() as u64, last.saturating_sub(first.max(1) - 1));
    }
    assert_eq!(listed(&world).await[0], (8, room("ann~zx")));
    owner.leave().await.expect("leave");
}
