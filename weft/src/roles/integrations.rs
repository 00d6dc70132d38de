//! `weft integrations`: other systems hear of what is written.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use weft_integrations::IntegrationsNode;
use weft_integrations::webhooks::WebhookOptions;
use weft_nats::Bus;
use weft_outbound::IpNet;
use weft_proto::NodeId;
use weft_runtime::{Readiness, SystemClock};

use super::core::node;
use crate::admin_listener::{AdminListen, AdminListener, INTEGRATIONS_PORT};
use crate::error::Error;
use crate::metrics;
use crate::nats_login::NatsLogin;
use crate::process::{PATIENCE, Signals, block_on, end_part, name_the_late, new_node_name, say};

/// One process of integrations.
#[derive(Args, Clone, Debug)]
pub struct IntegrationsOptions {
    #[command(flatten)]
    pub nats: NatsLogin,
    /// This process's name, `{hostname}` as with core. By default another one at each start.
    #[arg(long, env = "WEFT_NODE", value_parser = node)]
    pub node: Option<NodeId>,
    #[command(flatten)]
    pub limits: IntegrationsLimits,
    #[command(flatten)]
    pub admin: AdminListen,
}

/// What other systems get, and may have waiting.
#[derive(Args, Clone, Debug)]
pub struct IntegrationsLimits {
    /// How much of a bot's feed is kept on NATS, in bytes: beyond it the oldest entries are removed, and the bot is told.
    #[arg(long = "feed-bytes", env = "WEFT_FEED_BYTES", value_name = "BYTES", default_value_t = 16 << 20)]
    pub feed_bytes: u64,
    /// How long it is kept, in seconds.
    #[arg(long = "feed-age-s", env = "WEFT_FEED_AGE_S", value_name = "SECONDS", default_value_t = 7 * 24 * 3_600)]
    pub feed_age_s: u64,
    /// A network in which webhooks may have addresses beside public ones, as 10.1.0.0/16. Can be given several times.
    #[arg(
        long = "webhooks-allow",
        value_name = "NETWORK",
        env = "WEFT_WEBHOOKS_ALLOW",
        value_delimiter = ','
    )]
    pub webhooks_allow: Vec<IpNet>,
    /// After failing for so many seconds a webhook is paused.
    #[arg(
        long = "webhooks-pause-after-s",
        env = "WEFT_WEBHOOKS_PAUSE_AFTER_S",
        default_value_t = 86_400,
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    pub webhooks_pause_after_s: u64,
}

impl IntegrationsLimits {
    pub fn integrations_options(
        &self,
        bus: Bus,
        node: NodeId,
    ) -> weft_integrations::IntegrationsOptions {
        weft_integrations::IntegrationsOptions {
            bus,
            node,
            clock: Arc::new(SystemClock),
            feed_bytes_max: self.feed_bytes,
            feed_age_max: Duration::from_secs(self.feed_age_s),
            webhooks: WebhookOptions {
                allowed: self.webhooks_allow.clone(),
                pause_after: Duration::from_secs(self.webhooks_pause_after_s),
            },
        }
    }
}

/// Runs until a signal comes, or it can't go on.
pub fn run(options: IntegrationsOptions) -> Result<(), Error> {
    block_on(async move {
        let mut signals = Signals::listen()?;
        let readiness = Readiness::new();
        readiness.set("integrations", || Some("it starts".to_owned()));
        let exporter = metrics::integrations();
        let _admin =
            AdminListener::start(&options.admin, INTEGRATIONS_PORT, exporter, readiness.clone())
                .await?;
        let node = options.node.clone().map_or_else(|| new_node_name("integrations"), Ok)?;
        let login = options.nats.bus_options("integrations", &node)?;
        let started = tokio::select! {
            biased;
            _ = signals.next() => return Ok(()),
            started = start(&options, node.clone(), login) => started,
        };
        let (integrations, bus) = started?;
        readiness.set("integrations", integrations.readiness());
        say(&format!("weft integrations {node} follows"));
        let failed = tokio::select! {
            biased;
            _ = signals.next() => None,
            error = integrations.failed() => Some(Error::Failed(error)),
        };
        let late = end_part("integrations", PATIENCE - Duration::from_secs(1), |patience| {
            integrations.shutdown(patience)
        });
        let late = late.await;
        let _ = tokio::time::timeout(Duration::from_millis(500), bus.close()).await;
        name_the_late(&late);
        failed.map_or(Ok(()), Err)
    })
}

async fn start(
    options: &IntegrationsOptions,
    node: NodeId,
    login: weft_nats::BusOptions,
) -> Result<(IntegrationsNode, Bus), Error> {
    let bus = Bus::connect_patiently(&login).await?;
    let integrations = options.limits.integrations_options(bus.clone(), node);
    Ok((IntegrationsNode::start(integrations).await?, bus))
}
