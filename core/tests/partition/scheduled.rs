//! Messages that are sent later: once, whatever comes in between, and by the rights of that moment.

use serde_json::Value;
use tokio::time::{Duration, sleep};
use weft_nats::IngestMessage;
use weft_proto::kind::{Due, Leave, Schedule, Text, Unschedule, Update};
use weft_proto::limits::SCHEDULED_PER_USER_MAX;
use weft_proto::{Body, ClientId, Position, RoomId};
use weft_runtime::Clock as _;
use weft_storage::Batch;
use weft_storage::tables::account::{self, Account};
use weft_storage::tables::change::{self, Changed};
use weft_storage::tables::deletion;
use weft_storage::tables::scheduled::{self, Scheduled, ScheduledKey, State};

use crate::create;
use crate::mentions::mentioning;
use crate::support::{START_MS, World, grown, text, user_id};

const HOUR_MS: u64 = 3_600_000;

fn id(world: &World, number: u128) -> ClientId {
    ClientId::from_parts(world.clock.now_ms(), number)
}

/// Sent in an hour after the begin.
fn later(said: &str) -> Body {
    let message = Box::new(Text { text: said.into(), ..Text::default() });
    Body::Schedule(Schedule { at: START_MS + HOUR_MS, message, attached: None })
}

fn back(schedule: ClientId) -> Body {
    Body::Unschedule(Unschedule { schedule })
}

fn key(room: &str, id: ClientId) -> ScheduledKey {
    (user_id("ann"), RoomId::new(room).expect("id"), id)
}

/// Schedules it as Ann.
async fn schedule(world: &World, room: &str, number: u128, body: &Body) -> ClientId {
    let id = id(world, number);
    let answer = world.send("ann", room, Some(id), body).await;
    assert_eq!(answer["type"], "done", "{answer}");
    id
}

async fn code(world: &World, room: &str, number: u128, body: &Body) -> String {
    let answer = world.send("ann", room, Some(id(world, number)), body).await;
    answer["error"]["code"].as_str().unwrap_or_else(|| panic!("not refused: {answer}")).to_owned()
}

async fn row(world: &World, room: &str, id: ClientId) -> Option<Scheduled> {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let rows = scheduled::get_many(&*snapshot, &[key(room, id)]).await.expect("read");
    rows.into_iter().next().flatten().map(|(_, row)| row)
}

async fn state(world: &World, room: &str, id: ClientId) -> Option<State> {
    row(world, room, id).await.map(|row| row.state())
}

/// How many are listed as to be sent.
async fn listed(world: &World) -> usize {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    scheduled::due(&*snapshot, 0, (None, u64::MAX - 1), 1_000).await.expect("read").len()
}

/// Tells the owner that its time has come, as it tells itself.
fn tell(world: &World, room: &str, schedule: ClientId) {
    let (sender, room) = (user_id("ann"), RoomId::new(room).expect("id"));
    let body = Body::Due(Due { schedule, at: START_MS + HOUR_MS }).to_json();
    world.log.publish(IngestMessage::of_owner(&sender, &room, body.into()));
}

async fn texts(world: &World, room: &str) -> Vec<String> {
    let text = |entry: weft_proto::Entry| match entry.body {
        Body::Text(text) => Some(text.text),
        _ => None,
    };
    world.entries(room).await.into_iter().filter_map(text).collect()
}

