//! The task of a [`Registration`](super::Registration): heartbeats out, the bucket's changes in.
//!
//! Heartbeats wait for nothing but the bucket's own answer to them. A watch is opened beside them:
//! where JetStream is slow, that takes longer than a node lives without a heartbeat.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::kv::{Entry, Operation, Store, Watch};
use async_nats::jetstream::{self, Context};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use weft_runtime::when_some;

use super::key::NodeKey;
use super::view::{NodeChange, NodesView};
use super::{Lives, NodeInfo, Nodes};
use crate::assets::NODE_TTL;
use crate::bus::{Connection, Link, SEND_TIMEOUT, made_anew};
use crate::error::Error;
use crate::subject::NODES_BUCKET;

/// Between two heartbeats: two may be lost before the key expires.
const HEARTBEAT: Duration = Duration::from_secs(3);
/// A watch that shows nothing for this long, not even own heartbeats, is dead.
const WATCH_SILENCE_MAX: Duration = NODE_TTL;
/// The longest wait for the keys that a new watch begins with.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Task {
    link: Arc<Link>,
    context: Context,
    key: NodeKey,
    info: watch::Receiver<NodeInfo>,
    lives: Arc<Lives>,
    stop: CancellationToken,
    view: NodesView,
    /// `None`: it is being opened, or to be opened at the next heartbeat.
    watch: Option<Watch>,
    opening: Option<Opening>,
    watch_heard_at: Instant,
    connection: watch::Receiver<Connection>,
    generation: u64,
}

/// A watch, and the keys that it began with.
struct Opened {
    watch: Watch,
    entries: Vec<Entry>,
}

type Opening = BoxFuture<'static, Result<Opened, Error>>;

impl Task {
    pub(super) async fn begin(
        bus: &crate::Bus,
        key: &str,
        info: watch::Receiver<NodeInfo>,
        lives: Arc<Lives>,
        stop: CancellationToken,
    ) -> Result<Self, Error> {
        let link = Arc::clone(bus.link());
        let context = context(&link);
        let connection = link.connection();
        let generation = link.state().generation;
        let mut task = Self {
            key: NodeKey::new(&link, key),
            link,
            context,
            info,
            lives,
            stop,
            view: NodesView::new(NODE_TTL, key),
            watch: None,
            opening: None,
            watch_heard_at: Instant::now(),
            connection,
            generation,
        };
        task.put().await?;
        task.view.accepted(Instant::now());
        let opened = open_watch(task.context.clone()).await?;
        task.take_in(opened);
        Ok(task)
    }

    pub(super) async fn run(mut self) {
        let mut ticks = interval(HEARTBEAT);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                _ = ticks.tick() => self.beat().await,
                changed = self.info.changed() => match changed {
                    Ok(()) => self.beat().await,
                    // The registration was dropped: its key expires.
                    Err(_) => return,
                },
                () = made_anew(&mut self.connection, self.generation) => self.beat().await,
                opened = when_some(self.opening.as_mut()) => self.opened(opened),
                entry = next_entry(self.watch.as_mut()) => self.on_entry(entry),
            }
        }
        if let Err(error) = self.key.delete().await {
            tracing::warn!(key = %self.key.subject(), %error, "could not leave in order: the key will expire");
        }
    }

    async fn beat(&mut self) {
        if self.watch_heard_at.elapsed() > WATCH_SILENCE_MAX {
            self.watch = None;
        }
        // Before anything is learnt: an outage makes what follows uncertain.
        if self.link.state().generation != self.generation {
            self.generation = self.link.state().generation;
            self.view.interrupted();
            (self.watch, self.opening) = (None, None);
        }
        match self.put().await {
            Ok(()) => {
                if self.view.accepted(Instant::now()) {
                    self.lives.publish(self.view.by_role());
                }
            }
            Err(error) => {
                self.view.interrupted();
                tracing::warn!(key = %self.key.subject(), %error, "a heartbeat was not accepted");
                return;
            }
        }
        if self.watch.is_none() && self.opening.is_none() {
            self.opening = Some(Box::pin(open_watch(self.context.clone())));
        }
    }

    fn opened(&mut self, opened: Result<Opened, Error>) {
        self.opening = None;
        match opened {
            Ok(opened) => self.take_in(opened),
            // With the next heartbeat.
            Err(error) => {
                tracing::warn!(%error, "the live nodes can't be watched: trying again");
            }
        }
    }

    /// Goes on with a new watch.
    fn take_in(&mut self, Opened { watch, entries }: Opened) {
        let mut present = BTreeSet::new();
        for entry in &entries {
            self.apply(entry);
            if entry.operation == Operation::Put {
                present.insert(entry.key.clone());
            }
        }
        self.view.reconcile(&present, Instant::now());
        self.lives.publish(self.view.by_role());
        self.watch = Some(watch);
        self.watch_heard_at = Instant::now();
    }

    async fn put(&mut self) -> Result<(), Error> {
        let info = self.info.borrow_and_update().clone();
        self.key.put(&info).await
    }

    fn on_entry(&mut self, entry: Option<Entry>) {
        self.watch_heard_at = Instant::now();
        match entry {
            Some(entry) => {
                if self.apply(&entry) {
                    self.lives.publish(self.view.by_role());
                }
            }
            None => self.watch = None,
        }
    }

    fn apply(&mut self, entry: &Entry) -> bool {
        let change = match entry.operation {
            Operation::Put => match read_info(entry) {
                Some(info) => NodeChange::Alive(info),
                None => return false,
            },
            Operation::Delete => NodeChange::Left,
            // How the client shows a key that expired; nobody purges keys otherwise.
            Operation::Purge => NodeChange::Expired,
        };
        self.view.apply(&entry.key, change, Instant::now())
    }
}

