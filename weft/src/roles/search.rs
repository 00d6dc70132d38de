//! `weft search`: keeps an index of all messages, and answers who searches.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use weft_nats::Bus;
use weft_proto::NodeId;
use weft_runtime::Readiness;
use weft_search::SearchNode;

use super::core::node;
use crate::admin_listener::{AdminListen, AdminListener, SEARCH_PORT};
use crate::dev::kept;
use crate::error::Error;
use crate::metrics;
use crate::nats_login::NatsLogin;
use crate::process::{
    PATIENCE, Signals, block_on, end_part, name_the_late, new_node_name, node_name, say,
};

/// One search process.
#[derive(Args, Clone, Debug)]
pub struct SearchOptions {
    #[command(flatten)]
    pub nats: NatsLogin,
    /// Where the index is. It belongs to this one process, and can be deleted: it is made anew from the store.
    #[arg(long, env = "WEFT_SEARCH_DATA", default_value = "weft-search")]
    pub data: PathBuf,
    /// This process's name, `{hostname}` as with core. By default it is kept in the folder of the index. The journal is
    /// kept for each name that ever was there: `weft admin forget-follower search-<name>` ends that.
    #[arg(long, env = "WEFT_NODE", value_parser = node)]
    pub node: Option<NodeId>,
    #[command(flatten)]
    pub admin: AdminListen,
}

/// Runs until a signal comes, or it can't go on.
pub fn run(options: SearchOptions) -> Result<(), Error> {
    block_on(async move {
        let mut signals = Signals::listen()?;
        let readiness = Readiness::new();
        readiness.set("search", || Some("it starts".to_owned()));
        let exporter = metrics::search();
        let _admin =
            AdminListener::start(&options.admin, SEARCH_PORT, exporter, readiness.clone()).await?;
        std::fs::create_dir_all(&options.data).map_err(Error::file(&options.data))?;
        let node = options.node.clone().map_or_else(|| kept_name(&options.data), Ok)?;
        let login = options.nats.bus_options("search", &node)?;
        let started = tokio::select! {
            biased;
            _ = signals.next() => return Ok(()),
            started = start(&options, node.clone(), login) => started,
        };
        let (search, bus) = started?;
        readiness.set("search", search.readiness());
        say(&format!("weft search {node} follows"));
        let failed = tokio::select! {
            biased;
            _ = signals.next() => None,
            error = search.failed() => Some(Error::Failed(error)),
        };
        let late = end_part("search", PATIENCE - Duration::from_secs(1), |patience| {
            search.shutdown(patience)
        });
        let late = late.await;
        let _ = tokio::time::timeout(Duration::from_millis(500), bus.close()).await;
        name_the_late(&late);
        failed.map_or(Ok(()), Err)
    })
}

fn kept_name(folder: &Path) -> Result<NodeId, Error> {
    let name = kept(&folder.join("node"), 0o644, || Ok(new_node_name("node")?.to_string()))?;
    node_name(name.trim())
}

async fn start(
    options: &SearchOptions,
    node: NodeId,
    login: weft_nats::BusOptions,
) -> Result<(SearchNode, Bus), Error> {
    let bus = Bus::connect_patiently(&login).await?;
    let folder = options.data.clone();
    let search =
        SearchNode::start(weft_search::SearchOptions { bus: bus.clone(), node, folder }).await?;
    Ok((search, bus))
}
