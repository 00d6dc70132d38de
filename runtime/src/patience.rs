//! The patience of a start: others, which are about to come, are waited for.

use std::fmt::Display;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(500);
/// Between two words to the operator.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// Makes attempts until one comes to an end that more attempts would not change. It never gives up: on a machine that
/// boots, others may take their time, and whoever started this process would only start it again.
///
/// # Errors
/// What more attempts would not change.
pub async fn patiently<T, E, A>(
    what: &'static str,
    is_retryable: fn(&E) -> bool,
    mut attempt: impl AsyncFnMut() -> Result<T, A>,
) -> Result<T, E>
where
    E: From<A> + Display,
{
    let mut said_at: Option<Instant> = None;
    loop {
        let error = match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) => E::from(error),
        };
        if !is_retryable(&error) {
            return Err(error);
        }
        if said_at.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
            said_at = Some(Instant::now());
            tracing::warn!(what, %error, "the start waits");
        }
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_passes_is_waited_for_and_what_does_not_is_not() {
        let passes = |error: &Error| error.kind() == ErrorKind::WouldBlock;
        let mut count = 0;
        let came = patiently("it", passes, async || {
            count += 1;
            if count < 1_000 { Err(Error::from(ErrorKind::WouldBlock)) } else { Ok(count) }
        });
        assert_eq!(came.await.expect("came"), 1_000);
        let began = Instant::now();
        let never = async || Err::<(), _>(Error::from(ErrorKind::NotFound));
        assert!(patiently("it", passes, never).await.is_err());
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
