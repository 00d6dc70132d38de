//! Reads that go on for longer than a snapshot lives. FoundationDB forgets after 5 s, and the
//! embedded store keeps old versions on disk for as long as somebody looks at them: so none is
//! used for long.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::engine::{Snapshot, Store};
use crate::error::Error;

/// How old a snapshot may be when a read begins.
const AGE_MAX: Duration = Duration::from_secs(2);
const ATTEMPTS_MAX: usize = 40;
/// Before it is tried again.
const PAUSE: Duration = Duration::from_millis(500);

/// A store to be read for long. Each read sees at least what the one before it saw.
pub struct Snapshots {
    store: Store,
    open: Option<(Arc<dyn Snapshot>, Instant)>,
}

impl Snapshots {
    pub fn new(store: &Store) -> Self {
        Self { store: store.clone(), open: None }
    }

    /// Reads from one snapshot; again from a new one where the store could not answer, or had
    /// forgotten the snapshot.
    pub async fn read<T>(
        &mut self,
        mut read: impl AsyncFnMut(&dyn Snapshot) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut attempt = 1;
        loop {
            let outcome = match self.current().await {
                Ok(snapshot) => read(&*snapshot).await,
                Err(error) => Err(error),
            };
            match outcome {
                Err(error) if error.is_retryable() && attempt < ATTEMPTS_MAX => {
                    attempt += 1;
                    self.open = None;
                    sleep(PAUSE).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn current(&mut self) -> Result<Arc<dyn Snapshot>, Error> {
        if let Some((snapshot, opened)) = &self.open
            && opened.elapsed() < AGE_MAX
        {
            return Ok(Arc::clone(snapshot));
        }
        // The old one goes first: the store need not keep two.
        self.open = None;
        let snapshot = self.store.snapshot().await?;
        self.open = Some((Arc::clone(&snapshot), Instant::now()));
        Ok(snapshot)
    }
}
