//! The patience of a start: a store or a JetStream that is about to come is waited for.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::Error;

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(500);
/// Between two words to the operator.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// Makes attempts until one comes to an end that more attempts would not change. It never gives up: on
/// a machine that boots, others may take their time, and whoever started this process would only
/// start it again.
#[derive(Debug)]
pub struct Start {
    said_at: Option<Instant>,
}

impl Start {
    /// Begins to wait.
    pub fn begin() -> Self {
        Self { said_at: None }
    }

    /// One step of the start. `attempt` may run several times.
    ///
    /// # Errors
    /// What more attempts would not change.
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
            if !error.is_retryable() {
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
            if count.get() < 1_000 { Err(away()) } else { Ok(count.get()) }
        });
        assert_eq!(came.await.expect("came"), 1_000);
        let began = Instant::now();
        let never = async || Err::<(), _>(StoreError::Corrupt("for good".into()));
        assert!(start.step("it", never).await.is_err());
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
