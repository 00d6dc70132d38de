//! What a page speaks of, and what is hidden in it.

use weft_proto::{Body, History};

use super::super::testing::{World, add, code, create, remove, room, seqs, text, user};
use super::*;

mod memberships;
mod missing;

/// `team` with entries 1 to 12: alice makes it with bob, carol joins at 5, bob goes at 8.
async fn world(history: History) -> World {
    let mut world = World::new().await;
    world.one("team", "alice", create(&["bob"], history)).await;
    for _ in 2..=4 {
        world.one("team", "alice", text("early")).await;
    }
    world.one("team", "alice", add("carol")).await;
    world.one("team", "alice", text("six")).await;
    world.one("team", "alice", text("seven")).await;
    world.one("team", "alice", remove("bob")).await;
    for _ in 9..=12 {
        world.one("team", "alice", text("late")).await;
    }
    world
}

fn request(world: &World, who: &str) -> svc::ReadLog {
    svc::ReadLog { token: world.token(who), room: "team".into(), ..svc::ReadLog::default() }
}

/// Seqs, from, through, more.
type Told = (Vec<u64>, u64, u64, bool);

async fn told(world: &World, request: svc::ReadLog) -> Told {
    let page = world.context.log_read(request).await.expect("a page");
    let read = seqs(&page.entries).into_iter().map(|(_, seq)| seq).collect();
    (read, page.from, page.through, page.more)
}

async fn after(world: &World, who: &str, after: u64, to: u64, limit: u32) -> Told {
    told(world, svc::ReadLog { after: Some(after), to, limit, ..request(world, who) }).await
}

async fn before(world: &World, who: &str, before: u64, limit: u32) -> Told {
    told(world, svc::ReadLog { before: Some(before), limit, ..request(world, who) }).await
}

fn range(from: u64, through: u64) -> Vec<u64> {
    (from..=through).collect()
}

#[tokio::test]
async fn a_member_reads_forth_and_back() {
    let world = world(History::All).await;
    assert_eq!(after(&world, "alice", 0, 0, 0).await, (range(1, 12), 1, 12, false));
    assert_eq!(after(&world, "alice", 3, 0, 4).await, (range(4, 7), 4, 7, true));
    assert_eq!(after(&world, "alice", 3, 6, 0).await, (range(4, 6), 4, 6, false));
    assert_eq!(after(&world, "alice", 12, 0, 0).await, (vec![], 13, 12, false));
    assert_eq!(after(&world, "alice", 50, 0, 0).await, (vec![], 51, 50, false));
    assert_eq!(before(&world, "alice", 0, 0).await, (range(1, 12), 1, 12, false));
    assert_eq!(before(&world, "alice", 0, 5).await, (range(8, 12), 8, 12, true));
    assert_eq!(before(&world, "alice", 8, 5).await, (range(3, 7), 3, 7, true));
    assert_eq!(before(&world, "alice", 3, 5).await, (range(1, 2), 1, 2, false));
    assert_eq!(before(&world, "alice", 1, 5).await, (vec![], 1, 0, false));
    // Who joins sees the history from the start.
    assert_eq!(after(&world, "carol", 0, 0, 0).await, (range(1, 12), 1, 12, false));
}

#[tokio::test]
async fn hidden_ranges_are_covered_and_not_loops() {
    let world = world(History::Joined).await;
    // Carol sees from 5 on; asking from the start answers for 1 to 4 too.
    assert_eq!(after(&world, "carol", 0, 0, 0).await, (range(5, 12), 1, 12, false));
    assert_eq!(after(&world, "carol", 0, 0, 3).await, (range(5, 7), 1, 7, true));
    assert_eq!(after(&world, "carol", 0, 3, 0).await, (vec![], 1, 3, false));
    assert_eq!(before(&world, "carol", 7, 0).await, (range(5, 6), 1, 6, false));
    assert_eq!(before(&world, "carol", 0, 8).await, (range(5, 12), 1, 12, false));
    assert_eq!(before(&world, "carol", 4, 0).await, (vec![], 1, 3, false));
    // Bob sees up to his removal, and is told that he has all.
    assert_eq!(after(&world, "bob", 6, 0, 0).await, (range(7, 8), 7, 12, false));
    assert_eq!(after(&world, "bob", 8, 0, 0).await, (vec![], 9, 12, false));
    assert_eq!(before(&world, "bob", 0, 3).await, (range(6, 8), 6, 12, true));
}

