//! A push node: follows the journal, and works on the jobs that are made of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use weft_journal::FollowerOptions;
use weft_nats::jobs::Lane;
use weft_nats::{Bus, Connection, NodeInfo, Registration};
use weft_outbound::{IpNet, Roots};
use weft_proto::NodeId;
use weft_runtime::{Clock, Shutdown, patiently};

use crate::apns::ApnsOptions;
use crate::clears::Clears;
use crate::error::Error;
use crate::fcm::FcmOptions;
use crate::follower::Follower;
use crate::senders::{SenderOptions, Senders};
use crate::web_push::Vapid;
use crate::worker::{Delays, Worker};

/// This role's name among the live nodes.
pub const ROLE: &str = "push";
/// The name under which the journal is followed: one, whichever process does it.
pub const FOLLOWER: &str = "push";

pub struct PushOptions {
    /// The connection to NATS, as role `push`. Its owner closes it, after the node.
    pub bus: Bus,
    pub node: NodeId,
    pub clock: Arc<dyn Clock>,
    /// The key of Web Push, as PEM.
    pub vapid_key: String,
    /// How an operator is reached, for services of Web Push; empty: it is not said.
    pub contact: String,
    /// None: nobody is notified by it.
    pub fcm: Option<FcmOptions>,
    pub apns: Option<ApnsOptions>,
    /// How long a user has to see a message by themselves.
    pub delays: Delays,
    /// These addresses may be asked beside public ones.
    pub allowed: Vec<IpNet>,
    /// Authorities of gateways' certificates, beside the machine's.
    pub roots: Roots,
}

pub struct PushNode {
    connection: watch::Receiver<Connection>,
    is_followed: Arc<AtomicBool>,
    /// Why it can't go on.
    failed: Arc<watch::Sender<Option<String>>>,
    shutdown: Shutdown,
    registration: Registration,
}

impl PushNode {
    /// Begins to follow, and to work.
    ///
    /// # Errors
    /// What no patience mends: keys and credentials that can't be read.
    pub async fn start(options: PushOptions) -> Result<Self, Error> {
        let PushOptions { bus, node, clock, vapid_key, contact, fcm, apns, delays, .. } = options;
        let (allowed, roots) = (options.allowed, options.roots);
        let vapid = Vapid::read(&vapid_key, contact)?;
        let push_key = vapid.public_key();
        let senders = SenderOptions { vapid, fcm, apns, allowed, roots };
        let senders = Senders::new(senders, Arc::clone(&clock))?;
        let info = NodeInfo { push_key, push_kinds: senders.kinds(), ..NodeInfo::default() };
        let join =
            async || Registration::join(&bus, ROLE, &node, info.clone()).await.map_err(Error::Wire);
        let registration = patiently("the live nodes", Error::is_retryable, join).await?;
        let shutdown = Shutdown::new();
        let failed = Arc::new(watch::channel(None).0);
        let fail = Arc::clone(&failed);
        let nodes = registration.live(ROLE);
        let is_followed = Arc::new(AtomicBool::new(false));
        let follower = Follower { bus: bus.clone(), clock: Arc::clone(&clock) };
        let options = FollowerOptions {
            bus: bus.clone(),
            name: FOLLOWER,
            nodes,
            is_followed: Arc::clone(&is_followed),
            // After each page: a job is made again by whoever goes on after a kill, and is known by its id for some minutes alone.
            move_every: Duration::ZERO,
        };
        let stop = shutdown.token().clone();
        shutdown.spawn("follower", async move {
            if let Err(error) = weft_journal::run(options, follower, stop).await {
                fail.send_replace(Some(error.to_string()));
            }
        });
        let connection = bus.connection();
        let stop = shutdown.token().clone();
        let clears = Arc::new(Clears::new(bus.clone(), Arc::clone(&clock), stop.clone()));
        let listening = Arc::clone(&clears);
        shutdown.spawn("listening for what is read", async move {
            stop.cancelled().await;
            listening.ended().await;
        });
        let worker = Arc::new(Worker::new((bus, clock), (senders, clears), delays));
        for (name, lane) in [("first jobs", Lane::First), ("other jobs", Lane::Rest)] {
            let (worker, stop) = (Arc::clone(&worker), shutdown.token().clone());
            shutdown.spawn(name, worker.run(lane, stop));
        }
        Ok(Self { connection, is_followed, failed, shutdown, registration })
    }

    /// Tells why it can't do its part, in words; `None`: it can.
    pub fn readiness(&self) -> impl Fn() -> Option<String> + Send + Sync + use<> {
        let (connection, failed) = (self.connection.clone(), Arc::clone(&self.failed));
        let is_followed = Arc::clone(&self.is_followed);
        move || {
            if !connection.borrow().connected {
                return Some("NATS is away".to_owned());
            }
            if !is_followed.load(Ordering::Relaxed) {
                return Some("the journal is not followed yet".to_owned());
            }
            failed.borrow().clone()
        }
    }

    /// Resolves where it can't go on, with the reason.
    pub async fn failed(&self) -> String {
        let mut failed = self.failed.subscribe();
        match failed.wait_for(Option::is_some).await {
            Ok(error) => error.clone().unwrap_or_default(),
            Err(_) => std::future::pending().await,
        }
    }

    /// Ends in order: nothing new is begun, and what is underway ends. The names of the tasks that were late: their jobs come
    /// again.
    pub async fn shutdown(self, patience: Duration) -> Vec<&'static str> {
        let late = self.shutdown.finish(patience).await;
        self.registration.leave().await;
        late
    }
}
