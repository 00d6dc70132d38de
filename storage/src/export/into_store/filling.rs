//! The commits of an import, and how far it is.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::sleep;

use super::super::check::ExportCheck;
use super::super::error::Error;
use super::super::line::ExportLine;
use super::super::snapshots::Snapshots;
use super::rows;
use crate::batch::Batch;
use crate::engine::{Outcome, Snapshot, Store};
use crate::tables::import::{self, Import};
use crate::tables::layout::{self, Layout};
use crate::tables::unknown;

/// A batch with this many bytes takes nothing more. One line more, but for a dead letter, leaves it
/// below the 1 MB or so that FoundationDB wants a transaction to have.
const FULL_BYTES: usize = 600_000;
/// A batch with this many entries takes nothing more: their places in it are 16 bits.
const FULL_ENTRIES: u16 = 10_000;
const ATTEMPTS_MAX: usize = 40;
/// Before it is tried again.
const PAUSE: Duration = Duration::from_millis(500);

/// A store that is being filled.
pub struct Filling {
    store: Store,
    checksum: Vec<u8>,
    /// The row as it is in the store; none before the first commit.
    row: Option<Bytes>,
    lines_done: u64,
    batch: Batch,
    /// The last line whose rows are in the batch.
    lines: u64,
    order: u16,
}

impl Filling {
    /// Looks how far an import of this export is; changes nothing yet.
    pub async fn begin(store: &Store, checksum: &[u8]) -> Result<Self, Error> {
        let read = async |snapshot: &dyn Snapshot| {
            let rows = snapshot.get_many(vec![layout::key(), import::key()]).await?;
            Ok((rows, unknown::is_empty(snapshot).await?))
        };
        let (rows, is_empty) = Snapshots::new(store).read(read).await?;
        let row = match rows.as_slice() {
            [None, row] => row.clone(),
            _ => return Err(Error::NotEmpty),
        };
        let mut lines_done = 0;
        if let Some(row) = &row {
            let found = Import::decode(row)?;
            if found.checksum != checksum {
                return Err(Error::OtherImport);
            }
            lines_done = found.lines;
        } else if !is_empty {
            return Err(Error::NotEmpty);
        }
        let (store, checksum, batch) = (store.clone(), checksum.to_vec(), new_batch());
        Ok(Self { store, checksum, row, lines_done, batch, lines: lines_done, order: 0 })
    }

    /// So many lines are in the store.
    pub fn lines_done(&self) -> u64 {
        self.lines_done
    }

    /// Adds the rows of line number `number`, which `check` has taken.
    pub async fn add(
        &mut self,
        line: &ExportLine,
        check: &ExportCheck,
        number: u64,
    ) -> Result<(), Error> {
        rows::add(&mut self.batch, &mut self.order, line, check)?;
        self.lines = number;
        let is_full = self.batch.transaction_bytes() >= FULL_BYTES || self.order >= FULL_ENTRIES;
        if is_full { self.commit().await } else { Ok(()) }
    }

    async fn commit(&mut self) -> Result<(), Error> {
        let mut batch = std::mem::replace(&mut self.batch, new_batch());
        let row = Import {
            checksum: self.checksum.clone(),
            lines: self.lines,
            batch_id: batch.id().to_vec(),
        };
        let row = row.encode();
        batch.guard(layout::key(), None);
        batch.guard(import::key(), self.row.clone());
        batch.set(import::key(), row.clone());
        settle(&self.store, batch, import::key(), &row).await?;
        (self.row, self.lines_done, self.order) = (Some(row), self.lines, 0);
        Ok(())
    }

    /// Commits what is left and, with it, makes the store one that core opens.
    pub async fn finish(self, layout: &Layout) -> Result<(), Error> {
        let (mut batch, row) = (self.batch, layout.encode());
        batch.guard(layout::key(), None);
        batch.guard(import::key(), self.row);
        batch.clear(import::key());
        batch.set(layout::key(), row.clone());
        batch.set_replayable(false);
        settle(&self.store, batch, layout::key(), &row).await
    }
}

/// The file still has what goes into it.
fn new_batch() -> Batch {
    let mut batch = Batch::new(rand::random());
    batch.set_replayable(true);
    batch
}

/// Commits until it has happened. `evidence` is at `key` then, and no other way leads to it.
async fn settle(store: &Store, batch: Batch, key: Bytes, evidence: &Bytes) -> Result<(), Error> {
    let mut attempt = 1;
    loop {
        let error = match store.commit(batch.clone()).await {
            Ok(Outcome::Committed(_)) => return Ok(()),
            // An earlier attempt whose outcome was unknown may have moved what is guarded.
            Ok(Outcome::Rejected { .. }) => None,
            Err(error) if error.is_retryable() => Some(error),
            Err(error) => return Err(error.into()),
        };
        let read = async |snapshot: &dyn Snapshot| snapshot.get(key.clone()).await;
        if Snapshots::new(store).read(read).await?.as_ref() == Some(evidence) {
            return Ok(());
        }
        match error {
            None => return Err(Error::Disturbed),
            Some(error) if attempt >= ATTEMPTS_MAX => return Err(error.into()),
            Some(_) => {
                attempt += 1;
                sleep(PAUSE).await;
            }
        }
    }
}