/// Lets the time come, and waits until nothing is to be sent any more.
async fn wait(world: &World) {
    world.clock.advance_ms(HOUR_MS);
    while listed(world).await > 0 {
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_is_sent_at_its_time_once_and_its_devices_hear_what_becomes_of_it() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    let said = schedule(&world, "ann~bob", 1, &later("later")).await;
    assert_eq!(state(&world, "ann~bob", said).await, Some(State::Waiting));
    let state_is = |told: &Value, word: &str| {
        told["type"] == "schedule" && told["schedule"] == said.to_string() && told["state"] == word
    };
    let waits = world.bus.change_that(|_, told| state_is(told, "waiting")).await;
    assert_eq!(waits.users, ["ann"]);
    // The command comes twice.
    assert_eq!(world.send("ann", "ann~bob", Some(said), &later("later")).await["type"], "done");
    assert_eq!(code(&world, "ann~bob", 1, &later("other")).await, "conflict");
    assert_eq!(listed(&world).await, 1);
    tell(&world, "ann~bob", said);
    world.send("bob", "ann~bob", Some(id(&world, 2)), &text("too early")).await;
    assert_eq!(texts(&world, "ann~bob").await, ["too early"]);
    owner.leave().await.expect("leave");
    let owner = world.own("n2").await;
    wait(&world).await;
    (0..3).for_each(|_| tell(&world, "ann~bob", said));
    let sent = world.bus.change_that(|_, told| state_is(told, "sent")).await;
    let frame: Value = serde_json::from_slice(&sent.frame).expect("json");
    assert_eq!(frame["seq"], 2);
    world.send("bob", "ann~bob", Some(id(&world, 3)), &text("an answer")).await;
    assert_eq!(texts(&world, "ann~bob").await, ["too early", "later", "an answer"]);
    let (event, _) = world.bus.event("ann~bob", 2).await;
    let event: Value = serde_json::from_slice(&event.frame).expect("json");
    assert_eq!((&event["from"], &event["time"]), (&"ann".into(), &(START_MS + HOUR_MS).into()));
    assert!(event["client_id"].is_null());
    let sent = row(&world, "ann~bob", said).await.expect("a row");
    assert_eq!((sent.seq, sent.parts), (2, 0), "the message is in the room alone");
    // It can't be taken back any more, and its syncs say what became of it.
    assert_eq!(code(&world, "ann~bob", 4, &back(said)).await, "not_found");
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let range = change::range(&user_id("ann"), Position::MIN, Position::MAX);
    let told = snapshot.scan(range, usize::MAX, false).await.expect("scan");
    let told = told.iter().map(|(key, value)| change::decode(key, value).expect("row").1);
    let of_it = Changed::Scheduled(RoomId::new("ann~bob").expect("id"), said);
    assert_eq!(told.filter(|changed| *changed == of_it).count(), 1);
    owner.leave().await.expect("leave");
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_back_is_not_sent_and_who_may_not_write_then_is_told_why() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    world.send("bob", "team", Some(id(&world, 1)), &create(&["ann"])).await;
    let taken_back = schedule(&world, "team", 2, &later("no")).await;
    let refused = schedule(&world, "team", 3, &later("now?")).await;
    assert_eq!(
        world.send("ann", "team", Some(id(&world, 4)), &back(taken_back)).await["type"],
        "done"
    );
    assert_eq!(
        world.send("ann", "team", Some(id(&world, 5)), &back(taken_back)).await["type"],
        "done"
    );
    assert_eq!(state(&world, "team", taken_back).await, Some(State::Cancelled));
    assert_eq!(listed(&world).await, 1);
    let archive = Update { archived: Some(true), ..Update::default() };
    world.send("bob", "team", Some(id(&world, 6)), &Body::Update(archive)).await;
    wait(&world).await;
    assert_eq!(texts(&world, "team").await, [""; 0]);
    let kept = row(&world, "team", refused).await.expect("a row");
    assert_eq!((kept.state(), &*kept.code), (State::Failed, "archived"));
    assert!(kept.parts > 0, "its text is kept");
    // Until its user has seen it.
    assert_eq!(
        world.send("ann", "team", Some(id(&world, 7)), &back(refused)).await["type"],
        "done"
    );
    assert_eq!(state(&world, "team", refused).await, Some(State::Cancelled));
    tell(&world, "team", refused);
    let reopen = Update { archived: Some(false), ..Update::default() };
    world.send("bob", "team", Some(id(&world, 8)), &Body::Update(reopen)).await;
    assert_eq!(texts(&world, "team").await, [""; 0]);
    world.send("ann", "team", Some(id(&world, 9)), &Body::Leave(Leave {})).await;
    assert_eq!(code(&world, "team", 10, &later("x")).await, "not_member");
    owner.leave().await.expect("leave");
}

/// Of a message whose time has come and the command that takes it back the log's order decides, also where
/// neither is committed when the other one is looked up.
#[tokio::test]
async fn who_takes_it_back_in_that_moment_hears_whether_it_was_sent() {
    for is_first in [true, false] {
        let world = World::new(&["ann", "bob"]).await;
        let owner = world.own("n1").await;
        let said = schedule(&world, "ann~bob", 1, &later("later")).await;
        let count = |counter: &tokio::sync::watch::Sender<u64>| *counter.borrow();
        world.gate(false);
        world.clock.advance_ms(HOUR_MS);
        let before = count(&world.engine.commits);
        let publish = || world.publish("ann", "ann~bob", Some(id(&world, 3)), &back(said));
        let mut token = None;
        if is_first {
            token = Some(publish());
        } else {
            tell(&world, "ann~bob", said);
        }
        grown(&world.engine.commits, before).await;
        let before = count(&world.engine.snapshots);
        if is_first {
            tell(&world, "ann~bob", said);
        } else {
            token = Some(publish());
        }
        grown(&world.engine.snapshots, before).await;
        world.gate(true);
        let answer = world.bus.answer_to(&token.expect("published")).await;
        world.send("bob", "ann~bob", Some(id(&world, 4)), &text("after it")).await;
        let is_sent = texts(&world, "ann~bob").await.contains(&"later".to_owned());
        if is_first {
            assert_eq!((&answer["type"], is_sent), (&"done".into(), false), "{answer}");
        } else {
            assert_eq!(
                (&answer["error"]["code"], is_sent),
                (&"not_found".into(), true),
                "{answer}"
            );
        }
        owner.leave().await.expect("leave");
    }
}

#[tokio::test]
async fn what_may_be_scheduled_is_bounded_and_old_rows_make_room() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    let at = |at| match later("x") {
        Body::Schedule(schedule) => Body::Schedule(Schedule { at, ..schedule }),
        other => other,
    };
    let year_ms = 366 * 24 * HOUR_MS;
    for (number, bad) in
        [START_MS, START_MS - 1, START_MS + year_ms + 60_000].into_iter().enumerate()
    {
        assert_eq!(code(&world, "ann~bob", 1_000 + number as u128, &at(bad)).await, "bad_request");
    }
    assert_eq!(code(&world, "bob~cem", 1_010, &later("x")).await, "not_member");
    assert_eq!(code(&world, "nowhere", 1_011, &later("x")).await, "no_such_room");
    let due = Body::Due(Due { schedule: id(&world, 1), at: 1 });
    assert_eq!(code(&world, "ann~bob", 1_012, &due).await, "bad_request");
    let mut ids = Vec::new();
    for number in 0..SCHEDULED_PER_USER_MAX as u128 {
        ids.push(schedule(&world, "ann~bob", number, &later("x")).await);
    }
    assert_eq!(code(&world, "ann~bob", 1_020, &later("x")).await, "limit_reached");
    // Each that is taken back makes room for one, and those that are over don't pile up.
    for round in 0..120_u128 {
        let old = ids.remove(0);
        let number = 2_000 + 2 * round;
        let done = world.send("ann", "ann~bob", Some(id(&world, number)), &back(old)).await;
        assert_eq!(done["type"], "done");
        ids.push(schedule(&world, "ann~bob", number + 1, &later("x")).await);
    }
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let rows = snapshot.scan(scheduled::range(&user_id("ann")), 10_000, false).await.expect("scan");
    assert_eq!(rows.len(), 2 * SCHEDULED_PER_USER_MAX);
    assert_eq!(listed(&world).await, SCHEDULED_PER_USER_MAX);
    owner.leave().await.expect("leave");
}

