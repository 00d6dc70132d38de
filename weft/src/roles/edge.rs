//! `weft edge`: takes WebSockets and HTTP. It keeps no data and has no store.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use weft_edge::{Edge, Limits, Rate};
use weft_nats::{Bus, Subject};
use weft_proto::NodeId;
use weft_runtime::Readiness;

use super::core::node;
use crate::admin_listener::{AdminListen, AdminListener, EDGE_PORT};
use crate::commands::Partitions;
use crate::error::Error;
use crate::metrics;
use crate::nats_login::NatsLogin;
use crate::open_files;
use crate::process::{
    PATIENCE, Signals, block_on, end_part, end_with_parent, name_the_late, new_node_name, say,
};

/// One edge process.
#[derive(Args, Clone, Debug)]
pub struct EdgeOptions {
    #[command(flatten)]
    pub nats: NatsLogin,
    /// Where clients connect; port 0: any free one.
    #[arg(long, env = "WEFT_LISTEN", default_value = "127.0.0.1:7300")]
    pub listen: SocketAddr,
    /// This process's name, `{hostname}` as with core; by default a new one with each start.
    #[arg(long, env = "WEFT_NODE", value_parser = node)]
    pub node: Option<NodeId>,
    /// Where clients reach this edge from outside, as `wss://edge-1.example.org`: what
    /// `GET /v1/connect` tells them. By default where it listens, if that is one address; empty, or
    /// with an unspecified address: it is not to be found there.
    #[arg(long = "url", value_name = "URL", env = "WEFT_URL", value_parser = url)]
    pub public_url: Option<String>,
    /// Where this edge stands, in your own words: clients that ask for a region get its edges.
    #[arg(long, env = "WEFT_REGION", default_value = "")]
    pub region: String,
    /// How long sessions may take to leave when this edge is to end, in seconds: each is told when it
    /// will be closed, and all are spread over the time. 0: they are closed at once. An edge without
    /// sessions does not wait.
    #[arg(long, env = "WEFT_DRAIN_S", default_value_t = 30, value_parser = clap::value_parser!(u64).range(0..=3_600))]
    pub drain_s: u64,
    #[command(flatten)]
    pub partitions: Partitions,
    #[command(flatten)]
    pub limits: EdgeLimits,
    #[command(flatten)]
    pub admin: AdminListen,
    /// End when the process that started this one ends.
    #[arg(long, hide = true)]
    pub with_parent: bool,
}

/// Reads an edge's address of the command line. Paths are put behind it as it stands.
fn url(text: &str) -> Result<String, String> {
    let url = text.trim_end_matches('/');
    let is_one = ["http://", "https://", "ws://", "wss://"]
        .iter()
        .any(|scheme| url.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty()));
    if !url.is_empty() && !is_one || url.contains(char::is_whitespace) {
        return Err("an edge's address is like wss://edge-1.example.org".to_owned());
    }
    Ok(url.to_owned())
}

/// Runs until a signal or an operator's word comes. A second one ends it at once.
pub fn run(options: EdgeOptions) -> Result<(), Error> {
    if options.with_parent {
        end_with_parent()?;
    }
    block_on(async move {
        let mut signals = Signals::listen()?;
        let readiness = Readiness::new();
        readiness.set("edge", || Some("it starts".to_owned()));
        let exporter = metrics::edge();
        let _admin =
            AdminListener::start(&options.admin, EDGE_PORT, exporter, readiness.clone()).await?;
        let node = options.node.clone().map_or_else(|| new_node_name("edge"), Ok)?;
        let login = options.nats.bus_options("edge", &node)?;
        let started = tokio::select! {
            biased;
            _ = signals.next() => return Ok(()),
            started = start(&options, login) => started,
        };
        let (edge, bus) = started?;
        readiness.set("edge", edge.readiness());
        say(&format!("weft edge {node} listens on http://{}", edge.local_addr()));
        tokio::select! {
            _ = signals.next() => {}
            () = told_to_drain(&bus, &node) => {}
        }
        if options.drain_s > 0 {
            tokio::select! {
                () = edge.drain(Duration::from_secs(options.drain_s)) => {}
                _ = signals.next() => {}
            }
        }
        tokio::select! {
            () = end(edge, bus) => {}
            _ = signals.next() => {}
        }
        Ok(())
    })
}

