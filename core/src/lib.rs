//! Order and persist: partition owners, and the services that answer from the store.
//!
//! - [`partition`]: the way of a command from the ingest log into the store and out again.
//! - [`services`]: accounts, rooms and logs, asked over NATS.
//!
//! Invariant: core and edge never call each other; they meet in `weft-proto`.

mod absent;
mod drafts;
pub mod error;
mod invitations;
mod marks;
mod metrics;
pub mod partition;
mod relations;
mod scheduled;
pub mod services;
mod settings;
mod store_health;
mod working;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::DropGuard;
use weft_nats::nodes::Nodes;
use weft_nats::{
    AssetOptions, Bus, Connection, EventPublisher, Issuer, NodeInfo, Registration, assets,
};
use weft_proto::{NodeId, Partition};
use weft_runtime::{Clock, Shutdown, patiently};
use weft_storage::Store;
pub use weft_storage::tables::layout::FEATURE_LEVEL;

pub use error::Error;
pub use metrics::METRICS;
use partition::owner::{Owners, Progress, partitions_of};
use partition::quota::Quota;
pub use partition::quota::QuotaLimits;
pub use partition::retention::Retention;
pub use partition::watch::TICK_INTERVAL;
pub use services::FileLimits;
pub use services::layout::{UPGRADE_PAUSE, Upgrade};
pub use store_health::{StoreHealth, StorePatience, Trouble};
use working::{Serving, say_whether_it_works};

pub const ROLE: &str = "core";

/// How long the tasks may take to end that only look and say.
const SAYING_PATIENCE: Duration = Duration::from_secs(1);
/// A store in trouble for less than this is no reason to be not ready.
const TROUBLE_BORNE: Duration = Duration::from_secs(5);

pub struct CoreOptions {
    pub store: Store,
    pub bus: Bus,
    pub node: NodeId,
    /// The streams and buckets; their partition count is the store's.
    pub assets: AssetOptions,
    /// By this it answers for bots' logins on NATS; `None`: it answers for none.
    pub bot_issuer: Option<Arc<Issuer>>,
    /// How much one sender may ask, of all partitions together.
    pub quota: QuotaLimits,
    pub token_life: Duration,
    /// Between two ticks of a partition: [`TICK_INTERVAL`]. `None`: none, so edges heal less; only
    /// for measuring what they cost.
    pub tick_interval: Option<Duration>,
    /// How long things are kept that are not kept for ever.
    pub retention: Retention,
    /// How long after it was taken a message may be edited or deleted by its sender; zero: for ever.
    pub edit_window: Duration,
    /// What users may upload, and for how long it is kept.
    pub files: FileLimits,
    /// By which nodes the partitions are shared out.
    pub assignment: Assignment,
    /// How long a store may be in trouble before core says that it does not work.
    pub store_patience: StorePatience,
    /// Tells the time: the machine's clock, but for tests.
    pub clock: Arc<dyn Clock>,
    /// The newest feature level of a store that it serves: [`FEATURE_LEVEL`], but for tests.
    pub feature_level: u32,
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

pub struct Core {
    registration: Arc<Registration>,
    health: Health,
    serving: Serving,
    shutdown: Shutdown,
    /// What is said of this node, and what is known of its store: until it leaves.
    saying: Shutdown,
    /// Dropped without a shutdown, its key expires.
    _stop_saying: DropGuard,
}

/// Whether this node can do its work. Cheap to clone.
#[derive(Clone)]
struct Health {
    node: NodeId,
    partitions: Partition,
    connection: watch::Receiver<Connection>,
    nodes: watch::Receiver<Nodes>,
    store: StoreHealth,
    progress: Progress,
}

impl Core {
    /// Opens the store's layout, makes the streams, serves, and joins the other nodes. It waits
    /// for a store or a JetStream that can't answer yet, and says so.
    ///
    /// # Errors
    /// Each is one line that an operator can act on.
    pub async fn start(options: CoreOptions) -> Result<Self, Error> {
        let CoreOptions { store, bus, node, assets, quota, token_life, .. } = options;
        let (tick_interval, assignment) = (options.tick_interval, options.assignment);
        let (retention, edit_window) = (options.retention, options.edit_window);
        let files = options.files;
        let health = StoreHealth::new(options.store_patience);
        let store = health.watched(store);
        let (clock, feature_level) = (options.clock, options.feature_level);
        let partitions = assets.partitions;
        let passes = Error::is_retryable;
        let open = async || services::layout::open(&store, partitions, feature_level).await;
        patiently("the store's layout", passes, open).await?;
        patiently("the streams", passes, async || assets::ensure(&bus, &assets).await).await?;
        let shutdown = Shutdown::new();
        let open =
            async || services::Context::open(store.clone(), Arc::clone(&clock), token_life).await;
        let context = patiently("the services", passes, open).await?;
        let context = Arc::new(context.with_file_limits(files).with_bot_issuer(options.bot_issuer));
        let serve = async || services::start(Arc::clone(&context), &bus).await;
        let services = patiently("the services", passes, serve).await?;
        let info = NodeInfo { works: Some(true), ..NodeInfo::default() };
        let join = async || Registration::join(&bus, ROLE, &node, info.clone()).await;
        let registration = Arc::new(patiently("the live nodes", passes, join).await?);
        let nodes = match assignment {
            Assignment::Live => registration.live(ROLE),
            Assignment::Watch(nodes) => nodes,
        };
        let publish = async || EventPublisher::start(&bus).await;
        let events = patiently("the events", passes, publish).await?;
        let serving = Serving::start(services, context, bus.clone(), nodes.clone(), node.clone());
        let saying = Shutdown::new();
        until_cancelled(&saying, "store", health.clone().watch(store.clone()));
        let connection = bus.connection();
        let owners = Owners {
            bus,
            events,
            store: store.clone(),
            health: health.clone(),
            clock,
            node: node.clone(),
            partitions,
            feature_level,
            quota: Arc::new(Quota::new(quota)),
            groups: Arc::default(),
            assets: Arc::new(assets),
            tick_interval,
            retention,
            edit_window,
            file_days: files.days,
        };
        let progress = owners.start(&nodes, &shutdown);
        let says =
            say_whether_it_works(Arc::clone(&registration), health.clone(), progress.clone());
        until_cancelled(&saying, "whether it works", says);
        let fails = progress.clone();
        until_cancelled(&saying, "feature level", async move {
            fails.fail(services::layout::outgrown(&store, feature_level).await);
        });
        let health = Health { node, partitions, connection, nodes, store: health, progress };
        let _stop_saying = saying.token().clone().drop_guard();
        Ok(Self { registration, health, serving, shutdown, saying, _stop_saying })
    }

