//! Taking a partition: a commit that raises its epoch, so that whoever owned it before commits
//! nothing more. Only then is the log looked at.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::sleep;
use tracing::{error, warn};
use weft_nats::{LogInfo, Trimmed};
use weft_proto::{Partition, RoomId};
use weft_storage::tables::applied::{self, Applied};
use weft_storage::tables::journal::{self, Commits, Journal};
use weft_storage::tables::layout::{self, Layout};
use weft_storage::tables::log;
use weft_storage::tables::minute::{self, Minute};
use weft_storage::{Batch, BatchId, Outcome, Snapshot, Store};

use super::ports::CommandLog;
use super::publish::{Act, event};
use crate::absent;
use crate::error::Error;
use crate::metrics;

const ROWS_PER_SCAN: usize = 16;
/// Before a log is looked at again that changed while it was opened.
const CHANGED_PAUSE: Duration = Duration::from_millis(100);

/// The rows that guard every commit of the new owner.
pub struct Taken {
    /// The partition's row as the taking wrote it.
    pub applied: Applied,
    pub layout_row: Bytes,
    /// The last minute that has a row.
    pub minute: Minute,
    pub store_id: u64,
    pub feature_level: u32,
    /// The level that the store is being raised to; else the same.
    pub level_next: u32,
    /// What the log lacks up to here is skipped.
    pub holes_through: u64,
}

impl Taken {
    /// What is to be kept before the log is trimmed up to `seq`.
    fn trimmed(&self, log: LogInfo, seq: u64) -> Trimmed {
        Trimmed { store_id: self.store_id, made_at_ns: log.made_at_ns, seq }
    }
}

/// Makes `owner` the partition's owner, where it knows what the store may contain.
///
/// # Errors
/// [`Error::NotServed`] where the store's feature level is not among those up to `known_level`;
/// [`Error::Lost`] where somebody else took it at the same time; those of the store.
pub async fn take(
    store: &Store,
    partition: Partition,
    (owner, known_level): (&str, u32),
    batch_id: BatchId,
) -> Result<Taken, Error> {
    let snapshot = store.snapshot().await?;
    let rows = snapshot.get_many(vec![applied::key(partition), layout::key()]).await?;
    let [applied_row, layout_row] = <[Option<Bytes>; 2]>::try_from(rows)
        .map_err(|_| weft_storage::Error::Corrupt("two keys, other rows".into()))?;
    let layout_row =
        layout_row.ok_or_else(|| Error::Layout("the store has no layout row".into()))?;
    let layout = Layout::decode(&layout_row)?;
    layout.check(known_level)?;
    let feature_level = layout.written_level();
    let Layout { partitions: count, store_id, feature_level: level_next, .. } = layout;
    if u32::from(partition) >= count {
        return Err(Error::Layout(format!("the store has {count} partitions, not {partition}")));
    }
    let before = applied_row.as_deref().map(Applied::decode).transpose()?.unwrap_or_default();
    let applied = Applied {
        owner: owner.to_owned(),
        epoch: before.epoch + 1,
        commit_no: Some(before.last_commit_no()),
        batch_id: batch_id.to_vec(),
        ..before
    };
    let newest = minute::newest_until(&*snapshot, partition, Minute::MAX).await?;
    let minute = newest.map_or(0, |first| first.minute);
    let mut batch = Batch::new(batch_id);
    batch.guard(applied::key(partition), applied_row);
    batch.guard(layout::key(), Some(layout_row.clone()));
    batch.set(applied::key(partition), applied.encode());
    match store.commit(batch).await? {
        Outcome::Committed(_) => {
            let holes_through = 0;
            Ok(Taken {
                applied,
                layout_row,
                minute,
                store_id,
                feature_level,
                level_next,
                holes_through,
            })
        }
        Outcome::Rejected { .. } => Err(Error::Lost(partition)),
    }
}

/// The partition's row as it is now.
///
/// # Errors
/// Those of the store.
pub async fn read_row(store: &Store, partition: Partition) -> Result<Applied, weft_storage::Error> {
    applied::read(&*store.snapshot().await?, partition).await
}

