//! When what happens, and what is counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::report::Latencies;

/// What is sent before counts for the checks, but not for the numbers: queues and caches fill.
const WARM_UP: Duration = Duration::from_secs(2);
/// What is underway at the end may take this long to arrive.
const DRAIN: Duration = Duration::from_secs(15);

#[derive(Clone, Copy, Debug)]
pub struct Timeline {
    /// Scheduled times are counted from here.
    pub start: Instant,
    pub measure_from: Instant,
    /// Nothing is sent from here on.
    pub measure_to: Instant,
    /// What has not arrived by then is lost.
    pub give_up: Instant,
}

impl Timeline {
    pub fn starting_at(start: Instant, measured: Duration) -> Self {
        let measure_from = start + WARM_UP;
        let measure_to = measure_from + measured;
        Self { start, measure_from, measure_to, give_up: measure_to + DRAIN }
    }

    pub fn since_start_us(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.start).as_micros()).unwrap_or(u64::MAX)
    }

    pub fn is_measured(&self, at: Instant) -> bool {
        (self.measure_from..self.measure_to).contains(&at)
    }

    /// A latency until now. It belongs to the time at which the message was due.
    pub fn record(&self, latencies: &Latencies, scheduled_us: u64, now: Instant) {
        if self.is_measured_us(scheduled_us) {
            latencies.record_us(self.since_start_us(now).saturating_sub(scheduled_us));
        }
    }

    /// As [`is_measured`](Self::is_measured), for a time in µs since the start.
    fn is_measured_us(&self, at_us: u64) -> bool {
        self.is_measured(self.start + Duration::from_micros(at_us))
    }
}

/// When the messages of one sender are due.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// As soon as fewer than this many are unanswered.
    Window(u32),
    /// The first after `offset`, each next after `interval`, whatever became of those before.
    Every { offset: Duration, interval: Duration },
}

impl Pace {
    /// When message `number` (from 0) is due; `None`: it depends on answers alone.
    pub fn due_at(&self, start: Instant, number: u64) -> Option<Instant> {
        match self {
            Self::Window(_) => None,
            Self::Every { offset, interval } => {
                // A whole run has less than 2^32 messages of one sender.
                let number = u32::try_from(number).unwrap_or(u32::MAX);
                Some(start + *offset + *interval * number)
            }
        }
    }
}

#[derive(Default)]
pub struct Tally {
    /// From the scheduled time to the `ack`.
    pub ack: Latencies,
    /// From the scheduled time to the entry at the receiver.
    pub receive: Latencies,
    pub sent: AtomicU64,
    /// Acks that came while it was measured.
    pub acked: AtomicU64,
    /// Entries, each once at each end.
    pub received: AtomicU64,
    /// Entries that came twice.
    pub duplicated: AtomicU64,
    /// Entries that came before one that is before them in the room.
    pub reordered: AtomicU64,
    pub unanswered: AtomicU64,
}

impl Tally {
    /// Entries that did not come: each has two ends.
    pub fn lost(&self) -> u64 {
        (2 * get(&self.sent)).saturating_sub(get(&self.received))
    }
}

pub fn get(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

pub fn add(count: &AtomicU64, number: u64) {
    count.fetch_add(number, Ordering::Relaxed);
}
