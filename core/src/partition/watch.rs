//! The watch beside an owner's loop. Each second it looks at the ingest log and at the store, sees
//! what the loop itself can't see while it waits, trims what is applied, and gives the partition's
//! sign of life.
//!
//! What it finds:
//! - **The log went back**: it ends before what was read. nats-server acknowledges before it syncs,
//!   so a crash may take a tail; or somebody restored the stream, deleted it, or made it anew. The
//!   owner commits what it has read (nobody else has that any more) and ends; whoever takes the partition
//!   next, in a commit that raises the epoch, moves the log forward past what is applied. No other
//!   way leads to a purge forward: so edges hear of it by the epoch, and no tick speaks of a log
//!   that went back.
//! - **The reader stalls**: the log has more, the loop waits for it, and nothing comes. Or the log
//!   had more, and lost it: then the loop finds a hole there.
//! - **Another owner**: the row is of a later epoch. The loop would learn it with its next commit;
//!   where the log is quiet that may be long, and meanwhile nobody gives the partition's sign of
//!   life, if it has been this node's again since.
//!
//! **While the store is in trouble** ticks go on, so that edges know that the partition has an owner, but
//! prove nothing (see [`Tick`]). After [`StorePatience`](crate::StorePatience) they say that new
//! commands are to be refused.
//!
//! What it can't find: a log that went back and grew beyond what was read between two looks (at 500
//! commands a second a look comes every 500). The reader goes on after what it has read, and what
//! was published into the numbers before is never read. The stream has acknowledged it, core has
//! not: its senders have no answer. **Edges heal that by sending again**: two ticks say that more is
//! applied than the command's number, and no answer came. The same goes for what is published into
//! the log between its going back and its being moved forward, and for a log that goes back in the
//! instant between a look and the trim that follows it. Outsiders have the same evidence, by
//! `Weft-Id`.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tracing::{debug, warn};
use weft_nats::{LogInfo, Trimmed};
use weft_proto::{Partition, Tick};
use weft_runtime::metrics::GaugeHandle;
use weft_storage::Store;
use weft_storage::tables::applied;

use super::clocks::Clocks;
use super::ports::{CommandLog, EventBus};
use super::trimming;
use crate::error::Error;
use crate::metrics;
use crate::store_health::StoreHealth;

/// Between two looks, and so between two ticks. Trimming more often would cost the server a lot.
pub const TICK_INTERVAL: Duration = Duration::from_secs(1);
/// A reader that brought nothing for so long, while there was something, is opened anew: a little
/// less than two looks are apart.
const STALLED_AFTER: Duration = Duration::from_millis(900);

/// How long a store in trouble is waited for before a tick goes out without it.
const READ_PATIENCE: Duration = Duration::from_secs(1);

/// Before a log is trimmed again that could not be: a request without an answer takes five seconds,
/// and ticks must not wait for it.
const TRIM_RETRY_PAUSE: Duration = Duration::from_secs(15);

/// What the owner's loop lets the watch know.
#[derive(Default)]
pub(super) struct Reading {
    read: AtomicU64,
    applied: AtomicU64,
    trimmable: AtomicU64,
    waits: AtomicBool,
    applied_more: Notify,
    outside_since_ms: AtomicU64,
    journal_trimmable: AtomicU64,
}

impl Reading {
    /// Nothing is read beyond what is applied.
    pub(super) fn new(applied: u64) -> Arc<Self> {
        Arc::new(Self {
            read: applied.into(),
            applied: applied.into(),
            trimmable: applied.into(),
            waits: false.into(),
            applied_more: Notify::new(),
            outside_since_ms: 0.into(),
            journal_trimmable: 0.into(),
        })
    }

    /// The last stream sequence that came out of the reader.
    pub(super) fn read(&self) -> u64 {
        self.read.load(Ordering::SeqCst)
    }

    /// As [`read`](Self::read).
    pub(super) fn set_read(&self, stream_seq: u64) {
        self.read.store(stream_seq, Ordering::SeqCst);
    }

    /// Nothing up to this stream sequence is needed again: it may be trimmed.
    pub(super) fn set_trimmable(&self, stream_seq: u64) {
        self.trimmable.store(stream_seq, Ordering::SeqCst);
    }

    /// As [`set_trimmable`](Self::set_trimmable).
    pub(super) fn trimmable(&self) -> u64 {
        self.trimmable.load(Ordering::SeqCst)
    }

    /// Everything up to this stream sequence is committed.
    pub(super) fn set_applied(&self, stream_seq: u64) {
        self.applied.store(stream_seq, Ordering::SeqCst);
        self.applied_more.notify_one();
    }

    /// As [`set_applied`](Self::set_applied).
    pub(super) fn applied(&self) -> u64 {
        self.applied.load(Ordering::SeqCst)
    }