    /// Waits until every partition that is this node's is taken.
    ///
    /// # Errors
    /// What keeps a partition from being served.
    pub async fn ready(&self) -> Result<(), Arc<Error>> {
        let mut taken = self.health.progress.taken.clone();
        tokio::select! {
            _ = taken.wait_for(|taken| self.health.missing(taken).is_empty()) => Ok(()),
            error = self.failed() => Err(error),
        }
    }

    /// Tells why it can't do its part, in words; `None`: it can.
    pub fn readiness(&self) -> impl Fn() -> Option<String> + Send + Sync + use<> {
        let health = self.health.clone();
        move || health.lacks()
    }

    /// Waits until this node can't serve a partition any more without a person's help.
    pub async fn failed(&self) -> Arc<Error> {
        let mut failed = self.health.progress.failed.clone();
        match failed.wait_for(Option::is_some).await.map(|error| error.clone()) {
            Ok(Some(error)) => error,
            // The owners have ended: the node is shutting down.
            _ => std::future::pending().await,
        }
    }

    /// Leaves in order: finish the commits, answer, publish, then say so to the others. The names
    /// of the tasks that were late.
    pub async fn shutdown(self, patience: Duration) -> Vec<&'static str> {
        let mut late = self.shutdown.finish(patience).await;
        late.extend(self.saying.finish(SAYING_PATIENCE).await);
        if let Some(registration) = Arc::into_inner(self.registration) {
            registration.leave().await;
        }
        self.serving.shutdown().await;
        late
    }
}

impl Health {
    /// What keeps it from doing its work, in words; `None`: nothing.
    fn lacks(&self) -> Option<String> {
        if !self.connection.borrow().connected {
            return Some("NATS is away".to_owned());
        }
        if let Some(error) = &*self.progress.failed.borrow() {
            return Some(error.to_string());
        }
        let trouble = self.store.trouble();
        if let Some(trouble) = trouble.filter(|it| it.since.elapsed() >= TROUBLE_BORNE) {
            let (seconds, reason) = (trouble.since.elapsed().as_secs(), trouble.reason);
            return Some(format!("the store has taken nothing for {seconds} s: {reason}"));
        }
        if let Some(partition) = self.progress.stuck() {
            return Some(format!("the task of partition {partition} hangs"));
        }
        let missing = self.missing(&self.progress.taken.borrow());
        (!missing.is_empty()).then(|| format!("partitions that are not taken yet: {missing:?}"))
    }

    /// What is this node's, and not taken.
    fn missing(&self, taken: &BTreeSet<Partition>) -> BTreeSet<Partition> {
        &partitions_of(&self.nodes.borrow(), self.partitions, &self.node) - taken
    }
}

/// Runs a task that ends with `tasks` alone.
fn until_cancelled(
    tasks: &Shutdown,
    name: &'static str,
    task: impl Future<Output = ()> + Send + 'static,
) {
    let token = tasks.token().clone();
    tasks.spawn(name, async move {
        let _ = token.run_until_cancelled(task).await;
    });
}
