//! What becomes of messages: edits, deletions and reactions, also of those that are planned and not
//! yet committed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use weft_core::partition::quota::QuotaLimits;
use weft_proto::kind::{Add, Delete, Deleted, Edit, React, Unreact};
use weft_proto::{Body, Role, RoomId, UserId};
use weft_storage::Batch;
use weft_storage::tables::log::{self, Limit, Logged};
use weft_storage::tables::message::{self, Message};
use weft_storage::tables::reaction::Reaction;
use weft_storage::tables::table::{Name, Table as _};

use crate::create;
use crate::support::{START_MS, World, grown, id, text, user_id};

fn edit(target: u64, text: &str) -> Body {
    Body::Edit(Edit { target, text: text.into(), ranges: Vec::new() })
}

fn delete(target: u64) -> Body {
    Body::Delete(Delete::of(target))
}

fn react(target: u64, emoji: &str) -> Body {
    Body::React(React { target, emoji: emoji.into() })
}

fn unreact(target: u64, emoji: &str) -> Body {
    Body::Unreact(Unreact { target, emoji: emoji.into() })
}

pub async fn code(world: &World, sender: &str, room: &str, number: u128, body: Body) -> String {
    let answer = world.send(sender, room, Some(id(number)), &body).await;
    answer["error"]["code"].as_str().unwrap_or_else(|| panic!("not refused: {answer}")).to_owned()
}

pub async fn entries(world: &World, room: &str) -> Vec<Logged> {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let room = RoomId::new(room).expect("id");
    let limit = Limit { entries_max: usize::MAX, bytes_max: usize::MAX };
    log::read(&*snapshot, &room, 0..u64::MAX, limit).await.expect("read")
}

pub async fn rows(world: &World, room: &str) -> BTreeMap<u64, Message> {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let room = RoomId::new(room).expect("id");
    let rows = message::scan(&*snapshot, &room, 0..u64::MAX, usize::MAX).await.expect("scan");
    rows.into_iter().collect()
}

/// Message, emoji and user.
pub async fn reactions(world: &World) -> BTreeSet<(u64, String, String)> {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let rows = Reaction::page(&*snapshot, None).await.expect("page");
    let read = |(((_, seq), (emoji, user)), _): <Vec<_> as IntoIterator>::Item| {
        let emoji = serde_json::to_value::<&Name>(&emoji).expect("a name");
        (seq, emoji.as_str().expect("a text").to_owned(), UserId::to_string(&user))
    };
    rows.into_iter().map(read).collect()
}

