//! What the watch beside an owner promises: signs of life, and that neither a log that went back nor
//! a reader that stalls stops a partition. Time is paused: it passes when nothing else happens.

use std::time::Duration;

use tokio::time::Instant;
use weft_core::Error;
use weft_core::partition::ports::CommandLog as _;
use weft_core::partition::take::{open_log, reopen_log, take};
use weft_proto::{Position, Tick};

use crate::support::{Fault, Owner, World, grown, id, text};

fn read_version(tick: &Tick) -> Position {
    Position::from_slice(&tick.read_version).expect("12 bytes")
}

/// How the owner ends that finds that its log went back.
async fn log_back(owner: Owner) -> (u64, u64) {
    match owner.task.await.expect("join") {
        Err(Error::LogBack { read, last_seq, .. }) => (read, last_seq),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_owner_gives_a_sign_of_life_each_second() {
    let world = World::new(&["alice", "bob"]).await;
    let owner = world.own("n1").await;
    let at = Instant::now();
    let first = world.bus.tick(1, 1).await;
    assert_eq!((first.applied, first.last_seq, first.store_id), (0, 0, Some(7)));
    world.send("alice", "alice~bob", Some(id(1)), &text("x")).await;
    let (_, head) = world.bus.event("alice~bob", 1).await;
    let second = world.bus.tick(1, 2).await;
    assert_eq!((second.applied, second.last_seq), (1, 1));
    assert!(read_version(&first) < head.position && head.position <= read_version(&second));
    assert!(at.elapsed() <= Duration::from_millis(1_010), "{:?}", at.elapsed());
    owner.leave().await.expect("leave");
    let owner = world.own("n2").await;
    assert_eq!(world.bus.tick(2, 1).await.applied, 1, "numbers begin anew");
    owner.leave().await.expect("leave");
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_was_replaced_is_silent_and_steps_back() {
    let world = World::new(&["alice", "bob"]).await;
    let first = world.own("n1").await;
    let second = world.own("n2").await;
    world.bus.tick(2, 5).await;
    let epochs: Vec<u64> = world.bus.ticks().iter().map(|tick| tick.epoch).collect();
    assert_eq!(epochs, [1, 2, 2, 2, 2, 2]);
    // Nothing came to commit: only the watch can have told.
    let ended = first.task.await.expect("join");
    assert!(matches!(ended, Err(Error::Lost(_))), "{ended:?}");
    second.leave().await.expect("leave");
}

#[tokio::test(start_paused = true)]
async fn ticks_can_be_left_out_and_the_log_is_watched_all_the_same() {
    let mut world = World::new(&["alice", "bob"]).await;
    world.tick_interval = None;
    let owner = world.own("n1").await;
    world.send("alice", "alice~bob", Some(id(1)), &text("x")).await;
    world.log.go_back(0);
    assert_eq!(log_back(owner).await, (1, 0));
    assert!(world.bus.ticks().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_a_later_commit_followed_is_trimmed_and_nothing_else() {
    let world = World::new(&["alice", "bob"]).await;
    let owner = world.own("n1").await;
    for number in 1..=3 {
        world.send("alice", "alice~bob", Some(id(number)), &text("x")).await;
    }
    world.gate(false);
    world.publish("alice", "alice~bob", Some(id(4)), &text("x"));
    world.log.trimmed_below(3).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(world.log.first_seq(), 3, "the store may lose the third, and needs it again");
    world.gate(true);
    // What is published is written down when nothing else is to do.
    world.log.trimmed_below(5).await;
    owner.leave().await.expect("leave");
}

#[tokio::test(start_paused = true)]
async fn a_log_that_went_back_is_moved_forward_by_the_next_epoch() {
    let world = World::new(&["alice", "bob"]).await;
    let owner = world.own("n1").await;
    for number in 1..=3 {
        world.send("alice", "alice~bob", Some(id(number)), &text("x")).await;
    }
    world.log.trimmed_below(4).await;
    world.log.go_back(0);
    assert_eq!(log_back(owner).await, (3, 0));
    assert_eq!(world.log.last_seq(), 0, "nobody moves it before a commit that raises the epoch");
    for tick in world.bus.ticks() {
        assert!(tick.last_seq >= tick.applied, "a tick of a log that went back: {tick:?}");
    }
    let owner = world.own("n1").await;
    world.bus.tick(2, 1).await;
    let resend = world.send("alice", "alice~bob", Some(id(3)), &text("x")).await;
    assert_eq!((resend["seq"].as_u64(), world.log.last_seq()), (Some(3), 4));
    assert_eq!(world.send("alice", "alice~bob", Some(id(4)), &text("x")).await["seq"], 4);
    owner.leave().await.expect("leave");
}

#[tokio::test(start_paused = true)]
async fn a_log_that_was_deleted_is_made_anew_by_the_next_epoch() {
    let world = World::new(&["alice", "bob"]).await;
    let owner = world.own("n1").await;
    for number in 1..=3 {
        world.send("alice", "alice~bob", Some(id(number)), &text("x")).await;
    }
    world.log.delete();
    assert_eq!(log_back(owner).await, (3, 0));
    assert!(world.log.beside().info().await.is_err(), "it is not made before the taking");
    let owner = world.own("n1").await;
    assert_eq!(world.send("alice", "alice~bob", Some(id(4)), &text("x")).await["seq"], 4);
    assert_eq!(world.log.last_seq(), 4);
    owner.leave().await.expect("leave");
}

#[tokio::test(start_paused = true)]
async fn what_was_read_before_the_log_lost_it_is_kept() {
    let world = World::new(&["alice", "bob"]).await;
    let owner = world.own("n1").await;
    world.gate(false);
    let before = *world.engine.commits.borrow();
    let first = world.publish("alice", "alice~bob", Some(id(1)), &text("one"));
    grown(&world.engine.commits, before).await;
    // The first is being committed, the second is planned.
    let before = *world.engine.snapshots.borrow();
    let second = world.publish("alice", "alice~bob", Some(id(2)), &text("two"));
    grown(&world.engine.snapshots, before).await;
    world.log.go_back(0);
    tokio::time::sleep(Duration::from_secs(2)).await;
    world.gate(true);
    assert_eq!(log_back(owner).await, (2, 0));
    assert_eq!(world.bus.answer_to(&first).await["seq"], 1);
    assert_eq!(world.bus.answer_to(&second).await["seq"], 2);
    world.bus.event("alice~bob", 2).await;
    let owner = world.own("n1").await;
    assert_eq!(world.send("alice", "alice~bob", Some(id(3)), &text("three")).await["seq"], 3);
    assert_eq!(world.log.last_seq(), 3);
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn only_a_taking_moves_a_log_forward() {
    let world = World::new(&["alice", "bob"]).await;
    let mut taken =
        take(&world.store, 0, ("n1", weft_core::FEATURE_LEVEL), [1; 16]).await.expect("taken");
    taken.applied.stream_seq = 3;
    let mut log = world.log.clone();
    let reopened = reopen_log(&mut log, &world.store, (&taken.applied, 0), 0, 3).await;
    assert!(matches!(reopened, Err(Error::LogBack { read: 3, last_seq: 0, .. })), "{reopened:?}");
    assert_eq!(log.last_seq(), 0);
    let opened = open_log(&mut log, &world.store, taken, 0, || [2; 16]).await;
    assert!(opened.is_ok(), "{:?}", opened.err());
    assert_eq!(log.last_seq(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_stalls_is_opened_anew_within_two_seconds() {
    let world = World::new(&["alice", "bob"]).await;
    let owner = world.own("n1").await;
    world.send("alice", "alice~bob", Some(id(1)), &text("x")).await;
    world.log.stall();
    let at = Instant::now();
    assert_eq!(world.send("alice", "alice~bob", Some(id(2)), &text("x")).await["seq"], 2);
    assert!(at.elapsed() <= Duration::from_millis(2_010), "{:?}", at.elapsed());
    owner.leave().await.expect("leave");
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_stalls_is_opened_anew_also_where_nothing_can_be_said() {
    let world = World::new(&["alice", "bob"]).await;
    let owner = world.own("n1").await;
    world.send("alice", "alice~bob", Some(id(1)), &text("x")).await;
    world.bus.ticks_fail.store(true, std::sync::atomic::Ordering::SeqCst);
    world.log.stall();
    let at = Instant::now();
    assert_eq!(world.send("alice", "alice~bob", Some(id(2)), &text("x")).await["seq"], 2);
    assert!(at.elapsed() <= Duration::from_millis(2_010), "{:?}", at.elapsed());
    owner.leave().await.expect("leave");
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_waits_for_the_store_does_not_stall() {
    let world = World::new(&["alice", "bob"]).await;
    let owner = world.own("n1").await;
    // More than a plan holds: the rest waits in the log while the store does not answer.
    world.gate(false);
    let tokens: Vec<String> = (1..=2_000)
        .map(|number| world.publish("alice", "alice~bob", Some(id(number)), &text("x")))
        .collect();
    let opened = world.log.opened();
    tokio::time::sleep(Duration::from_secs(10)).await;
    world.gate(true);
    for token in tokens {
        assert_eq!(world.bus.answer_to(&token).await["type"], "ack");
    }
    assert_eq!(world.log.opened(), opened, "it was not opened anew");
    owner.leave().await.expect("leave");
}

#[tokio::test(start_paused = true)]
async fn ticks_of_an_owner_that_can_commit_nothing_prove_nothing_and_say_so_in_time() {
    let world = World::new(&["alice", "bob"]).await;
    let owner = world.own("n1").await;
    world.send("alice", "alice~bob", Some(id(1)), &text("x")).await;
    world.fail_next(&[Fault::Unavailable; 1_000]);
    let at = Instant::now();
    let before = *world.engine.commits.borrow();
    let waiting = world.publish("alice", "alice~bob", Some(id(2)), &text("y"));
    let stalled = world.bus.tick_that(|tick| tick.stalled).await;
    let waited = at.elapsed().as_secs();
    assert!((20..=22).contains(&waited), "{waited} s");
    assert_eq!((stalled.applied, stalled.last_seq), (0, 2));
    assert!(stalled.read_version.is_empty());
    let tries = *world.engine.commits.borrow() - before;
    assert!(tries < 40, "{tries} tries in {waited} s");
    // Nothing is missing among the ticks, so nobody thinks that some were lost.
    let numbers: Vec<u64> = world.bus.ticks().iter().map(|tick| tick.number).collect();
    assert!(numbers.iter().copied().eq(1..=stalled.number), "{numbers:?}");
    world.engine_heals();
    assert_eq!(world.bus.answer_to(&waiting).await["seq"], 2);
    let well = world.bus.tick_that(|tick| tick.number > stalled.number && !tick.stalled).await;
    assert_eq!(well.applied, 2);
    owner.leave().await.expect("leave");
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_can_commit_nothing_still_ends_when_it_is_told_to() {
    let world = World::new(&["alice", "bob"]).await;
    let owner = world.own("n1").await;
    world.fail_next(&[Fault::Full; 1_000]);
    let waiting = world.publish("alice", "alice~bob", Some(id(1)), &text("x"));
    let at = Instant::now();
    world.bus.tick_that(|tick| tick.stalled).await;
    let waited = at.elapsed().as_secs();
    assert!((10..=12).contains(&waited), "a full store says so sooner: {waited} s");
    let told_at = Instant::now();
    let ended = owner.leave().await;
    assert!(matches!(ended, Ok(()) | Err(Error::Stopped)), "{ended:?}");
    assert!(told_at.elapsed() <= Duration::from_secs(3), "{:?}", told_at.elapsed());
    world.engine_heals();
    let owner = world.own("n2").await;
    assert_eq!(world.bus.answer_to(&waiting).await["seq"], 1);
    owner.leave().await.expect("leave");
}
