//! Order and persist: partition owners, and the services that answer from the store.
//!
//! - [`partition`]: the way of a command from the ingest log into the store and out again.
//! - [`services`]: accounts, rooms and logs, asked over NATS.
//!
//! Invariant: core and edge never call each other; they meet in `weft-proto`.

pub mod error;
mod metrics;
pub mod partition;
pub mod services;
mod start;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use weft_nats::membership::Nodes;
use weft_nats::{AssetOptions, Bus, Connection, EventPublisher, Membership, NodeInfo, assets};
use weft_proto::{NodeId, Partition, UserId};
use weft_runtime::{Clock, Shutdown, SystemClock};
use weft_storage::Store;

pub use error::Error;
pub use metrics::METRICS;
use partition::owner::{Owners, Progress, partitions_of};
pub use partition::quota::QuotaLimits;
pub use partition::watch::TICK_INTERVAL;
use start::Start;

/// The membership role of core nodes.
pub const ROLE: &str = "core";

/// What a core node works with.
pub struct CoreOptions {
    /// The truth.
    pub store: Store,
    /// The connection, as user `core`.
    pub bus: Bus,
    /// This node's name.
    pub node: NodeId,
    /// The streams and buckets; their partition count is the store's.
    pub assets: AssetOptions,
    /// Outside systems: accounts without a password, made at start.
    pub bots: Vec<UserId>,
    /// How much one sender may ask of a partition.
    pub quota: QuotaLimits,
    /// How long an access token lives.
    pub token_life: Duration,
    /// Between two ticks of a partition: [`TICK_INTERVAL`]. `None`: none, so edges heal less; only
    /// for measuring what they cost.
    pub tick_interval: Option<Duration>,
    /// By which nodes the partitions are shared out.
    pub assignment: Assignment,
}

/// By which nodes the partitions are shared out.
#[derive(Clone, Debug, Default)]
pub enum Assignment {
    /// By the live ones, as the bucket of nodes says.
    #[default]
    Live,
    /// By those that somebody names. For tests: two nodes that are each told that they are alone
    /// both believe that they own everything.
    Watch(watch::Receiver<Nodes>),
}

/// A running core node.
pub struct Core {
    node: NodeId,
    partitions: Partition,
    membership: Membership,
    nodes: watch::Receiver<Nodes>,
    progress: Progress,
    connection: watch::Receiver<Connection>,
    services: weft_nats::Services,
    shutdown: Shutdown,
}

impl Core {
    /// Opens the store's layout, makes the streams, serves, and joins the other nodes. It waits
    /// for a store or a JetStream that can't answer yet, and says so.
    ///
    /// # Errors
    /// Each is one line that an operator can act on.
    pub async fn start(options: CoreOptions) -> Result<Self, Error> {
        let CoreOptions { store, bus, node, assets, bots, quota, token_life, .. } = options;
        let (tick_interval, assignment) = (options.tick_interval, options.assignment);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let partitions = assets.partitions;
        let mut start = Start::begin();
        start
            .step("the store's layout", async || services::layout::open(&store, partitions).await)
            .await?;
        start.step("the streams", async || assets::ensure(&bus, &assets).await).await?;
        let bots = async || services::accounts::ensure_bots(&store, &*clock, &bots).await;
        start.step("the bots' accounts", bots).await?;
        let shutdown = Shutdown::new();
        let serve = async || {
            let (store, clock) = (store.clone(), Arc::clone(&clock));
            let context = services::Context::open(store, clock, token_life).await?;
            services::start(context, &bus).await
        };
        let services = start.step("the services", serve).await?;
        let join = async || Membership::join(&bus, ROLE, &node, NodeInfo::default()).await;
        let membership = start.step("the live nodes", join).await?;
        let nodes = match assignment {
            Assignment::Live => membership.live(ROLE),
            Assignment::Watch(nodes) => nodes,
        };
        let connection = bus.connection();
        let publish = async || EventPublisher::start(&bus).await;
        let events = start.step("the events", publish).await?;
        let owners = Owners {
            bus,
            events,
            store,
            clock,
            node: node.clone(),
            partitions,
            quota,
            assets: Arc::new(assets),
            tick_interval,
        };
        let progress = owners.start(&nodes, &shutdown);
        Ok(Self { node, partitions, membership, nodes, progress, connection, services, shutdown })
    }

    /// Waits until every partition that is this node's is taken.
    ///
    /// # Errors
    /// What keeps a partition from being served.
    pub async fn ready(&self) -> Result<(), Arc<Error>> {
        let mut taken = self.progress.taken.clone();
        let all = |taken: &BTreeSet<Partition>| {
            partitions_of(&self.nodes.borrow(), self.partitions, &self.node).is_subset(taken)
        };
        tokio::select! {
            _ = taken.wait_for(all) => Ok(()),
            error = self.failed() => Err(error),
        }
    }

    /// Tells why it can't do its part, in words; `None`: it can.
    pub fn readiness(&self) -> impl Fn() -> Option<String> + Send + Sync + use<> {
        let (connection, nodes) = (self.connection.clone(), self.nodes.clone());
        let (node, partitions, progress) =
            (self.node.clone(), self.partitions, self.progress.clone());
        move || {
            if !connection.borrow().connected {
                return Some("NATS is away".to_owned());
            }
            if let Some(error) = &*progress.failed.borrow() {
                return Some(error.to_string());
            }
            let mine = partitions_of(&nodes.borrow(), partitions, &node);
            let missing = mine.difference(&progress.taken.borrow()).count();
            (missing > 0).then(|| format!("{missing} of its {} partitions not taken", mine.len()))
        }
    }

    /// Waits until this node can't serve a partition any more without a person's help.
    pub async fn failed(&self) -> Arc<Error> {
        let mut failed = self.progress.failed.clone();
        match failed.wait_for(Option::is_some).await.map(|error| error.clone()) {
            Ok(Some(error)) => error,
            // The owners are gone: the node is shutting down.
            _ => std::future::pending().await,
        }
    }

    /// Leaves in order: finish the commits, answer, publish, then say so to the others. The names
    /// of the tasks that were late.
    pub async fn shutdown(self, patience: Duration) -> Vec<&'static str> {
        let late = self.shutdown.finish(patience).await;
        self.membership.leave().await;
        self.services.shutdown().await;
        late
    }
}
