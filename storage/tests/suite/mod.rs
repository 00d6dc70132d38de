//! The conformance suite: what every engine promises, as functions over a store that is empty.
//!
//! A new engine runs all of it with one line, `suite::conformance!(open().await)`, where `open`
//! gives a new, empty store and something that is kept until the test's end. Random histories
//! against the reference model are in [`histories`].

#![allow(dead_code, unused_imports, unused_macros, reason = "each test file uses its part")]

pub mod commits;
pub mod evidence;
pub mod histories;
pub mod moving;
pub mod positions;
pub mod ranges;
pub mod reads;
pub mod sizes;

use std::ops::Range;
use std::pin::Pin;

use bytes::Bytes;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use weft_proto::Position;
use weft_storage::{Batch, Outcome, Store};

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
            an_entry_that_is_written_again_keeps_its_position
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

pub use commits::*;
pub use evidence::what_nobody_learned_happens_once;
pub use positions::*;
pub use ranges::*;
pub use reads::*;
pub use sizes::*;

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
