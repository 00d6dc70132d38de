//! The conformance suite: what every engine promises, as functions over a store that is empty.
//!
//! A new engine runs all of it with one line, `suite::conformance!(open().await)`, where `open`
//! gives a new, empty store and something that is kept until the test's end. Random histories
//! against the reference model are in [`histories`].

#![allow(dead_code, unused_imports, unused_macros, reason = "each test file uses its part")]

pub mod evidence;
pub mod histories;
pub mod moving;

use std::collections::BTreeSet;
use std::ops::Range;
use std::pin::Pin;

use bytes::Bytes;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use weft_proto::Position;
use weft_storage::limits::{BATCH_BYTES_MAX, KEY_BYTES_MAX, VALUE_BYTES_MAX};
use weft_storage::{Batch, Error, Outcome, Store};

/// Runs every function of the suite on one engine, each as a test of its own.
///
/// `conformance!(list)` gives them as [`Case`]s instead, for a test that has its own `main`.
macro_rules! conformance {
    (list) => { $crate::suite::conformance!(@each { @list }) };
    ($open:expr) => { $crate::suite::conformance! { @each { @tests $open } } };
    (@each { $($how:tt)* }) => {
        $crate::suite::conformance! { $($how)*;
            snapshots_see_one_moment
            a_snapshot_sees_what_was_answered_before_it
            guards_accept_what_holds
            a_failed_guard_writes_nothing
            guards_do_not_see_their_own_batch
            one_of_many_writers_of_a_guarded_key_wins
            counters_lose_nothing
            max_only_grows
            positioned_keys_stand_in_commit_order
            positions_inside_values_are_the_commits
            positions_grow_and_read_versions_cover_them
            ranges_are_half_open
            ranges_end_at_their_limit_from_either_side
            empty_and_inverted_ranges_hold_nothing
            limits_are_refused_and_write_nothing
            the_largest_keys_and_values_are_kept
            empty_values_are_values
            keys_are_bytes
            get_many_keeps_the_order_of_its_keys
            operations_happen_in_their_order
            large_ranges_are_cleared_whole
            cleared_ranges_can_be_filled_again
            batches_without_operations_check_their_guards
            large_reads_are_whole
            what_nobody_learned_happens_once
        }
    };
    (@list; $($name:ident)*) => {
        [$((
            stringify!($name),
            (|store| Box::pin($crate::suite::$name(store))) as $crate::suite::Case,
        )),*]
    };
    (@tests $open:expr; $($name:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let (store, _kept) = $open;
                $crate::suite::$name(store).await;
            }
        )*
    };
}
pub(crate) use conformance;

pub use evidence::what_nobody_learned_happens_once;

/// A function of the suite.
pub type Case = fn(Store) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// The seed of this run: `WEFT_SEED`, or a new one. Printed, so that a failure can be repeated.
pub fn seed() -> u64 {
    let given = std::env::var("WEFT_SEED").ok();
    let seed = given.map_or_else(rand::random, |text| text.parse().expect("WEFT_SEED is a number"));
    println!("repeat with WEFT_SEED={seed}");
    seed
}

/// A proptest runner with that seed.
pub fn runner(cases: u32) -> TestRunner {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed().to_be_bytes());
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes))
}

/// An empty batch with an id of its own.
pub fn batch() -> Batch {
    Batch::new(rand::random())
}

/// A key or value from bytes or text.
pub fn b(bytes: impl AsRef<[u8]>) -> Bytes {
    Bytes::copy_from_slice(bytes.as_ref())
}

/// A key that sorts by its number.
pub fn numbered(prefix: &str, number: u32) -> Bytes {
    b([prefix.as_bytes(), &number.to_be_bytes()].concat())
}

/// Commits what must be accepted.
pub async fn commit(store: &Store, batch: Batch) -> Position {
    match store.commit(batch).await.expect("commit") {
        Outcome::Committed(position) => position,
        Outcome::Rejected { guard } => panic!("guard {guard} was rejected"),
    }
}

