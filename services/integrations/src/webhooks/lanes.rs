//! Which job is whose turn: of each webhook this process holds some jobs, in their order, and works on one.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;

/// Jobs of one webhook that a process holds. More are given back at once.
const HELD_MAX: usize = 32;
/// Webhooks that are left alone of which it is remembered until when.
const REMEMBERED: usize = 100_000;
/// The wait for a job that another process has, or waits for.
const TURN_WAIT_MAX: Duration = Duration::from_secs(4);
const TURN_WAIT_MIN: Duration = Duration::from_millis(500);

/// By subject.
pub(crate) struct Lanes<J> {
    held: HashMap<String, BTreeMap<u64, J>>,
    waits: LruCache<String, Wait>,
}

struct Wait {
    until: Instant,
    /// How long the last one was where another process had the turn.
    turn: Duration,
    /// Whose turn it was then; 0: not another one's.
    first: u64,
}

/// What is to be done with a job that came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Came<J> {
    /// It waits here. `begins`: nobody works on its webhook yet.
    Held { begins: bool },
    /// This one is to come again after so long.
    Back(J, Duration),
}

impl<J> Default for Lanes<J> {
    fn default() -> Self {
        let remembered = NonZeroUsize::new(REMEMBERED).unwrap_or(NonZeroUsize::MIN);
        Self { held: HashMap::new(), waits: LruCache::new(remembered) }
    }
}

impl<J> Lanes<J> {
    /// A job came. One that is held already is replaced: it was given to this process anew.
    pub(crate) fn came(&mut self, subject: &str, seq: u64, job: J, now: Instant) -> Came<J> {
        if let Some(wait) = self.waits.get(subject)
            && wait.until > now
        {
            if seq > wait.first {
                return Came::Back(job, wait.until - now);
            }
            // The one that is waited for has come here.
            self.waits.pop(subject);
        }
        let begins = !self.held.contains_key(subject);
        let lane = self.held.entry(subject.to_owned()).or_default();
        lane.insert(seq, job);
        if lane.len() > HELD_MAX
            && let Some((_, last)) = lane.pop_last()
        {
            return Came::Back(last, TURN_WAIT_MIN);
        }
        Came::Held { begins }
    }

    /// Where the first one is that is held; none: the lane ends.
    pub(crate) fn first(&mut self, subject: &str) -> Option<u64> {
        let first = self.held.get(subject).and_then(|lane| lane.keys().next().copied());
        if first.is_none() {
            self.held.remove(subject);
        }
        first
    }

    /// Takes one out, to work on it. The lane stays.
    pub(crate) fn take(&mut self, subject: &str, seq: u64) -> Option<J> {
        self.held.get_mut(subject)?.remove(&seq)
    }

    /// The lane ends, and nothing of it is tried before a while is over: all that was held.
    pub(crate) fn end(&mut self, subject: &str, wait: Duration, now: Instant) -> Vec<J> {
        let wait = Wait { until: now + wait, turn: Duration::ZERO, first: 0 };
        self.waits.put(subject.to_owned(), wait);
        self.held.remove(subject).into_iter().flat_map(BTreeMap::into_values).collect()
    }

    /// The same where it is the turn of a job that another process has, the one at `first`: how long it waits this time. Each
    /// time it is longer, and that one alone does not have to wait, wherever it comes.
    pub(crate) fn end_turn(
        &mut self,
        subject: &str,
        first: u64,
        now: Instant,
    ) -> (Vec<J>, Duration) {
        let last = self.waits.get(subject).map_or(Duration::ZERO, |wait| wait.turn);
        let turn = (last * 2).clamp(TURN_WAIT_MIN, TURN_WAIT_MAX);
        self.waits.put(subject.to_owned(), Wait { until: now + turn, turn, first });
        let held = self.held.remove(subject).into_iter();
        (held.flat_map(BTreeMap::into_values).collect(), turn)
    }

    /// Something was delivered.
    pub(crate) fn is_well(&mut self, subject: &str) {
        self.waits.pop(subject);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_held_in_their_order_and_not_more_than_may() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        assert_eq!(lanes.came("a", 7, 7, now), Came::Held { begins: true });
        assert_eq!(lanes.came("a", 5, 5, now), Came::Held { begins: false });
        assert_eq!(lanes.came("b", 1, 1, now), Came::Held { begins: true });
        assert_eq!(lanes.first("a"), Some(5));
        assert_eq!(lanes.take("a", 5), Some(5));
        assert_eq!((lanes.first("a"), lanes.first("b")), (Some(7), Some(1)));
        for seq in 8..8 + HELD_MAX as u64 - 1 {
            assert_eq!(lanes.came("a", seq, seq, now), Came::Held { begins: false });
        }
        assert_eq!(lanes.came("a", 99, 99, now), Came::Back(99, TURN_WAIT_MIN));
        // An earlier one has a place: the last one gives it back.
        let last = 8 + HELD_MAX as u64 - 2;
        assert_eq!(lanes.came("a", 6, 6, now), Came::Back(last, TURN_WAIT_MIN));
        assert_eq!(lanes.take("a", 6), Some(6));
        while let Some(first) = lanes.first("a") {
            lanes.take("a", first).expect("held");
        }
        assert_eq!(lanes.came("a", 100, 100, now), Came::Held { begins: true });
    }

    #[test]
    fn who_is_left_alone_is_asked_nothing_meanwhile() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        lanes.came("a", 1, 1, now);
        lanes.came("a", 2, 2, now);
        let s = Duration::from_secs;
        assert_eq!(lanes.end("a", s(10), now), [1, 2]);
        assert_eq!(lanes.came("a", 3, 3, now + s(4)), Came::Back(3, s(6)));
        assert_eq!(lanes.came("b", 3, 3, now), Came::Held { begins: true });
        assert_eq!(lanes.came("a", 1, 1, now + s(10)), Came::Held { begins: true });
        let mut waits = Vec::new();
        let mut at = now + s(10);
        for _ in 0..5 {
            let (held, wait) = lanes.end_turn("a", 1, at);
            waits.push((held.len(), wait.as_millis()));
            at += wait;
            lanes.came("a", 2, 2, at);
        }
        assert_eq!(waits, [(1, 500), (1, 1_000), (1, 2_000), (1, 4_000), (1, 4_000)]);
        lanes.is_well("a");
        assert_eq!(lanes.end_turn("a", 1, at).1, TURN_WAIT_MIN);
        assert_eq!(lanes.came("a", 2, 2, at), Came::Back(2, TURN_WAIT_MIN));
        assert_eq!(lanes.came("a", 1, 1, at), Came::Held { begins: true }, "it is waited for");
    }
}
