//! An engine that lets another one fail, for tests: commits whose outcome nobody learns, answers
//! that come late, rejections that are one's own earlier attempt, reads that find nobody. What
//! happens to which call, a seed decides; with callers that run at once, their order does too.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use weft_runtime::lock;

use crate::batch::Batch;
use crate::engine::{Engine, Outcome, Snapshot};
use crate::error::Error;

/// The latest that a delayed answer comes.
const DELAY_MAX: Duration = Duration::from_millis(5);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Works,
    /// It works, and the answer comes later.
    Late,
    /// Nobody can be asked.
    Unavailable,
    /// A commit that happened; the caller is not told.
    UnknownDone,
    /// A commit that did not happen; the caller is not told.
    UnknownUndone,
    /// An engine that tries again by itself is rejected by its own first attempt. So this one takes
    /// only batches that change a row that they guard.
    OwnEcho,
}

pub struct Faulty<E> {
    inner: E,
    rng: Mutex<StdRng>,
    /// Calls that fail, of 100.
    percent: u32,
}

impl<E> Faulty<E> {
    /// Of 100 calls this many don't go as they should.
    pub fn new(inner: E, seed: u64, percent: u32) -> Self {
        Self { inner, rng: Mutex::new(StdRng::seed_from_u64(seed)), percent }
    }

    fn fate(&self, fates: &[Fate]) -> (Fate, Duration) {
        let mut rng = lock(&self.rng);
        let delay = rng.random_range(Duration::ZERO..DELAY_MAX);
        if rng.random_range(0..100) >= self.percent {
            return (Fate::Works, delay);
        }
        (fates[rng.random_range(0..fates.len())], delay)
    }
}

fn unavailable() -> Error {
    Error::Unavailable("on purpose".to_owned())
}

#[async_trait]
impl<E: Engine> Engine for Faulty<E> {
    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, Error> {
        let (fate, delay) = self.fate(&[Fate::Late, Fate::Unavailable]);
        if fate == Fate::Unavailable {
            return Err(unavailable());
        }
        let snapshot = self.inner.snapshot().await;
        if fate == Fate::Late {
            tokio::time::sleep(delay).await;
        }
        snapshot
    }

    async fn commit(&self, batch: Batch) -> Result<Outcome, Error> {
        let (fate, delay) = self.fate(&[
            Fate::Late,
            Fate::Unavailable,
            Fate::UnknownDone,
            Fate::UnknownUndone,
            Fate::OwnEcho,
        ]);
        let unknown = || Err(Error::Unknown("on purpose".to_owned()));
        match fate {
            Fate::Works => self.inner.commit(batch).await,
            Fate::Late => {
                let outcome = self.inner.commit(batch).await;
                tokio::time::sleep(delay).await;
                outcome
            }
            Fate::Unavailable => Err(unavailable()),
            Fate::UnknownDone => self.inner.commit(batch).await.and_then(|_| unknown()),
            Fate::UnknownUndone => unknown(),
            Fate::OwnEcho => {
                self.inner.commit(batch.clone()).await?;
                self.inner.commit(batch).await
            }
        }
    }
}
