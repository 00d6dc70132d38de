//! What readers see: the state after a sync, and never anything newer.

use std::fs::File;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use bytes::Bytes;
use fjall::{Keyspace, Readable};
use weft_proto::Position;
use weft_runtime::lock;

use super::cleared::Cleared;
use super::{files, keys};
use crate::engine::{Pair, Snapshot};
use crate::error::Error;

/// Reads of at most this many keys run on the calling task; larger ones on a blocking thread.
/// In memory a point costs about 6 µs and a scanned key 1 to 2 µs, a change of thread 20 µs and
/// more on a busy machine; a block from the disk is usually below 100 µs. So the usual read, small
/// and warm, is not slowed down, and an unlucky one holds its worker for a few ms.
const INLINE_KEYS_MAX: usize = 64;

/// The newest view, handed from the committer to readers.
pub struct Published {
    state: Mutex<State>,
}

enum State {
    Open(Arc<View>),
    Failed(String),
}

impl Published {
    pub fn new(view: View) -> Self {
        Self { state: Mutex::new(State::Open(Arc::new(view))) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub fn view(&self) -> Result<Arc<View>, Error> {
        match &*self.state() {
            State::Open(view) => Ok(Arc::clone(view)),
            State::Failed(reason) => Err(Error::Failed(reason.clone())),
        }
    }

    pub fn failure(&self) -> Error {
        match &*self.state() {
            State::Open(_) => Error::Failed("its committer has stopped".to_owned()),
            State::Failed(reason) => Error::Failed(reason.clone()),
        }
    }

    pub fn publish(&self, view: View) {
        let state = State::Open(Arc::new(view));
        // The old view is dropped outside of the lock.
        let _old = std::mem::replace(&mut *self.state(), state);
    }

    /// From now on every call is answered with this. The first reason stays.
    pub fn fail(&self, reason: &str) {
        let mut state = self.state();
        if let State::Open(_) = &*state {
            *state = State::Failed(reason.to_owned());
        }
    }
}

/// One synced state of the store.
#[derive(Clone)]
pub struct View {
    pub data: Keyspace,
    pub snapshot: fjall::Snapshot,
    /// Belongs to the snapshot: hides what is cleared there and not swept yet.
    pub cleared: Cleared,
    pub version: u64,
    /// The folder stays locked while somebody reads.
    pub _lock: Arc<File>,
}

impl View {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        if self.cleared.contains(key) {
            return Ok(None);
        }
        let value = self.snapshot.get(&self.data, keys::user(key)).map_err(|e| failed(&e, self))?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn get_many(&self, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, Error> {
        keys.iter().map(|key| self.get(key)).collect()
    }

    fn scan(&self, range: Range<Bytes>, limit: usize, reverse: bool) -> Result<Vec<Pair>, Error> {
        let mut parts = self.cleared.visible(range);
        if reverse {
            parts.reverse();
        }
        let mut pairs = Vec::new();
        for part in parts {
            if pairs.len() == limit {
                break;
            }
            let bounds = keys::user(&part.start)..keys::user(&part.end);
            let stored = self.snapshot.range(&self.data, bounds);
            let left = limit - pairs.len();
            if reverse {
                self.collect(stored.rev().take(left), &mut pairs)?;
            } else {
                self.collect(stored.take(left), &mut pairs)?;
            }
        }
        Ok(pairs)
    }

    fn collect(
        &self,
        stored: impl Iterator<Item = fjall::Guard>,
        pairs: &mut Vec<Pair>,
    ) -> Result<(), Error> {
        for pair in stored {
            let (key, value) = pair.into_inner().map_err(|e| failed(&e, self))?;
            pairs.push((keys::user_key(&key), Bytes::copy_from_slice(&value)));
        }
        Ok(())
    }

    /// Runs a read on a blocking thread.
    async fn blocking<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Self) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let view = self.clone();
        let reading = tokio::task::spawn_blocking(move || read(&view));
        reading.await.unwrap_or_else(|error| Err(Error::Unavailable(error.to_string())))
    }
}

fn failed(error: &fjall::Error, view: &View) -> Error {
    Error::Failed(files::describe(error, view.data.path()))
}

#[async_trait]
impl Snapshot for View {
    fn read_version(&self) -> Position {
        Position::new(self.version, 0).commit_end()
    }

    async fn get(&self, key: Bytes) -> Result<Option<Bytes>, Error> {
        Self::get(self, &key)
    }

    async fn get_many(&self, keys: Vec<Bytes>) -> Result<Vec<Option<Bytes>>, Error> {
        if keys.len() <= INLINE_KEYS_MAX {
            return Self::get_many(self, &keys);
        }
        self.blocking(move |view| view.get_many(&keys)).await
    }

    async fn scan(
        &self,
        range: Range<Bytes>,
        limit: usize,
        reverse: bool,
    ) -> Result<Vec<Pair>, Error> {
        if limit <= INLINE_KEYS_MAX {
            return Self::scan(self, range, limit, reverse);
        }
        self.blocking(move |view| view.scan(range, limit, reverse)).await
    }
}
