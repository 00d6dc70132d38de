//! Trying again what the store or the log did not answer.

use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::error::Error;
use crate::metrics;

/// Between the first two tries at a store or log that can't be reached; doubled while it stays so ...
const RETRY_DELAY_MIN: Duration = Duration::from_millis(50);
/// ... up to this.
const RETRY_DELAY_MAX: Duration = Duration::from_secs(2);

/// Tries at a store or log that can't be reached.
#[derive(Default)]
pub(super) struct Retry {
    delay: Duration,
}

impl Retry {
    /// Waits before another try, longer each time. That the store is away, the node says.
    pub(super) async fn pause(
        &mut self,
        error: &impl std::fmt::Display,
        stop: &CancellationToken,
    ) -> Result<(), Error> {
        self.delay = (self.delay * 2).clamp(RETRY_DELAY_MIN, RETRY_DELAY_MAX);
        debug!(%error, delay = ?self.delay, "trying again");
        metrics::STORE_RETRIES.increment();
        match timeout(self.delay, stop.cancelled()).await {
            Ok(()) => Err(Error::Stopped),
            Err(_) => Ok(()),
        }
    }
}