#[tokio::test]
async fn entries_after_a_position_are_found() {
    let mut world = world(History::All).await;
    let positions: Vec<Position> = {
        let page =
            world.context.log_read(svc::ReadLog { after: Some(0), ..request(&world, "alice") });
        let heads = page.await.expect("page").entries;
        heads
            .iter()
            .map(|e| e.head.parse::<weft_proto::EventHead>().expect("head").position)
            .collect()
    };
    let ask = |position: Position, to, limit| svc::ReadLog {
        after_position: Some(position.0.to_vec()),
        to,
        limit,
        ..request(&world, "alice")
    };
    assert_eq!(told(&world, ask(Position::MIN, 0, 0)).await, (range(1, 12), 1, 12, false));
    assert_eq!(told(&world, ask(Position::MAX, 0, 0)).await, (vec![], 13, 12, false));
    for (seq, position) in (1..).zip(positions) {
        assert_eq!(
            told(&world, ask(position, 0, 0)).await,
            (range(seq + 1, 12), seq + 1, 12, false)
        );
        let (read, from, through, more) = told(&world, ask(position.commit_end(), 9, 2)).await;
        let end = (seq + 2).min(9);
        assert_eq!((read, more), (range(seq + 1, end), end < 9));
        assert_eq!((from, through), ((seq + 1).min(10), end.max((seq + 1).min(10) - 1)));
    }
    world.one("team", "alice", text("new")).await;
    assert_eq!(after(&world, "alice", 12, 0, 0).await.0, [13]);
}

#[tokio::test]
async fn who_may_not_gets_a_stable_code() {
    let mut world = world(History::All).await;
    world.one("alice~bob", "alice", text("hi")).await;
    let of = |who: &str, room: &str| {
        let request = svc::ReadLog { room: room.into(), after: Some(0), ..request(&world, who) };
        world.context.log_read(request)
    };
    assert_eq!(code(of("dave", "team").await), ErrorCode::NoSuchRoom);
    assert_eq!(code(of("dave", "alice~bob").await), ErrorCode::NotMember);
    assert_eq!(code(of("dave", "dave~eve").await), ErrorCode::NoSuchRoom);
    assert_eq!(code(of("alice", "nowhere").await), ErrorCode::NoSuchRoom);
    assert_eq!(code(of("alice", "a.b").await), ErrorCode::BadId);
    let direct = of("bob", "alice~bob").await.expect("a page");
    assert_eq!(seqs(&direct.entries), [(room("alice~bob"), 1)]);
    let both = svc::ReadLog { after: Some(0), before: Some(0), ..request(&world, "alice") };
    assert_eq!(code(world.context.log_read(both).await), ErrorCode::BadRequest);
    assert_eq!(code(world.context.log_read(request(&world, "alice")).await), ErrorCode::BadRequest);
    let short = svc::ReadLog { after_position: Some(vec![1]), ..request(&world, "alice") };
    assert_eq!(code(world.context.log_read(short).await), ErrorCode::BadRequest);
}

#[tokio::test]
async fn a_page_of_large_entries_stays_under_the_message_limit() {
    let mut world = World::new().await;
    // 600 kB as JSON each, and almost nothing in the store.
    for _ in 0..6 {
        world.one("alice~alice", "alice", text(&"\u{1}".repeat(100_000))).await;
    }
    let mut next = 0;
    for _ in 0..6 {
        let request = svc::ReadLog {
            token: world.token("alice"),
            room: "alice~alice".into(),
            after: Some(next),
            ..svc::ReadLog::default()
        };
        let page = world.context.log_read(request).await.expect("a page");
        assert!(prost::Message::encoded_len(&page) < 1_900_000);
        assert_eq!(page.through, next + page.entries.len() as u64);
        assert!(!page.entries.is_empty());
        next = page.through;
        if !page.more {
            break;
        }
    }
    assert_eq!(next, 6);
}

