//! What positions promise: they order all commits.

use weft_proto::Position;
use weft_storage::Store;

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
