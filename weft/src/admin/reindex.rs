//! `weft admin reindex`: search nodes make their index anew.

use std::time::Duration;

use clap::Args;
use tokio::time::sleep;
use weft_nats::Bus;
use weft_nats::nodes::live_nodes;
use weft_proto::NodeId;
use weft_proto::svc::{AskSearchNode, SearchNodeState};
use weft_search::ROLE;

use super::nodes::Installation;
use super::progress::Bar;
use crate::error::Error;
use crate::process::{node_name, say};

/// Between two looks at how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Which nodes.
#[derive(Args, Clone, Debug)]
pub struct ReindexOptions {
    /// The search node; by default all of them, one after the other.
    #[arg(long)]
    node: Option<String>,
    #[command(flatten)]
    installation: Installation,
}

/// Has them do it, and waits until it is done.
pub async fn run(ReindexOptions { node, installation }: &ReindexOptions) -> Result<(), Error> {
    let bus = installation.connect().await?;
    let done = reindex(&bus, node.as_deref()).await;
    bus.close().await;
    done
}

async fn reindex(bus: &Bus, node: Option<&str>) -> Result<(), Error> {
    let nodes = match node {
        Some(node) => vec![node_name(node)?],
        None => live_nodes(bus).await?.remove(ROLE).unwrap_or_default().into_keys().collect(),
    };
    if nodes.is_empty() {
        return Err(Error::Failed("no search node lives".to_owned()));
    }
    for node in &nodes {
        let documents = of_node(bus, node).await?;
        say(&format!("{node} has made its index anew: {documents} messages"));
    }
    Ok(())
}

/// How many messages it has then.
async fn of_node(bus: &Bus, node: &NodeId) -> Result<u64, Error> {
    let before = ask(bus, node, true).await?;
    let bar = Bar::without_end("messages read");
    loop {
        let now = ask(bus, node, false).await?;
        if now.built != before.built {
            bar.end();
            return Ok(now.documents);
        }
        bar.at(now.building.unwrap_or(0));
        sleep(LOOK_EVERY).await;
    }
}

async fn ask(bus: &Bus, node: &NodeId, reindex: bool) -> Result<SearchNodeState, Error> {
    let answer = bus.call_at(node, &AskSearchNode { reindex }).await;
    answer.map_err(|error| Error::Failed(format!("{node}: {error}")))
}
