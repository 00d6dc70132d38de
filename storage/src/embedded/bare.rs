//! fjall bare, for measurements alone: what somebody writes who uses the library without Weft, with
//! the same settings and the same durability. No guards, no positions, no order of commits.
//!
//! It is here because no other crate names an engine.

use std::path::Path;

use fjall::{Database, Keyspace, OwnedWriteBatch, PersistMode};

use super::{Options, files};
use crate::batch::{Batch, Op};
use crate::error::Error;
use weft_proto::Position;

pub type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// An open database.
#[derive(Clone)]
pub struct Bare {
    database: Database,
    data: Keyspace,
}

/// What the batch writes where it gets this version. Only what sets a key: measurements of the
/// library do nothing else.
#[must_use]
pub fn pairs(batch: &Batch, version: u64) -> Pairs {
    let position = |order: &u16| Position::new(version, *order).0;
    let pair = |op: &Op| match op {
        Op::Set { key, value } | Op::Max { key, value } => Some((key.to_vec(), value.to_vec())),
        Op::SetPositioned { key, order, value } => {
            Some((key.to_vec(), [&position(order), value.as_ref()].concat()))
        }
        Op::SetAtPosition { prefix, order, value } => {
            Some(([prefix.as_ref(), &position(order)].concat(), value.to_vec()))
        }
        Op::Clear { .. } | Op::ClearRange { .. } => None,
    };
    batch.ops().iter().filter_map(pair).collect()
}

impl Bare {
    /// Makes a database in this folder.
    ///
    /// # Errors
    /// [`Error::Open`].
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let opened = files::open_database(folder, &Options::default());
        let (database, data) =
            opened.map_err(|error| Error::Open(files::describe(&error, folder)))?;
        Ok(Self { database, data })
    }

    /// Writes the pairs as one atomic batch and syncs it.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub fn commit(&self, pairs: &Pairs) -> Result<(), Error> {
        let mut batch = OwnedWriteBatch::with_capacity(self.database.clone(), pairs.len())
            .durability(Some(PersistMode::SyncData));
        for (key, value) in pairs {
            batch.insert(&self.data, key.as_slice(), value.as_slice());
        }
        batch.commit().map_err(|error| self.failed(&error))
    }

    /// The length of the key's value.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub fn get(&self, key: &[u8]) -> Result<Option<usize>, Error> {
        let value = self.data.get(key).map_err(|error| self.failed(&error))?;
        Ok(value.map(|value| value.len()))
    }

    /// Reads the last `limit` pairs from `from` on and before `to`. How many there were.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub fn scan_back(&self, from: &[u8], to: &[u8], limit: usize) -> Result<usize, Error> {
        let mut count = 0;
        for pair in self.data.range(from..to).rev().take(limit) {
            let (key, value) = pair.into_inner().map_err(|error| self.failed(&error))?;
            std::hint::black_box((key, value));
            count += 1;
        }
        Ok(count)
    }

    fn failed(&self, error: &fjall::Error) -> Error {
        Error::Failed(files::describe(error, self.data.path()))
    }
}
