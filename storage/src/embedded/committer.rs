//! The thread that owns every write.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fjall::PersistMode;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use weft_proto::Position;

use super::cleared::{Cleared, Rows};
use super::files::{self, Files};
use super::keys::State;
use super::power::repair;
use super::view::{Published, View};
use super::writes::{Newest, Writes, insert_rows};
use super::{Options, keys};
use crate::batch::Batch;
use crate::engine::Outcome;
use crate::error::Error;
use crate::metrics;
use crate::tables::layout;

/// A group ends here, so that the first of it does not wait for too many others ...
const GROUP_BATCHES_MAX: usize = 512;
/// ... nor for too many bytes to sync.
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Keys and ranges swept between two groups: about 1 ms.
const SWEEP_WORK: usize = 512;
/// Steps between two syncs while there is nothing else to do.
const SWEEP_STEPS_PER_SYNC: usize = 32;
/// Cleared ranges that may wait for being swept. Each is one comparison in a read, and a row.
const CLEARED_RANGES_MAX: usize = 4_096;
/// Full memtables that wait for their flush, at most. The library itself stops writers at 4, in a
/// loop that never looks whether the flushing thread still lives.
const SEALED_MEMTABLES_MAX: usize = 3;
/// Tables that wait for a compaction, at most. The library stops writers at 30, in such a loop.
const UNCOMPACTED_TABLES_MAX: usize = 24;
const STALL_POLL: Duration = Duration::from_millis(1);

/// Where an outcome is waited for.
pub type OutcomeSender = oneshot::Sender<Result<Outcome, Error>>;

/// A batch and who waits for it.
pub struct CommitRequest {
    pub batch: Batch,
    pub answer: OutcomeSender,
    /// Its share of the queue's bytes, given back with the answer.
    pub _room: OwnedSemaphorePermit,
}

pub struct Committer {
    files: Files,
    options: Options,
    requests: mpsc::Receiver<CommitRequest>,
    published: Arc<Published>,
    cleared: Cleared,
    /// The last commit's version.
    version: u64,
    /// The version that the last sync covered.
    synced: u64,
    /// Commits of the newest group that are answered after the sync of a later one.
    unsettled: Vec<(OutcomeSender, Outcome)>,
    /// Set once the queue is empty and closed; a drop before that is a failure.
    is_done: bool,
}

impl Drop for Committer {
    fn drop(&mut self) {
        if !self.is_done {
            self.published.fail("its committer has stopped");
        }
    }
}

/// Why the store has to be opened again.
struct Failure(String);

impl Committer {
    /// Reads what the last process left.
    pub fn new(
        files: Files,
        options: Options,
        requests: mpsc::Receiver<CommitRequest>,
    ) -> Result<(Self, Arc<Published>), Error> {
        let failed = |reason| Error::Open(format!("{}: {reason}", files.path.display()));
        let damaged = |error| failed(files::describe(&error, &files.path));
        let version = match files.data.get(keys::STATE).map_err(damaged)? {
            None => 0,
            Some(state) => {
                State::decode(&state)
                    .ok_or_else(|| failed("written by another version of Weft".to_owned()))?
                    .version
            }
        };
        let mut ranges = Vec::new();
        for row in files.data.range(keys::CLEARED..keys::CLEARED_END) {
            let (key, to) = row.into_inner().map_err(damaged)?;
            let from = bytes::Bytes::copy_from_slice(&key[keys::CLEARED.len()..]);
            ranges.push((from, bytes::Bytes::copy_from_slice(&to)));
        }
        let cleared = Cleared::from_ranges(ranges);
        // What was replayed may only have been in the system's cache.
        files.database.persist(PersistMode::SyncAll).map_err(damaged)?;
        let published = Arc::new(Published::new(View {
            data: files.data.clone(),
            snapshot: files.database.snapshot(),
            cleared: cleared.clone(),
            version,
            _lock: Arc::clone(&files.lock),
        }));
        let mut committer = Self {
            files,
            options,
            requests,
            published: Arc::clone(&published),
            cleared,
            version,
            synced: version,
            unsettled: Vec::new(),
            is_done: false,
        };
        if let Err(Failure(reason)) = committer.begin() {
            committer.is_done = true;
            return Err(Error::Open(format!("{}: {reason}", committer.files.path.display())));
        }
        Ok((committer, published))
    }

