//! `weft admin nodes`: which nodes live.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use weft_nats::nodes::{Nodes, live_nodes};
use weft_nats::{Bus, BusOptions, NodeInfo, server};
use weft_proto::NodeId;

use crate::error::Error;
use crate::nats_login::{NatsLogin, read_password};
use crate::process::{new_node_name, say};

/// The NATS user of these commands.
const ADMIN: &str = "admin";

/// Which installation.
#[derive(Args, Clone, Debug)]
pub struct Installation {
    #[command(flatten)]
    login: NatsLogin,
    /// The data folder of a `weft dev` that runs, instead of the options for NATS.
    #[arg(long)]
    data: Option<PathBuf>,
}

impl Installation {
    /// Connects to its NATS as the user `admin`.
    pub async fn connect(&self) -> Result<Bus, Error> {
        let node = new_node_name(ADMIN)?;
        let options = match &self.data {
            None => self.login.bus_options(ADMIN, &node)?,
            Some(data) => BusOptions {
                url: server::url_of(&data.join("nats"))?,
                user: ADMIN.to_owned(),
                password: read_password(&data.join("secrets").join("admin.password"))?,
                role: ADMIN,
                node,
            },
        };
        Ok(Bus::connect(&options).await?)
    }
}

/// A live node, in one line of JSON.
#[derive(Serialize, Clone, PartialEq, Eq, Debug)]
pub struct Line<'a> {
    role: &'a str,
    node: &'a str,
    boot: &'a str,
    url: &'a str,
    region: &'a str,
    sessions: u32,
    sessions_max: u32,
    draining: bool,
    /// It serves nobody at the moment.
    unready: bool,
    /// A core: it reaches its store, and makes progress on what it owns.
    #[serde(skip_serializing_if = "Option::is_none")]
    works: Option<bool>,
    /// An edge: it has no sessions and gets none. Another: a node of its role is left.
    safe_to_remove: bool,
}

impl<'a> Line<'a> {
    /// `serving`: how many nodes of its role serve.
    pub fn new(role: &'a str, node: &'a NodeId, info: &'a NodeInfo, serving: usize) -> Self {
        let safe_to_remove = match role {
            "edge" => info.draining && info.sessions == 0,
            _ => info.draining || info.works == Some(false) && serving > 0 || serving > 1,
        };
        Self {
            role,
            node: node.as_str(),
            boot: &info.boot,
            url: &info.url,
            region: &info.region,
            sessions: info.sessions,
            sessions_max: info.sessions_max,
            draining: info.draining,
            unready: info.unready,
            works: info.works,
            safe_to_remove,
        }
    }

    /// Prints it.
    pub fn say(&self) -> Result<(), Error> {
        let line = serde_json::to_string(self);
        say(&line.map_err(|error| Error::Failed(format!("a node can't be shown: {error}")))?);
        Ok(())
    }
}

/// Prints them, a line each.
pub async fn run(installation: &Installation) -> Result<(), Error> {
    let bus = installation.connect().await?;
    let nodes = live_nodes(&bus).await?;
    for line in lines(&nodes) {
        line.say()?;
    }
    bus.close().await;
    Ok(())
}

fn lines(roles: &BTreeMap<String, Nodes>) -> impl Iterator<Item = Line<'_>> {
    roles.iter().flat_map(|(role, nodes)| {
        let serving =
            nodes.values().filter(|info| !info.draining && info.works != Some(false)).count();
        nodes.iter().map(move |(node, info)| Line::new(role, node, info, serving))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_may_go_when_nobody_misses_it() {
        let id = |name: &str| NodeId::new(name).expect("node");
        let edge = |sessions, draining| NodeInfo { sessions, draining, ..NodeInfo::default() };
        let edges = Nodes::from([
            (id("a"), edge(0, false)),
            (id("b"), edge(3, true)),
            (id("c"), edge(0, true)),
        ]);
        let cores = |names: &[&str]| -> Nodes {
            names.iter().map(|name| (id(name), NodeInfo::default())).collect()
        };
        let roles = BTreeMap::from([
            ("edge".to_owned(), edges),
            ("core".to_owned(), cores(&["d", "e"])),
            ("presence".to_owned(), cores(&["f"])),
        ]);
        let safe: Vec<_> =
            lines(&roles).filter(|line| line.safe_to_remove).map(|line| line.node).collect();
        assert_eq!(safe, ["d", "e", "c"]);
    }

    #[test]
    fn a_line_is_json_for_scripts() {
        let id = NodeId::new("edge-1").expect("node");
        let info = NodeInfo { url: "wss://e".into(), boot: "b".into(), ..NodeInfo::default() };
        let line = serde_json::to_string(&Line::new("edge", &id, &info, 1)).expect("JSON");
        assert_eq!(
            line,
            r#"{"role":"edge","node":"edge-1","boot":"b","url":"wss://e","region":"","sessions":0,"sessions_max":0,"draining":false,"unready":false,"safe_to_remove":false}"#
        );
    }
}
