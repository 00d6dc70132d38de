//! Random histories, applied to two engines that must not differ.
//!
//! Positions are the engines' own, so each is replaced by the number of its commit before two
//! states are compared. Keys come from a small alphabet, so that operations meet.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use weft_storage::engine::Pair;
use weft_storage::{Batch, Outcome, Snapshot, Store};

use super::{b, batch, everything};

/// What a guard expects.
#[derive(Clone, Debug)]
pub enum Expected {
    Absent,
    /// What the engine has.
    Current,
    Value(Bytes),
}

#[derive(Clone, Debug)]
pub enum Change {
    Set(Bytes, Bytes),
    Clear(Bytes),
    ClearRange(Bytes, Bytes),
    Max(Bytes, Bytes),
    SetPositioned(Bytes, u16, Bytes),
    SetAtPosition(u16, Bytes),
}

#[derive(Clone, Debug)]
pub enum Step {
    Commit(Vec<(Bytes, Expected)>, Vec<Change>),
    /// Several batches at once, which raise these keys, so that the engine may group them.
    Burst(Vec<Vec<Bytes>>),
    Scan {
        from: Bytes,
        to: Bytes,
        limit: usize,
        reverse: bool,
    },
    GetMany(Vec<Bytes>),
    Hold,
    Release,
    Reopen,
}

fn key() -> impl Strategy<Value = Bytes> {
    vec(prop::sample::select(vec![0_u8, b'a', b'p', 0xff]), 0..4).prop_map(b)
}

fn value() -> impl Strategy<Value = Bytes> {
    // Shorter than a position: see `Run::translated`. And larger, whatever the engine's positions
    // are, so that `max` ends alike.
    vec(prop::sample::select(vec![1_u8, b'a', b'b', 0xff]), 0..4).prop_map(b)
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (key(), value()).prop_map(|(key, value)| Change::Set(key, value)),
        1 => key().prop_map(Change::Clear),
        2 => (key(), key()).prop_map(|(from, to)| Change::ClearRange(from, to)),
        2 => (key(), value()).prop_map(|(key, value)| Change::Max(key, value)),
        1 => (key(), any::<u16>(), value()).prop_map(|(k, o, v)| Change::SetPositioned(k, o, v)),
        1 => (any::<u16>(), value()).prop_map(|(order, value)| Change::SetAtPosition(order, value)),
    ]
}

fn guard() -> impl Strategy<Value = (Bytes, Expected)> {
    let expected = prop_oneof![
        1 => Just(Expected::Absent),
        4 => Just(Expected::Current),
        1 => value().prop_map(Expected::Value),
    ];
    (key(), expected)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => (vec(guard(), 0..3), vec(change(), 0..8))
            .prop_map(|(guards, changes)| Step::Commit(guards, changes)),
        1 => vec(vec(key(), 1..4), 2..8).prop_map(Step::Burst),
        2 => (key(), key(), 0_usize..8, any::<bool>())
            .prop_map(|(from, to, limit, reverse)| Step::Scan { from, to, limit, reverse }),
        1 => vec(key(), 0..100).prop_map(Step::GetMany),
        1 => Just(Step::Hold),
        1 => Just(Step::Release),
        1 => Just(Step::Reopen),
    ]
}

/// A history of at most this many steps.
pub fn history(steps_max: usize) -> impl Strategy<Value = Vec<Step>> {
    vec(step(), 1..steps_max)
}

/// An engine under comparison.
pub trait Subject {
    fn store(&self) -> Store;
    /// Closes and opens the store, where the engine survives that. No snapshot is held.
    fn reopen(&mut self) {}
}

struct Run<'a> {
    subject: &'a mut dyn Subject,
    commits: HashMap<[u8; 10], usize>,
    held: Vec<Arc<dyn Snapshot>>,
}

impl<'a> Run<'a> {
    fn new(subject: &'a mut dyn Subject) -> Self {
        Self { subject, commits: HashMap::new(), held: Vec::new() }
    }

    async fn snapshot(&self) -> Arc<dyn Snapshot> {
        self.subject.store().snapshot().await.expect("snapshot")
    }

    /// Bytes with the position at `at` replaced by its commit's number.
    fn translated(&self, bytes: &Bytes, at: usize) -> Bytes {
        let Some(version) = bytes.get(at..at + 10) else { return bytes.clone() };
        let version: [u8; 10] = version.try_into().expect("10 bytes");
        let number = self.commits[&version];
        b([&bytes[..at], number.to_be_bytes().as_ref(), &bytes[at + 10..]].concat())
    }

    fn pairs(&self, pairs: Vec<Pair>) -> Vec<Pair> {
        let pair = |(key, value): Pair| {
            // Only keys made from a position are longer than three bytes, and only such values.
            (self.translated(&key, 1), self.translated(&value, 0))
        };
        pairs.into_iter().map(pair).collect()
    }

