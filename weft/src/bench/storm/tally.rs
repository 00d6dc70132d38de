//! What all devices share: the phase, and counts.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::bench::report::Latencies;

/// What devices do now.
#[derive(Clone, Debug)]
pub enum Phase {
    /// They connect, and see each other.
    Settle,
    /// They talk.
    Talk,
    /// They send what has no answer yet, and nothing new.
    Answers,
    /// They wait for what they have not seen of this: of all groups, the seq of the last entry.
    Rest(Arc<[u64]>),
    /// They leave, all together: nobody is to be seen leaving.
    Leave,
}

/// Counts of all devices and survivors.
pub struct Tally {
    killed_at: OnceLock<Instant>,
    /// Those whose session has been synced and is not lost.
    live: AtomicUsize,
    /// Those who see all of their contacts online.
    seeing: AtomicUsize,
    /// Those who have seen all of [`Phase::Rest`].
    complete: AtomicUsize,
    /// Devices that have been synced since the kill.
    resumed: AtomicUsize,
    resumed_after: Latencies,
    last_resumed_us: AtomicU64,
    pub counts: Counts,
    /// What went wrong or was refused, and how often.
    words: Mutex<BTreeMap<String, u64>>,
}

#[derive(Default)]
pub struct Counts {
    /// Messages.
    pub made: AtomicU64,
    /// Of them, those that are answered.
    pub answered: AtomicU64,
    /// Attempts to connect to a living edge that failed, after the kill.
    pub attempts_failed: AtomicU64,
    /// Sessions that were lost at a living edge.
    pub disturbed: AtomicU64,
    /// Syncs of a cursor that did not say `recovered`.
    pub not_recovered: AtomicU64,
    /// Words "offline", after the kill.
    pub status_flaps: AtomicU64,
    /// Frames that no edge may send here.
    pub faults: AtomicU64,
}

impl Tally {
    pub fn new() -> Self {
        Self {
            killed_at: OnceLock::new(),
            live: AtomicUsize::new(0),
            seeing: AtomicUsize::new(0),
            complete: AtomicUsize::new(0),
            resumed: AtomicUsize::new(0),
            resumed_after: Latencies::new(),
            last_resumed_us: AtomicU64::new(0),
            counts: Counts::default(),
            words: Mutex::default(),
        }
    }

    /// From now on the edge is dead.
    pub fn kill(&self) {
        let _ = self.killed_at.set(Instant::now());
    }

    pub fn is_killed(&self) -> bool {
        self.killed_at.get().is_some()
    }

    /// Since the kill.
    pub fn since_kill(&self) -> Duration {
        self.killed_at.get().map_or(Duration::ZERO, Instant::elapsed)
    }

    /// A session has been synced. `is_first`: the device's first since the kill.
    pub fn on_live(&self, is_first: bool) {
        self.live.fetch_add(1, Ordering::Relaxed);
        if !self.is_killed() {
            return;
        }
        let after = self.since_kill();
        let after_us = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        self.last_resumed_us.fetch_max(after_us, Ordering::Relaxed);
        if is_first {
            self.resumed.fetch_add(1, Ordering::Relaxed);
            self.resumed_after.record(after);
        }
    }

    /// A session that had been synced is lost.
    pub fn on_lost(&self) {
        self.live.fetch_sub(1, Ordering::Relaxed);
    }

    /// Somebody sees all contacts now, or no longer.
    pub fn on_sight(&self, sees_all: bool) {
        count(&self.seeing, sees_all);
    }

    /// Somebody has seen all entries and sees all contacts now, or no longer.
    pub fn on_complete(&self, is_complete: bool) {
        count(&self.complete, is_complete);
    }

    pub fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    pub fn seeing(&self) -> usize {
        self.seeing.load(Ordering::Relaxed)
    }

    pub fn complete(&self) -> usize {
        self.complete.load(Ordering::Relaxed)
    }

    pub fn resumed(&self) -> usize {
        self.resumed.load(Ordering::Relaxed)
    }

    /// From the kill to each device's first sync.
    pub fn resumed_after(&self) -> &Latencies {
        &self.resumed_after
    }

    /// From the kill to the last sync of anybody, in seconds.
    pub fn last_resumed_s(&self) -> f64 {
        self.last_resumed_us.load(Ordering::Relaxed) as f64 / 1e6
    }

    /// Something to be told at the end.
    pub fn note(&self, word: String) {
        let mut words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        *words.entry(word).or_default() += 1;
    }

    /// An edge has said what it may not say.
    pub fn fault(&self, word: String) {
        self.counts.faults.fetch_add(1, Ordering::Relaxed);
        self.note(word);
    }

    /// What was noted, and how often.
    pub fn words(&self) -> BTreeMap<String, u64> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn count(those: &AtomicUsize, one_more: bool) {
    if one_more {
        those.fetch_add(1, Ordering::Relaxed);
    } else {
        those.fetch_sub(1, Ordering::Relaxed);
    }
}
