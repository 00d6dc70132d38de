//! `weft edge`: takes WebSockets and HTTP. It keeps no data and has no store.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use clap::Args;
use ipnet::IpNet;
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
use crate::process::{PATIENCE, Signals, block_on, end_part, name_the_late, new_node_name, say};

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
    /// The region of this edge, in your own words: clients that ask for a region get its edges.
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
}

/// Reads an edge's address of the command line. Paths are added to it as it is.
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
        let failed = tokio::select! {
            _ = signals.next() => None,
            () = told_to_drain(&bus, &node) => None,
            task = edge.failed() => Some(task),
        };
        // What lacks a part is not to be used for longer: its sessions go on elsewhere.
        if options.drain_s > 0 && failed.is_none() {
            tokio::select! {
                () = edge.drain(Duration::from_secs(options.drain_s)) => {}
                _ = signals.next() => {}
            }
        }
        tokio::select! {
            () = end(edge, bus) => {}
            _ = signals.next() => {}
        }
        failed.map_or(Ok(()), |task| Err(Error::edge_task(task)))
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

/// What an edge allows. The defaults are the edge's own.
#[derive(Args, Clone, Debug)]
pub struct EdgeLimits {
    /// Sends of one session per second, in the long run; and of one user by HTTP.
    #[arg(long, env = "WEFT_SENDS_PER_S", default_value_t = Limits::default().sends.per_second, value_parser = at_least_one())]
    pub sends_per_s: u32,
    /// Sends of one session at once; and of one user by HTTP.
    #[arg(long, env = "WEFT_SENDS_BURST", default_value_t = Limits::default().sends.burst, value_parser = at_least_one())]
    pub sends_burst: u32,
    /// Other requests of one session per second, in the long run, each at its cost (docs/protocol.md, section
    /// 11); and of one user by HTTP.
    #[arg(long, env = "WEFT_REQUESTS_PER_S", default_value_t = Limits::default().requests.per_second, value_parser = at_least_one())]
    pub requests_per_s: u32,
    /// The same at once.
    #[arg(long, env = "WEFT_REQUESTS_BURST", default_value_t = Limits::default().requests.burst, value_parser = at_least_one())]
    pub requests_burst: u32,
    /// Sign-ups, logins and refreshes of one client address per second, in the long run.
    #[arg(long, env = "WEFT_ACCOUNTS_PER_S", default_value_t = Limits::default().accounts.per_second, value_parser = at_least_one())]
    pub accounts_per_s: u32,
    /// Sign-ups, logins and refreshes of one client address at once.
    #[arg(long, env = "WEFT_ACCOUNTS_BURST", default_value_t = Limits::default().accounts.burst, value_parser = at_least_one())]
    pub accounts_burst: u32,
    /// Most live sessions.
    #[arg(long, env = "WEFT_SESSIONS_MAX", default_value_t = Limits::default().sessions_max)]
    pub sessions_max: usize,
    /// New sessions per second, of all clients together, in the long run.
    #[arg(long, env = "WEFT_CONNECTS_PER_S", default_value_t = Limits::default().connects.per_second, value_parser = at_least_one())]
    pub connects_per_s: u32,
    /// New sessions at once, of all clients together.
    #[arg(long, env = "WEFT_CONNECTS_BURST", default_value_t = Limits::default().connects.burst, value_parser = at_least_one())]
    pub connects_burst: u32,
    /// Most connections of one client address (of IPv6: of one /64); so many new sessions of it may come
    /// at once, and a tenth of that per second in the long run.
    #[arg(long, env = "WEFT_ADDRESS_CONNECTIONS_MAX", default_value_t = address_connections_max(), value_parser = at_least_one())]
    pub address_connections_max: u32,
    /// Most connections of callers who have not shown a token yet. Where one more comes, the one that
    /// has waited longest is closed.
    #[arg(long, env = "WEFT_STRANGERS_MAX", default_value_t = Limits::default().strangers_max)]
    pub strangers_max: usize,
    /// A load balancer in front of this edge, by address or network (10.0.0.0/8): it is no client, so what one
    /// address may do is not for it but for the address that it names last in X-Forwarded-For. Several
    /// are separated by commas. Name none that clients can come from themselves.
    #[arg(long = "trusted-proxy", value_name = "ADDRESS", env = "WEFT_TRUSTED_PROXIES", value_delimiter = ',', value_parser = network)]
    pub trusted_proxies: Vec<IpNet>,
}

fn at_least_one() -> clap::builder::RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..)
}

fn address_connections_max() -> u32 {
    u32::try_from(Limits::default().address_connections_max).unwrap_or(u32::MAX)
}

/// Reads a network, or the one address that it is.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
    let read = text.parse().ok().or_else(address);
    read.ok_or_else(|| "an address or a network, as 192.0.2.7 or 10.0.0.0/8".to_owned())
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
        let rate = |per_second: u32, burst: u32| Rate { per_second, burst };
        let address_connections_max = self.address_connections_max;
        let limits = Limits {
            sends: rate(self.sends_per_s, self.sends_burst),
            requests: rate(self.requests_per_s, self.requests_burst),
            accounts: rate(self.accounts_per_s, self.accounts_burst),
            connects: rate(self.connects_per_s, self.connects_burst),
            address_connects: rate((address_connections_max / 10).max(1), address_connections_max),
            sessions_max: self.sessions_max,
            // What is no session asks by HTTP.
            connections_max: self.sessions_max.saturating_add(default.strangers_max),
            address_connections_max: address_connections_max as usize,
            strangers_max: self.strangers_max,
            trusted_proxies: self.trusted_proxies.clone(),
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
            beside: None,
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

    #[test]
    fn a_proxy_is_an_address_or_a_network() {
        for (text, read) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("192.0.2.7", "192.0.2.7/32"),
            ("2001:db8::/32", "2001:db8::/32"),
        ] {
            assert_eq!(network(text).map(|network| network.to_string()).as_deref(), Ok(read));
        }
        for text in ["", "balancer", "10.0.0.0/33"] {
            assert!(network(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_help_shows_the_defaults_and_they_are_the_edges_own() {
        let mut command = EdgeLimits::augment_args(clap::Command::new("edge"));
        let help = command.render_long_help().to_string();
        let shown = help.matches("[default: ").count();
        assert_eq!(shown, 11, "{help}");
        let matches = command.get_matches_from(["edge"]);
        let limits = <EdgeLimits as clap::FromArgMatches>::from_arg_matches(&matches);
        let EdgeLimits { sends_burst, requests_per_s, address_connections_max, .. } =
            limits.expect("the defaults");
        let default = Limits::default();
        assert_eq!(
            (sends_burst, requests_per_s),
            (default.sends.burst, default.requests.per_second)
        );
        assert_eq!(address_connections_max as usize, default.address_connections_max);
        assert_eq!(default.connections_max, default.sessions_max + default.strangers_max);
    }
}