/// What a message says of others is looked up when it is sent.
#[tokio::test(start_paused = true)]
async fn what_it_points_to_is_looked_up_when_it_is_sent() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    let root =
        world.send("bob", "ann~bob", Some(id(&world, 1)), &text("root")).await["seq"].clone();
    let Body::Text(reply) =
        mentioning(&["bob"], None, serde_json::json!({ "thread": root, "reply_to": root }))
    else {
        panic!("a message")
    };
    let at = START_MS + HOUR_MS;
    let message = Box::new(reply.clone());
    let body = Body::Schedule(Schedule { at, message, attached: None });
    let said = schedule(&world, "ann~bob", 2, &body).await;
    let long = schedule(&world, "ann~bob", 3, &later(&"é".repeat(100_000))).await;
    wait(&world).await;
    for id in [said, long] {
        assert_eq!(state(&world, "ann~bob", id).await, Some(State::Sent));
    }
    let log = world.entries("ann~bob").await;
    assert!(log.iter().any(|entry| entry.body == Body::Text(reply.clone())));
    assert_eq!(log.iter().filter(|entry| entry.from == user_id("ann")).count(), 2);
    owner.leave().await.expect("leave");
}

#[tokio::test(start_paused = true)]
async fn who_is_suspended_or_has_deleted_the_account_sends_nothing() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    let refused = schedule(&world, "ann~bob", 1, &later("x")).await;
    let mut batch = Batch::new([1; 16]);
    let suspended = Account { suspended_ms: 7, ..Account::default() };
    batch.set(account::key(&user_id("ann")), suspended.encode());
    world.store.commit(batch).await.expect("commit");
    wait(&world).await;
    let kept = row(&world, "ann~bob", refused).await.expect("a row");
    assert_eq!((kept.state(), &*kept.code), (State::Failed, "forbidden"));
    assert!(texts(&world, "ann~bob").await.is_empty());
    owner.leave().await.expect("leave");
    // What is listed and not there any more is not listed for ever.
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    schedule(&world, "ann~bob", 1, &later("x")).await;
    let mut batch = Batch::new([2; 16]);
    for rows in deletion::own_rows(&user_id("ann")) {
        batch.clear_range(rows.start, rows.end);
    }
    world.store.commit(batch).await.expect("commit");
    wait(&world).await;
    assert!(texts(&world, "ann~bob").await.is_empty());
    owner.leave().await.expect("leave");
}
