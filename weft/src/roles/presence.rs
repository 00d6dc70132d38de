//! `weft presence`: knows who is here.

use std::time::Duration;

use clap::Args;
use weft_nats::Bus;
use weft_presence::PresenceNode;
use weft_proto::NodeId;
use weft_runtime::Readiness;

use super::core::node;
use crate::admin_listener::{AdminListen, AdminListener, PRESENCE_PORT};
use crate::error::Error;
use crate::metrics;
use crate::nats_login::NatsLogin;
use crate::process::{PATIENCE, Signals, block_on, end_part, name_the_late, new_node_name, say};

/// One presence process.
#[derive(Args, Clone, Debug)]
pub struct PresenceOptions {
    #[command(flatten)]
    pub nats: NatsLogin,
    /// This process's name, `{hostname}` as with core; by default a new one with each start.
    #[arg(long, env = "WEFT_NODE", value_parser = node)]
    pub node: Option<NodeId>,
    #[command(flatten)]
    pub limits: PresenceLimits,
    #[command(flatten)]
    pub admin: AdminListen,
}

/// How patient presence is.
#[derive(Args, Clone, Debug)]
pub struct PresenceLimits {
    /// How long users who lost the connection are still shown as before, in seconds: who reconnects in
    /// that time was never away. All presence processes must say the same.
    #[arg(long, env = "WEFT_GRACE_S", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub grace_s: u64,
}

impl PresenceLimits {
    /// The node's own options.
    pub fn presence_options(&self, bus: Bus) -> weft_presence::PresenceOptions {
        let (node, grace) = (bus.node().clone(), Duration::from_secs(self.grace_s));
        weft_presence::PresenceOptions { bus, node, grace }
    }
}

/// Runs until a signal comes.
pub fn run(options: PresenceOptions) -> Result<(), Error> {
    block_on(async move {
        let mut signals = Signals::listen()?;
        let readiness = Readiness::new();
        readiness.set("presence", || Some("it starts".to_owned()));
        let exporter = metrics::presence();
        let _admin =
            AdminListener::start(&options.admin, PRESENCE_PORT, exporter, readiness.clone())
                .await?;
        let node = options.node.clone().map_or_else(|| new_node_name("presence"), Ok)?;
        let login = options.nats.bus_options("presence", &node)?;
        let started = tokio::select! {
            biased;
            _ = signals.next() => return Ok(()),
            started = start(&options, login) => started,
        };
        let (presence, bus) = started?;
        readiness.set("presence", presence.readiness());
        say(&format!("weft presence {node} is ready"));
        signals.next().await;
        let late = end_part("presence", PATIENCE - Duration::from_secs(1), |patience| {
            presence.shutdown(patience)
        });
        let late = late.await;
        let _ = tokio::time::timeout(Duration::from_millis(500), bus.close()).await;
        name_the_late(&late);
        Ok(())
    })
}

async fn start(
    options: &PresenceOptions,
    login: weft_nats::BusOptions,
) -> Result<(PresenceNode, Bus), Error> {
    let bus = Bus::connect_patiently(&login).await?;
    let presence = PresenceNode::start(options.limits.presence_options(bus.clone())).await?;
    Ok((presence, bus))
}
