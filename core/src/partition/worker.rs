//! The owner of one partition: takes it, and works until it is told to stop or loses it.

mod owned;
mod retry;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::info;
use weft_proto::{NodeId, Partition};
use weft_storage::{BatchId, Store};

use self::owned::Owned;
use super::clocks::{Agreement, Clocks, warn_of_floor};
use super::duties::Duties;
use super::groups::GroupCounts;
use super::loss;
use super::plan::{Guards, Plan};
use super::ports::{CommandLog, EventBus, Outside};
use super::publish::{JournalReader, Publisher};
use super::quarantine::Quarantine;
use super::quota::Quota;
use super::relay;
use super::state::State;
use super::take::{Taken, open_log, take};
use super::unheard::Unheard;
use super::watch::{Finding, Reading, Watch};
use crate::error::Error;
use crate::metrics;
use crate::store_health::StoreHealth;

pub struct Worker<L> {
    pub partition: Partition,
    pub partitions: Partition,
    /// The newest feature level of a store that it serves.
    pub feature_level: u32,
    pub owner: NodeId,
    pub store: Store,
    pub health: StoreHealth,
    pub log: L,
    pub bus: Arc<dyn EventBus>,
    pub clocks: Clocks,
    pub new_batch_id: Box<dyn FnMut() -> BatchId + Send>,
    /// How much one sender may ask: of all workers of this process.
    pub quota: Arc<Quota>,
    /// In how many groups users are: for all workers of this process.
    pub groups: Arc<GroupCounts>,
    /// What its rooms in memory may take, about.
    pub rooms_bytes_max: usize,
    /// What earlier workers learned about single commands.
    pub quarantine: Quarantine,
    /// Between two ticks; `None`: none.
    pub tick_interval: Option<Duration>,
    pub journal_age: Duration,
    /// See [`crate::CoreOptions::edit_window`].
    pub edit_window: Duration,
    /// See [`crate::FileLimits::days`].
    pub file_days: u32,
    /// What other systems send; `None`: none do.
    pub outside: Option<Box<dyn Outside>>,
}

impl<L: CommandLog> Worker<L> {
    /// Takes the partition and works until it is told to stop, or loses it. `taken` is called when
    /// the partition is taken and its log open.
    ///
    /// # Errors
    /// [`Error::Lost`]; [`Error::LogBack`], [`Error::LogHole`] and [`Error::LayoutChanged`]: take it
    /// anew; [`Error::NotServed`]; [`Error::StoreBehind`]; [`Error::Poison`] and [`Error::TooMuch`], for
    /// [`Quarantine::run_workers`]; a store that failed for good.
    pub async fn run(
        mut self,
        stop: CancellationToken,
        taken: impl FnOnce() + Send,
    ) -> Result<(), Error> {
        let partition = self.partition;
        let owner = (self.owner.as_str(), self.feature_level);
        let taking = take(&self.store, partition, owner, (self.new_batch_id)());
        let row = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            row = taking => row?,
        };
        let id = (self.new_batch_id)();
        let row = loss::leave_behind(&self.log, &self.store, partition, row, id).await?;
        let row =
            open_log(&mut self.log, &self.store, row, partition, &mut self.new_batch_id).await?;
        let Taken { applied, layout_row, minute, store_id, holes_through, .. } = row;
        let clocks = self.clocks.clone();
        clocks.look(&self.log).await?;
        warn_of_floor(partition, applied.floor_hour, &clocks);
        let journal = JournalReader { store: self.store.clone(), partition };
        let unpublished = (applied.published_up_to, applied.last_commit_no());
        let publisher = Publisher::start(Arc::clone(&self.bus), journal, unpublished);
        info!(partition, epoch = applied.epoch, applied = applied.stream_seq, "partition taken");
        metrics::TAKES.increment();
        taken();
        let reading = Reading::new(applied.stream_seq);
        let (found, findings) = mpsc::channel(1);
        let watch = self.watch((applied.epoch, store_id), &clocks, &reading, found);
        let duties = self.duties(&clocks, &reading);
        let relay = relay::start(self.outside.take(), partition, &reading);
        let owned = Owned {
            plan: Plan::new(1, (self.new_batch_id)(), partition, applied.floor_hour),
            guards: Guards { applied, layout_row, minute },
            holes_through,
            state: State::new(self.rooms_bytes_max, row.feature_level)
                .with_level_next(row.level_next)
                .with_edit_window(self.edit_window)
                .with_file_days(self.file_days),
            waiting: VecDeque::new(),
            underway: None,
            settled: 0,
            publisher,
            unheard: Unheard::default(),
            reading,
            findings,
            agreement: Agreement::new(partition, clocks),
            journal_trimmed_at: None,
            worker: self,
        };
        // The loop first: it ends the others with it.
        tokio::select! {
            biased;
            ended = owned.run(stop) => ended,
            never = watch.run() => match never {},
            never = duties.run() => match never {},
            never = relay::ended(relay) => match never {},
        }
    }

    fn duties(&self, clocks: &Clocks, reading: &Arc<Reading>) -> Duties<L> {
        Duties {
            partition: self.partition,
            partitions: self.partitions,
            store: self.store.clone(),
            log: self.log.beside(),
            clocks: clocks.clone(),
            reading: Arc::clone(reading),
            told: self.quarantine.told(),
        }
    }

    fn watch(
        &self,
        (epoch, store_id): (u64, u64),
        clocks: &Clocks,
        reading: &Arc<Reading>,
        found: mpsc::Sender<Finding>,
    ) -> Watch<L> {
        Watch {
            partition: self.partition,
            epoch,
            store_id,
            store: self.store.clone(),
            health: self.health.clone(),
            log: self.log.beside(),
            clocks: clocks.clone(),
            bus: Arc::clone(&self.bus),
            tick_interval: self.tick_interval,
            journal_age: self.journal_age,
            reading: Arc::clone(reading),
            findings: found,
        }
    }
}