/// Opens the log after what is applied, after the taking. A log that ends before that has lost its
/// tail, and is moved forward: what was lost is applied, or will be sent again. A log that lacks what
/// comes next has a hole, and `applied` is moved past it. Only here, so that both come after a commit
/// that raised the epoch: an owner that was replaced does neither.
///
/// # Errors
/// [`Error::Lost`]; [`Error::StoreBehind`] where what the store has not applied was trimmed; those of
/// the log and the store.
pub async fn open_log(
    log: &mut impl CommandLog,
    store: &Store,
    mut taken: Taken,
    partition: Partition,
    mut new_batch_id: impl FnMut() -> BatchId,
) -> Result<Taken, Error> {
    loop {
        let found = info_or_made(log, partition).await?;
        check_store(log, store, &taken, partition, found).await?;
        let applied = taken.applied.stream_seq;
        let last_seq = found.last_seq;
        if last_seq < applied {
            warn!(partition, applied, last_seq, "the ingest log went back, moving it forward");
            log.raise_trimmed(taken.trimmed(found, applied)).await?;
            log.purge_below(applied + 1).await?;
        } else if let Some(Hole { through, .. }) = hole_after(log, found, applied).await? {
            let from = applied + 1;
            metrics::LOG_HOLES.increment();
            error!(
                partition,
                from,
                through,
                "the ingest log has a hole: what was there was not acknowledged, and is skipped"
            );
            let next = Applied { stream_seq: through, ..taken.applied.clone() };
            taken = move_on(store, partition, taken, next, new_batch_id()).await?;
        }
        // What is missing now was missing before this owner: it needs no other one.
        taken.holes_through = last_seq;
        match log.open(taken.applied.stream_seq + 1, last_seq).await {
            Err(error) if has_changed(&error) => sleep(CHANGED_PAUSE).await,
            opened => return opened.map(|()| taken),
        }
    }
}

/// Opens the log again after what was read.
///
/// # Errors
/// [`Error::LogBack`] where it ends before that, [`Error::LogHole`] where it lacks what comes next:
/// take the partition anew. [`Error::Lost`]; those of the log and the store.
pub async fn reopen_log(
    log: &mut impl CommandLog,
    store: &Store,
    (taken, holes_through): (&Applied, u64),
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
        let last_seq = found.last_seq;
        if last_seq < read {
            return Err(Error::LogBack { partition, read, last_seq });
        }
        let hole = hole_after(log, found, read).await?;
        let is_new = |hole: &Hole| hole.through > holes_through || hole.is_last;
        if let Some(Hole { through, .. }) = hole.filter(is_new) {
            // Whoever applies trims: an owner that was replaced finds holes that are none.
            if read_row(store, partition).await?.epoch != taken.epoch {
                return Err(Error::Lost(partition));
            }
            return Err(Error::LogHole { partition, read, through });
        }
        match log.open(read + 1, holes_through).await {
            Err(error) if has_changed(&error) => sleep(CHANGED_PAUSE).await,
            opened => return opened,
        }
    }
}

/// What a log lacks.
struct Hole {
    through: u64,
    /// Nothing is after it that a reader would come to.
    is_last: bool,
}

