//! A presence node: watches both buckets, merges, publishes, answers. Any number of them may run.

mod kept;
mod queries;
mod task;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use weft_nats::{Bus, Connection, Filter, NodeInfo, Registration, Services};
use weft_proto::NodeId;
use weft_proto::svc::{CountPresent, GetPresence, IsAttended};
use weft_runtime::{Clock, Shutdown, SystemClock, lock, patiently};

use self::task::Task;
use crate::error::Error;
use crate::ledger::Ledger;
use crate::merge::{Merge, Now, Patience};

/// This role's name among the live nodes.
pub const ROLE: &str = "presence";
/// Who is lost stays as they were for this long.
pub const GRACE: Duration = Duration::from_secs(10);
/// An edge of which only a key was seen counts as alive for this long: a little more than a node's
/// key takes to expire.
const PRESUMED: Duration = Duration::from_secs(12);
/// Queries that run at once.
const QUERIES_MAX: usize = 64;

#[derive(Clone)]
pub struct PresenceOptions {
    /// The connection to NATS, as role `presence`. Its owner closes it, after the node.
    pub bus: Bus,
    pub node: NodeId,
    /// Who is lost stays as they were for this long.
    pub grace: Duration,
}

pub struct PresenceNode {
    connection: watch::Receiver<Connection>,
    shutdown: Shutdown,
    services: Services,
    /// Left last: then others take over.
    registration: Arc<Registration>,
}

/// What the task and the queries share.
struct State {
    merge: Merge,
    ledger: Ledger,
}

type Shared = Arc<Mutex<State>>;

impl PresenceNode {
    /// Reads who is here, and serves. It waits for the buckets, which core makes, and for core
    /// itself, which knows what users chose.
    ///
    /// # Errors
    /// What no patience mends.
    pub async fn start(options: PresenceOptions) -> Result<Self, Error> {
        let PresenceOptions { bus, node, grace } = options;
        let boot = format!("{:016x}", rand::random::<u64>());
        // Until it knows everything the others go on with all duties.
        let info = NodeInfo { boot: boot.clone(), draining: true, ..NodeInfo::default() };
        let join = async || Registration::join(&bus, ROLE, &node, info.clone()).await;
        let registration = Arc::new(patiently("the live nodes", Error::is_retryable, join).await?);
        // Before anything is read: nothing that is published from now on is missed.
        let subscribe = async || bus.subscribe_wildcard(&Filter::Statuses).await;
        let statuses = patiently("statuses", Error::is_retryable, subscribe).await?;
        let patience = Patience { grace, presumed: PRESUMED };
        let state =
            Arc::new(Mutex::new(State { merge: Merge::new(patience), ledger: Ledger::default() }));
        let mut task = Task::new(bus.clone(), &registration, boot, Arc::clone(&state), statuses);
        patiently("the users", Error::is_retryable, async || task.read_all().await).await?;
        task.load_all().await;
        task.take_up_duties();
        let mut services = Services::start(&bus, env!("CARGO_PKG_VERSION"));
        let asked = (bus.clone(), Arc::clone(&state));
        let get = move |request: GetPresence| {
            let (bus, state) = asked.clone();
            async move { queries::get(&bus, &state, &request).await }
        };
        services.handle::<GetPresence, _, _>(QUERIES_MAX, get).await?;
        let asked = Arc::clone(&state);
        let attended = move |request: IsAttended| {
            let answer = queries::attended(&asked, &request);
            async move { answer }
        };
        services.handle::<IsAttended, _, _>(QUERIES_MAX, attended).await?;
        let count = move |request: CountPresent| {
            let answer = queries::count(&state, &request);
            async move { answer }
        };
        services.handle::<CountPresent, _, _>(QUERIES_MAX, count).await?;
        bus.flush().await?;
        registration.update(|info| info.draining = false);
        let shutdown = Shutdown::new();
        let stop = shutdown.token().clone();
        shutdown.spawn("presence", task.run(stop));
        tracing::info!(%node, "presence serves");
        Ok(Self { connection: bus.connection(), shutdown, services, registration })
    }

    /// Tells why it can't do its part, in words; `None`: it can.
    pub fn readiness(&self) -> impl Fn() -> Option<String> + Send + Sync + use<> {
        let connection = self.connection.clone();
        move || (!connection.borrow().connected).then(|| "NATS is away".to_owned())
    }

    /// Ends in order: what is known is published and kept, then the others take over. The names of
    /// the tasks that were late.
    pub async fn shutdown(self, patience: Duration) -> Vec<&'static str> {
        let late = self.shutdown.finish(patience).await;
        if let Some(registration) = Arc::into_inner(self.registration) {
            registration.leave().await;
        }
        self.services.shutdown().await;
        late
    }
}

fn now() -> Now {
    Now { at: Instant::now(), wall_ms: SystemClock.now_ms() }
}
