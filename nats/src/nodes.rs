//! Which nodes live, and which partitions are whose.
//!
//! A node writes its key `<role>.<node>` into the bucket every 3 s; the bucket forgets it after
//! 10 s. When NATS itself was away for longer, all keys expire in one instant, before the first
//! heartbeat can land. So expiries count only once this node's own heartbeats have been accepted
//! for one full TTL, counted anew after each reconnect. A marker of an expiry that was missed delays
//! it, no more: who was silent for two TTLs, while this node heard itself, counts as dead.

mod assign;
mod key;
mod task;
mod view;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use weft_proto::NodeId;
use weft_runtime::lock;

use crate::bus::Bus;
use crate::error::Error;

pub use assign::{assign, score};
pub use task::live_nodes;

pub type Nodes = BTreeMap<NodeId, NodeInfo>;

/// What a node says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeInfo {
    /// Differs from start to start: 16 hexadecimal digits. [`Registration::join`] makes one where it
    /// is empty.
    pub boot: String,
    /// Where clients reach it; empty where they don't.
    pub url: String,
    /// The region, in the operator's words.
    pub region: String,
    pub sessions: u32,
    /// Sessions that it takes at the most; 0: it does not say.
    pub sessions_max: u32,
    /// It is on its way out: nothing new to it.
    pub draining: bool,
    /// It can't serve at the moment: nothing new to it.
    pub unready: bool,
    /// A push node alone: the public key of its Web Push, in base64url. Browsers subscribe for it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub push_key: String,
    /// A push node alone: the kinds of gateways that it can ask.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub push_kinds: Vec<String>,
    /// A core alone: its store is well, and it makes progress on what it owns. `None`: it does not say.
    pub works: Option<bool>,
}

/// This node's registration. Dropping it stops the heartbeats: the key then expires.
pub struct Registration {
    boot: String,
    info: watch::Sender<NodeInfo>,
    lives: Arc<Lives>,
    stop: CancellationToken,
    task: Option<tokio::task::JoinHandle<()>>,
}

/// What the task last saw, for those who watch.
#[derive(Default)]
struct Lives(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    by_role: BTreeMap<String, Nodes>,
    /// One watch per role that somebody asked for.
    watches: HashMap<String, watch::Sender<Nodes>>,
}

impl Lives {
    fn publish(&self, nodes: BTreeMap<String, Nodes>) {
        let mut seen = lock(&self.0);
        for (role, sender) in &seen.watches {
            let now = nodes.get(role).cloned().unwrap_or_default();
            sender.send_if_modified(|before| {
                let changed = *before != now;
                if changed {
                    *before = now;
                }
                changed
            });
        }
        seen.by_role = nodes;
    }

    fn watch(&self, role: &str) -> watch::Receiver<Nodes> {
        let mut seen = lock(&self.0);
        let now = seen.by_role.get(role).cloned().unwrap_or_default();
        let watch = seen.watches.entry(role.to_owned());
        watch.or_insert_with(|| watch::channel(now).0).subscribe()
    }
}

/// A new [`NodeInfo::boot`].
#[must_use]
pub fn new_boot() -> String {
    format!("{:016x}", rand::random::<u64>())
}

impl Registration {
    /// Announces the node, and watches the others. Returns after the first heartbeat was accepted
    /// and the nodes that are known at that moment were read.
    ///
    /// # Errors
    /// [`Error::Bucket`] or [`Error::NoResponders`] where the bucket is missing or can't answer,
    /// [`Error::Timeout`], [`Error::Closed`].
    pub async fn join(
        bus: &Bus,
        role: &str,
        node: &NodeId,
        mut info: NodeInfo,
    ) -> Result<Self, Error> {
        if info.boot.is_empty() {
            info.boot = new_boot();
        }
        let boot = info.boot.clone();
        let (info, infos) = watch::channel(info);
        let lives = Arc::new(Lives::default());
        let stop = CancellationToken::new();
        let key = format!("{role}.{node}");
        let task = task::Task::begin(bus, &key, infos, Arc::clone(&lives), stop.clone()).await?;
        Ok(Self { boot, info, lives, stop, task: Some(tokio::spawn(task.run())) })
    }

    /// What tells this life of the node from its others.
    #[must_use]
    pub fn boot(&self) -> &str {
        &self.boot
    }

    /// The live nodes of a role, as they change. It includes this node, if it has the role.
    #[must_use]
    pub fn live(&self, role: &str) -> watch::Receiver<Nodes> {
        self.lives.watch(role)
    }

    /// Says something new of this node, at once.
    pub fn update(&self, change: impl FnOnce(&mut NodeInfo)) {
        self.info.send_if_modified(|info| {
            let before = info.clone();
            change(info);
            *info != before
        });
    }

    /// Deletes the key, so that the others know at once, and ends the watch.
    pub async fn leave(mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            let _ = task.await;
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