    /// The store gets its new id where it has to; and all that was found is of a group that is not
    /// the newest any more.
    fn begin(&mut self) -> Result<(), Failure> {
        if let Some(left_out) = self.files.left_out.take() {
            let newest = Newest { data: &self.files.data, cleared: &self.cleared };
            let row = newest.get(&layout::key()).map_err(|error| self.failure(&error))?;
            let row = row.map(|row| repair::with_new_id(&row, &left_out));
            if let Some(batch) = row.transpose().map_err(|error| Failure(error.to_string()))? {
                self.write(&batch)?;
                self.sync_and_publish()?;
            }
            tracing::warn!(store_id = left_out.store_id, "the store has a new id");
        }
        self.settle()?;
        repair::done(&self.files.path, self.files.mark)
            .map_err(|error| Failure(files::reason(&error)))
    }

    /// Runs until every sender is dropped and the queue is empty, or until the store fails.
    pub fn run(mut self) {
        match self.serve() {
            Ok(()) => self.is_done = true,
            Err(Failure(reason)) => {
                tracing::error!(path = %self.files.path.display(), reason, "store failed");
                self.published.fail(&reason);
                // Whoever still waits is answered by the closed channel.
            }
        }
    }

    fn serve(&mut self) -> Result<(), Failure> {
        let mut steps = 0;
        loop {
            let first = if self.cleared.is_empty() && self.unsettled.is_empty() {
                self.requests.blocking_recv()
            } else {
                match self.requests.try_recv() {
                    Ok(first) => Some(first),
                    Err(_) if !self.unsettled.is_empty() => {
                        self.settle()?;
                        continue;
                    }
                    Err(TryRecvError::Disconnected) => None,
                    Err(TryRecvError::Empty) => {
                        self.sweep_step()?;
                        steps += 1;
                        if self.cleared.is_empty() || steps % SWEEP_STEPS_PER_SYNC == 0 {
                            self.sync_and_publish()?;
                        }
                        continue;
                    }
                }
            };
            let Some(first) = first else { return Ok(()) };
            let group = self.group(first);
            self.commit_group(group)?;
            if !self.cleared.is_empty() {
                self.sweep_step()?;
            }
            while self.cleared.len() > CLEARED_RANGES_MAX {
                self.sweep_step()?;
            }
        }
    }

    /// Nobody else commits: a batch of the state row alone is the next group. Its sync makes the
    /// one before it one that is never dropped.
    fn settle(&mut self) -> Result<(), Failure> {
        self.commit(fjall::OwnedWriteBatch::with_capacity(self.files.database.clone(), 1))?;
        self.sync_and_publish()?;
        self.answer_settled();
        Ok(())
    }

    /// Answers what waited for the sync of a later group.
    fn answer_settled(&mut self) {
        for (answer, outcome) in self.unsettled.drain(..) {
            // Who does not wait any more is not told.
            let _ = answer.send(Ok(outcome));
        }
    }

    /// The first request and what else is ready, in order, within the bounds.
    fn group(&mut self, first: CommitRequest) -> Vec<CommitRequest> {
        let mut bytes = first.batch.size_bytes();
        let mut group = vec![first];
        while group.len() < GROUP_BATCHES_MAX && bytes < GROUP_BYTES_MAX {
            let Ok(next) = self.requests.try_recv() else { break };
            bytes += next.batch.size_bytes();
            group.push(next);
        }
        group
    }

    fn commit_group(&mut self, group: Vec<CommitRequest>) -> Result<(), Failure> {
        if let Some(refusal) = self.refusal() {
            metrics::REFUSED.add(group.len() as u64);
            for request in group {
                let _ = request.answer.send(Err(Error::Full(refusal.clone())));
            }
            return Ok(());
        }
        metrics::GROUP_BATCHES.record(group.len() as f64);
        let version_before = self.version;
        match self.write_group(&group) {
            Ok(outcomes) => {
                if self.version != version_before {
                    self.answer_settled();
                }
                for (request, outcome) in group.into_iter().zip(outcomes) {
                    let is_written = matches!(outcome, Outcome::Committed(_));
                    if is_written && !request.batch.is_replayable() {
                        self.unsettled.push((request.answer, outcome));
                    } else {
                        let _ = request.answer.send(Ok(outcome));
                    }
                }
                Ok(())
            }
            Err(Failure(reason)) => {
                self.published.fail(&reason);
                for (answer, _) in self.unsettled.drain(..) {
                    let _ = answer.send(Err(Error::Failed(reason.clone())));
                }
                for request in group {
                    let _ = request.answer.send(Err(Error::Failed(reason.clone())));
                }
                Err(Failure(reason))
            }
        }
    }

