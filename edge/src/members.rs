//! This edge among the live nodes: it says what it is and how many sessions it has, and knows the
//! other edges.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use weft_nats::nodes::{Nodes, new_boot};
use weft_nats::{Bus, NodeInfo, Registration};
use weft_proto::NodeId;

use crate::shared::Shared;

/// The role of all edges.
const ROLE: &str = "edge";
/// Between two attempts to join: core, which makes the bucket, may start after the edge.
const JOIN_PAUSE: Duration = Duration::from_millis(500);
/// How often a new number of sessions is said, at most.
const SAY_EVERY: Duration = Duration::from_secs(1);
/// How long it may take to leave; NATS may be away.
const LEAVE_TIMEOUT: Duration = Duration::from_millis(500);

/// What is known of this edge and of the others.
#[derive(Debug)]
pub(crate) struct Members {
    boot: String,
    joined: OnceLock<Joined>,
}

/// From joining on.
#[derive(Debug)]
struct Joined {
    node: NodeId,
    /// What this edge says of itself once it can serve; empty: it is not to be found.
    url: String,
    edges: watch::Receiver<Nodes>,
}

impl Members {
    pub(crate) fn new() -> Self {
        Self { boot: new_boot(), joined: OnceLock::new() }
    }

    /// What tells this life of the edge from its others: what it writes of its users carries it.
    pub(crate) fn boot(&self) -> &str {
        &self.boot
    }

    /// True where the others know that this edge can serve, as far as it is to be found at all.
    pub(crate) fn is_known(&self) -> bool {
        let Some(Joined { node, url, edges }) = self.joined.get() else { return false };
        let edges = edges.borrow();
        let own = edges.get(node).filter(|info| info.boot == self.boot && !info.unready);
        own.is_some_and(|info| info.url == *url)
    }

    /// The live edges, this one included; none before it has joined.
    pub(crate) fn edges(&self) -> watch::Receiver<Nodes> {
        let edges = self.joined.get().map(|joined| joined.edges.clone());
        edges.unwrap_or_else(|| watch::channel(Nodes::new()).1)
    }
}

/// Where clients reach an edge: what its operator says, or where it listens, where that is one
/// address. Empty: nowhere that could be told.
pub(crate) fn url(given: Option<String>, listens: SocketAddr) -> String {
    given.unwrap_or_else(|| match listens.ip().is_unspecified() {
        true => String::new(),
        false => format!("http://{listens}"),
    })
}

/// Joins, says how many sessions there are and whether it can serve while that changes, and leaves in
/// the end.
pub(crate) async fn announce(
    shared: Arc<Shared>,
    node: NodeId,
    info: NodeInfo,
    stop: CancellationToken,
) {
    let NodeInfo { url, .. } = info.clone();
    let boot = shared.members.boot().to_owned();
    // Edges of an earlier version do not know `unready`.
    let info = NodeInfo { boot, url: String::new(), unready: true, ..info };
    let join = Box::pin(join(&shared.bus, &node, &info));
    let joined = stop.run_until_cancelled(join).await;
    let Some(registration) = joined.flatten() else { return };
    let joined = Joined { node: node.clone(), url: url.clone(), edges: registration.live(ROLE) };
    let _ = shared.members.joined.set(joined);
    let mut ticks = interval(SAY_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_leaving = false;
    loop {
        registration.update(|info| {
            // While NATS is away nobody can be told; at its return the edge serves at once.
            if shared.is_connected() {
                info.unready = shared.lacks().is_some();
            }
            if !info.unready {
                info.url.clone_from(&url);
            }
            let sessions = shared.sessions.load(Ordering::Relaxed);
            info.sessions = u32::try_from(sessions).unwrap_or(u32::MAX);
            info.draining = is_leaving;
        });
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            () = leaving(&shared), if !is_leaving => is_leaving = true,
            _ = ticks.tick() => {}
        }
    }
    if timeout(LEAVE_TIMEOUT, registration.leave()).await.is_err() {
        tracing::warn!(%node, "could not leave in order: the others will miss it");
    }
}

/// Resolves when nothing new is to come to this edge.
async fn leaving(shared: &Shared) {
    tokio::select! {
        () = shared.drain.begun() => {}
        () = shared.front.token().cancelled() => {}
    }
}

/// `None`: it will never succeed.
async fn join(bus: &Bus, node: &NodeId, info: &NodeInfo) -> Option<Registration> {
    let mut was_told = false;
    loop {
        match Registration::join(bus, ROLE, node, info.clone()).await {
            Ok(registration) => return Some(registration),
            Err(error) if error.is_retryable() => {
                if !std::mem::replace(&mut was_told, true) {
                    tracing::info!(%error, "the other nodes can't be joined yet: trying again");
                }
            }
            Err(error) => {
                tracing::error!(%error, "the other nodes can't be joined");
                return None;
            }
        }
        sleep(JOIN_PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_that_listens_on_one_address_is_found_there() {
        let at = |text: &str| text.parse().expect("address");
        assert_eq!(url(None, at("127.0.0.1:7300")), "http://127.0.0.1:7300");
        assert_eq!(url(None, at("[::1]:7300")), "http://[::1]:7300");
        assert_eq!(url(None, at("0.0.0.0:7300")), "");
        assert_eq!(url(None, at("[::]:7300")), "");
        let given = Some("wss://edge-1.example.org".to_owned());
        assert_eq!(url(given, at("0.0.0.0:7300")), "wss://edge-1.example.org");
        assert_eq!(url(Some(String::new()), at("127.0.0.1:7300")), "");
    }

    #[test]
    fn before_it_has_joined_an_edge_knows_its_boot_and_no_edges() {
        let members = Members::new();
        assert_eq!(members.boot().len(), 16);
        assert!(!members.is_known());
        assert!(members.edges().borrow().is_empty());
    }
}
