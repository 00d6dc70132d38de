//! The interface that every engine has, and the handle that the rest of Weft holds.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use weft_proto::Position;

use crate::batch::Batch;
use crate::error::Error;

pub type Pair = (Bytes, Bytes);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Everything is durable. The position has order 0; what the batch wrote with an order of its
    /// own is at [`Position::with_order`].
    Committed(Position),
    /// This guard did not hold; nothing was written.
    Rejected {
        /// Its index in the batch.
        guard: usize,
    },
}

/// A view of everything that was committed up to its read version, and of nothing newer.
#[async_trait]
pub trait Snapshot: Send + Sync {
    /// Covers exactly the commits at or before it.
    fn read_version(&self) -> Position;

    async fn get(&self, key: Bytes) -> Result<Option<Bytes>, Error>;

    /// The keys' values, in the order of the keys.
    async fn get_many(&self, keys: Vec<Bytes>) -> Result<Vec<Option<Bytes>>, Error>;

    /// At most `limit` pairs of `range.start..range.end`, ascending, or from the end where
    /// `reverse`.
    async fn scan(
        &self,
        range: Range<Bytes>,
        limit: usize,
        reverse: bool,
    ) -> Result<Vec<Pair>, Error>;
}

/// A store's engine. Callers use it through [`Store`].
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// A view of the newest durable commit.
    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, Error>;

    /// Commits the batch (its limits are checked already). Guards are checked before anything is
    /// written, against the state after all earlier commits.
    async fn commit(&self, batch: Batch) -> Result<Outcome, Error>;
}

/// A handle to a store. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    engine: Arc<dyn Engine>,
}

impl Store {
    pub fn new(engine: impl Engine) -> Self {
        Self { engine: Arc::new(engine) }
    }

    /// A view of the newest durable commit.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Failed`].
    pub async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, Error> {
        self.engine.snapshot().await
    }

    /// Commits the batch whole, or nothing of it.
    ///
    /// # Errors
    /// [`Error::Limit`], [`Error::Unavailable`], [`Error::Failed`], or [`Error::Unknown`], after
    /// which only evidence in the store tells whether it happened.
    pub async fn commit(&self, batch: Batch) -> Result<Outcome, Error> {
        batch.check()?;
        self.engine.commit(batch).await
    }
}

/// So that a wrapper takes a store as it takes an engine.
#[async_trait]
impl Engine for Store {
    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, Error> {
        self.engine.snapshot().await
    }

    async fn commit(&self, batch: Batch) -> Result<Outcome, Error> {
        self.engine.commit(batch).await
    }
}