    /// Why nothing can be committed now, though nothing is broken.
    fn refusal(&self) -> Option<String> {
        let free_bytes = files::disk_free_bytes(&self.files.path)?;
        (free_bytes < self.options.disk_reserve_bytes).then(|| {
            format!(
                "the disk of {} is nearly full ({} MB free, {} MB are kept in reserve)",
                self.files.path.display(),
                free_bytes / 1_000_000,
                self.options.disk_reserve_bytes / 1_000_000,
            )
        })
    }

    fn write_group(&mut self, group: &[CommitRequest]) -> Result<Vec<Outcome>, Failure> {
        let version_before = self.version;
        let mut outcomes = Vec::with_capacity(group.len());
        for request in group {
            outcomes.push(self.write(&request.batch)?);
        }
        if self.version != version_before {
            self.sync_and_publish()?;
        }
        Ok(outcomes)
    }

    fn write(&mut self, batch: &Batch) -> Result<Outcome, Failure> {
        let newest = Newest { data: &self.files.data, cleared: &self.cleared };
        for (index, guard) in batch.guards().iter().enumerate() {
            let found = newest.get(&guard.key).map_err(|error| self.failure(&error))?;
            if found.as_deref() != guard.expected.as_deref() {
                return Ok(Outcome::Rejected { guard: index });
            }
        }
        let version = (self.options.clock_us)().max(self.version.saturating_add(1));
        // Two commits with one position would be one to whoever resumes after it.
        assert!(version > self.version, "a commit's version must be after the last one's");
        let position = Position::new(version, 0);
        let writes = Writes::of(batch.ops(), position, &newest, self.options.clear_now_keys_max)
            .map_err(|error| self.failure(&error))?;
        let cleared = writes.cleared.clone();
        let batch = writes.into_batch(&self.files.database, &self.files.data);
        self.version = version;
        self.commit(batch)?;
        self.cleared = cleared;
        Ok(Outcome::Committed(position))
    }

    /// Removes the next few keys of the first cleared ranges. Nobody sees a difference, so it
    /// needs no sync of its own: the journal keeps its place in the order.
    fn sweep_step(&mut self) -> Result<(), Failure> {
        let mut batch =
            fjall::OwnedWriteBatch::with_capacity(self.files.database.clone(), SWEEP_WORK);
        let (mut cleared, mut rows) = (self.cleared.clone(), Rows::new());
        let mut work = 0;
        while work < SWEEP_WORK
            && let Some(range) = cleared.first()
        {
            work += 1;
            let mut swept_upto = range.end.clone();
            let stored = self.files.data.range(keys::user(&range.start)..keys::user(&range.end));
            for pair in stored {
                let key = pair.key().map_err(|error| self.failure(&error))?;
                if work >= SWEEP_WORK {
                    swept_upto = keys::user_key(&key);
                    break;
                }
                work += 1;
                batch.remove(&self.files.data, key);
            }
            cleared.shrink(range.start, swept_upto, &mut rows);
        }
        insert_rows(&mut batch, &self.files.data, &rows);
        self.commit(batch)?;
        self.cleared = cleared;
        Ok(())
    }

    /// Every batch says what was synced before it.
    fn commit(&self, mut batch: fjall::OwnedWriteBatch) -> Result<(), Failure> {
        let Self { version, synced, .. } = *self;
        let state = State { version, synced, mark: self.files.mark };
        batch.insert(&self.files.data, keys::STATE, state.encode());
        self.wait_for_background()?;
        batch.commit().map_err(|error| self.failure(&error))
    }

    /// Holds writes while flushes and compactions lag, as the library would, but notices
    /// when they have failed.
    fn wait_for_background(&self) -> Result<(), Failure> {
        let data = &self.files.data;
        while data.sealed_memtable_count() >= SEALED_MEMTABLES_MAX
            || data.l0_table_count() >= UNCOMPACTED_TABLES_MAX
        {
            self.files.database.persist(PersistMode::Buffer).map_err(|e| self.failure(&e))?;
            std::thread::sleep(STALL_POLL);
        }
        Ok(())
    }

    fn sync_and_publish(&mut self) -> Result<(), Failure> {
        let began = Instant::now();
        let synced = self.files.database.persist(PersistMode::SyncData);
        metrics::SYNC_DURATION.record_time(began.elapsed());
        synced.map_err(|error| self.failure(&error))?;
        self.synced = self.version;
        self.published.publish(View {
            data: self.files.data.clone(),
            snapshot: self.files.database.snapshot(),
            cleared: self.cleared.clone(),
            version: self.version,
            _lock: Arc::clone(&self.files.lock),
        });
        Ok(())
    }

    fn failure(&self, error: &fjall::Error) -> Failure {
        Failure(files::describe(error, &self.files.path))
    }
}
