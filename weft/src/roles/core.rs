//! `weft core`: orders and keeps what is sent.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use weft_core::{Assignment, Core, QuotaLimits};
use weft_nats::{AssetOptions, Bus};
use weft_proto::{NodeId, UserId};
use weft_storage::Store;
use weft_storage::embedded::Embedded;

use crate::commands::Partitions;
use crate::dev::bot_name;
use crate::error::Error;
use crate::nats_login::NatsLogin;
use crate::process::{
    PATIENCE, Signals, block_on, end_part, end_with_parent, name_the_late, new_node_name,
    node_name, say, until_free,
};

/// One core process.
#[derive(Args, Clone, Debug)]
pub struct CoreOptions {
    #[command(flatten)]
    pub nats: NatsLogin,
    /// Where everything is kept: `embedded:<folder>`, a store that belongs to this one process.
    #[arg(long, env = "WEFT_STORE", default_value = "embedded:weft-store", value_parser = store_place)]
    pub store: StorePlace,
    /// This process's name; by default it is kept in the store's folder, so that a restart takes
    /// over at once.
    #[arg(long, env = "WEFT_NODE", value_parser = node)]
    pub node: Option<NodeId>,
    #[command(flatten)]
    pub partitions: Partitions,
    /// Another system that may publish, by its user id. Can be given several times.
    #[arg(long = "bot", value_name = "NAME", env = "WEFT_BOTS", value_delimiter = ',', value_parser = bot_name)]
    pub bots: Vec<UserId>,
    /// Copies of each stream: 3 on a cluster of nats-servers, so that it goes on without one of
    /// them.
    #[arg(long, env = "WEFT_REPLICAS", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    pub replicas: u8,
    #[command(flatten)]
    pub limits: CoreLimits,
    /// End when the process that started this one ends.
    #[arg(long, hide = true)]
    pub with_parent: bool,
}

/// What core allows.
#[derive(Args, Clone, Debug)]
pub struct CoreLimits {
    /// Commands that one sender may have applied per second, in the long run.
    #[arg(long, env = "WEFT_SENDER_RATE_PER_S", default_value_t = 50)]
    pub sender_rate_per_s: u32,
    /// Commands that one sender may have applied at once.
    #[arg(long, env = "WEFT_SENDER_BURST", default_value_t = 200)]
    pub sender_burst: u32,
    /// How long an access token lives, in seconds.
    #[arg(long, env = "WEFT_TOKEN_LIFE_S", default_value_t = 3_600)]
    pub token_life_s: u32,
    /// Give no sign of life, so that what is lost is not healed: to measure what healing costs.
    #[arg(long, hide = true)]
    pub without_ticks: bool,
}

/// Which store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorePlace {
    /// On disk, for one process.
    Embedded(PathBuf),
}

/// Reads `embedded:<folder>`.
pub fn store_place(text: &str) -> Result<StorePlace, String> {
    match text.split_once(':') {
        Some(("embedded", folder)) if !folder.is_empty() => {
            Ok(StorePlace::Embedded(PathBuf::from(folder)))
        }
        Some(("fdb", _)) => Err("FoundationDB comes with a later version".to_owned()),
        _ => Err("a store is embedded:<folder>".to_owned()),
    }
}

/// Reads a node's name of the command line.
pub fn node(text: &str) -> Result<NodeId, String> {
    NodeId::new(text).map_err(|error| error.message)
}

/// Runs until a signal comes.
pub fn run(options: CoreOptions) -> Result<(), Error> {
    if options.with_parent {
        end_with_parent()?;
    }
    block_on(async move {
        let mut signals = Signals::listen()?;
        let StorePlace::Embedded(folder) = &options.store;
        // The store's lock comes first: the node's name belongs to whoever holds it.
        let in_use = |error: &weft_storage::Error| matches!(error, weft_storage::Error::Locked(_));
        let store = Store::new(until_free(|| Embedded::open(folder), in_use)?);
        let node = match &options.node {
            Some(node) => node.clone(),
            None => kept_node_name(folder)?,
        };
        let login = options.nats.bus_options("core", &node)?;
        let started = tokio::select! {
            biased;
            _ = signals.next() => return Ok(()),
            started = start(&options, store, login) => started,
        };
        let (core, bus) = started?;
        let failed = tokio::select! {
            biased;
            _ = signals.next() => None,
            error = core.failed() => Some(error),
            never = announce(&core, &options, &node) => match never {},
        };
        let late =
            end_part("core", PATIENCE - Duration::from_secs(1), |patience| core.shutdown(patience))
                .await;
        let _ = tokio::time::timeout(Duration::from_millis(500), bus.close()).await;
        name_the_late(&late);
        failed.map_or(Ok(()), |error| Err(Error::Failed(error.to_string())))
    })
}

async fn start(
    options: &CoreOptions,
    store: Store,
    login: weft_nats::BusOptions,
) -> Result<(Core, Bus), Error> {
    let bus = Bus::connect(&login).await?;
    let (partitions, bots) = (options.partitions.partitions, options.bots.clone());
    let mut core_options = options.limits.core_options(store, bus.clone(), partitions, bots);
    core_options.assets.replicas = options.replicas;
    let core = Core::start(core_options).await?;
    Ok((core, bus))
}

/// Says when all partitions are taken. What keeps them from being taken, `failed` says.
async fn announce(core: &Core, options: &CoreOptions, node: &NodeId) -> std::convert::Infallible {
    if core.ready().await.is_ok() {
        say(&format!("weft core {node} is ready: {} partitions", options.partitions.partitions));
    }
    std::future::pending().await
}

impl CoreLimits {
    /// Core's own options.
    pub fn core_options(
        &self,
        store: Store,
        bus: Bus,
        partitions: u16,
        bots: Vec<UserId>,
    ) -> weft_core::CoreOptions {
        weft_core::CoreOptions {
            store,
            node: bus.node().clone(),
            bus,
            assets: AssetOptions { partitions, ..AssetOptions::default() },
            bots,
            quota: QuotaLimits { rate_per_s: self.sender_rate_per_s, burst: self.sender_burst },
            token_life: Duration::from_secs(self.token_life_s.into()),
            tick_interval: (!self.without_ticks).then_some(weft_core::TICK_INTERVAL),
            assignment: Assignment::Live,
        }
    }
}

/// The name stands beside the store's own files.
fn kept_node_name(folder: &Path) -> Result<NodeId, Error> {
    let text =
        crate::dev::kept(&folder.join("node"), 0o644, || Ok(new_node_name("core")?.to_string()))?;
    node_name(text.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_named_by_engine_and_place() {
        assert_eq!(store_place("embedded:/x/y"), Ok(StorePlace::Embedded("/x/y".into())));
        assert!(store_place("fdb:/etc/fdb.cluster").expect_err("later").contains("later version"));
        for bad in ["", "embedded:", "/x/y", "redis:x"] {
            assert!(store_place(bad).is_err(), "{bad}");
        }
    }
}
