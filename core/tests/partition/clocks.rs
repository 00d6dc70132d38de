//! Clocks that are wrong: nothing is refused for good, nothing is there twice, and nobody ends.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use weft_core::partition::floor::Lowering;
use weft_core::partition::take::read_row;
use weft_nats::MadeBy;
use weft_proto::{ClientId, RoomId};
use weft_storage::tables::log;
use weft_storage::tables::minute::{self, Minute};

use crate::support::{START_MS, World, id, text};

const HOUR_MS: u64 = 3_600_000;
const START_HOUR: u64 = START_MS / HOUR_MS;
const START_MINUTE: Minute = (START_MS / 60_000) as Minute;

fn at(time_ms: u64) -> ClientId {
    ClientId::from_parts(time_ms, 7)
}

async fn floor_hour(world: &World) -> u64 {
    read_row(&world.store, 0).await.expect("row").floor_hour.into()
}

#[tokio::test(start_paused = true)]
async fn an_owner_whose_clock_is_a_day_ahead_waits_and_raises_no_floor() {
    let world = World::new(&["alice", "bob"]).await;
    let owner = world.own("n1").await;
    world.send("alice", "alice~bob", Some(id(1)), &text("one")).await;
    assert_eq!(floor_hour(&world).await, START_HOUR - 25);
    world.ahead_ms.store(26 * HOUR_MS as i64, Ordering::SeqCst);
    let token = world.publish("alice", "alice~bob", Some(id(2)), &text("two"));
    let waits = timeout(Duration::from_secs(15), world.bus.answer_to(&token)).await;
    assert!(waits.is_err(), "{waits:?}");
    assert!(!owner.task.is_finished());
    assert_eq!(floor_hour(&world).await, START_HOUR - 25);
    // The clock is set right: what waited is applied, with a time that nobody doubts.
    world.ahead_ms.store(0, Ordering::SeqCst);
    assert_eq!(world.bus.answer_to(&token).await["seq"], 2);
    assert_eq!(world.entries("alice~bob").await[1].time_ms, START_MS);
    owner.leave().await.expect("leave");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_starts_with_a_wrong_clock_waits_too_and_leaves_in_order() {
    let world = World::new(&["alice", "bob"]).await;
    world.ahead_ms.store(-(5 * HOUR_MS as i64), Ordering::SeqCst);
    let token = world.publish("alice", "alice~bob", Some(id(1)), &text("one"));
    let owner = world.own("n1").await;
    sleep(Duration::from_secs(10)).await;
    assert!(world.entries("alice~bob").await.is_empty());
    owner.leave().await.expect("leave");
    // Somebody whose clock is right.
    world.ahead_ms.store(0, Ordering::SeqCst);
    let owner = world.own("n2").await;
    assert_eq!(world.bus.answer_to(&token).await["seq"], 1);
    owner.leave().await.expect("leave");
}

#[tokio::test(start_paused = true)]
async fn a_command_that_waited_for_two_days_is_neither_old_nor_a_sign_of_a_wrong_clock() {
    let world = World::new(&["alice", "bob"]).await;
    let token = world.publish("alice", "alice~bob", Some(id(1)), &text("one"));
    world.clock.advance_ms(48 * HOUR_MS);
    let late = world.publish("alice", "alice~bob", Some(at(START_MS + 48 * HOUR_MS)), &text("2"));
    let owner = world.own("n1").await;
    assert_eq!(world.bus.answer_to(&token).await["seq"], 1);
    assert_eq!(world.bus.answer_to(&late).await["seq"], 2);
    owner.leave().await.expect("leave");
}

#[tokio::test(start_paused = true)]
async fn a_backlog_of_days_is_applied_whole() {
    let world = World::new(&["alice", "bob"]).await;
    // More than a commit takes: what the first one forgets must not be asked for by the next.
    let publish = |number| world.publish("alice", "alice~bob", Some(id(number)), &text("x"));
    let tokens: Vec<String> = (1..=1_200).map(publish).collect();
    world.clock.advance_ms(48 * HOUR_MS);
    let owner = world.own("n1").await;
    for (token, seq) in tokens.iter().zip(1..) {
        let answer = world.bus.answer_to(token).await;
        assert_eq!(answer["seq"], seq, "{answer}");
    }
    owner.leave().await.expect("leave");
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_room_does_not_go_back() {
    let world = World::new(&["alice", "bob"]).await;
    let owner = world.own("n1").await;
    for (number, ahead_ms) in [(1, 60_000), (2, 0)] {
        world.ahead_ms.store(ahead_ms, Ordering::SeqCst);
        world.send("alice", "alice~bob", Some(id(number)), &text("x")).await;
    }
    let times: Vec<u64> = world.entries("alice~bob").await.iter().map(|it| it.time_ms).collect();
    assert_eq!(times, [START_MS + 60_000; 2]);
    owner.leave().await.expect("leave");
}

#[tokio::test(start_paused = true)]
async fn an_id_that_a_server_made_never_expires_and_stands_once() {
    let world = World::new(&["alice", "bot"]).await;
    let owner = world.own("n1").await;
    let body = text("x");
    let whose = ("bot", "alice~bot");
    // The edge's clock is a month late, or early.
    let month_ms = 30 * 24 * HOUR_MS;
    for (stamp_ms, seq) in [(START_MS - month_ms, 1), (START_MS + month_ms, 2)] {
        let made = (at(stamp_ms), MadeBy::Edge);
        assert_eq!(world.send_made(whose, made, &body).await["seq"], seq);
        // Published again in the next hour, and by then the floor has risen.
        world.clock.advance_ms(HOUR_MS);
        world.send("alice", "alice~alice", Some(at(START_MS + seq * HOUR_MS)), &body).await;
        assert_eq!(world.send_made(whose, made, &body).await["seq"], seq);
    }
    // A message of another system that its relay did not delete: it comes again days later.
    let relayed = (at(START_MS), MadeBy::Relay);
    assert_eq!(world.send_made(whose, relayed, &body).await["seq"], 3);
    for day in 1..4 {
        world.clock.advance_ms(24 * HOUR_MS);
        let fresh = at(START_MS + (2 + 24 * day) * HOUR_MS);
        world.send("alice", "alice~alice", Some(fresh), &body).await;
        assert_eq!(world.send_made(whose, relayed, &body).await["seq"], 3, "day {day}");
    }
    assert!(floor_hour(&world).await > START_HOUR + 24);
    owner.leave().await.expect("leave");
}

#[tokio::test(start_paused = true)]
async fn a_floor_that_ran_away_is_lowered_to_the_hour_that_it_is() {
    let world = World::new(&["alice", "bob"]).await;
    // All clocks were ahead by 60 hours, and then set right.
    world.clock.advance_ms(60 * HOUR_MS);
    let owner = world.own("n1").await;
    let ahead = at(START_MS + 60 * HOUR_MS);
    assert_eq!(world.send("alice", "alice~bob", Some(ahead), &text("x")).await["seq"], 1);
    world.clock.advance_ms(0_u64.wrapping_sub(60 * HOUR_MS));
    let refused = world.send("alice", "alice~bob", Some(id(1)), &text("x")).await;
    assert_eq!(refused["error"]["code"], "expired_id");
    let lowering = Lowering::prepare(&world.store, START_MS, [7; 16]).await.expect("prepared");
    assert_eq!(lowering.ahead, [(0, START_HOUR as u32 + 35)]);
    lowering.commit(&world.store).await.expect("done");
    assert_eq!(floor_hour(&world).await, START_HOUR);
    assert_eq!(minutes(&world, 0).await, [], "nothing is of a time that has not come");
    // Whoever owns the partition loses it with the next commit.
    drop(owner);
    let owner = world.own("n2").await;
    let earlier = world.send("alice", "alice~bob", Some(at(START_MS - HOUR_MS)), &text("x")).await;
    assert_eq!(earlier["error"]["code"], "expired_id");
    assert_eq!(world.send("alice", "alice~bob", Some(id(1)), &text("x")).await["seq"], 2);
    let again = Lowering::prepare(&world.store, START_MS, [8; 16]).await.expect("prepared");
    assert!(again.ahead.is_empty());
    owner.leave().await.expect("leave");
    assert_eq!(minutes(&world, 0).await, [(START_MINUTE, 3)]);
}

#[tokio::test(start_paused = true)]
async fn the_first_commit_of_a_minute_is_noted_whoever_makes_it_and_no_minute_twice() {
    let world = World::new(&["alice", "bob"]).await;
    // By how much the clock is set forward before the next command, in milliseconds.
    let (back, far) = (0_u64.wrapping_sub(100_000), 3 * HOUR_MS + 60_000);
    let steps = [0, 1_000, 38_000, 2_000, back, 10_000, far];
    for (number, step_ms) in (1..).zip(steps) {
        let owner = world.own(&format!("n{}", number % 2)).await;
        world.clock.advance_ms(step_ms);
        world.send("alice", "alice~bob", Some(id(number)), &text("x")).await;
        owner.leave().await.expect("leave");
    }
    assert_eq!(START_MS % 60_000, 20_000, "the first minute takes three commands");
    let noted = [(START_MINUTE, 1), (START_MINUTE + 1, 4), (START_MINUTE + 180, 7)];
    assert_eq!(minutes(&world, 0).await, noted);
    // What a row says is of its commit: the first entry of the minute has that position.
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let wanted = [(RoomId::new("alice~bob").expect("id"), 4)];
    let entry = log::get_many(&*snapshot, &wanted).await.expect("read").pop().flatten();
    let row = minute::newest_until(&*snapshot, 0, START_MINUTE + 179).await.expect("scan");
    assert_eq!(row.map(|row| row.position), entry.map(|entry| entry.position));
}

#[tokio::test(start_paused = true)]
async fn an_owner_with_a_wrong_clock_notes_no_minute() {
    let world = World::new(&["alice", "bob"]).await;
    let owner = world.own("n1").await;
    world.send("alice", "alice~bob", Some(id(1)), &text("x")).await;
    // What is published is not yet said in a commit of its own, neither by an idle second nor by who
    // leaves.
    world.ahead_ms.store(100 * 24 * HOUR_MS as i64, Ordering::SeqCst);
    sleep(Duration::from_secs(5)).await;
    owner.leave().await.expect("leave");
    assert_eq!(minutes(&world, 0).await, [(START_MINUTE, 1)]);
}

/// The minutes that are noted for a partition, each with its stream sequence.
async fn minutes(world: &World, partition: u16) -> Vec<(Minute, u64)> {
    let snapshot = world.store.snapshot().await.expect("snapshot");
    let (mut noted, mut until) = (Vec::new(), Minute::MAX);
    while let Some(row) = minute::newest_until(&*snapshot, partition, until).await.expect("scan") {
        noted.insert(0, (row.minute, row.stream_seq));
        until = row.minute - 1;
    }
    noted
}
