//! What ranges promise, read and cleared.

use std::collections::BTreeSet;

use bytes::Bytes;
use weft_storage::Store;

use super::{b, batch, commit, everything, fill, get, keys, numbered, set};

pub async fn ranges_are_half_open(store: Store) {
    for key in ["a", "b", "b\0", "c", "d"] {
        set(&store, key, key).await;
    }
    assert_eq!(keys(&store, b("b")..b("d"), 10, false).await, [b("b"), b("b\0"), b("c")]);
    assert_eq!(keys(&store, b("b\0")..b("c"), 10, false).await, [b("b\0")]);
    let mut clearing = batch();
    clearing.clear_range(b("b"), b("c"));
    commit(&store, clearing).await;
    assert_eq!(keys(&store, everything(), 10, false).await, [b("a"), b("c"), b("d")]);
}

pub async fn ranges_end_at_their_limit_from_either_side(store: Store) {
    for number in 0..10 {
        set(&store, numbered("k", number), "").await;
    }
    let range = numbered("k", 2)..numbered("k", 8);
    let numbers = |numbers: &[u32]| -> Vec<Bytes> {
        numbers.iter().map(|number| numbered("k", *number)).collect()
    };
    assert_eq!(keys(&store, range.clone(), 3, false).await, numbers(&[2, 3, 4]));
    assert_eq!(keys(&store, range.clone(), 3, true).await, numbers(&[7, 6, 5]));
    assert_eq!(keys(&store, range.clone(), 6, true).await, numbers(&[7, 6, 5, 4, 3, 2]));
    assert_eq!(keys(&store, range.clone(), 100, false).await.len(), 6);
    assert_eq!(keys(&store, range.clone(), usize::MAX, true).await.len(), 6);
    assert!(keys(&store, range, 0, false).await.is_empty());
}

pub async fn empty_and_inverted_ranges_hold_nothing(store: Store) {
    for key in ["a", "b", "c"] {
        set(&store, key, "").await;
    }
    for (from, to) in [("b", "b"), ("c", "a"), ("bb", "b")] {
        for reverse in [false, true] {
            assert!(keys(&store, b(from)..b(to), 10, reverse).await.is_empty());
        }
        let mut clearing = batch();
        clearing.clear_range(b(from), b(to));
        commit(&store, clearing).await;
    }
    assert_eq!(keys(&store, everything(), 10, false).await.len(), 3);
}

pub async fn large_ranges_are_cleared_whole(store: Store) {
    fill(&store, "k", 10_000, "old").await;
    let before = store.snapshot().await.expect("snapshot");
    let mut clearing = batch();
    clearing.clear_range(numbered("k", 10), numbered("k", 9_990));
    clearing.set(b("note"), "cleared");
    commit(&store, clearing).await;
    for _ in 0..20 {
        let left = keys(&store, everything(), 100_000, false).await;
        assert_eq!(left.len(), 21);
        let mut reversed = keys(&store, everything(), 100_000, true).await;
        reversed.reverse();
        assert_eq!(left, reversed);
        assert_eq!(get(&store, numbered("k", 5_000)).await, None);
        assert_eq!(get(&store, numbered("k", 9_990)).await, Some(b("old")));
        set(&store, "other", "").await;
        let mut undoing = batch();
        undoing.clear(b("other"));
        commit(&store, undoing).await;
    }
    let held = before.scan(everything(), 100_000, false).await.expect("scan");
    assert_eq!(held.len(), 10_000);
    assert_eq!(before.get(numbered("k", 5_000)).await.expect("get"), Some(b("old")));
    let mut absent = batch();
    absent.guard(numbered("k", 10), None);
    absent.guard(numbered("k", 9_989), None);
    absent.guard(numbered("k", 9), Some(b("old")));
    commit(&store, absent).await;
}

pub async fn cleared_ranges_can_be_filled_again(store: Store) {
    fill(&store, "k", 5_000, "old").await;
    let mut clearing = batch();
    clearing.set(numbered("k", 7), "lost");
    clearing.clear_range(b("k"), b("l"));
    clearing.set(numbered("k", 3), "new");
    clearing.max(numbered("k", 4), "max");
    commit(&store, clearing).await;
    let mut filling = batch();
    filling.guard(numbered("k", 2_000), None);
    filling.set(numbered("k", 2_000), "new");
    filling.max(numbered("k", 3_000), "a");
    commit(&store, filling).await;
    let mut partly = batch();
    partly.clear_range(numbered("k", 1), numbered("k", 2_500));
    partly.set(numbered("k", 4_999), "new");
    commit(&store, partly).await;

    let left: BTreeSet<_> = keys(&store, everything(), 100, false).await.into_iter().collect();
    assert_eq!(left, BTreeSet::from([numbered("k", 3_000), numbered("k", 4_999)]));
    assert_eq!(get(&store, numbered("k", 3_000)).await, Some(b("a")));
}
