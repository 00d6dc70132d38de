//! Taking a partition: a commit that raises its epoch, so that whoever owned it before commits
//! nothing more. Only then is the log looked at.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::sleep;
use tracing::warn;
use weft_nats::LogInfo;
use weft_proto::{Partition, RoomId};
use weft_storage::tables::applied::{self, Applied};
use weft_storage::tables::journal::{self, Journal};
use weft_storage::tables::layout::{self, Layout};
use weft_storage::tables::log;
use weft_storage::{Batch, BatchId, Outcome, Snapshot, Store};

use super::ports::CommandLog;
use super::publish::{Act, event};
use crate::error::Error;

/// Journal rows read at once.
const ROWS_PER_SCAN: usize = 16;
/// Before a log is looked at again that changed while it was opened.
const CHANGED_PAUSE: Duration = Duration::from_millis(100);

/// The rows that guard every commit of the new owner.
pub struct Taken {
    /// The partition's row as the taking wrote it.
    pub applied: Applied,
    /// The layout row's bytes.
    pub layout_row: Bytes,
}

/// Makes `owner` the partition's owner.
///
/// # Errors
/// [`Error::Lost`] where somebody else took it at the same time; those of the store.
pub async fn take(
    store: &Store,
    partition: Partition,
    owner: &str,
    batch_id: BatchId,
) -> Result<Taken, Error> {
    let snapshot = store.snapshot().await?;
    let rows = snapshot.get_many(vec![applied::key(partition), layout::key()]).await?;
    let [applied_row, layout_row] = <[Option<Bytes>; 2]>::try_from(rows)
        .map_err(|_| weft_storage::Error::Corrupt("two keys, other rows".into()))?;
    let layout_row =
        layout_row.ok_or_else(|| Error::Layout("the store has no layout row".into()))?;
    let count = Layout::decode(&layout_row)?.partitions;
    if u32::from(partition) >= count {
        return Err(Error::Layout(format!("the store has {count} partitions, not {partition}")));
    }
    let before = applied_row.as_deref().map(Applied::decode).transpose()?.unwrap_or_default();
    let applied = Applied {
        owner: owner.to_owned(),
        epoch: before.epoch + 1,
        batch_id: batch_id.to_vec(),
        ..before
    };
    let mut batch = Batch::new(batch_id);
    batch.guard(applied::key(partition), applied_row);
    batch.guard(layout::key(), Some(layout_row.clone()));
    batch.set(applied::key(partition), applied.encode());
    match store.commit(batch).await? {
        Outcome::Committed(_) => Ok(Taken { applied, layout_row }),
        Outcome::Rejected { .. } => Err(Error::Lost(partition)),
    }
}

/// The partition's row as it is now.
///
/// # Errors
/// Those of the store.
pub async fn read_row(store: &Store, partition: Partition) -> Result<Applied, weft_storage::Error> {
    read_row_of(&*store.snapshot().await?, partition).await
}

/// The partition's row in a snapshot.
///
/// # Errors
/// Those of the store.
pub async fn read_row_of(
    snapshot: &dyn Snapshot,
    partition: Partition,
) -> Result<Applied, weft_storage::Error> {
    let row = snapshot.get(applied::key(partition)).await?;
    row.as_deref().map(Applied::decode).transpose().map(Option::unwrap_or_default)
}

/// Opens the log behind what is applied, after the taking. A log that ends before that has lost its
/// tail, and is moved forward: what was lost is applied, or will be sent again. Only here, so that
/// each purge forward comes after a commit that raised the epoch.
///
/// # Errors
/// [`Error::Lost`] or [`Error::StoreBehind`] where the log has trimmed what is not applied; those of
/// the log and the store.
pub async fn open_log(
    log: &mut impl CommandLog,
    store: &Store,
    taken: &Applied,
    partition: Partition,
) -> Result<(), Error> {
    let applied = taken.stream_seq;
    loop {
        let found = info_or_made(log, partition).await?;
        check_begin(found, store, taken, partition, applied).await?;
        let last_seq = found.last_seq;
        if last_seq < applied {
            warn!(partition, applied, last_seq, "the ingest log went back, moving it forward");
            log.purge_below(applied + 1).await?;
        }
        match log.open(applied + 1).await {
            Err(error) if has_changed(&error) => sleep(CHANGED_PAUSE).await,
            opened => return opened,
        }
    }
}