/// The hole after `seq`, if there is one. `found` was looked at before.
async fn hole_after(
    log: &impl CommandLog,
    found: LogInfo,
    seq: u64,
) -> Result<Option<Hole>, Error> {
    if found.last_seq <= seq {
        return Ok(None);
    }
    let first = log.first_from(seq + 1).await?;
    let through = first.map_or(found.last_seq, |first| first - 1);
    Ok((through > seq).then_some(Hole { through, is_last: first.is_none() }))
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

/// The store must have applied what was trimmed. How far that is, is kept beside the log; where
/// nothing is kept yet, the log's beginning says it, and it is kept from then on.
async fn check_store(
    log: &impl CommandLog,
    store: &Store,
    taken: &Taken,
    partition: Partition,
    found: LogInfo,
) -> Result<(), Error> {
    let applied = taken.applied.stream_seq;
    let by_begin = taken.trimmed(found, found.first_seq.saturating_sub(1));
    let kept = log.trimmed().await?.filter(|kept| kept.is_same_kind(&by_begin));
    let trimmed = kept.unwrap_or(by_begin).seq;
    if trimmed > applied {
        // Whoever applies trims. An owner that was replaced must not cry that the store is old.
        if read_row(store, partition).await?.epoch != taken.applied.epoch {
            return Err(Error::Lost(partition));
        }
        return Err(Error::StoreBehind { partition, applied, trimmed });
    }
    if kept.is_none()
        && let Err(error) = log.raise_trimmed(by_begin).await
    {
        // Nothing is trimmed before that is possible; everything else goes on.
        warn!(partition, %error, "how far the ingest log is trimmed can't be kept");
    }
    Ok(())
}

/// Writes the partition's row without applying anything.
///
/// # Errors
/// [`Error::Lost`] where somebody else took the partition; those of the store.
pub(super) async fn move_on(
    store: &Store,
    partition: Partition,
    taken: Taken,
    next: Applied,
    batch_id: BatchId,
) -> Result<Taken, Error> {
    let applied = Applied { batch_id: batch_id.to_vec(), ..next };
    let mut batch = Batch::new(batch_id);
    batch.guard(applied::key(partition), Some(taken.applied.encode()));
    batch.guard(layout::key(), Some(taken.layout_row.clone()));
    batch.set(applied::key(partition), applied.encode());
    match store.commit(batch).await? {
        Outcome::Committed(_) => Ok(Taken { applied, ..taken }),
        Outcome::Rejected { .. } => Err(Error::Lost(partition)),
    }
}

/// The log was trimmed, or went back, since it was looked at.
fn has_changed(error: &Error) -> bool {
    use weft_nats::Error as E;
    matches!(error, Error::Nats(E::Gap { .. } | E::LogBehind { .. } | E::NoStream(_)))
}

/// A page of what is committed, in commit order.
pub struct UnpublishedPage {
    /// What follows each commit that wrote entries.
    pub acts: Vec<Act>,
    /// There are no further ones.
    pub is_last: bool,
}

/// What follows the commits after number `after`, up to `through`.
///
/// # Errors
/// Those of the store.
pub async fn unpublished(
    snapshot: &dyn Snapshot,
    partition: Partition,
    after: u64,
    through: u64,
) -> Result<UnpublishedPage, Error> {
    // Only what is published is deleted.
    let missing = || weft_storage::Error::Corrupt("a journal without what is not published".into());
    let page = journal::follow(snapshot, partition, after, ROWS_PER_SCAN).await?;
    let Commits { rows, is_last } = page.ok_or_else(missing)?;
    let mut acts = Vec::with_capacity(rows.len());
    for (commit_no, row) in rows.iter().filter(|(commit_no, _)| *commit_no <= through) {
        acts.push(act_of_row(snapshot, partition, *commit_no, row).await?);
    }
    let is_last = is_last || acts.len() < rows.len();
    Ok(UnpublishedPage { acts, is_last })
}

async fn act_of_row(
    snapshot: &dyn Snapshot,
    partition: Partition,
    commit_no: u64,
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
    let mut act = Act { commit_no, ..Act::default() };
    for ((room, seq), logged) in wanted.iter().zip(&found) {
        if logged.is_none() && *seq > 0 {
            absent::note(snapshot, room, *seq..seq + 1).await?;
        }
    }
    for pair in found.chunks(2) {
        // Who repairs past it is told that it is hidden: nobody waits for it.
        let [Some(logged), before] = pair else { continue };
        // Where the one before it is missing, nothing says that a session has what was before that:
        // it has to look.
        let is_first = logged.entry.seq == 1;
        let before = before.as_ref().or((!is_first).then_some(logged));
        let before = before.map(|before| before.position);
        let also = super::rules::concerned(&logged.entry);
        act.events.push(event(partition, &logged.entry, logged.position, before, also));
    }
    Ok(act)
}