    /// Waits until more is committed than when it was last waited for. For one task alone.
    pub(super) async fn applied_more(&self) {
        self.applied_more.notified().await;
    }

    /// What came of other systems before this, Unix milliseconds by the server's clock, is out of its
    /// stream and is not relayed once more: what its client ids got need not be known. 0: that is
    /// not known yet.
    pub(super) fn outside_since_ms(&self) -> u64 {
        self.outside_since_ms.load(Ordering::SeqCst)
    }

    /// As [`outside_since_ms`](Self::outside_since_ms).
    pub(super) fn set_outside_since(&self, unix_ms: u64) {
        self.outside_since_ms.store(unix_ms, Ordering::SeqCst);
    }

    /// Journal rows up to this commit number are old enough to be deleted.
    pub(super) fn journal_trimmable(&self) -> u64 {
        self.journal_trimmable.load(Ordering::SeqCst)
    }

    /// The loop waits for the log: neither the store nor a full plan holds it up.
    pub(super) fn set_waits(&self, waits: bool) {
        self.waits.store(waits, Ordering::SeqCst);
    }
}

/// What the loop has to know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Finding {
    /// The log ends before what was read, or is gone.
    Back {
        /// What was read when it was looked at.
        read: u64,
        /// The log's last sequence.
        last_seq: u64,
    },
    /// Nothing has come after `read`, though the log has it.
    Stalled {
        /// The last sequence that was read.
        read: u64,
    },
    /// Another owner has taken the partition.
    Replaced,
}

/// A partition's watch. It is of one epoch.
pub(super) struct Watch<L> {
    pub(super) partition: Partition,
    pub(super) epoch: u64,
    pub(super) store_id: u64,
    pub(super) store: Store,
    pub(super) health: StoreHealth,
    /// Beside the one that the loop reads.
    pub(super) log: L,
    pub(super) clocks: Clocks,
    pub(super) bus: Arc<dyn EventBus>,
    /// `None`: no ticks.
    pub(super) tick_interval: Option<Duration>,
    /// How long the journal is kept.
    pub(super) journal_age: Duration,
    pub(super) reading: Arc<Reading>,
    pub(super) findings: mpsc::Sender<Finding>,
}

/// What the watch remembers from look to look.
#[derive(Default)]
struct Seen {
    tick_number: u64,
    trimmed: u64,
    trim_failed_at: Option<Instant>,
    /// When it was looked how much of the journal is old.
    aged_at: Option<Instant>,
    /// The loop waits after this sequence for what the log has, since then.
    waiting: Option<(u64, Instant)>,
}

/// How far the partition is, as the store says.
#[derive(Default)]
struct Place {
    applied: u64,
    commit_no: u64,
    read_version: Vec<u8>,
    stalled: bool,
}

impl<L: CommandLog> Watch<L> {
    /// Looks for as long as it is polled. After it has found what ends the owner it looks and
    /// ticks no more.
    pub(super) async fn run(self) -> Infallible {
        let mut looks = interval(self.tick_interval.unwrap_or(TICK_INTERVAL));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen = Seen::default();
        let backlog = metrics::BACKLOG.of(self.partition);
        loop {
            looks.tick().await;
            let found = self.look(&mut seen, &backlog).await.unwrap_or_else(|error| {
                // NATS or the store is away; whoever works with them says so.
                debug!(partition = self.partition, %error, "no look at the ingest log");
                None
            });
            let Some(finding) = found else { continue };
            // An error says that the loop has ended.
            let _ = self.findings.send(finding).await;
            if !matches!(finding, Finding::Stalled { .. }) {
                std::future::pending::<()>().await;
            }
        }
    }

    async fn look(&self, seen: &mut Seen, backlog: &GaugeHandle) -> Result<Option<Finding>, Error> {
        // In this order: what was read before the look must be in what the look shows.
        let read = self.reading.read();
        let info = match self.clocks.look(&self.log).await {
            Err(Error::Nats(weft_nats::Error::NoStream(_))) => {
                return Ok(Some(Finding::Back { read, last_seq: 0 }));
            }
            info => info?,
        };
        let applied = self.reading.applied.load(Ordering::SeqCst);
        backlog.set(info.last_seq.saturating_sub(applied) as f64);
        if info.last_seq < read {
            return Ok(Some(Finding::Back { read, last_seq: info.last_seq }));
        }
        let stalled = self.stalled(info, seen);
        match self.act(info, seen).await {
            Ok(true) => Ok(stalled),
            Ok(false) => Ok(Some(Finding::Replaced)),
            // The reader is helped also where a store or bus is away: nobody else notices it.
            Err(error) if stalled.is_some() => {
                debug!(partition = self.partition, %error, "a look at the ingest log was cut short");
                Ok(stalled)
            }
            Err(error) => Err(error),
        }
    }

