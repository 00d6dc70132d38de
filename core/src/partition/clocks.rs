//! Whether this owner's clock agrees with nats-server's, which stamps the ingest log.
//!
//! While they differ by minutes, nobody can tell which of them is right, and nothing is committed:
//! a clock that is ahead would give entries a time of the future, and refuse fresh client ids. The
//! partition waits; its commands stay in the log.
//!
//! The difference is measured on a fresh answer of the server, never on the age of a message: that
//! may have waited for hours. Between two answers the monotonic clock tells how late the server has
//! it, so a clock that is set is noticed with the next command.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;
use tracing::{error, info};
use weft_nats::LogInfo;
use weft_proto::Partition;
use weft_runtime::{Clock, lock};

use super::ports::CommandLog;
use super::sabotage::{self, Rule};
use crate::error::Error;
use crate::metrics;

/// Clocks that differ by more don't agree. What keeps clocks together keeps them within a second.
pub const DIFFERENCE_MAX: Duration = Duration::from_secs(120);
/// Between two words to the operator about the same difference.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// One answer of the server.
#[derive(Clone, Copy)]
struct Answer {
    /// The server's clock when it answered, Unix milliseconds.
    server_ms: u64,
    /// It answered between these two.
    asked: Instant,
    heard: Instant,
}

/// An owner's clock beside the server's. Cheap to clone.
#[derive(Clone)]
pub struct Clocks {
    own: Arc<dyn Clock>,
    last: Arc<Mutex<Option<Answer>>>,
}

impl Clocks {
    /// Nothing is known of the server's clock yet.
    #[must_use]
    pub fn new(own: Arc<dyn Clock>) -> Self {
        Self { own, last: Arc::default() }
    }

    /// This owner's time, Unix milliseconds.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.own.now_ms()
    }

    /// Looks at the log, and at the server's clock with it.
    ///
    /// # Errors
    /// Those of the log.
    pub async fn look(&self, log: &impl CommandLog) -> Result<LogInfo, Error> {
        let asked = Instant::now();
        let info = log.info().await?;
        if let Some(server_ms) = info.answered_at_ms {
            let answer = Answer { server_ms, asked, heard: Instant::now() };
            *lock(&self.last) = Some(answer);
            metrics::CLOCK_AHEAD.set(self.ahead_ms() as f64 / 1_000.0);
        }
        Ok(info)
    }

    /// The earliest and the latest time that the server's clock can have now.
    fn server_ms(&self) -> Option<(u64, u64)> {
        let answer = (*lock(&self.last))?;
        let since = |at: Instant| u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX);
        let at = |elapsed_ms: u64| answer.server_ms.saturating_add(elapsed_ms);
        Some((at(since(answer.heard)), at(since(answer.asked))))
    }

    /// By how much this owner's clock is ahead of the server's (below 0: it is behind it), in
    /// milliseconds, as far as that is certain.
    #[must_use]
    pub fn ahead_ms(&self) -> i64 {
        let Some((earliest, latest)) = self.server_ms() else { return 0 };
        let now_ms = self.own.now_ms();
        let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        if now_ms > latest {
            signed(now_ms - latest)
        } else {
            -signed(earliest.saturating_sub(now_ms))
        }
    }

    /// True where the server has answered, and they don't differ.
    #[must_use]
    pub fn agree(&self) -> bool {
        lock(&self.last).is_some() && !self.differ()
    }

    /// True where they differ by minutes.
    #[must_use]
    pub fn differ(&self) -> bool {
        let differ = Duration::from_millis(self.ahead_ms().unsigned_abs()) > DIFFERENCE_MAX;
        differ && !sabotage::is_out(Rule::ClocksAgree)
    }
}

/// One owner's judgement, and what it says about it.
pub struct Agreement {
    partition: Partition,
    clocks: Clocks,
    /// They differ, and that was said last then.
    said_at: Option<Instant>,
}

impl Agreement {
    /// They agree until it is known better.
    #[must_use]
    pub fn new(partition: Partition, clocks: Clocks) -> Self {
        Self { partition, clocks, said_at: None }
    }

    /// True where commands may be planned and committed. Says in the log when that changes.
    pub fn holds(&mut self) -> bool {
        let partition = self.partition;
        if !self.clocks.differ() {
            if self.said_at.take().is_some() {
                info!(partition, "the clocks agree again: commands are committed");
            }
            return true;
        }
        if self.said_at.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
            self.said_at = Some(Instant::now());
            let ahead_ms = self.clocks.ahead_ms();
            error!(
                partition,
                ahead_ms,
                "this machine's clock and nats-server's differ by minutes: nothing is committed \
                 until they agree; set the wrong one"
            );
        }
        false
    }
}

/// A floor in the future refuses every fresh client id: it came from a clock that ran ahead before.
pub fn warn_of_floor(partition: Partition, floor_hour: u32, clocks: &Clocks) {
    let hour = super::command::hour_of(clocks.now_ms());
    if floor_hour > hour {
        error!(
            partition,
            hours = floor_hour - hour,
            "client ids are refused (expired_id) for hours to come, since a clock was ahead once: \
             stop core and run `weft admin lower-floor`"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    struct Set(AtomicU64);

    impl Clock for Set {
        fn now_ms(&self) -> u64 {
            self.0.load(Ordering::SeqCst)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_is_noticed_at_once_and_a_slow_answer_is_not_taken_for_one() {
        let own = Arc::new(Set(AtomicU64::new(1_000_000)));
        let clocks = Clocks::new(Arc::clone(&own) as Arc<dyn Clock>);
        assert_eq!(clocks.ahead_ms(), 0, "nothing is known");
        let asked = Instant::now();
        tokio::time::advance(Duration::from_secs(300)).await;
        own.0.store(1_300_000, Ordering::SeqCst);
        // The server may have answered at any moment of these five minutes.
        let answer = Answer { server_ms: 1_000_000, asked, heard: Instant::now() };
        *clocks.last.lock().expect("last") = Some(answer);
        assert_eq!(clocks.ahead_ms(), 0);
        own.0.store(1_000_000 - 5_000, Ordering::SeqCst);
        assert_eq!(clocks.ahead_ms(), -5_000);
        own.0.store(1_300_000 + 7_000, Ordering::SeqCst);
        assert_eq!(clocks.ahead_ms(), 7_000);
        let mut agreement = Agreement::new(0, clocks);
        assert!(agreement.holds());
        own.0.store(1_300_000 + 26 * 3_600_000, Ordering::SeqCst);
        assert!(!agreement.holds());
        // The answer grows old, and says as much as it did.
        tokio::time::advance(Duration::from_secs(3_600)).await;
        own.0.store(1_300_000 + 3_600_000, Ordering::SeqCst);
        assert!(agreement.holds());
    }
}
