//! What is unread in a room.

use weft_storage::tables::mark::Mark;
use weft_storage::tables::mention;
use weft_storage::tables::message::{Mentioned, Thread};

use super::*;

#[tokio::test]
async fn what_was_deleted_is_not_unread_as_far_as_it_was_counted() {
    const MESSAGES: u64 = 1_300;
    let mut world = World::new().await;
    world.one("m", "alice", create(&["bob"], History::All)).await;
    for _ in 0..MESSAGES / 100 {
        let said = (0..100).map(|_| (room("m"), user("alice"), text("x")));
        world.commit(said.collect()).await;
    }
    assert_eq!(unread(&world, "bob", "m").await, (MESSAGES, true));
    assert_eq!(unread(&world, "alice", "m").await, (0, true));
    let changed = async |seqs: std::ops::RangeInclusive<u64>, row: &Message| {
        let mut batch = weft_storage::Batch::new(rand::random());
        seqs.for_each(|seq| batch.set(message::key(&room("m"), seq), row.encode()));
        world.store.commit(batch).await.expect("commit");
    };
    let deleted = Message { deleted_by: 9, ..Message::default() };
    changed(2..=101, &deleted).await;
    changed(102..=150, &Message { was_uncounted: true, ..deleted.clone() }).await;
    changed(151..=900, &Message { edits: vec![9], ..Message::default() }).await;
    assert_eq!(unread(&world, "bob", "m").await, (MESSAGES - 100, true));
    // The first thousand changed messages are looked at.
    changed(901..=1_301, &deleted).await;
    assert_eq!(unread(&world, "bob", "m").await, (MESSAGES - 201, false));
    // Some are read, and some of that is marked as unread.
    let mark = async |mark: Mark| {
        let mut batch = weft_storage::Batch::new(rand::random());
        mark::put(&mut batch, 0, (&room("m"), &user("bob")), &mark);
        world.store.commit(batch).await.expect("commit");
    };
    let read = Mark { read: 901, read_ordinal: 900, ..Mark::default() };
    mark(read.clone()).await;
    assert_eq!(unread(&world, "bob", "m").await, (0, true));
    mark(Mark { unread_from: 900, unread_ordinal: 898, unread_at: 1_301, ..read }).await;
    assert_eq!(unread(&world, "bob", "m").await, (1, true));
    let mut batch = weft_storage::Batch::new(rand::random());
    batch.set(message::key(&room("m"), 1_000), "damaged");
    world.store.commit(batch).await.expect("commit");
    assert_eq!(unread(&world, "bob", "m").await, (402 - 99, false));
}

#[tokio::test]
async fn what_has_expired_is_not_unread_and_counts_as_read() {
    let mut world = World::new().await;
    world.one("m", "alice", create(&["bob"], History::All)).await;
    for _ in 2..=9 {
        world.one("m", "alice", text("x")).await;
    }
    assert_eq!(unread(&world, "bob", "m").await, (8, true));
    let told = async |world: &World| {
        let request = svc::GetRoom { token: world.token("bob"), room: "m".into() };
        let room = world.context.get(request).await.expect("a room");
        assert_eq!(room.unread, room.ordinal - room.read_ordinal);
        (room.unread, room.first_seq, room.last.is_empty())
    };
    for (first_seq, expected) in [(1, 8), (2, 8), (3, 7), (9, 1), (10, 0)] {
        world.remove_below("m", first_seq).await;
        assert_eq!(told(&world).await, (expected, first_seq, expected == 0));
        // What is read, or marked as unread, below that changes nothing.
        let mut batch = weft_storage::Batch::new(rand::random());
        let mark =
            Mark { read: 2, read_ordinal: 1, unread_from: 2, unread_at: 9, ..Mark::default() };
        mark::put(&mut batch, 0, (&room("m"), &user("bob")), &mark);
        world.store.commit(batch).await.expect("commit");
        let expected = if first_seq < 3 { 8 } else { expected };
        assert_eq!(told(&world).await.0, expected);
        let mut batch = weft_storage::Batch::new(rand::random());
        batch.clear(mark::key(&room("m"), &user("bob")));
        world.store.commit(batch).await.expect("commit");
    }
    world.one("m", "alice", text("new")).await;
    assert_eq!(told(&world).await, (1, 10, false));
}