#[tokio::test]
async fn messages_are_edited_by_their_sender_and_deleted_by_their_sender_or_an_admin() {
    let world = World::new(&["ann", "bob", "cem"]).await;
    let owner = world.own("n1").await;
    world.send("ann", "team", Some(id(1)), &create(&["bob"])).await;
    assert_eq!(world.send("bob", "team", Some(id(2)), &text("one")).await["seq"], 2);
    assert_eq!(world.send("bob", "team", Some(id(3)), &edit(2, "two")).await["seq"], 3);
    for (sender, number, body, expected) in [
        ("ann", 10, edit(2, "x"), "forbidden"),
        ("cem", 11, edit(2, "x"), "no_such_room"),
        ("bob", 12, edit(1, "x"), "not_found"),
        ("bob", 13, edit(3, "x"), "not_found"),
        ("bob", 14, edit(9, "x"), "not_found"),
        ("bob", 15, react(9, "+"), "not_found"),
        ("ann", 16, unreact(2, "+"), "unchanged"),
        ("bob", 17, Body::Deleted(Deleted { by: 1, thread: None }), "bad_request"),
    ] {
        assert_eq!(code(&world, sender, "team", number, body).await, expected, "{number}");
    }
    assert_eq!(world.send("ann", "team", Some(id(20)), &react(2, "+")).await["seq"], 4);
    assert_eq!(code(&world, "ann", "team", 21, react(2, "+")).await, "unchanged");
    let row = &rows(&world, "team").await[&2];
    assert_eq!((&row.edits[..], row.edited_at_ms, row.reactions[0].count), (&[3][..], START_MS, 1));
    let before = entries(&world, "team").await;
    // Bob is no admin: he does not delete what Ann says.
    assert_eq!(world.send("ann", "team", Some(id(22)), &text("mine")).await["seq"], 5);
    assert_eq!(code(&world, "bob", "team", 23, delete(5)).await, "forbidden");
    assert_eq!(world.send("ann", "team", Some(id(24)), &delete(2)).await["seq"], 6);
    for (number, body) in [(30, edit(2, "x")), (31, delete(2)), (32, react(2, "+"))] {
        assert_eq!(code(&world, "bob", "team", number, body).await, "deleted");
    }
    assert_eq!(code(&world, "bob", "team", 33, react(3, "+")).await, "not_found");
    let after = entries(&world, "team").await;
    for (seq, was) in [(2, "one"), (3, "two")] {
        let (before, after) = (&before[seq - 1], &after[seq - 1]);
        assert!(serde_json::to_string(&before.entry.body).expect("json").contains(was));
        assert_eq!(after.position, before.position);
        let mut left = before.entry.clone();
        left.body = Body::Deleted(Deleted { by: 6, thread: None });
        assert_eq!(after.entry, left);
    }
    assert_eq!(rows(&world, "team").await[&2], Message { deleted_by: 6, ..Message::default() });
    assert!(reactions(&world).await.is_empty());
    // A resend of what was deleted is answered as ever.
    assert_eq!(world.send("bob", "team", Some(id(2)), &text("one")).await["seq"], 2);
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn what_is_planned_and_not_committed_can_be_changed() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    let room = "ann~bob";
    assert_eq!(world.send("ann", room, Some(id(1)), &text("kept")).await["seq"], 1);
    // While a commit is underway that nobody can look up.
    world.gate(false);
    let before = *world.engine.commits.borrow();
    let mut sent = vec![world.publish("ann", room, Some(id(2)), &text("underway"))];
    grown(&world.engine.commits, before).await;
    for (number, (sender, body)) in (3..).zip([
        ("ann", text("planned")),
        ("ann", edit(2, "edited underway")),
        ("ann", edit(3, "edited planned")),
        ("bob", react(2, "+")),
        ("bob", react(3, "+")),
        ("ann", react(3, "+")),
        ("ann", edit(3, "again")),
        ("bob", unreact(3, "+")),
        ("ann", delete(2)),
        ("bob", react(2, "-")),
        ("ann", react(1, "+")),
    ]) {
        sent.push(world.publish(sender, room, Some(id(number)), &body));
    }
    world.gate(true);
    let mut codes = Vec::new();
    for token in sent {
        let answer = world.bus.answer_to(&token).await;
        codes.push(answer["error"]["code"].as_str().map_or("ok".to_owned(), str::to_owned));
    }
    let refused: Vec<_> = codes.iter().enumerate().filter(|(_, code)| *code != "ok").collect();
    assert_eq!(refused, [(10, &"deleted".to_owned())]);
    let log = entries(&world, room).await;
    let deleted: Vec<u64> = log
        .iter()
        .filter(|logged| matches!(logged.entry.body, Body::Deleted(_)))
        .map(|logged| logged.entry.seq)
        .collect();
    assert_eq!(deleted, [2, 4]);
    assert!(log.windows(2).all(|two| two[0].position < two[1].position), "{log:#?}");
    let rows = rows(&world, room).await;
    assert_eq!((&rows[&3].edits[..], rows[&3].reactions[0].count), (&[5, 9][..], 1));
    assert_eq!(rows[&1].reactions[0].count, 1);
    let on = |seq, user: &str| (seq, "+".to_owned(), user.to_owned());
    assert_eq!(reactions(&world).await, BTreeSet::from([on(1, "ann"), on(3, "ann")]));
    owner.leave().await.expect("leave");
}