    async fn all(&self, snapshot: &dyn Snapshot) -> Vec<Pair> {
        self.pairs(snapshot.scan(everything(), usize::MAX, false).await.expect("scan"))
    }

    async fn commit(&mut self, guards: &[(Bytes, Expected)], changes: &[Change]) -> Option<usize> {
        let snapshot = self.snapshot().await;
        let mut batch = batch();
        for (key, expected) in guards {
            let expected = match expected {
                Expected::Absent => None,
                Expected::Current => snapshot.get(key.clone()).await.expect("get"),
                Expected::Value(value) => Some(value.clone()),
            };
            batch.guard(key.clone(), expected);
        }
        changes.iter().for_each(|change| add(&mut batch, change));
        match self.subject.store().commit(batch).await.expect("commit") {
            Outcome::Committed(position) => {
                self.learn(position);
                None
            }
            Outcome::Rejected { guard } => Some(guard),
        }
    }

    fn learn(&mut self, position: weft_proto::Position) {
        let number = self.commits.len();
        let version = position.0[..10].try_into().expect("10 bytes");
        assert_eq!(self.commits.insert(version, number), None, "a position came twice");
    }

    async fn burst(&mut self, batches: &[Vec<Bytes>]) {
        let commits: Vec<_> = batches
            .iter()
            .enumerate()
            .map(|(index, keys)| {
                let mut batch = batch();
                // What they share grows only, the rest is their own: any order ends alike.
                let value = b([1 + u8::try_from(index).expect("few")]);
                batch.set(b([b"q", value.as_ref()].concat()), value.clone());
                keys.iter().for_each(|key| batch.max(key.clone(), value.clone()));
                let store = self.subject.store();
                tokio::spawn(async move { store.commit(batch).await.expect("commit") })
            })
            .collect();
        let mut positions = Vec::new();
        for commit in commits {
            match commit.await.expect("task") {
                Outcome::Committed(position) => positions.push(position),
                Outcome::Rejected { .. } => panic!("nothing was guarded"),
            }
        }
        positions.sort_unstable();
        positions.into_iter().for_each(|position| self.learn(position));
    }
}

fn add(batch: &mut Batch, change: &Change) {
    match change.clone() {
        Change::Set(key, value) => batch.set(key, value),
        Change::Clear(key) => batch.clear(key),
        Change::ClearRange(from, to) => batch.clear_range(from, to),
        Change::Max(key, value) => batch.max(key, value),
        Change::SetPositioned(key, order, value) => batch.set_positioned(key, order, value),
        Change::SetAtPosition(order, value) => batch.set_at_position(b("p"), order, value),
    }
}

/// Applies the history to both and compares every answer and every state.
pub async fn compare(one: &mut dyn Subject, other: &mut dyn Subject, steps: &[Step]) {
    let (mut one, mut other) = (Run::new(one), Run::new(other));
    for step in steps {
        match step {
            Step::Commit(guards, changes) => {
                let rejected = one.commit(guards, changes).await;
                assert_eq!(rejected, other.commit(guards, changes).await);
            }
            Step::Burst(batches) => {
                one.burst(batches).await;
                other.burst(batches).await;
            }
            Step::Scan { from, to, limit, reverse } => {
                let range = from.clone()..to.clone();
                let (left, right) = (one.snapshot().await, other.snapshot().await);
                let left = left.scan(range.clone(), *limit, *reverse).await.expect("scan");
                let right = right.scan(range, *limit, *reverse).await.expect("scan");
                assert_eq!(one.pairs(left), other.pairs(right));
            }
            Step::GetMany(keys) => {
                let (left, right) = (one.snapshot().await, other.snapshot().await);
                let left = left.get_many(keys.clone()).await.expect("get_many");
                let right = right.get_many(keys.clone()).await.expect("get_many");
                let known = |run: &Run<'_>, values: Vec<Option<Bytes>>| -> Vec<_> {
                    values
                        .iter()
                        .map(|value| value.as_ref().map(|v| run.translated(v, 0)))
                        .collect()
                };
                assert_eq!(known(&one, left), known(&other, right));
            }
            Step::Hold => {
                one.held.push(one.snapshot().await);
                other.held.push(other.snapshot().await);
            }
            Step::Release => {
                one.held.pop();
                other.held.pop();
            }
            Step::Reopen => {
                one.held.clear();
                other.held.clear();
                one.subject.reopen();
                other.subject.reopen();
            }
        }
        let (left, right) = (one.snapshot().await, other.snapshot().await);
        assert_eq!(one.all(left.as_ref()).await, other.all(right.as_ref()).await);
        for (left, right) in one.held.iter().zip(&other.held) {
            assert_eq!(one.all(left.as_ref()).await, other.all(right.as_ref()).await);
        }
    }
}
