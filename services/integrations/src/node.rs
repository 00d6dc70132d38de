//! A node of integrations: its followers of the journal, and what works on what they make.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use weft_journal::FollowerOptions;
use weft_nats::{Bus, Connection, NodeInfo, Registration, Services};
use weft_proto::NodeId;
use weft_runtime::{Clock, Shutdown, patiently};

use crate::error::Error;
use crate::feeds::{Feeds, FeedsOptions};
use crate::webhooks::{self, WebhookOptions};

/// This role's name among the live nodes.
pub const ROLE: &str = "integrations";
/// The name under which the journal is followed for the feeds of bots, whichever process does it.
const FEEDS: &str = "feeds";

pub struct IntegrationsOptions {
    /// The connection to NATS, as role `integrations`. Its owner closes it, after the node.
    pub bus: Bus,
    pub node: NodeId,
    pub clock: Arc<dyn Clock>,
    /// What a bot's feed may have, in bytes.
    pub feed_bytes_max: u64,
    /// How long it is kept.
    pub feed_age_max: Duration,
    pub webhooks: WebhookOptions,
}

pub struct IntegrationsNode {
    connection: watch::Receiver<Connection>,
    are_fed: Arc<AtomicBool>,
    /// Somebody follows the journal for webhooks.
    are_told: Arc<AtomicBool>,
    /// Why it can't go on.
    failed: Arc<watch::Sender<Option<String>>>,
    services: Services,
    shutdown: Shutdown,
    registration: Registration,
}

impl IntegrationsNode {
    /// Begins to follow.
    ///
    /// # Errors
    /// What no patience mends.
    pub async fn start(options: IntegrationsOptions) -> Result<Self, Error> {
        let IntegrationsOptions { bus, node, clock, feed_bytes_max, feed_age_max, webhooks } =
            options;
        let join = async || {
            let joined = Registration::join(&bus, ROLE, &node, NodeInfo::default()).await;
            joined.map_err(Error::Wire)
        };
        let registration = patiently("the live nodes", Error::is_retryable, join).await?;
        let shutdown = Shutdown::new();
        let failed = Arc::new(watch::channel(None).0);
        let are_fed = Arc::new(AtomicBool::new(false));
        let mut services = Services::start(&bus, env!("CARGO_PKG_VERSION"));
        let are_told = Arc::new(AtomicBool::new(false));
        let fail = Arc::clone(&failed);
        webhooks::start(
            (&bus, &clock),
            webhooks,
            (registration.live(ROLE), Arc::clone(&are_told)),
            (&shutdown, &mut services),
            move |error| drop(fail.send_replace(Some(error))),
        )
        .await?;
        let feeds = Feeds::new(FeedsOptions {
            bus: bus.clone(),
            clock,
            is_followed: Arc::clone(&are_fed),
            bytes_max: feed_bytes_max,
            age_max: feed_age_max,
        });
        let options = FollowerOptions {
            bus: bus.clone(),
            name: FEEDS,
            nodes: registration.live(ROLE),
            is_followed: Arc::clone(&are_fed),
            // After each page: an entry is put into a feed again by whoever goes on after a kill, and is known by its id for minutes alone.
            move_every: Duration::ZERO,
        };
        let (stop, fail) = (shutdown.token().clone(), Arc::clone(&failed));
        shutdown.spawn("feeds", async move {
            if let Err(error) = weft_journal::run(options, feeds, stop).await {
                fail.send_replace(Some(error.to_string()));
            }
        });
        let connection = bus.connection();
        Ok(Self { connection, are_fed, are_told, failed, services, shutdown, registration })
    }

    /// Tells why it can't do its part, in words; `None`: it can.
    pub fn readiness(&self) -> impl Fn() -> Option<String> + Send + Sync + use<> {
        let (connection, failed) = (self.connection.clone(), Arc::clone(&self.failed));
        let (are_fed, are_told) = (Arc::clone(&self.are_fed), Arc::clone(&self.are_told));
        move || {
            if !connection.borrow().connected {
                return Some("NATS is away".to_owned());
            }
            if !are_fed.load(Ordering::Relaxed) || !are_told.load(Ordering::Relaxed) {
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

    /// Ends in order. The names of the tasks that were late: what they did, comes again.
    pub async fn shutdown(self, patience: Duration) -> Vec<&'static str> {
        let late = self.shutdown.finish(patience).await;
        self.services.shutdown().await;
        self.registration.leave().await;
        late
    }
}