#[tokio::test(start_paused = true)]
async fn a_message_can_be_changed_for_so_long_and_no_longer() {
    let mut world = World::new(&["ann", "bob"]).await;
    world.edit_window = Duration::from_secs(60);
    let owner = world.own("n1").await;
    world.send("ann", "team", Some(id(1)), &create(&["bob"])).await;
    world.send("bob", "team", Some(id(2)), &text("one")).await;
    world.clock.advance_ms(60_000);
    assert_eq!(world.send("bob", "team", Some(id(3)), &edit(2, "two")).await["seq"], 3);
    world.clock.advance_ms(1);
    assert_eq!(code(&world, "bob", "team", 4, edit(2, "three")).await, "too_late");
    assert_eq!(code(&world, "bob", "team", 5, delete(2)).await, "too_late");
    assert_eq!(world.send("bob", "team", Some(id(6)), &react(2, "+")).await["seq"], 4);
    assert_eq!(world.send("ann", "team", Some(id(7)), &delete(2)).await["seq"], 5);
    owner.leave().await.expect("leave");
}

/// The owner's time does not count: what was acknowledged and has to be applied again after a power cut would be
/// refused then.
#[tokio::test(start_paused = true)]
async fn an_edit_that_waited_in_the_log_is_not_too_late() {
    let mut world = World::new(&["ann", "bob"]).await;
    world.edit_window = Duration::from_secs(60);
    let owner = world.own("n1").await;
    world.send("ann", "ann~bob", Some(id(1)), &text("one")).await;
    owner.leave().await.expect("leave");
    world.clock.advance_ms(50_000);
    let in_time = [edit(1, "two"), delete(1)];
    let tokens: Vec<String> = (2..)
        .zip(&in_time)
        .map(|(number, body)| world.publish("ann", "ann~bob", Some(id(number)), body))
        .collect();
    world.clock.advance_ms(50_000);
    let owner = world.own("n2").await;
    for token in tokens {
        let answer = world.bus.answer_to(&token).await;
        assert!(answer["error"].is_null(), "{answer}");
    }
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn what_a_member_may_not_read_they_do_not_change() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    let create = Body::from_json(br#"{"kind":"create","title":"T","history":"joined"}"#);
    world.send("ann", "team", Some(id(1)), &create.expect("a body")).await;
    world.send("ann", "team", Some(id(2)), &text("before")).await;
    let add = Body::Add(Add { user: user_id("bob"), role: Role::Admin });
    world.send("ann", "team", Some(id(3)), &add).await;
    for (number, body) in [(4, react(2, "+")), (5, delete(2))] {
        assert_eq!(code(&world, "bob", "team", number, body).await, "not_found");
    }
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn an_answer_names_a_message_that_its_sender_may_read() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    let answer = |to: u64| {
        let json = format!(r#"{{"text":"x","reply_to":{to}}}"#);
        Body::from_json(json.as_bytes()).expect("a body")
    };
    world.send("ann", "team", Some(id(1)), &create(&["bob"])).await;
    assert_eq!(world.send("ann", "team", Some(id(2)), &text("one")).await["seq"], 2);
    assert_eq!(world.send("bob", "team", Some(id(3)), &answer(2)).await["seq"], 3);
    for (number, to) in [(4, 1), (5, 9)] {
        assert_eq!(code(&world, "bob", "team", number, answer(to)).await, "not_found");
    }
    assert_eq!(world.send("ann", "team", Some(id(6)), &delete(2)).await["seq"], 4);
    assert_eq!(world.send("bob", "team", Some(id(7)), &answer(2)).await["seq"], 5);
    assert!(!rows(&world, "team").await.contains_key(&3), "an answer changes nothing");
    owner.leave().await.expect("leave");
}

/// Anybody may point at what a damaged store can't give: it costs nobody else their partition.
#[tokio::test]
async fn a_message_that_cant_be_read_is_none_and_the_owner_goes_on() {
    let world = World::new(&["ann", "bob"]).await;
    let owner = world.own("n1").await;
    let (name, room) = ("ann~bob", RoomId::new("ann~bob").expect("id"));
    for number in 1..=3 {
        assert_eq!(
            world.send("ann", name, Some(id(number)), &text("x")).await["seq"],
            number as u64
        );
    }
    let mut batch = Batch::new([5; 16]);
    batch.set(log::range(&room, 1..2).start, "damaged");
    batch.set(message::key(&room, 2), "damaged");
    world.store.commit(batch).await.expect("commit");
    for (number, target) in [(4, 1), (5, 2)] {
        assert_eq!(code(&world, "bob", name, number, react(target, "+")).await, "not_found");
    }
    // A resend of what can't be read is answered by its record.
    assert_eq!(world.send("ann", name, Some(id(1)), &text("x")).await["seq"], 1);
    assert_eq!(world.send("bob", name, Some(id(6)), &react(3, "+")).await["seq"], 4);
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn edits_and_emojis_have_a_limit() {
    let mut world = World::new(&["ann", "bob"]).await;
    world.quota = QuotaLimits { rate_per_s: 1_000_000, burst: 1_000_000 };
    let owner = world.own("n1").await;
    let room = "ann~bob";
    world.send("ann", room, Some(id(1)), &text("x")).await;
    for number in 0..100 {
        world.send("ann", room, Some(id(100 + number)), &edit(1, &format!("{number}"))).await;
    }
    assert_eq!(code(&world, "ann", room, 2, edit(1, "one more")).await, "limit_reached");
    for number in 0..50 {
        world.send("ann", room, Some(id(300 + number)), &react(1, &format!(":{number}:"))).await;
    }
    assert_eq!(code(&world, "bob", room, 3, react(1, ":50:")).await, "limit_reached");
    world.send("bob", room, Some(id(4)), &react(1, ":0:")).await;
    world.send("ann", room, Some(id(5)), &unreact(1, ":1:")).await;
    world.send("bob", room, Some(id(6)), &react(1, ":50:")).await;
    assert_eq!(world.send("ann", room, Some(id(7)), &delete(1)).await["seq"], 155);
    let log = entries(&world, room).await;
    let deleted = log.iter().filter(|it| matches!(it.entry.body, Body::Deleted(_))).count();
    assert_eq!(deleted, 101);
    owner.leave().await.expect("leave");
}

/// What a reaction costs in a group of 100: the same as in a group of two.
#[tokio::test]
async fn a_reaction_writes_nothing_for_each_member() {
    let others: Vec<String> = (0..99).map(|number| format!("user{number}")).collect();
    let others: Vec<&str> = others.iter().map(String::as_str).collect();
    let world = World::new(&[&["ann"], &others[..]].concat()).await;
    let owner = world.own("n1").await;
    let mut written = Vec::new();
    for (number, group, members) in [(1, "two", &others[..1]), (11, "all", &others[..])] {
        world.send("ann", group, Some(id(number)), &create(members)).await;
        assert_eq!(world.send("ann", group, Some(id(number + 1)), &text("x")).await["seq"], 2);
        let batch = world.engine.last.lock().expect("last").clone().expect("a commit");
        let message = (batch.ops().len(), batch.size_bytes());
        assert_eq!(
            world.send("user0", group, Some(id(number + 2)), &react(2, "+")).await["seq"],
            3
        );
        let batch = world.engine.last.lock().expect("last").clone().expect("a commit");
        written.push((batch.ops().len(), batch.size_bytes(), message));
    }
    let events = world.bus.events.lock().expect("events").len();
    println!("{written:?}, {events} events");
    assert_eq!((written[0].0, written[0].1), (written[1].0, written[1].1));
    assert_eq!(events, 6);
    owner.leave().await.expect("leave");
}