/// Waits for an operator's word (`weft admin drain`).
async fn told_to_drain(bus: &Bus, node: &NodeId) {
    let told = async {
        let mut words = bus.subscribe(&Subject::Drain { node: node.clone() }).await?;
        Ok::<_, weft_nats::Error>(words.next().await)
    };
    match told.await {
        Ok(Some(_)) => return,
        Ok(None) => {}
        Err(error) => tracing::error!(%error, "an operator's word will not be heard"),
    }
    std::future::pending().await
}

async fn end(edge: Edge, bus: Bus) {
    let late =
        end_part("edge", PATIENCE - Duration::from_secs(1), |patience| edge.shutdown(patience))
            .await;
    let _ = tokio::time::timeout(Duration::from_millis(500), bus.close()).await;
    name_the_late(&late);
}

async fn start(options: &EdgeOptions, login: weft_nats::BusOptions) -> Result<(Edge, Bus), Error> {
    let bus = Bus::connect_patiently(&login).await?;
    let partitions = options.partitions.partitions;
    let mut edge_options = options.limits.edge_options(bus.clone(), options.listen, partitions);
    edge_options.url.clone_from(&options.public_url);
    edge_options.region.clone_from(&options.region);
    let sessions_max = &mut edge_options.limits.sessions_max;
    *sessions_max = open_files::for_sessions(*sessions_max);
    let edge = Edge::start(edge_options).await?;
    Ok((edge, bus))
}

/// What an edge allows. Without an option: the edge's own default.
#[derive(Args, Clone, Debug, Default)]
pub struct EdgeLimits {
    /// Sends of one session per second, in the long run.
    #[arg(long, env = "WEFT_SENDS_PER_S")]
    pub sends_per_s: Option<u32>,
    /// Sends of one session at once.
    #[arg(long, env = "WEFT_SENDS_BURST")]
    pub sends_burst: Option<u32>,
    /// Sign-ups, logins and refreshes of one client address per second, in the long run.
    #[arg(long, env = "WEFT_ACCOUNTS_PER_S")]
    pub accounts_per_s: Option<u32>,
    /// Sign-ups, logins and refreshes of one client address at once.
    #[arg(long, env = "WEFT_ACCOUNTS_BURST")]
    pub accounts_burst: Option<u32>,
    /// Most live sessions.
    #[arg(long, env = "WEFT_SESSIONS_MAX")]
    pub sessions_max: Option<usize>,
    /// New sessions per second, of all clients together, in the long run.
    #[arg(long, env = "WEFT_CONNECTS_PER_S")]
    pub connects_per_s: Option<u32>,
    /// New sessions at once, of all clients together.
    #[arg(long, env = "WEFT_CONNECTS_BURST")]
    pub connects_burst: Option<u32>,
    /// Ask for no audits, so that what is lost is not healed: to measure what healing costs.
    #[arg(long, hide = true)]
    pub without_audits: bool,
}

impl EdgeLimits {
    /// The edge's own options.
    pub fn edge_options(
        &self,
        bus: Bus,
        listen: SocketAddr,
        partitions: u16,
    ) -> weft_edge::EdgeOptions {
        let default = Limits::default();
        let rate = |default: Rate, per_second: Option<u32>, burst: Option<u32>| Rate {
            per_second: per_second.unwrap_or(default.per_second),
            burst: burst.unwrap_or(default.burst),
        };
        let limits = Limits {
            sends: rate(default.sends, self.sends_per_s, self.sends_burst),
            accounts: rate(default.accounts, self.accounts_per_s, self.accounts_burst),
            connects: rate(default.connects, self.connects_per_s, self.connects_burst),
            sessions_max: self.sessions_max.unwrap_or(default.sessions_max),
            audit_every: default.audit_every.filter(|_| !self.without_audits),
            // Beside it core is measured without ticks.
            tick_silence_max: default.tick_silence_max.filter(|_| !self.without_audits),
            ..default
        };
        weft_edge::EdgeOptions {
            node: bus.node().clone(),
            bus,
            listen,
            url: None,
            region: String::new(),
            partitions,
            limits,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edges_address_has_a_scheme_and_no_slash_at_its_end() {
        for (text, read) in [
            ("wss://edge-1.example.org", "wss://edge-1.example.org"),
            ("https://example.org/edge-1/", "https://example.org/edge-1"),
            ("", ""),
        ] {
            assert_eq!(url(text).as_deref(), Ok(read));
        }
        for text in ["edge-1.example.org", "wss://", "nats://edge", "ws://edge 1"] {
            assert!(url(text).is_err(), "{text}");
        }
    }
}