/// Opens a watch and reads the keys that it begins with.
async fn open_watch(context: Context) -> Result<Opened, Error> {
    let bucket = open_bucket(&context).await?;
    let mut watch = timeout(SEND_TIMEOUT, bucket.watch_with_history(">"))
        .await
        .map_err(|_| Error::Timeout("watching the nodes"))?
        .map_err(|error| failed("watch the bucket of nodes", &error))?;
    let mut entries = Vec::new();
    let snapshot = async {
        // Own key is in the bucket, so there is a first entry to wait for.
        while let Some(entry) = next_entry(Some(&mut watch)).await {
            let is_last = entry.seen_current;
            entries.push(entry);
            if is_last {
                return true;
            }
        }
        false
    };
    match timeout(SNAPSHOT_TIMEOUT, snapshot).await {
        Ok(true) => Ok(Opened { watch, entries }),
        Ok(false) => Err(Error::Closed),
        Err(_) => Err(Error::Timeout("reading the live nodes")),
    }
}

/// The live nodes by role, read once: for tools, which are no nodes themselves. Whoever was killed
/// of late is still among them.
///
/// # Errors
/// As [`Registration::join`](super::Registration::join).
pub async fn live_nodes(bus: &crate::Bus) -> Result<BTreeMap<String, Nodes>, Error> {
    let bucket = open_bucket(&context(bus.link())).await?;
    let read = async {
        let cannot = |error: &dyn std::error::Error| failed("read the bucket of nodes", error);
        let mut view = NodesView::new(NODE_TTL, "");
        let mut keys = bucket.keys().await.map_err(|error| cannot(&error))?;
        while let Some(key) = keys.next().await {
            let key = key.map_err(|error| cannot(&error))?;
            // It may have left since.
            let entry = bucket.entry(&key).await.map_err(|error| cannot(&error))?;
            let Some(entry) = entry.filter(|entry| entry.operation == Operation::Put) else {
                continue;
            };
            if let Some(info) = read_info(&entry) {
                view.apply(&key, NodeChange::Alive(info), Instant::now());
            }
        }
        Ok(view.by_role())
    };
    timeout(SNAPSHOT_TIMEOUT, read).await.map_err(|_| Error::Timeout("reading the live nodes"))?
}

fn context(link: &Link) -> Context {
    let mut context = jetstream::new(link.client().clone());
    context.set_timeout(SEND_TIMEOUT);
    context
}

async fn open_bucket(context: &Context) -> Result<Store, Error> {
    timeout(SEND_TIMEOUT, context.get_key_value(NODES_BUCKET))
        .await
        .map_err(|_| Error::Timeout("opening the bucket of nodes"))?
        .map_err(|error| failed("open the bucket of nodes", &error))
}

fn read_info(entry: &Entry) -> Option<NodeInfo> {
    let info = serde_json::from_slice(&entry.value);
    info.inspect_err(|error| tracing::warn!(key = %entry.key, %error, "malformed node information"))
        .ok()
}

/// `None`: the watch ended. Pending for ever where there is none.
async fn next_entry(watch: Option<&mut Watch>) -> Option<Entry> {
    let Some(watch) = watch else { return std::future::pending().await };
    match watch.next().await? {
        Ok(entry) => Some(entry),
        Err(error) => {
            tracing::debug!(%error, "the watch of the nodes ended");
            None
        }
    }
}

fn failed(what: &'static str, error: &dyn std::error::Error) -> Error {
    Error::Bucket { what, reason: error.to_string() }
}