/// Seqs, from, through, more before, more after.
type Around = (Vec<u64>, u64, u64, bool, bool);

async fn on_both_sides(world: &World, request: svc::ReadLog) -> Around {
    let page = world.context.log_read(request).await.expect("a page");
    let read = seqs(&page.entries).into_iter().map(|(_, seq)| seq).collect();
    (read, page.from, page.through, page.more_before.expect("told"), page.more)
}

#[tokio::test]
async fn a_page_around_an_entry_goes_on_at_both_ends() {
    let world = world(History::Joined).await;
    let around = async |who: &str, seq, limit| {
        let request = svc::ReadLog { around: Some(seq), limit, ..request(&world, who) };
        on_both_sides(&world, request).await
    };
    assert_eq!(around("alice", 6, 4).await, (range(4, 7), 4, 7, true, true));
    assert_eq!(around("alice", 6, 5).await, (range(4, 8), 4, 8, true, true));
    assert_eq!(around("alice", 6, 1).await, (vec![6], 6, 6, true, true));
    assert_eq!(around("alice", 6, 0).await, (range(1, 12), 1, 12, false, false));
    assert_eq!(around("alice", 1, 4).await, (range(1, 2), 1, 2, false, true));
    assert_eq!(around("alice", 12, 4).await, (range(10, 12), 10, 12, true, false));
    assert_eq!(around("alice", 99, 4).await, (range(11, 12), 11, 12, true, false));
    // Carol sees from 5 on, bob up to 8.
    assert_eq!(around("carol", 6, 4).await, (range(5, 7), 1, 7, false, true));
    assert_eq!(around("carol", 2, 4).await, (range(5, 6), 1, 6, false, true));
    assert_eq!(around("carol", 5, 1).await, (vec![5], 5, 5, false, true));
    assert_eq!(around("bob", 8, 4).await, (range(6, 8), 6, 12, true, false));
    let two = svc::ReadLog { around: Some(1), at_ms: Some(1), ..request(&world, "alice") };
    assert_eq!(code(world.context.log_read(two).await), ErrorCode::BadRequest);
}

#[tokio::test]
async fn a_page_around_large_entries_is_no_larger_than_others() {
    let mut world = World::new().await;
    for _ in 0..6 {
        world.one("alice~alice", "alice", text(&"\u{1}".repeat(100_000))).await;
    }
    for (seq, expected) in [(1, 1), (4, 4), (6, 6)] {
        let request = svc::ReadLog {
            room: "alice~alice".into(),
            around: Some(seq),
            ..request(&world, "alice")
        };
        let page = world.context.log_read(request.clone()).await.expect("a page");
        assert!(prost::Message::encoded_len(&page) < 1_100_000);
        let (before, after) = (seq > 1, seq < 6);
        let told = on_both_sides(&world, request).await;
        assert_eq!(told, (vec![expected], seq, seq, before, after));
    }
}

