//! Waiting for a condition. Nothing here waits for a time alone.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Waits until `look` gives something.
pub async fn until<T>(what: &str, limit: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < limit, "waited {limit:?} in vain until {what}");
        sleep(LOOK_EVERY).await;
    }
}

/// Longer than anything should take in the test of a single crate.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    until(what, PATIENCE, async || condition().await.then_some(())).await;
}

pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    within(what, PATIENCE, future).await
}

pub async fn within<T>(what: &str, limit: Duration, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(limit, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {limit:?} in vain for {what}"),
    }
}
