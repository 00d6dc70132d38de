//! The numbers of commits: dense where rows are, and after those of a store that had none.

use std::time::Duration;

use weft_core::partition::plan::{Closing, Guards, Plan};
use weft_core::partition::state::State;
use weft_core::partition::take::read_row;
use weft_core::services::audit::{AuditLimit, audit};
use weft_proto::{FollowerId, StoreId};
use weft_storage::Batch;
use weft_storage::tables::applied::{self, Applied};
use weft_storage::tables::follower::{self, Follower};
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
    let (entries, marks) = (vec![entry], Vec::new());
    let (stream_seq, time_ms) = (6, START_MS);
    assert_eq!(row, Journal { entries, stream_seq, time_ms, marks, ..Journal::default() });
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

const MINUTE_MS: u64 = 60_000;

/// Commits 1 and 2 in one minute, 3 five minutes later; journals are kept for ten.
async fn aged(world: &mut World) {
    world.journal_age = Duration::from_secs(600);
    let owner = world.own("n1").await;
    for number in 1..=3 {
        world.send("alice", "alice~bob", Some(id(number)), &text("x")).await;
        if number == 2 {
            world.clock.advance_ms(5 * MINUTE_MS);
        }
    }
    owner.leave().await.expect("leave");
}

/// Where the journal begins after an owner was there for some minutes.
async fn trimmed_up_to(world: &World) -> u64 {
    let owner = world.own("n2").await;
    tokio::time::sleep(Duration::from_secs(150)).await;
    owner.leave().await.expect("leave");
    read_row(&world.store, 0).await.expect("row").trimmed_up_to
}

#[tokio::test(start_paused = true)]
async fn what_is_old_is_deleted_and_who_has_not_read_it_is_told() {
    let mut world = World::new(&["alice", "bob"]).await;
    aged(&mut world).await;
    assert_eq!(trimmed_up_to(&world).await, 0, "nothing is old yet");
    world.clock.advance_ms(6 * MINUTE_MS);
    // When the second one was made is not known; by the third it was.
    assert_eq!(trimmed_up_to(&world).await, 1);
    world.clock.advance_ms(5 * MINUTE_MS);
    assert_eq!(trimmed_up_to(&world).await, 3);
    assert!(rows(&world).await.is_empty());
    let snapshot = world.store.snapshot().await.expect("snapshot");
    for since in 0..3 {
        let page = audit(&*snapshot, StoreId(7), 0, Some(since), AuditLimit::default()).await;
        assert!(page.expect("audit").unknown, "{since}");
        assert_eq!(journal::follow(&*snapshot, 0, since, 9).await.expect("follow"), None);
    }
    // The next commit is where everybody looks for it.
    let owner = world.own("n3").await;
    world.send("alice", "alice~bob", Some(id(4)), &text("x")).await;
    owner.leave().await.expect("leave");
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let followed = journal::follow(&*snapshot, 0, 3, 9).await.expect("follow").expect("commits");
    assert_eq!((followed.rows.len(), followed.rows[0].0, followed.is_last), (1, 4, true));
}

#[tokio::test(start_paused = true)]
async fn a_follower_holds_up_the_deletion_up_to_a_bound() {
    let mut world = World::new(&["alice", "bob"]).await;
    aged(&mut world).await;
    let mut batch = Batch::new(rand::random());
    let name = FollowerId::new("search").expect("id");
    batch.set(follower::key(0, &name), Follower { commit_no: 1, epoch: 1 }.encode());
    world.store.commit(batch).await.expect("commit");
    world.clock.advance_ms(11 * MINUTE_MS);
    assert_eq!(trimmed_up_to(&world).await, 1, "the third is old, and not read");
    world.clock.advance_ms(10 * MINUTE_MS);
    assert_eq!(trimmed_up_to(&world).await, 3, "it is twice as old");
}

#[test]
fn a_commit_deletes_one_piece_of_what_is_published() {
    let trimmed = |trimmed_up_to, published_up_to, journal_trimmable| {
        let applied = Applied { trimmed_up_to, published_up_to, ..Applied::default() };
        let applied = Applied { commit_no: Some(9_000), ..applied };
        let guards = Guards { applied, layout_row: bytes::Bytes::new(), minute: 0 };
        let plan = Plan::new(1, [1; 16], 0, 0);
        let closing = Closing { journal_trimmable, ..Closing::default() };
        plan.seal(&State::new(1 << 20, weft_core::FEATURE_LEVEL), &guards, closing)
            .applied
            .trimmed_up_to
    };
    assert_eq!(trimmed(0, 9_000, 9_000), 1_000);
    assert_eq!(trimmed(8_500, 9_000, 8_900), 8_900);
    assert_eq!(trimmed(0, 10, 9_000), 10, "never what is not published");
    assert_eq!(trimmed(50, 9_000, 0), 50, "never back");
}
