//! What keys and values may be, and what is refused.

use bytes::Bytes;
use weft_storage::limits::{BATCH_BYTES_MAX, KEY_BYTES_MAX, VALUE_BYTES_MAX};
use weft_storage::{Batch, Error, Outcome, Store};

use super::{b, batch, commit, everything, get, keys, numbered, set};

pub async fn limits_are_refused_and_write_nothing(store: Store) {
    let long_key = b(vec![b'k'; KEY_BYTES_MAX + 1]);
    let long_value = b(vec![b'v'; VALUE_BYTES_MAX + 1]);
    let mut broken: Vec<(&str, Batch)> = Vec::new();
    let mut refuse = |what, add: &dyn Fn(&mut Batch)| {
        let mut batch = batch();
        batch.set(b("a"), "1");
        add(&mut batch);
        broken.push((what, batch));
    };
    refuse("key", &|batch| batch.set(long_key.clone(), ""));
    refuse("key", &|batch| batch.clear(long_key.clone()));
    refuse("key", &|batch| batch.max(long_key.clone(), ""));
    refuse("key", &|batch| batch.guard(long_key.clone(), None));
    refuse("key", &|batch| batch.clear_range(b(""), long_key.clone()));
    refuse("key", &|batch| batch.set_at_position(long_key.slice(..KEY_BYTES_MAX - 11), 0, ""));
    refuse("value", &|batch| batch.set(b("k"), long_value.clone()));
    refuse("value", &|batch| batch.max(b("k"), long_value.clone()));
    refuse("value", &|batch| batch.guard(b("k"), Some(long_value.clone())));
    refuse("value", &|batch| batch.set_at_position(b("k"), 0, long_value.clone()));
    refuse("value", &|batch| {
        batch.set_positioned(b("k"), 0, long_value.slice(..VALUE_BYTES_MAX - 15));
    });
    let full_value = long_value.slice(..VALUE_BYTES_MAX);
    refuse("batch", &|batch| {
        for number in 0..BATCH_BYTES_MAX / VALUE_BYTES_MAX {
            batch.set(numbered("k", u32::try_from(number).expect("small")), full_value.clone());
        }
    });
    for (expected, batch) in broken {
        match store.commit(batch).await {
            Err(Error::Limit { what, bytes, bytes_max }) => {
                assert_eq!(what, expected);
                assert!(bytes > bytes_max);
            }
            other => panic!("{expected} too large, but {other:?}"),
        }
    }
    assert!(keys(&store, everything(), 10, false).await.is_empty());
}

pub async fn the_largest_keys_and_values_are_kept(store: Store) {
    let key = b(vec![0xfe; KEY_BYTES_MAX]);
    let value = Bytes::from_iter((0..VALUE_BYTES_MAX).map(|i| (i * i % 251) as u8));
    let mut large = batch();
    large.guard(key.clone(), None);
    large.set(key.clone(), value.clone());
    for number in 0..95 {
        large.set(numbered("k", number), value.clone());
    }
    assert!(large.size_bytes() > BATCH_BYTES_MAX * 9 / 10);
    commit(&store, large).await;
    let mut guarded = batch();
    guarded.guard(key.clone(), Some(value.clone()));
    guarded.set_at_position(key.slice(..KEY_BYTES_MAX - 12), 0, value.clone());
    guarded.set_positioned(b("positioned"), 0, value.slice(..VALUE_BYTES_MAX - 16));
    commit(&store, guarded).await;
    assert_eq!(get(&store, &key).await, Some(value.clone()));
    assert_eq!(get(&store, numbered("k", 94)).await, Some(value.clone()));
    assert_eq!(get(&store, "positioned").await.expect("value").len(), VALUE_BYTES_MAX - 4);
    let snapshot = store.snapshot().await.expect("snapshot");
    let last = snapshot.scan(b([0xfe])..b([0xff]), 5, true).await.expect("scan");
    assert_eq!(last.len(), 2);
    assert_eq!(last[0], (key, value));
}

pub async fn empty_values_are_values(store: Store) {
    set(&store, "a", "").await;
    assert_eq!(get(&store, "a").await, Some(Bytes::new()));
    let mut absent = batch();
    absent.guard(b("a"), None);
    let outcome = store.commit(absent).await.expect("commit");
    assert_eq!(outcome, Outcome::Rejected { guard: 0 });
    let mut empty = batch();
    empty.guard(b("a"), Some(Bytes::new()));
    empty.clear(b("a"));
    commit(&store, empty).await;
    assert_eq!(get(&store, "a").await, None);
}

pub async fn keys_are_bytes(store: Store) {
    let bytes: [&[u8]; 12] = [
        b"",
        b"\0",
        b"\0\0",
        b"\0\0\x01",
        b"\0\xff",
        b"\x01",
        b"a\0",
        b"a\0b",
        b"a\xff",
        b"\xff",
        b"\xff\0",
        b"\xff\xff",
    ];
    for key in bytes.iter().rev() {
        set(&store, key, key).await;
    }
    let snapshot = store.snapshot().await.expect("snapshot");
    let pairs: Vec<_> = bytes.iter().map(|key| (b(key), b(key))).collect();
    assert_eq!(snapshot.scan(everything(), 100, false).await.expect("scan"), pairs);
    for key in bytes {
        assert_eq!(snapshot.get(b(key)).await.expect("get"), Some(b(key)));
    }
    let mut clearing = batch();
    clearing.clear_range(b(b"\0"), b(b"\xff"));
    commit(&store, clearing).await;
    let left = keys(&store, everything(), 100, false).await;
    assert_eq!(left, [b(b""), b(b"\xff"), b(b"\xff\0"), b(b"\xff\xff")]);
}
