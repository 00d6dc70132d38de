//! A store that went back (restored from an older copy): what its ingest logs have trimmed is lost.
//! Core does not serve such a store until an operator has accepted that.
//!
//! Accepting gives the store a new id, so that every older cursor is answered with `resync`, and
//! marks each partition; the next owner goes on after what is lost.

use tracing::warn;
use weft_proto::{Partition, StoreId};
use weft_storage::tables::applied::{self, Applied};
use weft_storage::tables::layout::{self, FEATURE_LEVEL, Layout};
use weft_storage::{Batch, BatchId, Outcome, Store};

use super::ports::CommandLog;
use super::take::{Taken, info_or_made, move_on};
use crate::error::Error;

/// What accepting the loss changes.
pub struct Acceptance {
    /// The store's id until now.
    pub id_before: StoreId,
    pub id: StoreId,
    /// The partitions, and how far each one's ingest log is applied.
    pub applied: Vec<(Partition, u64)>,
    batch: Batch,
}

impl Acceptance {
    /// Looks at the store; changes nothing yet.
    ///
    /// # Errors
    /// [`Error::Layout`] where it is not a store of this Weft; those of the store.
    pub async fn prepare(store: &Store, id: StoreId, batch_id: BatchId) -> Result<Self, Error> {
        let snapshot = store.snapshot().await?;
        let layout_row = snapshot.get(layout::key()).await?;
        let layout_row = layout_row.ok_or_else(|| Error::Layout("the store is empty".into()))?;
        let before = Layout::decode_whole(&layout_row)?;
        before.check(FEATURE_LEVEL)?;
        let after = Layout { store_id: id.0, epoch: before.epoch + 1, ..before };
        let mut batch = Batch::new(batch_id);
        batch.guard(layout::key(), Some(layout_row));
        batch.set(layout::key(), after.encode());
        let mut stream_seqs = Vec::new();
        for partition in (0..before.partitions).filter_map(|n| Partition::try_from(n).ok()) {
            let row = snapshot.get(applied::key(partition)).await?;
            let was = row.as_deref().map(Applied::decode).transpose()?.unwrap_or_default();
            stream_seqs.push((partition, was.stream_seq));
            let marked = Applied { loss_accepted: true, batch_id: batch_id.to_vec(), ..was };
            batch.guard(applied::key(partition), row);
            batch.set(applied::key(partition), marked.encode());
        }
        let id_before = StoreId(before.store_id);
        Ok(Self { id_before, id, applied: stream_seqs, batch })
    }

    /// Does it, in one commit.
    ///
    /// # Errors
    /// Those of the store; [`Error::Layout`] where somebody works on it.
    pub async fn commit(self, store: &Store) -> Result<(), Error> {
        match store.commit(self.batch).await? {
            Outcome::Committed(_) => Ok(()),
            Outcome::Rejected { .. } => {
                Err(Error::Layout("the store was changed meanwhile: nothing was done".into()))
            }
        }
    }
}

/// Where the loss is accepted, goes on after it: in a commit that also clears the mark.
///
/// # Errors
/// [`Error::Lost`] where somebody else took the partition; those of the log and the store.
pub async fn leave_behind(
    log: &impl CommandLog,
    store: &Store,
    partition: Partition,
    taken: Taken,
    batch_id: BatchId,
) -> Result<Taken, Error> {
    if !taken.applied.loss_accepted {
        return Ok(taken);
    }
    let before_log = info_or_made(log, partition).await?.first_seq.saturating_sub(1);
    let was = &taken.applied;
    if before_log > was.stream_seq {
        let applied = was.stream_seq;
        warn!(partition, applied, through = before_log, "going on after what the store lost");
    }
    let next =
        Applied { stream_seq: was.stream_seq.max(before_log), loss_accepted: false, ..was.clone() };
    move_on(store, partition, taken, next, batch_id).await
}
