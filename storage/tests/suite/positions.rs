//! What positions promise: they order all commits.

use weft_proto::kind::{Deleted, Text};
use weft_proto::{Body, Entry, Position, RoomId, UserId};
use weft_storage::Store;
use weft_storage::tables::log::{self, At, Limit};

use super::{b, batch, commit, get, set};

pub async fn positioned_keys_stand_in_commit_order(store: Store) {
    let mut expected = Vec::new();
    for commit_number in 0..20_u16 {
        let mut appending = batch();
        // Not in their order: the order's number decides, not the operation's place.
        for order in [1_u16, 0, 0xffff] {
            appending.set_at_position(
                b("log/"),
                order,
                b([commit_number, order].map(u16::to_be_bytes).concat()),
            );
        }
        let position = commit(&store, appending).await;
        for order in [0, 1, 0xffff] {
            let key = [b"log/".as_ref(), &position.with_order(order).0].concat();
            expected.push((b(key), b([commit_number, order].map(u16::to_be_bytes).concat())));
        }
    }
    let snapshot = store.snapshot().await.expect("snapshot");
    let log = snapshot.scan(b("log/")..b("log0"), 1_000, false).await.expect("scan");
    assert_eq!(log, expected);
}

pub async fn positions_inside_values_are_the_commits(store: Store) {
    let mut placing = batch();
    placing.set_positioned(b("head"), 7, "tail");
    placing.set_positioned(b("bare"), 0, "");
    let position = commit(&store, placing).await;
    assert_eq!(position, position.with_order(0));
    let head = get(&store, "head").await.expect("value");
    assert_eq!(Position::from_slice(&head[..12]), Some(position.with_order(7)));
    assert_eq!(&head[12..], b"tail");
    assert_eq!(get(&store, "bare").await, Some(b(position.0)));
}

pub async fn positions_grow_and_read_versions_cover_them(store: Store) {
    let empty = store.snapshot().await.expect("snapshot").read_version();
    let mut last = set(&store, "a", "").await;
    assert!(empty < last);
    for _ in 0..50 {
        let before = store.snapshot().await.expect("snapshot").read_version();
        let position = set(&store, "a", "").await;
        let after = store.snapshot().await.expect("snapshot").read_version();
        assert!(last.commit_end() <= before, "{last} is before {before}");
        assert!(before < position);
        // What the commit wrote under any order is covered.
        assert!(position.commit_end() <= after);
        last = position;
    }
}

/// In the same commit, and in a later one; also where it was large and is small then.
pub async fn an_entry_that_is_written_again_keeps_its_position(store: Store) {
    let room = RoomId::new("team").expect("id");
    let entry = |seq: u64, body: Body| Entry {
        room: room.clone(),
        seq,
        ordinal: seq,
        from: UserId::new("ann").expect("id"),
        client_id: None,
        time_ms: seq,
        body,
    };
    let noise = (0..60_000_u32).map(|n| char::from_u32(0xac00 + n * 7_919 % 11_172));
    let large = noise.collect::<Option<String>>().expect("hangul");
    let text = |seq| {
        let text = if seq % 2 == 0 { large.clone() } else { "small".into() };
        entry(seq, Body::Text(Text { text, ..Text::default() }))
    };
    let deleted = |seq| entry(seq, Body::Deleted(Deleted { by: 9, thread: None }));
    let mut first = batch();
    (1..=4).for_each(|seq| log::put(&mut first, seq as u16, &text(seq)));
    (1..=2).for_each(|seq| log::put_again(&mut first, At::Order(seq as u16), &deleted(seq)));
    let position = commit(&store, first).await;
    let at = |seq: u64| position.with_order(seq as u16);
    let mut second = batch();
    (3..=4).for_each(|seq| log::put_again(&mut second, At::Position(at(seq)), &deleted(seq)));
    commit(&store, second).await;
    let snapshot = store.snapshot().await.expect("snapshot");
    let limit = Limit { entries_max: 9, bytes_max: usize::MAX };
    let read = log::read(&*snapshot, &room, 0..u64::MAX, limit).await.expect("read");
    let read: Vec<_> = read.into_iter().map(|logged| (logged.position, logged.entry)).collect();
    assert_eq!(read, (1..=4).map(|seq| (at(seq), deleted(seq))).collect::<Vec<_>>());
}
