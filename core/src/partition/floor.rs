//! A floor that ran away: a clock was ahead once, and since then every fresh client id is refused
//! (`expired_id`). An operator lowers it.
//!
//! It goes down to the hour that it is, no further: what the floor removed stays removed, and an id of an
//! earlier hour may be that of an entry that is committed.

use weft_proto::Partition;
use weft_storage::tables::applied::{self, Applied};
use weft_storage::tables::layout::{self, FEATURE_LEVEL, Layout};
use weft_storage::tables::minute;
use weft_storage::{Batch, BatchId, Outcome, Store};

use super::command::hour_of;
use crate::error::Error;

/// What lowering changes.
pub struct Lowering {
    /// The partitions whose floor is in the future, with it: hours since the Unix epoch.
    pub ahead: Vec<(Partition, u32)>,
    /// The hour that it is, and the floor from then on.
    pub hour: u32,
    batch: Batch,
}

impl Lowering {
    /// Looks at the store; changes nothing yet. `now_ms`: a time that is right, Unix milliseconds.
    ///
    /// # Errors
    /// [`Error::Layout`] where it is not a store of this Weft; those of the store.
    pub async fn prepare(store: &Store, now_ms: u64, batch_id: BatchId) -> Result<Self, Error> {
        let snapshot = store.snapshot().await?;
        let layout_row = snapshot.get(layout::key()).await?;
        let layout_row = layout_row.ok_or_else(|| Error::Layout("the store is empty".into()))?;
        let layout = Layout::decode(&layout_row)?;
        layout.check(FEATURE_LEVEL)?;
        let count = layout.partitions;
        let mut batch = Batch::new(batch_id);
        batch.guard(layout::key(), Some(layout_row));
        let (mut ahead, hour) = (Vec::new(), hour_of(now_ms));
        for partition in (0..count).filter_map(|n| Partition::try_from(n).ok()) {
            let Some(row) = snapshot.get(applied::key(partition)).await? else { continue };
            let was = Applied::decode(&row)?;
            if was.floor_hour <= hour {
                continue;
            }
            ahead.push((partition, was.floor_hour));
            // Another batch id: an owner that works with the old row loses the partition, and takes
            // it again with the new one.
            let lowered = Applied { floor_hour: hour, batch_id: batch_id.to_vec(), ..was };
            // Minutes only grow: nobody would note one before that time has come.
            let later = minute::range_after(partition, minute::of_ms(now_ms));
            batch.clear_range(later.start, later.end);
            batch.guard(applied::key(partition), Some(row));
            batch.set(applied::key(partition), lowered.encode());
        }
        Ok(Self { ahead, hour, batch })
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