/// Opens the log again behind what was read.
///
/// # Errors
/// [`Error::LogBack`] where it ends before that: take the partition anew. Else as [`open_log`].
pub async fn reopen_log(
    log: &mut impl CommandLog,
    store: &Store,
    taken: &Applied,
    partition: Partition,
    read: u64,
) -> Result<(), Error> {
    loop {
        let found = match log.info().await {
            Err(Error::Nats(weft_nats::Error::NoStream(_))) => {
                return Err(Error::LogBack { partition, read, last_seq: 0 });
            }
            found => found?,
        };
        check_begin(found, store, taken, partition, read).await?;
        let last_seq = found.last_seq;
        if last_seq < read {
            return Err(Error::LogBack { partition, read, last_seq });
        }
        match log.open(read + 1).await {
            Err(error) if has_changed(&error) => sleep(CHANGED_PAUSE).await,
            opened => return opened,
        }
    }
}

/// What the log holds; where somebody deleted it, it is made anew. Only after a taking.
///
/// # Errors
/// Those of the log.
pub async fn info_or_made(log: &impl CommandLog, partition: Partition) -> Result<LogInfo, Error> {
    match log.info().await {
        Err(Error::Nats(weft_nats::Error::NoStream(_))) => {
            warn!(partition, "the ingest log was deleted, making it anew");
            log.make().await?;
            log.info().await
        }
        found => found,
    }
}

/// The log must not begin behind `read + 1`.
async fn check_begin(
    found: LogInfo,
    store: &Store,
    taken: &Applied,
    partition: Partition,
    read: u64,
) -> Result<(), Error> {
    if found.first_seq <= read + 1 {
        return Ok(());
    }
    // Whoever applies trims. An owner that was replaced must not cry that the store is old.
    if read_row(store, partition).await?.epoch != taken.epoch {
        return Err(Error::Lost(partition));
    }
    Err(Error::StoreBehind { partition, applied: read, first_seq: found.first_seq })
}

/// The log was trimmed, or went back, since it was looked at.
fn has_changed(error: &Error) -> bool {
    use weft_nats::Error as E;
    matches!(error, Error::Nats(E::Gap { .. } | E::LogBehind { .. } | E::NoStream(_)))
}

/// A page of what is committed, in commit order.
pub struct Page {
    /// What follows each commit that wrote entries.
    pub acts: Vec<Act>,
    /// There are no further ones.
    pub is_last: bool,
}

/// What follows the commits after stream sequence `after`, up to `through`.
///
/// # Errors
/// Those of the store.
pub async fn unpublished(
    snapshot: &dyn Snapshot,
    partition: Partition,
    after: u64,
    through: u64,
) -> Result<Page, Error> {
    let mut range: Range<Bytes> = journal::range_after(partition, after);
    range.end = journal::range_after(partition, through).start;
    let rows = snapshot.scan(range, ROWS_PER_SCAN, false).await?;
    let is_last = rows.len() < ROWS_PER_SCAN;
    let mut acts = Vec::with_capacity(rows.len());
    for (key, value) in rows {
        let (stream_seq, row) = (journal::stream_seq(&key)?, Journal::decode(&value)?);
        acts.push(act_of_row(snapshot, partition, stream_seq, &row).await?);
    }
    Ok(Page { acts, is_last })
}

async fn act_of_row(
    snapshot: &dyn Snapshot,
    partition: Partition,
    stream_seq: u64,
    row: &Journal,
) -> Result<Act, Error> {
    let mut wanted = Vec::with_capacity(2 * row.entries.len());
    for entry in &row.entries {
        let room = RoomId::new(&entry.room)
            .map_err(|error| weft_storage::Error::Corrupt(format!("journal: {error}")))?;
        // The entry, and the one before it for its position (seq 0: there is none).
        wanted.push((room.clone(), entry.seq));
        wanted.push((room, entry.seq.saturating_sub(1)));
    }
    let found = log::get_many(snapshot, &wanted).await?;
    let mut act = Act { stream_seq, ..Act::default() };
    for pair in found.chunks(2) {
        let [Some(logged), before] = pair else {
            return Err(
                weft_storage::Error::Corrupt("a journal row without its entry".into()).into()
            );
        };
        let before = before.as_ref().map(|before| before.position);
        let also = super::rules::concerned(&logged.entry);
        act.events.push(event(partition, &logged.entry, logged.position, before, also));
    }
    Ok(act)
}
