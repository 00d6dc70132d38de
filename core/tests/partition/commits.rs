//! The numbers of commits: dense where rows are, and after those of a store that had none.

use weft_core::partition::take::read_row;
use weft_core::services::audit::{AuditLimit, audit};
use weft_proto::StoreId;
use weft_storage::Batch;
use weft_storage::tables::applied::{self, Applied};
use weft_storage::tables::journal::{self, Journal, JournalEntry};

use crate::support::{START_MS, World, id, text};

/// The numbers of the journal's rows, with what the log had applied then.
async fn rows(world: &World) -> Vec<(u64, Journal)> {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let rows = snapshot.scan(journal::range_after(0, 0), usize::MAX, false).await.expect("scan");
    let read = |(key, value): &(bytes::Bytes, bytes::Bytes)| {
        (journal::commit_no(key).expect("key"), Journal::decode(value).expect("row"))
    };
    rows.iter().map(read).collect()
}

async fn places(world: &World) -> Vec<(u64, u64)> {
    rows(world).await.into_iter().map(|(commit_no, row)| (commit_no, row.stream_seq)).collect()
}

async fn refuse(world: &World) {
    let refused = world.send("alice", "team", None, &text("x")).await;
    assert_eq!(refused["error"]["code"], "no_such_room");
}

#[tokio::test(start_paused = true)]
async fn commits_with_entries_are_numbered_without_holes_and_rows_say_what_they_hold() {
    let world = World::new(&["alice", "bob"]).await;
    let owner = world.own("n1").await;
    refuse(&world).await;
    for number in 1..=2 {
        world.send("alice", "alice~bob", Some(id(number)), &text("x")).await;
        refuse(&world).await;
    }
    world.bus.tick_that(|tick| (tick.applied, tick.commit_no) == (5, 2)).await;
    owner.leave().await.expect("leave");
    let owner = world.own("n2").await;
    world.send("bob", "alice~bob", Some(id(3)), &text("x")).await;
    owner.leave().await.expect("leave");
    assert_eq!(places(&world).await, [(1, 2), (2, 4), (3, 6)]);
    let (_, row) = rows(&world).await.pop().expect("a row");
    let entry = JournalEntry {
        room: "alice~bob".into(),
        seq: 3,
        users: Vec::new(),
        kind: "message".into(),
        from: "bob".into(),
    };
    assert_eq!(row, Journal { entries: vec![entry], stream_seq: 6, time_ms: START_MS });
}

/// The store of a Weft that did not number commits: rows have the stream sequence as their key.
async fn make_old(world: &World) {
    let mut batch = Batch::new(rand::random());
    for (commit_no, row) in rows(world).await {
        batch.clear(journal::key(0, commit_no));
        let entry = |JournalEntry { room, seq, users, .. }| JournalEntry {
            room,
            seq,
            users,
            ..JournalEntry::default()
        };
        let entries = row.entries.into_iter().map(entry).collect();
        let old = Journal { entries, ..Journal::default() };
        batch.set(journal::key(0, row.stream_seq), old.encode());
    }
    let row = read_row(&world.store, 0).await.expect("row");
    let old = Applied { commit_no: None, published_up_to: 1, ..row };
    batch.set(applied::key(0), old.encode());
    world.store.commit(batch).await.expect("commit");
}

#[tokio::test(start_paused = true)]
async fn a_store_without_numbers_goes_on_after_its_last_row() {
    let world = World::new(&["alice", "bob"]).await;
    let owner = world.own("n1").await;
    world.send("alice", "alice~bob", Some(id(1)), &text("x")).await;
    refuse(&world).await;
    world.send("alice", "alice~bob", Some(id(2)), &text("x")).await;
    refuse(&world).await;
    owner.leave().await.expect("leave");
    make_old(&world).await;
    world.bus.events.lock().expect("events").clear();
    let told = async |since| {
        let snapshot = world.store.snapshot().await.expect("snapshot");
        let page = audit(&*snapshot, StoreId(7), 0, Some(since), AuditLimit::default()).await;
        let page = page.expect("audit");
        (page.rooms.first().map(|room| room.seq), page.through, page.unknown)
    };
    assert_eq!(told(1).await, (Some(2), 4, false), "before anybody has taken it");
    let owner = world.own("n2").await;
    assert_eq!(told(1).await, (Some(2), 4, false));
    // What the old one had not published, and nothing else.
    world.bus.event("alice~bob", 2).await;
    refuse(&world).await;
    world.send("alice", "alice~bob", Some(id(3)), &text("x")).await;
    assert_eq!(told(4).await, (Some(3), 5, false));
    owner.leave().await.expect("leave");
    let seqs: Vec<u64> =
        world.bus.events.lock().expect("events").iter().map(|(_, head)| head.seq).collect();
    assert_eq!(seqs, [2, 3]);
    assert_eq!(places(&world).await, [(1, 0), (3, 0), (5, 6)]);
    let row = read_row(&world.store, 0).await.expect("row");
    assert_eq!((row.stream_seq, row.commit_no, row.published_up_to), (6, Some(5), 5));
}