    /// Ticks, trims, and looks how much of the journal is old. False: the row is another owner's.
    async fn act(&self, info: LogInfo, seen: &mut Seen) -> Result<bool, Error> {
        if self.tick_interval.is_some() && !self.tick(info, seen).await? {
            return Ok(false);
        }
        if seen.trim_failed_at.is_none_or(|at| at.elapsed() >= TRIM_RETRY_PAUSE) {
            let trimmed = self.trim(info, seen).await;
            seen.trim_failed_at = trimmed.is_err().then(Instant::now);
            if let Err(error) = trimmed {
                // Full logs refuse: whoever looks for the reason has to find this.
                warn!(partition = self.partition, %error, "the ingest log can't be trimmed");
            }
        }
        let is_due = seen.aged_at.is_none_or(|at| at.elapsed() >= trimming::LOOK_PAUSE);
        if is_due && self.health.trouble().is_none() {
            seen.aged_at = Some(Instant::now());
            let (now_ms, age) = (self.clocks.now_ms(), self.journal_age);
            let snapshot = self.store.snapshot().await?;
            let up_to = trimming::journal(&*snapshot, self.partition, now_ms, age).await?;
            // By a wrong clock everything may look old.
            let up_to = if self.clocks.differ() { 0 } else { up_to };
            self.reading.journal_trimmable.store(up_to, Ordering::SeqCst);
        }
        Ok(true)
    }

    fn stalled(&self, info: LogInfo, seen: &mut Seen) -> Option<Finding> {
        // Later than the look: what came meanwhile counts as read.
        let read = self.reading.read();
        let has_more = info.last_seq > read;
        if !has_more || !self.reading.waits.load(Ordering::SeqCst) {
            seen.waiting = None;
            return None;
        }
        match seen.waiting {
            Some((at, since)) if at == read => {
                let is_long = since.elapsed() >= STALLED_AFTER;
                is_long.then(|| {
                    seen.waiting = None;
                    Finding::Stalled { read }
                })
            }
            _ => {
                seen.waiting = Some((read, Instant::now()));
                None
            }
        }
    }

    /// False: the row is another owner's.
    async fn tick(&self, info: LogInfo, seen: &mut Seen) -> Result<bool, Error> {
        let Some(place) = self.place().await? else { return Ok(false) };
        // Also where the bus fails: it may have gone out, and a hole is noticed, a double is not.
        seen.tick_number += 1;
        let tick = Tick {
            epoch: self.epoch,
            number: seen.tick_number,
            applied: place.applied,
            commit_no: place.commit_no,
            last_seq: info.last_seq,
            read_version: place.read_version,
            stalled: place.stalled,
            store_id: Some(self.store_id),
        };
        self.bus.tick(self.partition, &tick).await?;
        Ok(true)
    }

    /// The row and the read version are of one snapshot, opened after the look at the log. `None`:
    /// the row is another owner's.
    async fn place(&self) -> Result<Option<Place>, Error> {
        let read = async {
            let snapshot = self.store.snapshot().await?;
            let row = applied::read(&*snapshot, self.partition).await?;
            Ok::<_, weft_storage::Error>((row, snapshot.read_version().0.to_vec()))
        };
        let is_in_trouble = self.health.trouble().is_some();
        let read = match is_in_trouble {
            true => timeout(READ_PATIENCE, read).await.ok(),
            false => Some(read.await),
        };
        // Nothing is committed then either.
        let stalled = self.health.is_stalled() || self.clocks.differ();
        match read {
            Some(Ok((row, _))) if row.epoch != self.epoch => Ok(None),
            Some(Ok((row, read_version))) if !stalled => {
                let (applied, commit_no) = (row.stream_seq, row.last_commit_no());
                Ok(Some(Place { applied, commit_no, read_version, stalled }))
            }
            Some(Err(error)) if !is_in_trouble || !error.is_retryable() => Err(error.into()),
            _ => Ok(Some(Place { stalled, ..Place::default() })),
        }
    }

    /// Removes from the log what is applied and was followed by a later commit. A log that ends
    /// before that is left alone: a purge would move it forward.
    async fn trim(&self, info: LogInfo, seen: &mut Seen) -> Result<(), Error> {
        let trimmable = self.reading.trimmable();
        if trimmable > seen.trimmed && info.last_seq >= trimmable {
            let (store_id, made_at_ns) = (self.store_id, info.made_at_ns);
            self.log.raise_trimmed(Trimmed { store_id, made_at_ns, seq: trimmable }).await?;
            self.log.purge_below(trimmable + 1).await?;
            seen.trimmed = trimmable;
        }
        Ok(())
    }
}
