//! What a snapshot promises: one moment, and all of it.

use weft_storage::Store;

use super::{b, batch, commit, everything, fill, get, keys, numbered, set};

pub async fn snapshots_see_one_moment(store: Store) {
    let before = store.snapshot().await.expect("snapshot");
    let mut first = batch();
    first.set(b("a"), "1");
    first.set(b("b"), "1");
    commit(&store, first).await;
    let between = store.snapshot().await.expect("snapshot");
    let mut second = batch();
    second.set(b("a"), "2");
    second.clear(b("b"));
    second.set(b("c"), "2");
    commit(&store, second).await;

    assert_eq!(before.scan(everything(), 10, false).await.expect("scan"), []);
    let seen = between.scan(everything(), 10, false).await.expect("scan");
    assert_eq!(seen, [(b("a"), b("1")), (b("b"), b("1"))]);
    assert_eq!(between.get(b("a")).await.expect("get"), Some(b("1")));
    assert_eq!(between.get(b("c")).await.expect("get"), None);
    assert_eq!(get(&store, "a").await, Some(b("2")));
    assert_eq!(get(&store, "b").await, None);
}

pub async fn a_snapshot_sees_what_was_answered_before_it(store: Store) {
    for number in 0..200_u32 {
        let position = set(&store, "key", number.to_be_bytes()).await;
        let snapshot = store.snapshot().await.expect("snapshot");
        assert!(snapshot.read_version() >= position);
        let seen = snapshot.get(b("key")).await.expect("get");
        assert_eq!(seen, Some(b(number.to_be_bytes())));
    }
}

pub async fn get_many_keeps_the_order_of_its_keys(store: Store) {
    let mut many = batch();
    for number in 0..500 {
        many.set(numbered("k", number), b(number.to_be_bytes()));
    }
    commit(&store, many).await;
    let snapshot = store.snapshot().await.expect("snapshot");
    for count in [0, 3, 1_000] {
        let asked = (0..count).rev().map(|number| numbered("k", number)).collect();
        let expected: Vec<_> =
            (0..count).rev().map(|n| (n < 500).then(|| b(n.to_be_bytes()))).collect();
        assert_eq!(snapshot.get_many(asked).await.expect("get_many"), expected);
    }
    let twice = vec![numbered("k", 1), b("none"), numbered("k", 1)];
    let one = Some(b(1_u32.to_be_bytes()));
    assert_eq!(snapshot.get_many(twice).await.expect("get_many"), [one.clone(), None, one]);
}

pub async fn large_reads_are_whole(store: Store) {
    fill(&store, "k", 3_000, "value").await;
    let scanned = keys(&store, everything(), 2_500, false).await;
    let expected: Vec<_> = (0..2_500).map(|number| numbered("k", number)).collect();
    assert_eq!(scanned, expected);
}
