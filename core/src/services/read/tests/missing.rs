//! A room whose log lacks entries.

use super::*;
use crate::absent;

#[tokio::test]
async fn what_is_missing_is_said_and_what_a_room_has_let_go_of_is_not() {
    for (name, asked) in [("gap-after", Some(0)), ("gap-before", None)] {
        let mut world = World::new().await;
        world.one(name, "alice", create(&["bob"], History::All)).await;
        let cursor = world.cursor().await;
        for _ in 2..=6 {
            world.one(name, "alice", text("x")).await;
        }
        let read = async |world: &World| {
            let before = asked.is_none().then_some(0);
            let request = svc::ReadLog { after: asked, before, ..request(world, "alice") };
            told(world, svc::ReadLog { room: name.into(), ..request }).await.0
        };
        assert_eq!(read(&world).await, range(1, 6));
        world.remove_below(name, 3).await;
        assert_eq!(read(&world).await, range(3, 6));
        let sync = svc::Sync { token: world.token("bob"), cursor, ..svc::Sync::default() };
        let synced = world.context.sync(sync.clone()).await.expect("a page");
        assert_eq!(seqs(&synced.entries).len(), 4);
        assert!(!absent::is_said(&room(name)), "nothing is missing");
        world.remove_entries(name, &[5]).await;
        if asked.is_some() {
            assert_eq!(read(&world).await, [3, 4, 6]);
        } else {
            let synced = world.context.sync(sync).await.expect("a page");
            assert_eq!(seqs(&synced.entries).len(), 3);
        }
        assert!(absent::is_said(&room(name)), "an entry is missing");
    }
    let mut world = World::new().await;
    world.one("gap-back", "alice", create(&["bob"], History::All)).await;
    world.one("gap-back", "alice", text("2")).await;
    world.one("gap-back", "alice", text("3")).await;
    world.remove_entries("gap-back", &[1, 2]).await;
    let last = svc::ReadLog { before: Some(0), limit: 1, ..request(&world, "alice") };
    let last = svc::ReadLog { room: "gap-back".into(), ..last };
    assert_eq!(told(&world, last.clone()).await.0, [3]);
    assert!(!absent::is_said(&room("gap-back")), "nobody has looked there");
    assert_eq!(told(&world, svc::ReadLog { limit: 0, ..last }).await.0, [3]);
    assert!(absent::is_said(&room("gap-back")), "entries are missing");
}

#[tokio::test]
async fn what_is_missing_is_hidden() {
    let mut world = world(History::All).await;
    // One by one, and all below the room's first.
    world.remove_entries("team", &[6, 9, 10]).await;
    assert_eq!(after(&world, "alice", 4, 0, 3).await, (vec![5, 7, 8], 5, 8, true));
    assert_eq!(after(&world, "alice", 8, 0, 0).await, (vec![11, 12], 9, 12, false));
    assert_eq!(after(&world, "alice", 8, 10, 0).await, (vec![], 9, 10, false));
    assert_eq!(before(&world, "alice", 11, 2).await, (vec![7, 8], 7, 10, true));
    assert_eq!(before(&world, "alice", 7, 0).await, (range(1, 5), 1, 6, false));
    world.remove_below("team", 8).await;
    assert_eq!(after(&world, "alice", 0, 0, 2).await, (vec![8, 11], 1, 11, true));
    assert_eq!(before(&world, "alice", 0, 9).await, (vec![8, 11, 12], 1, 12, false));
    assert_eq!(before(&world, "alice", 5, 0).await, (vec![], 1, 4, false));
}

/// From every position of a room, whatever was removed: as if it had been hidden.
#[tokio::test]
async fn a_room_is_read_from_a_position_whatever_was_removed() {
    for removed in 0_u32..1 << 8 {
        let mut world = World::new().await;
        let mut cursors = vec![world.cursor().await];
        for _ in 1..=9 {
            world.one("alice~bob", "alice", text("hi")).await;
            cursors.push(world.cursor().await);
        }
        let seqs: Vec<u64> = (1..=8).filter(|seq| removed & 1 << (seq - 1) != 0).collect();
        world.remove_entries("alice~bob", &seqs).await;
        for (seq, cursor) in (0..).zip(&cursors) {
            let position = cursor.parse::<weft_proto::Cursor>().expect("a cursor").position;
            let request = svc::ReadLog {
                room: "alice~bob".into(),
                after_position: Some(position.0.to_vec()),
                ..request(&world, "alice")
            };
            let left: Vec<u64> = (seq + 1..=9).filter(|seq| !seqs.contains(seq)).collect();
            let (read, from, through, more) = told(&world, request).await;
            assert_eq!((read, through, more), (left, 9, false), "{seqs:?} after {seq}");
            assert!(from <= seq + 1, "{seqs:?}: {from} after {seq}");
        }
    }
}

/// A page of messages as they are now: what is missing changes nothing of the others.
#[tokio::test]
async fn messages_are_shown_whatever_is_missing_beside_them() {
    use weft_proto::kind::Edit;
    use weft_storage::tables::message::{self, Message};

    let mut world = World::new().await;
    world.one("damaged", "alice", create(&["bob"], History::All)).await;
    for _ in 2..=4 {
        world.one("damaged", "alice", text("first")).await;
    }
    for target in [2, 4] {
        let body = weft_proto::Body::Edit(Edit {
            target,
            text: format!("edit of {target}"),
            ranges: vec![],
        });
        world.one("damaged", "alice", body).await;
    }
    let mut batch = weft_storage::Batch::new(rand::random());
    for (seq, edits) in [(2, vec![5]), (3, vec![]), (4, vec![6])] {
        let row = Message { edits, edited_at_ms: 1, ..Message::default() };
        batch.set(message::key(&room("damaged"), seq), row.encode());
    }
    world.store.commit(batch).await.expect("commit");
    // The message 3, and the edit of 2.
    world.remove_entries("damaged", &[3, 5]).await;
    let page = world.context.log_read(svc::ReadLog {
        room: "damaged".into(),
        after: Some(0),
        merged: true,
        ..request(&world, "bob")
    });
    let page = page.await.expect("a page");
    let shown = |entry: &svc::LogEntry| {
        let frame: serde_json::Value = serde_json::from_slice(&entry.frame).expect("json");
        (frame["seq"].as_u64().expect("a seq"), frame["text"].as_str().unwrap_or("").to_owned())
    };
    let shown: Vec<_> = page.entries.iter().map(shown).collect();
    let expected = [(1, ""), (2, "first"), (4, "edit of 4"), (6, "edit of 4")];
    assert_eq!(shown, expected.map(|(seq, text)| (seq, text.to_owned())));
    assert!(absent::is_said(&room("damaged")));
}
