//! The owners of all partitions at work, with their logs and their bus in memory.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use weft_core::partition::clocks::Clocks;
use weft_core::partition::quarantine::Quarantine;
use weft_core::partition::quota::Quota;
use weft_core::partition::worker::Worker;
use weft_core::{FEATURE_LEVEL, QuotaLimits, StoreHealth};
use weft_proto::NodeId;
use weft_runtime::Clock;
use weft_storage::Store;

use super::PARTITIONS;
use super::ports::{FastClock, Log, MemoryBus};

/// What rooms in memory may take, as in a core that owns so many partitions.
const ROOMS_BYTES_MAX: usize = 64 << 20;

/// By partition.
pub struct Owners {
    pub logs: Vec<Log>,
    pub clocks: Vec<Clocks>,
    pub bus: Arc<MemoryBus>,
    pub workers: Workers,
}

/// Their tasks.
pub struct Workers {
    tasks: JoinSet<Result<(), weft_core::Error>>,
    stop: CancellationToken,
}

impl Owners {
    pub fn start(store: &Store, clock: &Arc<FastClock>, journal_age: Duration) -> Result<Self> {
        let quota = QuotaLimits { rate_per_s: 1_000_000, burst: 1_000_000 };
        let quota = Arc::new(Quota::new(quota));
        let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
        let (mut logs, mut all_clocks) = (Vec::new(), Vec::new());
        let bus = Arc::new(MemoryBus::default());
        for partition in 0..PARTITIONS {
            let clocks = Clocks::new(Arc::clone(clock) as Arc<dyn Clock>);
            let log = Log::new(Arc::clone(clock));
            let worker = Worker {
                partition,
                partitions: PARTITIONS,
                feature_level: FEATURE_LEVEL,
                owner: NodeId::new("bench").context("a name")?,
                store: store.clone(),
                health: StoreHealth::default(),
                log: log.clone(),
                bus: Arc::clone(&bus) as Arc<_>,
                clocks: clocks.clone(),
                new_batch_id: Box::new(rand::random),
                quota: Arc::clone(&quota),
                groups: Arc::default(),
                rooms_bytes_max: ROOMS_BYTES_MAX,
                quarantine: Quarantine::default(),
                tick_interval: Some(weft_core::TICK_INTERVAL),
                journal_age,
                outside: None,
                edit_window: Duration::ZERO,
                file_days: 30,
            };
            tasks.spawn(worker.run(stop.clone(), || {}));
            logs.push(log);
            all_clocks.push(clocks);
        }
        Ok(Self { logs, clocks: all_clocks, bus, workers: Workers { tasks, stop } })
    }
}

impl Workers {
    /// # Errors
    /// One that has ended says why.
    pub fn check(&mut self) -> Result<()> {
        if let Some(ended) = self.tasks.try_join_next() {
            ended??;
        }
        Ok(())
    }

    pub async fn end(&mut self) -> Result<()> {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        Ok(())
    }
}
