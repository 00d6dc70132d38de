//! The reference model: an engine in memory, for tests and simulations. Nothing survives it.
//!
//! Deterministic: positions come from a counter, nothing depends on a clock, a thread or a hash.
//! Each key holds its versions; a version goes as soon as no snapshot can see it.

use std::collections::{BTreeMap, VecDeque};
use std::ops::{Bound, Range};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use weft_proto::Position;
use weft_runtime::lock;

use crate::batch::{Batch, Op};
use crate::engine::{Engine, Outcome, Pair, Snapshot};
use crate::error::Error;

/// The engine in memory. Clones share one store.
#[derive(Clone, Default)]
pub struct Memory {
    state: Arc<Mutex<State>>,
}

impl Memory {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

#[derive(Default)]
struct State {
    /// The newest commit's version; 0 before the first.
    version: u64,
    keys: BTreeMap<Bytes, Versions>,
    /// Open snapshots per version.
    snapshots: BTreeMap<u64, usize>,
    /// Keys that got a second version, with the commit that did it, oldest first.
    superseded: VecDeque<(u64, Bytes)>,
}

/// A key's versions in ascending order; `None` is a removal.
type Versions = Vec<(u64, Option<Bytes>)>;

fn seen_at(versions: &Versions, version: u64) -> Option<&Bytes> {
    versions.iter().rev().find(|(at, _)| *at <= version).and_then(|(_, value)| value.as_ref())
}

impl State {
    fn get(&self, key: &[u8], version: u64) -> Option<&Bytes> {
        self.keys.get(key).and_then(|versions| seen_at(versions, version))
    }

    fn commit(&mut self, batch: &Batch) -> Outcome {
        let failed = batch
            .guards()
            .iter()
            .position(|guard| self.get(&guard.key, u64::MAX) != guard.expected.as_ref());
        if let Some(guard) = failed {
            return Outcome::Rejected { guard };
        }
        self.version += 1;
        let position = Position::new(self.version, 0);
        for op in batch.ops() {
            self.apply(op, position);
        }
        self.forget_unseen();
        Outcome::Committed(position)
    }

    fn apply(&mut self, op: &Op, position: Position) {
        match op {
            Op::Set { key, value } => self.put(key.clone(), Some(value.clone())),
            Op::Clear { key } => self.put(key.clone(), None),
            Op::ClearRange { from, to } => {
                for (key, _) in self.scan(from, to, u64::MAX, usize::MAX, false) {
                    self.put(key, None);
                }
            }
            Op::Max { key, value } => {
                if self.get(key, u64::MAX).is_none_or(|old| old < value) {
                    self.put(key.clone(), Some(value.clone()));
                }
            }
            Op::SetPositioned { key, order, value } => {
                let value = [&position.with_order(*order).0, value.as_ref()].concat();
                self.put(key.clone(), Some(value.into()));
            }
            Op::SetAtPosition { prefix, order, value } => {
                let key = [prefix.as_ref(), &position.with_order(*order).0].concat();
                self.put(key.into(), Some(value.clone()));
            }
        }
    }

    fn put(&mut self, key: Bytes, value: Option<Bytes>) {
        let versions = self.keys.entry(key.clone()).or_default();
        versions.retain(|(at, _)| *at != self.version);
        if !versions.is_empty() || value.is_none() {
            self.superseded.push_back((self.version, key));
        }
        versions.push((self.version, value));
    }

    fn scan(
        &self,
        from: &Bytes,
        to: &Bytes,
        version: u64,
        limit: usize,
        reverse: bool,
    ) -> Vec<Pair> {
        if from >= to {
            return Vec::new();
        }
        let range = (Bound::Included(from), Bound::Excluded(to));
        let range = self.keys.range::<Bytes, _>(range);
        let pair = |(key, versions): (&Bytes, &Versions)| {
            seen_at(versions, version).map(|value| (key.clone(), value.clone()))
        };
        if reverse {
            range.rev().filter_map(pair).take(limit).collect()
        } else {
            range.filter_map(pair).take(limit).collect()
        }
    }

    /// Removes versions that neither a snapshot nor a new reader can see.
    fn forget_unseen(&mut self) {
        let oldest_seen = self.snapshots.keys().next().copied().unwrap_or(self.version);
        while self.superseded.front().is_some_and(|(at, _)| *at <= oldest_seen) {
            let Some((_, key)) = self.superseded.pop_front() else { break };
            let Some(versions) = self.keys.get_mut(&key) else { continue };
            let newest_for_all = versions.iter().rposition(|(at, _)| *at <= oldest_seen);
            versions.drain(..newest_for_all.unwrap_or(0));
            if matches!(versions.as_slice(), [(at, None)] if *at <= oldest_seen) {
                self.keys.remove(&key);
            }
        }
    }
}

#[async_trait]
impl Engine for Memory {
    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, Error> {
        let mut state = lock(&self.state);
        let version = state.version;
        *state.snapshots.entry(version).or_default() += 1;
        Ok(Arc::new(View { state: Arc::clone(&self.state), version }))
    }

    async fn commit(&self, batch: Batch) -> Result<Outcome, Error> {
        Ok(lock(&self.state).commit(&batch))
    }
}

struct View {
    state: Arc<Mutex<State>>,
    version: u64,
}

impl Drop for View {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        if let Some(open) = state.snapshots.get_mut(&self.version) {
            *open -= 1;
            if *open == 0 {
                state.snapshots.remove(&self.version);
            }
        }
    }
}

#[async_trait]
impl Snapshot for View {
    fn read_version(&self) -> Position {
        Position::new(self.version, 0).commit_end()
    }

    async fn get(&self, key: Bytes) -> Result<Option<Bytes>, Error> {
        Ok(lock(&self.state).get(&key, self.version).cloned())
    }

    async fn get_many(&self, keys: Vec<Bytes>) -> Result<Vec<Option<Bytes>>, Error> {
        let state = lock(&self.state);
        Ok(keys.iter().map(|key| state.get(key, self.version).cloned()).collect())
    }

    async fn scan(
        &self,
        range: Range<Bytes>,
        limit: usize,
        reverse: bool,
    ) -> Result<Vec<Pair>, Error> {
        Ok(lock(&self.state).scan(&range.start, &range.end, self.version, limit, reverse))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(key: &'static str, value: &'static str) -> Batch {
        let mut batch = Batch::new([0; 16]);
        batch.set(Bytes::from(key), value);
        batch
    }

    #[tokio::test]
    async fn versions_go_when_nobody_can_see_them() {
        let memory = Memory::new();
        let mut removal = Batch::new([0; 16]);
        removal.clear(Bytes::from("a"));

        memory.commit(set("a", "1")).await.expect("commit");
        let held = memory.snapshot().await.expect("snapshot");
        for _ in 0..10 {
            memory.commit(set("a", "2")).await.expect("commit");
        }
        memory.commit(removal).await.expect("commit");
        assert_eq!(held.get(Bytes::from("a")).await.expect("get"), Some(Bytes::from("1")));
        assert_eq!(lock(&memory.state).keys["a".as_bytes()].len(), 12);

        drop(held);
        memory.commit(set("b", "1")).await.expect("commit");
        let state = lock(&memory.state);
        assert!(!state.keys.contains_key("a".as_bytes()));
        assert!(state.superseded.is_empty() && state.snapshots.is_empty());
    }
}