#[tokio::test]
async fn threads_with_unread_replies_are_counted_as_far_as_they_are_looked_at() {
    let mut world = World::new().await;
    world.one("m", "alice", create(&["bob"], History::All)).await;
    // Thread 2 has replies of both, thread 3 of Alice, thread 4 silent ones.
    for json in [
        r#"{"text":"root"}"#,
        r#"{"text":"root"}"#,
        r#"{"text":"root"}"#,
        r#"{"text":"5","thread":2}"#,
        r#"{"text":"6","thread":3}"#,
        r#"{"text":"7","thread":4,"silent":true}"#,
    ] {
        world.one("m", "alice", Body::from_json(json.as_bytes()).expect("a body")).await;
    }
    let begun = async |world: &World, roots: &[(u64, u64)]| {
        let mut batch = weft_storage::Batch::new(rand::random());
        for (root, last_reply) in roots {
            let thread = Some(Thread { replies: 1, last_reply: *last_reply });
            let row = Message { thread, ..Message::default() };
            batch.set(message::key(&room("m"), *root), row.encode());
        }
        world.store.commit(batch).await.expect("commit");
    };
    begun(&world, &[(2, 5), (3, 6), (4, 7)]).await;
    let is = async |world: &World| {
        let request = svc::GetRoom { token: world.token("bob"), room: "m".into() };
        let room = world.context.get(request).await.expect("a room");
        (room.unread_threads, room.unread_threads_exact)
    };
    assert_eq!(is(&world).await, (0, true), "he follows none");
    for root in 2..=4 {
        world.follow("bob", "m", root, (true, root)).await;
    }
    assert_eq!(is(&world).await, (2, true));
    world.follow("bob", "m", 3, (true, 6)).await;
    assert_eq!(is(&world).await, (1, true));
    world.follow("bob", "m", 2, (false, 2)).await;
    assert_eq!(is(&world).await, (0, true));
    world.follow("bob", "m", 2, (true, 2)).await;
    // Silent replies hide what is before them.
    for _ in 0..16 {
        let silent = Body::from_json(br#"{"text":"x","thread":2,"silent":true}"#);
        world.one("m", "alice", silent.expect("a body")).await;
    }
    begun(&world, &[(2, 23)]).await;
    assert_eq!(is(&world).await, (0, false));
    world.follow("bob", "m", 2, (true, 8)).await;
    assert_eq!(is(&world).await, (0, true));
    world.follow("bob", "m", 3, (true, 3)).await;
    for root in 100..=149 {
        assert_eq!(is(&world).await, (u64::from(root < 149), root < 148), "{root}");
        world.follow("bob", "m", root, (true, root)).await;
    }
    // Who has read the room has read its threads.
    world.mark("m", "bob", &Mark { read: 23, read_ordinal: 3, ..Mark::default() }).await;
    assert_eq!(is(&world).await, (0, true));
    // A damaged row does not cost the list.
    world.one("m", "alice", text("x")).await;
    world.follow("bob", "m", 149, (true, 1)).await;
    let mut batch = weft_storage::Batch::new(rand::random());
    batch.set(message::key(&room("m"), 149), "damaged");
    world.store.commit(batch).await.expect("commit");
    assert_eq!(is(&world).await, (0, false));
}

#[tokio::test]
async fn mentions_are_unread_until_they_are_read() {
    let mut world = World::new().await;
    world.one("m", "alice", create(&["bob"], History::Joined)).await;
    for _ in 2..=5 {
        world.one("m", "alice", text("x")).await;
    }
    world.one("m", "alice", add("carol")).await;
    let mut batch = weft_storage::Batch::new(rand::random());
    let mut mentions = |message: u64, whom: &[(&str, u64)]| {
        let mentioned = |(user, seq): &(&str, u64)| Mentioned { user: (*user).into(), seq: *seq };
        let mentions = whom.iter().map(mentioned).collect();
        let (before, row) = (Message::default(), Message { mentions, ..Message::default() });
        mention::change(&mut batch, (&room("m"), message, &user("alice")), &before, &row);
    };
    mentions(2, &[("bob", 2), ("", 2)]);
    mentions(3, &[("bob", 3)]);
    // By an edit, after Carol came: she is not shown the message.
    mentions(4, &[("", 7)]);
    world.store.commit(batch).await.expect("commit");
    world.one("m", "alice", text("eight")).await;
    let of = async |world: &World, who: &str| {
        let request = svc::GetRoom { token: world.token(who), room: "m".into() };
        let one = world.context.get(request).await.expect("a room").mentions;
        let listed = list(world, who, "", 0).await.expect("list").rooms;
        assert_eq!(listed.iter().map(|room| room.mentions).collect::<Vec<_>>(), [one]);
        one
    };
    let all = [of(&world, "alice").await, of(&world, "bob").await, of(&world, "carol").await];
    assert_eq!(all, [0, 3, 0]);
    let read = async |seq: u64, unread_from: u64| {
        let mut batch = weft_storage::Batch::new(rand::random());
        let mark = Mark { read: seq, unread_from, unread_at: 7, ..Mark::default() };
        mark::put(&mut batch, 0, (&room("m"), &user("bob")), &mark);
        world.store.commit(batch).await.expect("commit");
        of(&world, "bob").await
    };
    assert_eq!((read(2, 0).await, read(6, 0).await, read(7, 0).await), (2, 1, 0));
    assert_eq!(read(7, 3).await, 2);
}

#[tokio::test]
async fn mentions_in_what_was_read_in_an_earlier_membership_count() {
    let mut world = World::new().await;
    world.one("m", "alice", create(&["bob"], History::Joined)).await;
    for body in [text("two"), remove("bob"), text("four"), add("bob"), text("six")] {
        world.one("m", "alice", body).await;
    }
    let mut batch = weft_storage::Batch::new(rand::random());
    // By edits, of which each mentions whom it did not before.
    for (message, whom, seq) in [(2, "bob", 6), (4, "", 6)] {
        let mentions = vec![Mentioned { user: whom.into(), seq }];
        let (before, row) = (Message::default(), Message { mentions, ..Message::default() });
        mention::change(&mut batch, (&room("m"), message, &user("alice")), &before, &row);
    }
    world.store.commit(batch).await.expect("commit");
    let page = list(&world, "bob", "", 0).await.expect("list");
    assert_eq!(page.rooms[0].mentions, 1);
}
