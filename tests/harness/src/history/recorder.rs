//! How events of many clients become one history.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Event, History, SessionId};

/// Takes events from many clients at once.
#[derive(Clone, Debug)]
pub struct Recorder {
    inner: Arc<Mutex<Inner>>,
    began: Instant,
}

#[derive(Default, Debug)]
struct Inner {
    history: History,
    sessions: u64,
    counts: Counts,
}

/// What a recorder has seen, of forgotten histories too.
#[derive(Clone, Copy, Default, Debug)]
pub struct Counts {
    pub sends: u64,
    pub acks: u64,
    pub deliveries: u64,
    pub cursors: u64,
    /// When the last ack came, since the recorder's start.
    pub acked_at: Duration,
}

impl Default for Recorder {
    fn default() -> Self {
        Self { inner: Arc::default(), began: Instant::now() }
    }
}

impl Recorder {
    fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        work(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn record(&self, event: Event) {
        self.with(|inner| {
            let now = self.began.elapsed();
            match &event {
                Event::Sent { .. } => inner.counts.sends += 1,
                Event::Received { .. } => inner.counts.deliveries += 1,
                Event::Cursor { .. } => inner.counts.cursors += 1,
                Event::Acked { .. } => {
                    inner.counts.acks += 1;
                    inner.counts.acked_at = now;
                }
                _ => {}
            }
            inner.history.events.push(event);
            inner.history.times.push(now);
        });
    }

    pub fn session(&self) -> SessionId {
        self.with(|inner| {
            inner.sessions += 1;
            SessionId(inner.sessions)
        })
    }

    pub fn acked(&self) -> u64 {
        self.counts().acks
    }

    /// All that was counted so far.
    pub fn counts(&self) -> Counts {
        self.with(|inner| inner.counts)
    }

    /// The time in which events are recorded.
    pub fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// All that was recorded so far.
    pub fn history(&self) -> History {
        self.with(|inner| inner.history.clone())
    }

    /// All that was recorded so far; the recorder forgets it.
    pub fn take(&self) -> History {
        self.with(|inner| std::mem::take(&mut inner.history))
    }
}
