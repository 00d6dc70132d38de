//! Engines around a store, with faults.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Mutex;
use weft_proto::Position;
use weft_storage::engine::Pair;
use weft_storage::{Batch, Engine, Error, Outcome, Snapshot, Store};

use super::content::Content;

/// Ends at a commit, as a process does that is killed.
pub struct Ends {
    pub store: Store,
    /// So many commits are left.
    pub commits: AtomicUsize,
    /// The one at which it ends happens all the same, unheard.
    pub last_happens: bool,
}

#[async_trait]
impl Engine for Ends {
    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, Error> {
        self.store.snapshot().await
    }

    async fn commit(&self, batch: Batch) -> Result<Outcome, Error> {
        let left = self.commits.load(Ordering::Relaxed);
        if left > 0 {
            self.commits.store(left - 1, Ordering::Relaxed);
            return self.store.commit(batch).await;
        }
        if self.last_happens {
            self.store.commit(batch).await?;
        }
        Err(Error::Failed("the end".into()))
    }
}

/// Answers nothing at once: each commit's outcome is unknown at first, whether it happened or not,
/// and every read has to be tried again.
pub struct Unsure {
    pub store: Store,
    pub calls: AtomicUsize,
}

#[async_trait]
impl Engine for Unsure {
    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, Error> {
        let reads = AtomicUsize::new(READS);
        Ok(Arc::new(Forgets { snapshot: self.store.snapshot().await?, reads }))
    }

    async fn commit(&self, batch: Batch) -> Result<Outcome, Error> {
        match self.calls.fetch_add(1, Ordering::Relaxed) % 4 {
            0 => Err(Error::Unknown("it did not happen".into())),
            1 => Err(Error::Unavailable("not now".into())),
            2 => {
                self.store.commit(batch).await?;
                Err(Error::Unknown("it happened".into()))
            }
            _ => self.store.commit(batch).await,
        }
    }
}

/// A snapshot that is too old after this many reads.
struct Forgets {
    snapshot: Arc<dyn Snapshot>,
    reads: AtomicUsize,
}

impl Forgets {
    fn read(&self) -> Result<&dyn Snapshot, Error> {
        let left = self.reads.load(Ordering::Relaxed);
        if left == 0 {
            return Err(Error::Unavailable("the snapshot is too old".into()));
        }
        self.reads.store(left - 1, Ordering::Relaxed);
        Ok(&*self.snapshot)
    }
}

#[async_trait]
impl Snapshot for Forgets {
    fn read_version(&self) -> Position {
        self.snapshot.read_version()
    }

    async fn get(&self, key: Bytes) -> Result<Option<Bytes>, Error> {
        self.read()?.get(key).await
    }

    async fn get_many(&self, keys: Vec<Bytes>) -> Result<Vec<Option<Bytes>>, Error> {
        self.read()?.get_many(keys).await
    }

    async fn scan(
        &self,
        range: Range<Bytes>,
        limit: usize,
        reverse: bool,
    ) -> Result<Vec<Pair>, Error> {
        self.read()?.scan(range, limit, reverse).await
    }
}

/// A store that a core works on: each snapshot lasts for a few reads, and before the next one every
/// room has more.
pub struct Busy {
    pub store: Store,
    pub content: Mutex<Content>,
}

/// More than one look at the keyspace for unknown tables takes.
const READS: usize = 20;

#[async_trait]
impl Engine for Busy {
    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, Error> {
        self.content.lock().await.go_on().await;
        let reads = AtomicUsize::new(READS);
        Ok(Arc::new(Forgets { snapshot: self.store.snapshot().await?, reads }))
    }

    async fn commit(&self, batch: Batch) -> Result<Outcome, Error> {
        self.store.commit(batch).await
    }
}
