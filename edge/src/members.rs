//! This edge among the live nodes: it joins them, and knows the other edges.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use weft_nats::nodes::{Nodes, new_boot, score};
use weft_nats::{Bus, NodeInfo, Registration};
use weft_proto::svc::Push;
use weft_proto::{ApiError, ErrorCode, NodeId};

const ROLE: &str = "edge";
/// Files nodes, whose addresses clients are told.
const FILES_ROLE: &str = "files";
/// Push nodes, for whose key browsers subscribe.
const PUSH_ROLE: &str = "push";
/// Between two attempts to join: core, which makes the bucket, may start after the edge.
const JOIN_PAUSE: Duration = Duration::from_millis(500);

/// What is known of this edge and of the others.
#[derive(Debug)]
pub(crate) struct LiveEdges {
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
    files: watch::Receiver<Nodes>,
    pushes: watch::Receiver<Nodes>,
}

impl LiveEdges {
    pub(crate) fn new() -> Self {
        Self { boot: new_boot(), joined: OnceLock::new() }
    }

    /// What tells this life of the edge from its others: what it writes of its users carries it.
    pub(crate) fn boot(&self) -> &str {
        &self.boot
    }

    /// It has joined: what it is to be found by, once it can serve.
    pub(crate) fn joined(&self, node: NodeId, url: String, registration: &Registration) {
        let (edges, files) = (registration.live(ROLE), registration.live(FILES_ROLE));
        let pushes = registration.live(PUSH_ROLE);
        let _ = self.joined.set(Joined { node, url, edges, files, pushes });
    }

    /// True where the others know that this edge can serve, as far as it is to be found at all.
    pub(crate) fn is_known(&self) -> bool {
        let Some(Joined { node, url, edges, .. }) = self.joined.get() else { return false };
        let edges = edges.borrow();
        let own = edges.get(node).filter(|info| info.boot == self.boot && !info.unready);
        own.is_some_and(|info| info.url == *url)
    }

    /// The kinds of gateways by which devices can be notified; none: nobody notifies at the moment.
    pub(crate) fn push_kinds(&self) -> BTreeSet<String> {
        let Some(joined) = self.joined.get() else { return BTreeSet::new() };
        joined.pushes.borrow().values().flat_map(|info| info.push_kinds.clone()).collect()
    }

    /// A device of a kind of gateway that nobody here can ask would never be notified. Where all who notify are away for a moment,
    /// it is taken.
    ///
    /// # Errors
    /// [`ErrorCode::Unavailable`].
    pub(crate) fn check_push(&self, push: &Push) -> Result<(), ApiError> {
        let kinds = self.push_kinds();
        if kinds.is_empty() || kinds.contains(&push.kind) {
            return Ok(());
        }
        let message = format!("this service notifies nobody by {}", push.kind);
        Err(ApiError::new(ErrorCode::Unavailable, message))
    }

    /// For which key browsers subscribe; `None`: nobody notifies.
    pub(crate) fn push_key(&self) -> Option<String> {
        let pushes = self.joined.get()?.pushes.borrow();
        pushes.values().map(|info| info.push_key.clone()).find(|key| !key.is_empty())
    }

    /// Where files are uploaded and read; equal keys meet. `None`: nowhere.
    pub(crate) fn files(&self, key: &str) -> Option<String> {
        let files = self.joined.get()?.files.borrow();
        let found = files.iter().filter(|(_, info)| !info.url.is_empty());
        let best = found.max_by_key(|(node, _)| score(node, key));
        best.map(|(_, info)| info.url.clone())
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

/// `None`: it will never succeed.
pub(crate) async fn join(bus: &Bus, node: &NodeId, info: &NodeInfo) -> Option<Registration> {
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
        let members = LiveEdges::new();
        assert_eq!(members.boot().len(), 16);
        assert!(!members.is_known());
        assert!(members.edges().borrow().is_empty());
    }
}
