//! Which partitions are this node's, and the workers that own them.
//!
//! One task per partition: it waits until the live nodes make the partition this node's, works, and
//! starts again after it lost it or the store was away.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};
use weft_nats::membership::Nodes;
use weft_nats::{AssetOptions, Bus, EventPublisher, assign};
use weft_proto::{NodeId, Partition};
use weft_runtime::{Clock, Shutdown};
use weft_storage::{BatchId, Store};

use super::aside::Aside;
use super::ports::{EventBus, NatsBus, NatsLog, Streams};
use super::quota::QuotaLimits;
use super::worker::Worker;
use crate::error::Error;
use crate::metrics;

/// Before a partition is taken anew whose log went back. Nobody fights for it; the pause bounds what
/// a log costs that goes back again and again.
const LOG_BACK_PAUSE: Duration = Duration::from_millis(100);

/// What every worker of this node shares.
#[derive(Clone)]
pub struct Owners {
    /// The connection.
    pub bus: Bus,
    /// Where answers and events go.
    pub events: EventPublisher,
    /// The truth.
    pub store: Store,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// This node.
    pub node: NodeId,
    /// How many partitions there are.
    pub partitions: Partition,
    /// How much one sender may ask.
    pub quota: QuotaLimits,
    /// The streams, should one have to be made again.
    pub assets: Arc<AssetOptions>,
    /// Between two ticks of a partition; `None`: none.
    pub tick_interval: Option<Duration>,
}

/// What the owners tell.
#[derive(Clone)]
pub struct Progress {
    /// The partitions that are taken.
    pub taken: watch::Receiver<BTreeSet<Partition>>,
    /// Set where a partition can't be served until a person has looked.
    pub failed: watch::Receiver<Option<Arc<Error>>>,
}

struct Tell {
    taken: watch::Sender<BTreeSet<Partition>>,
    failed: watch::Sender<Option<Arc<Error>>>,
}

/// The partitions of `node`.
#[must_use]
pub fn partitions_of(nodes: &Nodes, partitions: Partition, node: &NodeId) -> BTreeSet<Partition> {
    let owners = assign(nodes.keys(), partitions);
    owners.into_iter().filter(|(_, owner)| owner == node).map(|(partition, _)| partition).collect()
}

impl Owners {
    /// Starts a task for each partition.
    #[must_use]
    pub fn start(self, nodes: &watch::Receiver<Nodes>, shutdown: &Shutdown) -> Progress {
        let (taken, taken_rx) = watch::channel(BTreeSet::new());
        let (failed, failed_rx) = watch::channel(None);
        let tell = Arc::new(Tell { taken, failed });
        for partition in 0..self.partitions {
            let keep = keep(
                self.clone(),
                partition,
                nodes.clone(),
                Arc::clone(&tell),
                shutdown.token().clone(),
            );
            shutdown.spawn("partition", keep);
        }
        Progress { taken: taken_rx, failed: failed_rx }
    }
}

async fn keep(
    owners: Owners,
    partition: Partition,
    mut nodes: watch::Receiver<Nodes>,
    tell: Arc<Tell>,
    stop: CancellationToken,
) {
    loop {
        let is_mine = |nodes: &Nodes| {
            partitions_of(nodes, owners.partitions, &owners.node).contains(&partition)
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            assigned = nodes.wait_for(is_mine) => if assigned.is_err() { return },
        }
        let not_mine = stop.child_token();
        let work =
            Aside::run_workers(|aside| own(&owners, partition, &tell, not_mine.clone(), aside));
        let watch_nodes = async {
            let _ = nodes.wait_for(|nodes| !is_mine(nodes)).await;
            not_mine.cancel();
            std::future::pending::<()>().await;
        };
        let result = tokio::select! {
            result = work => result,
            () = watch_nodes => Ok(()),
        };
        tell.taken.send_modify(|taken| {
            taken.remove(&partition);
            metrics::PARTITIONS.set(taken.len() as f64);
        });
        match result {
            Ok(()) | Err(Error::Stopped) => {}
            Err(error @ Error::LogBack { .. }) => {
                warn!(partition, %error, "taking the partition anew");
                pause(LOG_BACK_PAUSE, &stop).await;
            }
            Err(error) if error.is_retryable() => {
                warn!(partition, %error, "partition lost, trying again");
                // Two owners that fight for a partition would keep each other from working: both
                // step back.
                let wait_ms = rand::rng().random_range(1_000..2_000);
                pause(Duration::from_millis(wait_ms), &stop).await;
            }
            Err(error) => {
                error!(partition, %error, "partition can't be served");
                tell.failed.send_replace(Some(Arc::new(error)));
                return;
            }
        }
    }
}

async fn pause(wait: Duration, stop: &CancellationToken) {
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = sleep(wait) => {}
    }
}

async fn own(
    owners: &Owners,
    partition: Partition,
    tell: &Tell,
    stop: CancellationToken,
    aside: Aside,
) -> Result<(), Error> {
    let (bus, assets) = (owners.bus.clone(), Arc::clone(&owners.assets));
    let streams = Streams { bus, assets, partition };
    let worker = Worker {
        partition,
        partitions: owners.partitions,
        owner: owners.node.clone(),
        store: owners.store.clone(),
        log: NatsLog::new(streams.clone()),
        bus: Arc::new(NatsBus::new(owners.events.clone(), streams)) as Arc<dyn EventBus>,
        clock: Arc::clone(&owners.clock),
        new_batch_id: Box::new(rand::random::<BatchId>),
        quota: owners.quota,
        aside,
        tick_interval: owners.tick_interval,
    };
    let taken = || {
        tell.taken.send_modify(|taken| {
            taken.insert(partition);
            metrics::PARTITIONS.set(taken.len() as f64);
        })
    };
    worker.run(stop, taken).await
}