#[tokio::test]
async fn a_page_at_a_time_begins_with_what_was_taken_then() {
    let mut world = World::new().await;
    let began_ms = 1_700_000_000_000;
    world.one("team", "alice", create(&[], History::Joined)).await;
    for seq in 2..=9_u64 {
        // Two of the same time each.
        world.clock.advance_ms(if seq % 2 == 0 { 10 } else { 0 });
        let body = if seq == 4 { add("carol") } else { text("x") };
        world.one("team", "alice", body).await;
    }
    let at = async |who: &str, at_ms: u64, limit| {
        let request = svc::ReadLog { at_ms: Some(at_ms), limit, ..request(&world, who) };
        on_both_sides(&world, request).await
    };
    for (after_ms, first) in [(0, 1), (1, 2), (10, 2), (11, 4), (20, 4), (40, 8), (41, 10)] {
        let expected = (range(first, 9), first, 9, first > 1, false);
        assert_eq!(at("alice", began_ms + after_ms, 0).await, expected, "{after_ms}");
    }
    assert_eq!(at("alice", began_ms + 10, 3).await, (range(2, 4), 2, 4, true, true));
    assert_eq!(at("carol", 0, 2).await, (range(4, 5), 4, 5, false, true));
    world.remove_entries("team", &[4, 5, 6]).await;
    assert_eq!(at("alice", began_ms + 20, 0).await.0, range(7, 9));
    assert_eq!(at("alice", began_ms + 30, 0).await.0, range(7, 9));
}

#[tokio::test]
async fn a_thread_is_read_forth_and_back_and_around_as_a_room_is() {
    let mut world = World::new().await;
    world.one("team", "alice", create(&["bob"], History::All)).await;
    let reply = |root: u64| {
        let json = format!(r#"{{"text":"a reply","thread":{root}}}"#);
        Body::from_json(json.as_bytes()).expect("a body")
    };
    // Two threads among other messages: 4, 6, 8, 10, 12 of message 2, and 5, 7, 9, 11, 13 of 3.
    for _ in 2..=3 {
        world.one("team", "alice", text("root")).await;
    }
    for _ in 0..5 {
        world.one("team", "bob", reply(2)).await;
        world.one("team", "alice", reply(3)).await;
    }
    world.one("team", "alice", remove("bob")).await;
    world.one("team", "alice", reply(2)).await;
    let ask = |who: &str, limit| svc::ReadLog { thread: Some(2), limit, ..request(&world, who) };
    let after = |after, limit| svc::ReadLog { after: Some(after), ..ask("alice", limit) };
    assert_eq!(told(&world, after(0, 0)).await, (vec![4, 6, 8, 10, 12, 15], 1, 15, false));
    assert_eq!(told(&world, after(4, 2)).await, (vec![6, 8], 5, 8, true));
    assert_eq!(told(&world, after(8, 3)).await, (vec![10, 12, 15], 9, 15, false));
    assert_eq!(told(&world, after(15, 3)).await, (vec![], 16, 15, false));
    let before = |before, limit| svc::ReadLog { before: Some(before), ..ask("alice", limit) };
    assert_eq!(told(&world, before(0, 2)).await, (vec![12, 15], 12, 15, true));
    assert_eq!(told(&world, before(9, 3)).await, (vec![4, 6, 8], 1, 8, false));
    let around = svc::ReadLog { around: Some(8), ..ask("alice", 4) };
    let around = world.context.log_read(around).await.expect("a page");
    let read: Vec<u64> = seqs(&around.entries).into_iter().map(|(_, seq)| seq).collect();
    assert_eq!((read, around.more_before, around.more), (vec![4, 6, 8, 10], Some(false), true));
    // Who left reads what there was, and of another thread there is nothing in it.
    let left = svc::ReadLog { after: Some(0), ..ask("bob", 0) };
    assert_eq!(told(&world, left).await, (vec![4, 6, 8, 10, 12], 1, 15, false));
    let other = svc::ReadLog { thread: Some(3), before: Some(0), ..ask("alice", 0) };
    assert_eq!(told(&world, other).await.0, [5, 7, 9, 11, 13]);
    let none = svc::ReadLog { thread: Some(4), before: Some(0), ..ask("alice", 0) };
    assert_eq!(told(&world, none).await, (vec![], 1, 15, false));
    // What a damaged store lacks is left out.
    world.remove_entries("team", &[4, 6, 8]).await;
    let ask =
        svc::ReadLog { after: Some(0), limit: 2, thread: Some(2), ..request(&world, "alice") };
    assert_eq!(told(&world, ask).await, (vec![10, 12], 1, 12, true));
}
