//! The patience of a start: a store or a JetStream that is about to come is waited for.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::Error;

/// How long a start waits, in all: a cluster of nats-servers elects its leaders in some seconds,
/// and FoundationDB recovers in as many.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(500);
/// Between two words to the operator.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// Makes attempts until one comes to an end that more attempts would not change.
#[derive(Debug)]
pub struct Start {
    began: Instant,
    said_at: Option<Instant>,
}

impl Start {
    /// Begins to wait.
    pub fn begin() -> Self {
        Self { began: Instant::now(), said_at: None }
    }

    /// One step of the start. `attempt` may run several times.
    ///
    /// # Errors
    /// The last attempt's.
    pub async fn step<T, E>(
        &mut self,
        what: &'static str,
        attempt: impl AsyncFn() -> Result<T, E>,
    ) -> Result<T, Error>
    where
        Error: From<E>,
    {
        loop {
            let error = match attempt().await {
                Ok(done) => return Ok(done),
                Err(error) => Error::from(error),
            };
            if !error.is_retryable() || self.began.elapsed() >= PATIENCE {
                return Err(error);
            }
            if self.said_at.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
                self.said_at = Some(Instant::now());
                tracing::warn!(what, %error, "the start waits");
            }
            sleep(PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use weft_storage::Error as StoreError;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_passes_is_waited_for_and_what_does_not_is_not() {
        let count = Cell::new(0);
        let mut start = Start::begin();
        let came = start.step("it", async || {
            count.set(count.get() + 1);
            let away = || StoreError::Unavailable("not yet".into());
            if count.get() < 5 { Err(away()) } else { Ok(count.get()) }
        });
        assert_eq!(came.await.expect("came"), 5);
        let never = async || Err::<(), _>(StoreError::Corrupt("for good".into()));
        assert!(start.step("it", never).await.is_err());
        assert!(start.began.elapsed() < PATIENCE);
        let away = async || Err::<(), _>(StoreError::Unavailable("never".into()));
        assert!(start.step("it", away).await.is_err());
        assert!(start.began.elapsed() >= PATIENCE);
    }
}
