//! How an edge gets rid of its sessions without anybody noticing: it takes no new ones, tells each
//! when it will be closed, and closes them at times of their own, so that they do not all come to
//! the other edges in one instant.

use std::sync::OnceLock;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The part of the window in which sessions are to be closed. The rest is for those that wait for
/// an answer then.
const CLOSES_WITHIN: f64 = 0.8;

/// Whether the edge drains.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    window: OnceLock<Window>,
    begun: CancellationToken,
    /// The last session has ended.
    emptied: Notify,
}

/// When sessions are closed.
#[derive(Clone, Copy, Debug)]
struct Window {
    began: Instant,
    length: Duration,
}

impl Drain {
    /// Begins. The first window counts.
    pub(crate) fn begin(&self, window: Duration) {
        let _ = self.window.set(Window { began: Instant::now(), length: window });
        self.begun.cancel();
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Resolves when it begins.
    pub(crate) async fn begun(&self) {
        self.begun.cancelled().await;
    }

    /// When a session leaves; `chance` is from 0 to 1.
    pub(crate) fn leave(&self, chance: f64) -> Departure {
        let now = Instant::now();
        let window = self.window.get().copied();
        let Window { began, length } =
            window.unwrap_or(Window { began: now, length: Duration::ZERO });
        // Whoever said `hello` in this moment leaves soon.
        let looks_at = (began + length.mul_f64(CLOSES_WITHIN * chance)).max(now);
        Departure { looks_at, ends_at: began + length, is_due: false }
    }

    /// The last session has ended.
    pub(crate) fn emptied(&self) {
        self.emptied.notify_waiters();
    }

    /// Waits until `count` says that there is no session.
    pub(crate) async fn empty(&self, count: impl Fn() -> usize) {
        loop {
            let emptied = self.emptied.notified();
            if count() == 0 {
                return;
            }
            emptied.await;
        }
    }
}

/// When one session is closed: at its own time, or when it then has its answers, at the latest at
/// the window's end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Departure {
    looks_at: Instant,
    ends_at: Instant,
    /// Its time has come: what it still waits for are answers.
    is_due: bool,
}

impl Departure {
    /// How long its client has, at least, in milliseconds.
    pub(crate) fn close_in_ms(&self, now: Instant) -> u64 {
        let left = self.looks_at.saturating_duration_since(now);
        u64::try_from(left.as_millis()).unwrap_or(u64::MAX)
    }

    /// When to [`look`](Self::look) at it again.
    pub(crate) fn looks_at(&self) -> Instant {
        self.looks_at
    }

    /// True where it is to be closed now.
    pub(crate) fn look(&mut self, now: Instant, unanswered: usize) -> bool {
        if self.looks_at > now {
            return false;
        }
        self.looks_at = self.ends_at;
        self.is_due = true;
        self.is_over(unanswered) || self.ends_at <= now
    }

    /// True where its time had come, and it has its answers now.
    pub(crate) fn is_over(&self, unanswered: usize) -> bool {
        self.is_due && unanswered == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn sessions_leave_all_over_the_window() {
        let drain = Drain::default();
        assert!(!drain.has_begun());
        drain.begin(WINDOW);
        drain.begin(Duration::ZERO);
        let now = Instant::now();
        assert_eq!(drain.leave(0.0).close_in_ms(now), 0);
        assert_eq!(drain.leave(0.5).close_in_ms(now), 4_000);
        assert_eq!(drain.leave(1.0).close_in_ms(now), 8_000);
        // Who comes later leaves within the same window.
        tokio::time::advance(WINDOW * 9 / 10).await;
        let mut late = drain.leave(1.0);
        assert!(late.look(Instant::now(), 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_waits_for_its_answers_but_not_for_ever() {
        let drain = Drain::default();
        drain.begin(WINDOW);
        let start = Instant::now();
        let mut leave = drain.leave(0.5);
        let at = leave.looks_at();
        assert_eq!(at, start + WINDOW * 4 / 10);
        assert!(!leave.look(start, 0));
        assert!(!leave.is_over(0), "before its time it is not closed for being idle");
        assert!(!leave.look(at, 2));
        assert!(!leave.is_over(1));
        assert!(leave.is_over(0));
        assert_eq!(leave.looks_at(), start + WINDOW);
        assert!(leave.look(start + WINDOW, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_over_when_the_last_session_has_gone() {
        let drain = Drain::default();
        drain.empty(|| 0).await;
        let sessions = std::sync::atomic::AtomicUsize::new(2);
        let count = || sessions.load(std::sync::atomic::Ordering::SeqCst);
        let mut empty = std::pin::pin!(drain.empty(count));
        for left in [1, 0] {
            assert!(futures_util::poll!(empty.as_mut()).is_pending());
            sessions.store(left, std::sync::atomic::Ordering::SeqCst);
            drain.emptied();
        }
        empty.await;
    }
}
