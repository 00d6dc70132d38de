//! Parts that no `weft` has: an edge and a core without what heals losses, to measure what that costs;
//! and the bare hops of [`crate::hops`]. Each runs until it is killed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use weft_core::{Assignment, Core, CoreOptions as Options, QuotaLimits, StorePatience};
use weft_edge::{Edge, Limits, Rate};
use weft_nats::{AssetOptions, Bus, BusOptions};
use weft_proto::NodeId;
use weft_runtime::SystemClock;
use weft_storage::Store;
use weft_storage::embedded::Embedded;

/// As `--without-healing`.
pub const WITHOUT_HEALING: &str = "--without-healing";
/// Of every quota: none may be what is measured.
const PLENTY: u32 = 1_000_000;

#[derive(Args, Clone, Debug)]
pub struct PartOptions {
    #[arg(long)]
    nats: String,
    #[arg(long)]
    node: String,
    #[arg(long)]
    pub partitions: u16,
    /// Without ticks and audits.
    #[arg(long)]
    without_healing: bool,
}

#[derive(Args, Clone, Debug)]
pub struct EdgeOptions {
    #[command(flatten)]
    pub part: PartOptions,
    #[arg(long)]
    pub listen: SocketAddr,
}

#[derive(Args, Clone, Debug)]
pub struct CoreOptions {
    #[command(flatten)]
    pub part: PartOptions,
    /// A folder.
    #[arg(long)]
    store: PathBuf,
}

impl PartOptions {
    pub async fn connect(&self, role: &'static str) -> Result<Bus> {
        let options = BusOptions {
            url: self.nats.clone(),
            user: role.to_owned(),
            password: std::env::var("WEFT_NATS_PASSWORD").context("WEFT_NATS_PASSWORD")?,
            role,
            node: NodeId::new(&self.node).map_err(|error| anyhow!(error.message))?,
        };
        Ok(Bus::connect(&options).await?)
    }
}

impl CoreOptions {
    pub fn store(&self) -> Result<Store> {
        Ok(Store::new(Embedded::open(&self.store)?))
    }

    pub fn assets(&self) -> AssetOptions {
        AssetOptions { partitions: self.part.partitions, ..AssetOptions::default() }
    }
}

pub async fn run_edge(options: EdgeOptions) -> Result<()> {
    let bus = options.part.connect("edge").await?;
    let plenty = Rate { per_second: PLENTY, burst: PLENTY };
    let default = Limits::default();
    let heals = !options.part.without_healing;
    let limits = Limits {
        sends: plenty,
        requests: plenty,
        accounts: plenty,
        connects: plenty,
        address_connects: plenty,
        address_connections_max: PLENTY as usize,
        audit_every: default.audit_every.filter(|_| heals),
        tick_silence_max: default.tick_silence_max.filter(|_| heals),
        ..default
    };
    let edge = Edge::start(weft_edge::EdgeOptions {
        node: bus.node().clone(),
        bus,
        listen: options.listen,
        url: None,
        region: String::new(),
        partitions: options.part.partitions,
        limits,
    })
    .await?;
    println!("the edge at {} is ready", edge.local_addr());
    std::future::pending().await
}

pub async fn run_core(options: CoreOptions) -> Result<()> {
    let bus = options.part.connect("core").await?;
    let core = Core::start(Options {
        store: options.store()?,
        node: bus.node().clone(),
        bus,
        assets: options.assets(),
        bots: Vec::new(),
        quota: QuotaLimits { rate_per_s: PLENTY, burst: PLENTY },
        token_life: Duration::from_secs(3_600),
        tick_interval: (!options.part.without_healing).then_some(weft_core::TICK_INTERVAL),
        retention: weft_core::Retention::default(),
        assignment: Assignment::Live,
        store_patience: StorePatience::default(),
        clock: Arc::new(SystemClock),
        feature_level: weft_core::FEATURE_LEVEL,
    })
    .await?;
    core.ready().await.map_err(|error| anyhow!("{error}"))?;
    println!("the core is ready");
    bail!("core failed: {}", core.failed().await)
}
