//! Two cores over one store: `twin <nats url> <store> live|told [name]`, with the password of NATS
//! user `core` in `WEFT_NATS_PASSWORD`.
//!
//! An embedded store belongs to one process, so this is how two owners of one partition can be had
//! without a store for several. With one, and a name, it is that one of the two alone. `live`: they share
//! the partitions as all cores do. `told`: after the line `duel on` on standard input both believe that
//! they own every partition; after `duel off`, and at start, they share them. It ends with its input.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use futures_util::future::{join_all, select_all, try_join_all};
use tokio::sync::{mpsc, watch};
use weft_core::{Assignment, Core, CoreOptions, QuotaLimits, StorePatience};
use weft_nats::nodes::Nodes;
use weft_nats::{AssetOptions, Bus, BusOptions, NodeInfo};
use weft_proto::NodeId;
use weft_runtime::{LogFormat, SystemClock, init_telemetry};
use weft_storage::{Store, StorePlace};

const NAMES: [&str; 2] = ["twin-a", "twin-b"];
/// How long each may take to leave.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> Result<()> {
    init_telemetry("info", LogFormat::Text);
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [url, place, kind, only @ ..] = args.as_slice() else {
        bail!("twin <nats url> embedded:<folder>|fdb:<cluster file> live|told [name]");
    };
    let password = std::env::var("WEFT_NATS_PASSWORD").context("WEFT_NATS_PASSWORD")?;
    let names = NAMES.into_iter().filter(|name| only.is_empty() || only.iter().any(|o| o == name));
    // What must outlive the runtime comes before it.
    let opened = place.parse::<StorePlace>().map_err(|error| anyhow!(error))?.open()?;
    let starts = names.map(|name| Twin::start(name, &opened.store, url, &password, kind == "told"));
    tokio::runtime::Runtime::new()?.block_on(run(try_join_all(starts)))
}

async fn run(starts: impl Future<Output = Result<Vec<Twin>>>) -> Result<()> {
    let twins = starts.await?;
    let failed = twins.iter().map(|twin| Box::pin(twin.core.failed()));
    let mut failed = select_all(failed);
    let mut lines = lines_of_input();
    loop {
        tokio::select! {
            line = lines.recv() => match line.as_deref() {
                Some("duel on") => twins.iter().for_each(Twin::alone),
                Some("duel off") => twins.iter().for_each(Twin::share),
                Some(other) => bail!("neither `duel on` nor `duel off`: {other}"),
                None => break,
            },
            (error, ..) = &mut failed => bail!("a core failed: {error}"),
        };
    }
    drop(failed);
    join_all(twins.into_iter().map(|twin| twin.core.shutdown(PATIENCE))).await;
    Ok(())
}

/// Standard input can only be read by a thread that blocks.
fn lines_of_input() -> mpsc::Receiver<String> {
    let (lines, taken) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if lines.blocking_send(line).is_err() {
                return;
            }
        }
    });
    taken
}

struct Twin {
    node: NodeId,
    nodes: watch::Sender<Nodes>,
    core: Core,
}

impl Twin {
    async fn start(
        name: &str,
        store: &Store,
        url: &str,
        password: &str,
        told: bool,
    ) -> Result<Self> {
        let node = node_id(name)?;
        let bus = Bus::connect(&BusOptions {
            url: url.to_owned(),
            user: "core".to_owned(),
            password: password.to_owned(),
            role: "core",
            node: node.clone(),
        })
        .await?;
        let nodes = watch::Sender::new(nodes(&NAMES));
        let watched = Assignment::Watch(nodes.subscribe());
        let core = Core::start(CoreOptions {
            store: store.clone(),
            bus,
            node: node.clone(),
            assets: AssetOptions::default(),
            bot_issuer: None,
            quota: QuotaLimits { rate_per_s: 2_000, burst: 4_000 },
            token_life: Duration::from_secs(3_600),
            tick_interval: Some(weft_core::TICK_INTERVAL),
            retention: weft_core::Retention::default(),
            edit_window: Duration::ZERO,
            files: weft_core::FileLimits::default(),
            assignment: if told { watched } else { Assignment::Live },
            store_patience: StorePatience::default(),
            clock: Arc::new(SystemClock),
            feature_level: weft_core::FEATURE_LEVEL,
        })
        .await?;
        Ok(Self { node, nodes, core })
    }

    fn alone(&self) {
        self.nodes.send_replace(nodes(&[self.node.as_str()]));
    }

    fn share(&self) {
        self.nodes.send_replace(nodes(&NAMES));
    }
}

fn node_id(name: &str) -> Result<NodeId> {
    NodeId::new(name).map_err(|error| anyhow!(error.message))
}

fn nodes(names: &[&str]) -> Nodes {
    let named = names.iter().filter_map(|name| Some((node_id(name).ok()?, NodeInfo::default())));
    named.collect::<BTreeMap<_, _>>()
}
