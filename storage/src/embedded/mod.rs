//! The engine on disk for one process: an LSM tree (fjall), written by one committer thread.
//!
//! - The committer owns every write. It takes what is queued as one group, checks each batch's
//!   guards against the state after all earlier batches, writes each as one atomic batch, calls
//!   `fdatasync` once, opens the view that readers get, and only then answers. So an answer is
//!   durable, rejections too, and no reader sees what a power cut could take back.
//! - Positions are max(clock in µs, last + 1). The last one is written with each commit, so they
//!   grow over restarts and over clocks that go back.
//! - When a write or a sync fails, every batch of that group is answered [`Error::Failed`], and so
//!   is every later call. Whether those batches happened is decided when the store is opened
//!   again: what reached the disk whole is there, the rest is cut off. It is not
//!   [`Error::Unknown`], because this process can't read evidence any more: the kernel may have
//!   dropped the pages, and the last view is older than the group. The caller has to stop
//!   answering, open the store again, and look there.
//! - A power cut may damage what was being synced, and nobody can tell that from a group that was
//!   synced last and was damaged since. So damage in the newest group is left out when the store is
//!   opened, and what no log has any more is answered only after the sync of a later group; damage
//!   before it is refused: see [`power`].
//! - Large ranges are cleared in constant time and swept later: see [`cleared`].
//!
//! Snapshots are cheap, but hold old versions on disk and the folder's lock: keep them short.

#[doc(hidden)]
pub mod bare;
mod cleared;
mod committer;
mod files;
mod keys;
mod power;
mod view;
mod writes;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use tokio::sync::{Semaphore, mpsc, oneshot};

pub use self::power::by_hand::Damage;
pub use self::power::repair::LeftOut;

use self::committer::{CommitRequest, Committer, OutcomeSender};
use self::view::{Published, View};
use crate::batch::Batch;
use crate::engine::{Engine, Outcome, Snapshot};
use crate::error::Error;

/// What waits in front of the committer: at most this many bytes of batches (the one that is
/// being committed included) ...
const QUEUED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// ... where each batch counts for at least this much, which bounds their number (16,384).
const QUEUED_BATCH_BYTES_MIN: usize = 4 * 1024;

/// Knobs that tests and measurements turn. Everybody else uses [`Embedded::open`].
#[derive(Clone)]
pub struct Options {
    /// The wall clock, in µs since 1970.
    pub clock_us: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// A cleared range with more keys than this is swept later instead of at once.
    pub clear_now_keys_max: usize,
    /// While less than this is free on the disk, commits are refused with
    /// [`Error::Full`].
    pub disk_reserve_bytes: u64,
    /// Size at which the tree in memory is written out as a table.
    pub memtable_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock_us: Arc::new(wall_clock_us),
            clear_now_keys_max: 1_000,
            disk_reserve_bytes: files::DISK_RESERVE_BYTES,
            memtable_bytes: files::MEMTABLE_BYTES,
        }
    }
}

fn wall_clock_us() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_micros()).unwrap_or(u64::MAX)
}

/// An open store. Dropping it commits what is queued, then stops the thread and unlocks the folder
/// (once no snapshot is held either).
pub struct Embedded {
    published: Arc<Published>,
    queue: tokio::sync::Mutex<Option<mpsc::Sender<CommitRequest>>>,
    room: Arc<Semaphore>,
    committer: Mutex<Option<JoinHandle<()>>>,
    left_out: Option<LeftOut>,
}

impl Embedded {
    /// Opens the store in this folder, or creates it.
    ///
    /// # Errors
    /// [`Error::Locked`] where it is open already, in this process or another;
    /// [`Error::Open`] where the folder or its files can't be used.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_with(path, Options::default())
    }

    /// Opens the store in this folder, and makes none where there is none.
    ///
    /// # Errors
    /// As [`Embedded::open`].
    pub fn open_existing(path: &Path) -> Result<Self, Error> {
        if !files::is_store(path) {
            return Err(Error::Open(format!("{}: there is no store", path.display())));
        }
        Self::open(path)
    }

    /// Opens the store with other options.
    ///
    /// # Errors
    /// As [`Embedded::open`].
    pub fn open_with(path: &Path, options: Options) -> Result<Self, Error> {
        let files = files::open(path, &options)?;
        let capacity = QUEUED_BYTES_MAX / QUEUED_BATCH_BYTES_MIN;
        let (sender, requests) = mpsc::channel(capacity);
        let left_out = files.left_out.clone();
        let (committer, published) = Committer::new(files, options, requests)?;
        let thread = std::thread::Builder::new()
            .name("weft-committer".to_owned())
            .spawn(move || committer.run())
            .map_err(|error| Error::Open(format!("{}: {error}", path.display())))?;
        Ok(Self {
            published,
            queue: tokio::sync::Mutex::new(Some(sender)),
            room: Arc::new(Semaphore::new(QUEUED_BYTES_MAX)),
            committer: Mutex::new(Some(thread)),
            left_out,
        })
    }

    /// What this start left out though it may have been acknowledged; the store has a new id since.
    #[must_use]
    pub fn left_out(&self) -> Option<&LeftOut> {
        self.left_out.as_ref()
    }
}

impl Embedded {
    async fn enqueue(&self, batch: Batch, answer: OutcomeSender) -> Result<(), Error> {
        // Held while waiting for room: who came first goes first.
        let queue = self.queue.lock().await;
        let bytes = batch.size_bytes().clamp(QUEUED_BATCH_BYTES_MIN, QUEUED_BYTES_MAX);
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(permits).await;
        let (Some(sender), Ok(room)) = (queue.as_ref(), room) else {
            return Err(self.published.failure());
        };
        // The permits bound the number of requests to the channel's capacity.
        let sent = sender.try_send(CommitRequest { batch, answer, _room: room });
        sent.map_err(|_| self.published.failure())
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.queue.get_mut().take();
        let thread = self.committer.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic of the committer was reported when it happened.
            let _ = thread.join();
        }
    }
}

#[async_trait]
impl Engine for Embedded {
    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, Error> {
        let view: Arc<View> = self.published.view()?;
        Ok(view)
    }

    /// Batches are committed in the order in which these futures are first polled. A future that
    /// is dropped before its answer leaves the outcome open.
    async fn commit(&self, batch: Batch) -> Result<Outcome, Error> {
        let (answer, answered) = oneshot::channel();
        // A task that has used up its budget would lose its place in the order.
        tokio::task::unconstrained(self.enqueue(batch, answer)).await?;
        answered.await.unwrap_or_else(|_| Err(self.published.failure()))
    }
}
