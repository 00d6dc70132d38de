//! Every entry has its event, whoever publishes it, and whatever becomes of the event stream.

use std::sync::atomic::Ordering;
use std::time::Duration;

use weft_core::Error;
use weft_core::partition::take::{read_row, unpublished};
use weft_proto::{EventHead, RoomId};
use weft_storage::Batch;
use weft_storage::tables::log;

use crate::support::{World, id, text, user_id};

/// More commits than events can be kept in memory.
const MANY: u64 = 200;

#[tokio::test]
async fn an_owner_whose_publisher_panics_ends_and_the_next_one_publishes() {
    let world = World::new(&["alice", "bob"]).await;
    let owner = world.own("n1").await;
    world.bus.panics.store(true, Ordering::SeqCst);
    let answer = world.send("alice", "alice~bob", Some(id(1)), &text("one")).await;
    assert_eq!(answer["seq"], 1);
    let ended = owner.task.await.expect("join");
    assert!(matches!(ended, Err(Error::Stopped)), "{ended:?}");
    let owner = world.own("n2").await;
    world.bus.event("alice~bob", 1).await;
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn what_was_removed_before_it_was_published_is_passed_over() {
    let world = World::new(&["alice", "bob"]).await;
    let owner = world.own("n1").await;
    world.bus.panics.store(true, Ordering::SeqCst);
    let answer = world.send("alice", "alice~bob", Some(id(1)), &text("one")).await;
    assert_eq!(answer["seq"], 1);
    assert!(matches!(owner.task.await.expect("join"), Err(Error::Stopped)));
    let mut batch = Batch::new([5; 16]);
    let first = log::range(&RoomId::new("alice~bob").expect("id"), 1..2);
    batch.clear_range(first.start, first.end);
    world.store.commit(batch).await.expect("commit");
    let owner = world.own("n2").await;
    assert_eq!(world.send("alice", "alice~bob", Some(id(2)), &text("two")).await["seq"], 2);
    world.bus.event("alice~bob", 2).await;
    // Published anew, the second one can't say where the first one was: whoever lacks what was
    // before it has to look.
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let page = unpublished(&*snapshot, 0, 0, 2).await.expect("read");
    let heads = page.acts.iter().flat_map(|act| &act.events);
    let heads: Vec<EventHead> = heads.map(|event| event.head.parse().expect("a head")).collect();
    assert_eq!(heads.iter().map(|head| head.seq).collect::<Vec<_>>(), [2]);
    assert_eq!(heads[0].position_before, Some(heads[0].position));
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn what_was_committed_and_not_published_is_published_by_the_next_owner() {
    let world = World::new(&["alice", "bob"]).await;
    let owner = world.own("n1").await;
    world.send("alice", "alice~bob", Some(id(1)), &text("one")).await;
    let (_, first) = world.bus.event("alice~bob", 1).await;
    world.bus.swallow.store(true, Ordering::SeqCst);
    world.send("alice", "alice~bob", Some(id(2)), &text("two")).await;
    world.send("alice", "alice~bob", Some(id(3)), &text("three")).await;
    owner.crash().await;
    world.bus.swallow.store(false, Ordering::SeqCst);
    let owner = world.own("n2").await;
    let (_, second) = world.bus.event("alice~bob", 2).await;
    let (event, third) = world.bus.event("alice~bob", 3).await;
    assert_eq!(second.position_before, Some(first.position));
    assert_eq!(third.position_before, Some(second.position));
    assert_eq!(event.also, [user_id("alice"), user_id("bob")]);
    let entries = world.entries("alice~bob").await;
    assert_eq!(event.frame, entries[2].to_frame(), "the same bytes again");
    owner.leave().await.expect("leave");
}

#[tokio::test(start_paused = true)]
async fn refusals_after_the_last_entry_do_not_hold_up_a_leave() {
    let world = World::new(&["alice", "bob"]).await;
    let owner = world.own("n1").await;
    let refused = world.send("alice", "team", Some(id(1)), &text("x")).await;
    assert_eq!(refused["error"]["code"], "no_such_room");
    owner.crash().await;
    let owner = world.own("n2").await;
    let started = tokio::time::Instant::now();
    owner.leave().await.expect("leave");
    assert!(started.elapsed().as_millis() < 100, "{:?}", started.elapsed());
    let row = read_row(&world.store, 0).await.expect("row");
    assert_eq!((row.stream_seq, row.last_commit_no(), row.published_up_to), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_event_stream_that_takes_nothing_holds_up_no_answer() {
    let world = World::new(&["alice", "bob"]).await;
    let owner = world.own("n1").await;
    for trouble in [&world.bus.swallow, &world.bus.away] {
        trouble.store(true, Ordering::SeqCst);
        let first = world.entries("alice~bob").await.len() as u64 + 1;
        let mut slowest = Duration::ZERO;
        for number in first..first + MANY {
            let began = tokio::time::Instant::now();
            let answer =
                world.send("alice", "alice~bob", Some(id(number.into())), &text("x")).await;
            assert_eq!(answer["seq"], number);
            slowest = slowest.max(began.elapsed());
        }
        assert!(slowest <= Duration::from_secs(2), "{slowest:?}");
        trouble.store(false, Ordering::SeqCst);
        world.bus.fail_what_was_swallowed();
        // All of them, each for the first time in order.
        world.bus.event("alice~bob", first + MANY - 1).await;
    }
    let mut seqs: Vec<u64> =
        world.bus.events.lock().expect("events").iter().map(|(_, head)| head.seq).collect();
    let mut seen = std::collections::BTreeSet::new();
    seqs.retain(|seq| seen.insert(*seq));
    // What was swallowed was sent once before, and is seen with its repetition.
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=2 * MANY).collect::<Vec<_>>());
    // New ones are published at once again.
    world.send("alice", "alice~bob", Some(id(999)), &text("x")).await;
    world.bus.event("alice~bob", 2 * MANY + 1).await;
    owner.leave().await.expect("leave");
    let row = read_row(&world.store, 0).await.expect("row");
    assert_eq!(row.published_up_to, row.last_commit_no());
}

#[tokio::test(start_paused = true)]
async fn who_leaves_with_events_left_does_not_say_that_all_is_published() {
    let world = World::new(&["alice", "bob"]).await;
    let owner = world.own("n1").await;
    world.bus.away.store(true, Ordering::SeqCst);
    for number in 1..=MANY {
        world.send("alice", "alice~bob", Some(id(number.into())), &text("x")).await;
    }
    owner.leave().await.expect("leave");
    let row = read_row(&world.store, 0).await.expect("row");
    assert_eq!((row.stream_seq, row.published_up_to), (MANY, 0));
    world.bus.away.store(false, Ordering::SeqCst);
    let owner = world.own("n2").await;
    for seq in 1..=world.entries("alice~bob").await.len() as u64 {
        world.bus.event("alice~bob", seq).await;
    }
    owner.leave().await.expect("leave");
}
