//! What becomes of messages: edits, deletions and reactions, also of those that are planned and not
//! yet committed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use weft_core::partition::quota::QuotaLimits;
use weft_proto::kind::{Add, Delete, Deleted, Edit, Mark, React, Unreact};
use weft_proto::{Body, Role, RoomId, UserId};
use weft_storage::embedded::Embedded;
use weft_storage::memory::Memory;
use weft_storage::tables::log::{self, Limit, Logged};
use weft_storage::tables::message::{self, Message};
use weft_storage::tables::reaction::Reaction;
use weft_storage::tables::table::{Name, Table as _};
use weft_storage::{Batch, Store};

use crate::create;
use crate::mentions::mentioning;
use crate::support::{START_MS, World, grown, id, text, user_id};
use crate::unread::{Lists, Marks};

fn edit(target: u64, text: &str) -> Body {
    Body::Edit(Edit { target, text: text.into(), ranges: Vec::new() })
}

fn delete(target: u64) -> Body {
    Body::Delete(Delete { target })
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
async fn reactions(world: &World) -> BTreeSet<(u64, String, String)> {
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
        ("cem", 11, edit(2, "x"), "not_member"),
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

/// A message as the model has it.
#[derive(Default)]
struct Modelled {
    edits: Vec<u64>,
    deleted_by: u64,
    reactions: Vec<(String, BTreeSet<String>)>,
    is_silent: bool,
    /// Whom it mentions, each with the seq by which that counts; 0: it does not.
    mentions: BTreeMap<String, u64>,
}

impl Modelled {
    fn mention(&mut self, seq: u64, from: &str, body: &Body) {
        let before = std::mem::take(&mut self.mentions);
        for user in body.mentions().users {
            let user = user.to_string();
            let new = if self.is_silent || user == from { 0 } else { seq };
            let seq = before.get(&user).copied().unwrap_or(new);
            self.mentions.insert(user, seq);
        }
    }
}

/// Says what the answer is, and takes it over.
fn apply(model: &mut BTreeMap<u64, (String, Modelled)>, seq: u64, from: &str, body: &Body) -> bool {
    let Some(target) = body.target() else {
        let mut it = Modelled { is_silent: !body.counts(), ..Modelled::default() };
        it.mention(seq, from, body);
        model.insert(seq, (from.to_owned(), it));
        return true;
    };
    let Some((sender, it)) = model.get_mut(&target).filter(|(_, it)| it.deleted_by == 0) else {
        return false;
    };
    match body {
        Body::Edit(_) if sender == from => {
            it.edits.push(seq);
            it.mention(seq, from, body);
        }
        Body::Delete(_) if sender == from => {
            *it = Modelled { deleted_by: seq, ..Modelled::default() };
        }
        Body::React(React { emoji, .. }) => {
            let at = it.reactions.iter().position(|(on, _)| on == emoji);
            let at = at.unwrap_or_else(|| {
                it.reactions.push((emoji.clone(), BTreeSet::new()));
                it.reactions.len() - 1
            });
            return it.reactions[at].1.insert(from.to_owned());
        }
        Body::Unreact(Unreact { emoji, .. }) => {
            let Some(at) = it.reactions.iter().position(|(on, _)| on == emoji) else {
                return false;
            };
            let was = it.reactions[at].1.remove(from);
            if it.reactions[at].1.is_empty() {
                it.reactions.remove(at);
            }
            return was;
        }
        _ => return false,
    }
    true
}

fn any_mark() -> impl Strategy<Value = Mark> {
    prop_oneof![
        2 => (1_u64..14).prop_map(|seq| Mark { read: Some(seq), ..Mark::default() }),
        1 => (1_u64..14).prop_map(|seq| Mark { unread_from: Some(seq), ..Mark::default() }),
        1 => (1_u64..14).prop_map(|seq| Mark { delivered: Some(seq), ..Mark::default() }),
    ]
}

fn any_body() -> impl Strategy<Value = Body> {
    let emoji = prop::sample::select(&["+", "-"][..]);
    let who = prop::sample::select(&["ann", "bob"][..]);
    let mentions = (who.clone(), any::<bool>()).prop_map(|(who, silent)| {
        mentioning(&[who], None, serde_json::json!({ "silent": silent }))
    });
    let mentions_anew = (1_u64..12, who)
        .prop_map(|(target, who)| mentioning(&[who], Some(target), serde_json::json!({})));
    prop_oneof![
        2 => mentions,
        2 => mentions_anew,
        2 => any_mark().prop_map(Body::Mark),
        3 => Just(text("x")),
        3 => (1_u64..12).prop_map(|target| edit(target, "y")),
        1 => (1_u64..12).prop_map(delete),
        4 => (1_u64..12, emoji.clone()).prop_map(|(target, emoji)| react(target, emoji)),
        2 => (1_u64..12, emoji).prop_map(|(target, emoji)| unreact(target, emoji)),
    ]
}

/// Commands in pieces: those of a piece are planned while a commit is underway.
async fn goes_as_the_model(store: Store, pieces: Vec<Vec<(bool, Body)>>) {
    let mut world = World::on(store, &["ann", "bob"]).await;
    world.quota = QuotaLimits { rate_per_s: 1_000_000, burst: 1_000_000 };
    let owner = world.own("n1").await;
    let room = "ann~bob";
    let (mut model, mut seq, mut number) = (BTreeMap::new(), 0, 0);
    let (mut marks, lists) = (Marks::default(), Lists::open(&world).await);
    for piece in pieces {
        world.gate(false);
        let before = *world.engine.commits.borrow();
        let mut sent = Vec::new();
        for (index, (is_ann, body)) in piece.into_iter().enumerate() {
            let from = if is_ann { "ann" } else { "bob" };
            number += 1;
            sent.push((world.publish(from, room, Some(id(number)), &body), from, body));
            if index == 0 {
                grown(&world.engine.commits, before).await;
            }
        }
        world.gate(true);
        for (token, from, body) in sent {
            let answer = world.bus.answer_to(&token).await;
            let taken = match &body {
                Body::Mark(mark) => marks.mark(from, mark, seq),
                body => apply(&mut model, seq + 1, from, body),
            };
            assert_eq!(answer["error"].is_null(), taken, "{from} {body:?}: {answer}");
            if taken && !matches!(body, Body::Mark(_)) {
                seq += 1;
                assert_eq!(answer["seq"], seq);
            }
            if taken && body.counts() {
                marks.sent(from, seq);
            }
        }
        compare(&world, room, &model).await;
        for user in ["ann", "bob"].into_iter().filter(|_| seq > 0) {
            let through = marks.read_through(user);
            let is_unread = |(seq, (_, it)): &(&u64, &(String, Modelled))| {
                **seq > through && it.deleted_by == 0 && !it.is_silent
            };
            let unread = model.iter().filter(is_unread).count() as u64;
            let mentions = model.values().filter_map(|(_, it)| it.mentions.get(user));
            let mentions = mentions.filter(|seq| **seq > through).count() as u64;
            let [shown] = &lists.of(user).await[..] else { panic!("one room") };
            assert_eq!((shown.unread, shown.unread_exact), (unread, true), "{user}: {shown:?}");
            assert_eq!(shown.mentions, mentions, "{user}: {shown:?}");
        }
    }
    owner.leave().await.expect("leave");
}

async fn compare(world: &World, room: &str, model: &BTreeMap<u64, (String, Modelled)>) {
    let stored = rows(world, room).await;
    let mut on = BTreeSet::new();
    for (seq, (_, it)) in model {
        let row = stored.get(seq).cloned().unwrap_or_default();
        assert_eq!((&row.edits, row.deleted_by), (&it.edits, it.deleted_by), "{seq}");
        let counts: Vec<_> =
            row.reactions.iter().map(|it| (&*it.emoji, it.count as usize)).collect();
        let expected: Vec<_> = it.reactions.iter().map(|(on, by)| (&**on, by.len())).collect();
        assert_eq!(counts, expected, "{seq}");
        for (emoji, users) in &it.reactions {
            on.extend(users.iter().map(|user| (*seq, emoji.clone(), user.clone())));
        }
    }
    assert_eq!(reactions(world).await, on);
    let deleted = |seq: &u64| model.get(seq).is_some_and(|(_, it)| it.deleted_by != 0);
    for Logged { entry, .. } in entries(world, room).await {
        let is_deleted = matches!(entry.body, Body::Deleted(_));
        if model.contains_key(&entry.seq) {
            assert_eq!(is_deleted, deleted(&entry.seq), "{entry:?}");
        }
    }
}

fn pieces() -> impl Strategy<Value = Vec<Vec<(bool, Body)>>> {
    prop::collection::vec(prop::collection::vec((any::<bool>(), any_body()), 1..6), 1..12)
}

fn run(is_paused: bool, future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().start_paused(is_paused).build().expect("runtime");
    runtime.block_on(future);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn messages_become_what_a_simple_model_says(pieces in pieces()) {
        run(true, goes_as_the_model(Store::new(Memory::new()), pieces));
    }
}

proptest! {
    // Each syncs a disk.
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn messages_become_that_in_an_embedded_store_too(pieces in pieces()) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::new(Embedded::open(folder.path()).expect("a store"));
        // The disk keeps time of its own.
        run(false, goes_as_the_model(store, pieces));
    }
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