async fn set(store: &Store, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Position {
    let mut batch = batch();
    batch.set(b(key), b(value));
    commit(store, batch).await
}

/// The newest value.
pub async fn get(store: &Store, key: impl AsRef<[u8]>) -> Option<Bytes> {
    store.snapshot().await.expect("snapshot").get(b(key)).await.expect("get")
}

async fn keys(store: &Store, range: Range<Bytes>, limit: usize, reverse: bool) -> Vec<Bytes> {
    let snapshot = store.snapshot().await.expect("snapshot");
    let pairs = snapshot.scan(range, limit, reverse).await.expect("scan");
    pairs.into_iter().map(|(key, _)| key).collect()
}

/// All keys that the tests use are below this.
pub fn everything() -> Range<Bytes> {
    Bytes::new()..b([0xff; 32])
}

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

pub async fn guards_accept_what_holds(store: Store) {
    set(&store, "there", "1").await;
    let mut guarded = batch();
    guarded.guard(b("there"), Some(b("1")));
    guarded.guard(b("not there"), None);
    guarded.set(b("there"), "2");
    commit(&store, guarded).await;
    assert_eq!(get(&store, "there").await, Some(b("2")));
}

pub async fn a_failed_guard_writes_nothing(store: Store) {
    set(&store, "a", "1").await;
    let wrong =
        [(b("a"), Some(b("2"))), (b("a"), None), (b("none"), Some(b(""))), (b("a"), Some(b("11")))];
    for (key, expected) in wrong {
        let mut guarded = batch();
        guarded.guard(b("a"), Some(b("1")));
        guarded.guard(key, expected);
        guarded.set(b("a"), "3");
        guarded.clear_range(b(""), b("z"));
        guarded.set_at_position(b("p"), 0, "3");
        let outcome = store.commit(guarded).await.expect("commit");
        assert_eq!(outcome, Outcome::Rejected { guard: 1 });
    }
    assert_eq!(keys(&store, everything(), 10, false).await, [b("a")]);
    assert_eq!(get(&store, "a").await, Some(b("1")));
}

pub async fn guards_do_not_see_their_own_batch(store: Store) {
    let mut guarded = batch();
    guarded.set(b("a"), "1");
    guarded.guard(b("a"), None);
    commit(&store, guarded).await;
    assert_eq!(get(&store, "a").await, Some(b("1")));
}

pub async fn one_of_many_writers_of_a_guarded_key_wins(store: Store) {
    for round in 0..20_u32 {
        let writers: Vec<_> = (0..16_u32)
            .map(|writer| {
                let mut guarded = batch();
                guarded.guard(numbered("round", round), None);
                guarded.set(numbered("round", round), b(writer.to_be_bytes()));
                guarded.set(numbered("writer", writer), b(round.to_be_bytes()));
                let store = store.clone();
                tokio::spawn(async move { store.commit(guarded).await.expect("commit") })
            })
            .collect();
        let mut winners = Vec::new();
        for (writer, task) in (0..).zip(writers) {
            if let Outcome::Committed(_) = task.await.expect("task") {
                winners.push(writer);
            }
        }
        let [winner]: [u32; 1] = winners.try_into().expect("exactly one winner");
        let kept = get(&store, numbered("round", round)).await;
        assert_eq!(kept, Some(b(winner.to_be_bytes())));
        for writer in 0..16 {
            let wrote =
                get(&store, numbered("writer", writer)).await == Some(b(round.to_be_bytes()));
            assert_eq!(wrote, writer == winner, "round {round}, writer {writer}");
        }
    }
}

pub async fn counters_lose_nothing(store: Store) {
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                for _ in 0..25 {
                    loop {
                        let now = get(&store, "counter").await;
                        let count = now.as_ref().map_or(0, |now| {
                            u32::from_be_bytes(now.as_ref().try_into().expect("4 bytes"))
                        });
                        let mut guarded = batch();
                        guarded.guard(b("counter"), now);
                        guarded.set(b("counter"), b((count + 1).to_be_bytes()));
                        let outcome = store.commit(guarded).await.expect("commit");
                        if matches!(outcome, Outcome::Committed(_)) {
                            break;
                        }
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("task");
    }
    assert_eq!(get(&store, "counter").await, Some(b(200_u32.to_be_bytes())));
}

pub async fn max_only_grows(store: Store) {
    let steps: [(&[u8], &[u8]); 7] = [
        (b"", b""),
        (&[0], &[0]),
        (&[1, 0], &[1, 0]),
        (&[0, 255], &[1, 0]),
        (&[1], &[1, 0]),
        (&[1, 0, 0], &[1, 0, 0]),
        (&[0xff], &[0xff]),
    ];
    for (value, kept) in steps {
        let mut raising = batch();
        raising.max(b("mark"), b(value));
        commit(&store, raising).await;
        assert_eq!(get(&store, "mark").await, Some(b(kept)));
    }
    let mut mixed = batch();
    mixed.max(b("x"), "2");
    mixed.max(b("x"), "1");
    mixed.max(b("mark"), "0");
    mixed.set(b("y"), "5");
    mixed.max(b("y"), "3");
    mixed.clear(b("z"));
    mixed.max(b("z"), "");
    commit(&store, mixed).await;
    assert_eq!(get(&store, "x").await, Some(b("2")));
    assert_eq!(get(&store, "mark").await, Some(b([0xff])));
    assert_eq!(get(&store, "y").await, Some(b("5")));
    assert_eq!(get(&store, "z").await, Some(b("")));
}

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

pub async fn operations_happen_in_their_order(store: Store) {
    for key in ["a", "b", "c"] {
        set(&store, key, "old").await;
    }
    let mut ordered = batch();
    ordered.set(b("b"), "1");
    ordered.set(b("b2"), "1");
    ordered.clear(b("a"));
    ordered.clear_range(b("a"), b("c"));
    ordered.set(b("b"), "2");
    ordered.set(b("a2"), "2");
    ordered.clear(b("a2"));
    ordered.set(b("c"), "2");
    ordered.set(b("c"), "3");
    ordered.clear(b("d"));
    ordered.set(b("d"), "4");
    ordered.set_positioned(b("e"), 0, "x");
    ordered.set(b("e"), "5");
    commit(&store, ordered).await;
    let snapshot = store.snapshot().await.expect("snapshot");
    let expected = [("b", "2"), ("c", "3"), ("d", "4"), ("e", "5")];
    let expected: Vec<_> = expected.iter().map(|(key, value)| (b(key), b(value))).collect();
    assert_eq!(snapshot.scan(everything(), 10, false).await.expect("scan"), expected);
}

/// Fills `0..count` below a prefix, with one batch per 1,000.
async fn fill(store: &Store, prefix: &str, count: u32, value: &'static str) {
    for first in (0..count).step_by(1_000) {
        let mut filling = batch();
        for number in first..count.min(first + 1_000) {
            filling.set(numbered(prefix, number), value);
        }
        commit(store, filling).await;
    }
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

pub async fn batches_without_operations_check_their_guards(store: Store) {
    let first = set(&store, "a", "1").await;
    let mut checking = batch();
    checking.guard(b("a"), Some(b("1")));
    assert!(matches!(store.commit(checking).await.expect("commit"), Outcome::Committed(_)));
    let mut checking = batch();
    checking.guard(b("a"), Some(b("2")));
    let outcome = store.commit(checking).await.expect("commit");
    assert_eq!(outcome, Outcome::Rejected { guard: 0 });
    assert!(set(&store, "a", "2").await > first);
}

pub async fn large_reads_are_whole(store: Store) {
    fill(&store, "k", 3_000, "value").await;
    let scanned = keys(&store, everything(), 2_500, false).await;
    let expected: Vec<_> = (0..2_500).map(|number| numbered("k", number)).collect();
    assert_eq!(scanned, expected);
}
