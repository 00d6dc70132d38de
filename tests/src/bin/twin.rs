//! Two cores in one process, over one embedded store: `twin <nats url> <store folder> live|told`,
//! with the password of NATS user `core` in `WEFT_NATS_PASSWORD`.
//!
//! An embedded store belongs to one process, so this is how two owners of one partition can be had
//! without a store for several. `live`: they share the partitions as all cores do. `told`: after the
//! line `duel on` on standard input both believe that they own every partition; after `duel off`,
//! and at start, they share them. It ends with its input.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tokio::sync::{mpsc, watch};
use weft_core::{Assignment, Core, CoreOptions, QuotaLimits};
use weft_nats::membership::Nodes;
use weft_nats::{AssetOptions, Bus, BusOptions, NodeInfo};
use weft_proto::NodeId;
use weft_runtime::{LogFormat, init_telemetry};
use weft_storage::Store;
use weft_storage::embedded::Embedded;

const NAMES: [&str; 2] = ["twin-a", "twin-b"];
/// How long each may take to leave.
const PATIENCE: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<()> {
    init_telemetry("info", LogFormat::Text);
    let mut args = std::env::args().skip(1);
    let mut arg = || args.next().context("twin <nats url> <store folder> live|told");
    let (url, folder, told) = (arg()?, arg()?, arg()? == "told");
    let password = std::env::var("WEFT_NATS_PASSWORD").context("WEFT_NATS_PASSWORD")?;
    let store = Store::new(Embedded::open(Path::new(&folder))?);
    let (a, b) = tokio::try_join!(
        Twin::start(NAMES[0], &store, &url, &password, told),
        Twin::start(NAMES[1], &store, &url, &password, told),
    )?;
    let mut lines = lines_of_input();
    loop {
        tokio::select! {
            line = lines.recv() => match line.as_deref() {
                Some("duel on") => [&a, &b].map(Twin::alone),
                Some("duel off") => [&a, &b].map(Twin::share),
                Some(other) => return Err(anyhow!("neither `duel on` nor `duel off`: {other}")),
                None => break,
            },
            error = a.core.failed() => return Err(anyhow!("{} failed: {error}", a.node)),
            error = b.core.failed() => return Err(anyhow!("{} failed: {error}", b.node)),
        };
    }
    tokio::join!(a.core.shutdown(PATIENCE), b.core.shutdown(PATIENCE));
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
            bots: Vec::new(),
            quota: QuotaLimits { rate_per_s: 2_000, burst: 4_000 },
            token_life: Duration::from_secs(3_600),
            tick_interval: Some(weft_core::TICK_INTERVAL),
            assignment: if told { watched } else { Assignment::Live },
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
