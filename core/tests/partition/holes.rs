//! A hole in the ingest log can only have held what nobody was told of: it is skipped, by an owner
//! that has taken the partition anew, and never taken for a store that went back.

use std::time::Duration;

use tokio::time::Instant;
use weft_core::Error;
use weft_core::partition::take::read_row;

use crate::support::{Owner, World, id, text};

/// Commands that nobody reads yet; their tokens. The first one has the number `from`.
fn waiting(world: &World, from: u128, count: u128) -> Vec<String> {
    (from..from + count)
        .map(|number| world.publish("alice", "alice~bob", Some(id(number)), &text("x")))
        .collect()
}

async fn acked(world: &World, tokens: &[String]) {
    for token in tokens {
        assert_eq!(world.bus.answer_to(token).await["type"], "ack");
    }
}

/// How the owner ends that meets a hole.
async fn hole(owner: Owner) -> (u64, u64) {
    match owner.task.await.expect("join") {
        Err(Error::LogHole { read, through, .. }) => (read, through),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn holes_from_before_it_was_taken_are_skipped_by_one_owner() {
    let world = World::new(&["alice", "bob"]).await;
    let owner = world.own("n1").await;
    world.send("alice", "alice~bob", Some(id(1)), &text("x")).await;
    owner.leave().await.expect("leave");
    // 2 to 21: the first, every second one of the middle, and the last ones get lost.
    let tokens = waiting(&world, 2, 20);
    world.log.lose(2..=4);
    (6..=16).step_by(2).for_each(|seq| world.log.lose(seq..=seq));
    world.log.lose(20..=21);
    let owner = world.own("n2").await;
    let kept: Vec<String> = [5, 7, 9, 11, 13, 15, 17, 18, 19].map(|n| tokens[n - 2].clone()).into();
    acked(&world, &kept).await;
    // What is missing at the end has nothing after it: the watch finds it.
    assert_eq!(hole(owner).await, (19, 21));
    let owner = world.own("n2").await;
    assert_eq!(read_row(&world.store, 0).await.expect("row").stream_seq, 21);
    // Sent again, they are what comes next.
    acked(&world, &waiting(&world, 2, 20)).await;
    owner.leave().await.expect("leave");
    assert_eq!(world.entries("alice~bob").await.len(), 21);
    assert_eq!(read_row(&world.store, 0).await.expect("row").epoch, 3);
}

#[tokio::test(start_paused = true)]
async fn a_hole_that_comes_while_it_is_read_costs_an_epoch_and_nothing_else() {
    let world = World::new(&["alice", "bob"]).await;
    let owner = world.own("n1").await;
    // Nothing is read while the store does not answer and the plan is full.
    world.gate(false);
    let tokens = waiting(&world, 1, 2_000);
    // The clock is paused: it moves once nothing can go on.
    tokio::time::sleep(Duration::from_millis(10)).await;
    world.log.lose(1_990..=1_995);
    world.gate(true);
    assert_eq!(hole(owner).await, (1_989, 1_995));
    let began = Instant::now();
    let owner = world.own("n1").await;
    acked(&world, &tokens[..1_989]).await;
    acked(&world, &tokens[1_995..]).await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(read_row(&world.store, 0).await.expect("row").epoch, 2);
    owner.leave().await.expect("leave");
}

#[tokio::test(start_paused = true)]
async fn a_purge_of_everything_is_a_hole_too() {
    let world = World::new(&["alice", "bob"]).await;
    let owner = world.own("n1").await;
    world.send("alice", "alice~bob", Some(id(1)), &text("x")).await;
    owner.leave().await.expect("leave");
    waiting(&world, 2, 9);
    world.log.lose(2..=10);
    let owner = world.own("n2").await;
    assert_eq!(read_row(&world.store, 0).await.expect("row").stream_seq, 10);
    assert_eq!(world.bus.tick(2, 1).await.applied, 10, "so senders learn that it is lost");
    acked(&world, &waiting(&world, 2, 9)).await;
    owner.leave().await.expect("leave");
}

#[tokio::test]
async fn without_the_mark_a_log_that_begins_too_late_means_an_old_store() {
    let world = World::new(&["alice", "bob"]).await;
    waiting(&world, 1, 3);
    world.log.lose(1..=1);
    let refused = world.own("n1").await.task.await.expect("join").expect_err("refused");
    assert!(matches!(refused, Error::StoreBehind { applied: 0, trimmed: 1, .. }), "{refused:?}");
}
