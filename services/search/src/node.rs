//! A search node: follows the journal, keeps an index, answers. Any number of them may run; each has all of it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use weft_nats::{Bus, Connection, NodeInfo, Registration, Services};
use weft_proto::svc::{AskSearchNode, Search, SearchNodeState};
use weft_proto::{ApiError, FollowerId, NodeId};
use weft_runtime::{Shutdown, lock, patiently};

use crate::error::Error;
use crate::feed::Feed;
use crate::find::Finder;
use crate::folder::Folder;
use crate::index::Index;

/// This role's name among the live nodes.
pub const ROLE: &str = "search";
/// Searches that run at once; four times as many wait.
const SEARCHES_MAX: usize = 16;
/// Questions of operators that run at once.
const QUESTIONS_MAX: usize = 4;
/// Before the next try where searches can't be taken yet.
const SERVE_PAUSE: Duration = Duration::from_millis(500);
/// An index that has not known of everything for so long is behind.
const BEHIND: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct SearchOptions {
    /// The connection to NATS, as role `search`. Its owner closes it, after the node.
    pub bus: Bus,
    /// Lasts: it is the name under which the journal is followed.
    pub node: NodeId,
    /// Where the index is.
    pub folder: PathBuf,
}

pub struct SearchNode {
    connection: watch::Receiver<Connection>,
    answering: Arc<Answering>,
    shutdown: Shutdown,
    services: Services,
    registration: Arc<Registration>,
}

/// What the task that makes indexes and those who search share.
pub(crate) struct Answering {
    index: watch::Sender<Option<Arc<Index>>>,
    /// What came after some commit is not in the index, and will not be.
    is_stale: AtomicBool,
    up_to_date_at: Mutex<Option<Instant>>,
    /// While an index is made: how many messages were read.
    building: Mutex<Option<u64>>,
    /// How many indexes were made in this life.
    pub(crate) built: AtomicU64,
    /// Somebody wants the index to be made anew.
    pub(crate) reindex: Notify,
    pub(crate) reindexing: AtomicBool,
    failed: watch::Sender<Option<String>>,
}

impl Answering {
    fn new() -> Self {
        Self {
            index: watch::channel(None).0,
            is_stale: AtomicBool::new(false),
            up_to_date_at: Mutex::new(None),
            building: Mutex::new(None),
            built: AtomicU64::new(0),
            reindex: Notify::new(),
            reindexing: AtomicBool::new(false),
            failed: watch::channel(None).0,
        }
    }

    /// The index that answers; `None`: none is complete yet.
    pub(crate) fn index(&self) -> Option<Arc<Index>> {
        self.index.borrow().clone()
    }

    pub(crate) fn set(&self, index: Option<Arc<Index>>, is_stale: bool) {
        self.is_stale.store(is_stale, Ordering::Relaxed);
        self.index.send_if_modified(|before| {
            let is_same = match (&*before, &index) {
                (Some(before), Some(index)) => Arc::ptr_eq(before, index),
                (None, None) => true,
                _ => false,
            };
            *before = index;
            !is_same
        });
    }

    pub(crate) fn building(&self, messages: Option<u64>) {
        *lock(&self.building) = messages;
    }

    /// The index knows of everything that was committed up to now.
    pub(crate) fn is_up_to_date(&self) {
        *lock(&self.up_to_date_at) = Some(Instant::now());
    }

    /// Since when it has not.
    pub(crate) fn behind(&self) -> Duration {
        lock(&self.up_to_date_at).map_or(Duration::ZERO, |at| at.elapsed())
    }

    /// Something that was sent may be missing.
    pub(crate) fn is_partial(&self) -> bool {
        let at = *lock(&self.up_to_date_at);
        self.is_stale.load(Ordering::Relaxed) || at.is_none_or(|at| at.elapsed() > BEHIND)
    }

    pub(crate) fn fail(&self, error: Error) {
        self.failed.send_replace(Some(error.to_string()));
    }

    fn state(&self) -> SearchNodeState {
        let index = self.index();
        SearchNodeState {
            documents: index.as_ref().map_or(0, |index| index.documents()),
            building: *lock(&self.building),
            serves: index.is_some(),
            built: self.built.load(Ordering::Relaxed),
        }
    }
}

impl SearchNode {
    /// Opens the index and begins to follow. It does not wait for an index to be complete: until then searches are
    /// answered by other nodes, or `unavailable`.
    ///
    /// # Errors
    /// What no patience mends: the folder, or a name that is too long.
    pub async fn start(options: SearchOptions) -> Result<Self, Error> {
        let SearchOptions { bus, node, folder } = options;
        let follower = FollowerId::new(&format!("{ROLE}-{node}"))?;
        let opened = Folder::open(&folder)?;
        let answering = Arc::new(Answering::new());
        let info = NodeInfo { unready: true, ..NodeInfo::default() };
        let join = async || Registration::join(&bus, ROLE, &node, info.clone()).await;
        let registration = Arc::new(patiently("the live nodes", Error::is_retryable, join).await?);
        let feed = Feed::new(bus.clone(), follower, opened, Arc::clone(&answering));
        let mut services = Services::start(&bus, env!("CARGO_PKG_VERSION"));
        let asked = Arc::clone(&answering);
        let ask = move |request: AskSearchNode| {
            if request.reindex {
                asked.reindex.notify_one();
            }
            let state = asked.state();
            async move { Ok::<_, ApiError>(state) }
        };
        services.handle_at::<AskSearchNode, _, _>(&node, QUESTIONS_MAX, ask).await?;
        let shutdown = Shutdown::new();
        let stop = shutdown.token().clone();
        shutdown.spawn("index", feed.run(stop));
        let mut node =
            Self { connection: bus.connection(), answering, shutdown, services, registration };
        node.serve_when_built(bus);
        Ok(node)
    }

    /// Searches go to those who have a complete index.
    fn serve_when_built(&mut self, bus: Bus) {
        let answering = Arc::clone(&self.answering);
        let registration = Arc::clone(&self.registration);
        let serving = async move {
            let mut index = answering.index.subscribe();
            // Its sender lives in what this holds.
            let _ = index.wait_for(Option::is_some).await;
            let finder = Arc::new(Finder::new(bus.clone(), Arc::clone(&answering)));
            let find = move |request: Search| {
                let finder = Arc::clone(&finder);
                async move { finder.find(request).await }
            };
            let mut services = Services::start(&bus, env!("CARGO_PKG_VERSION"));
            while let Err(error) = services.handle::<Search, _, _>(SEARCHES_MAX, find.clone()).await
            {
                tracing::warn!(%error, "searches can't be taken yet");
                tokio::time::sleep(SERVE_PAUSE).await;
            }
            registration.update(|info| info.unready = false);
            tracing::info!("searches are answered");
            services
        };
        let stop = self.shutdown.token().clone();
        self.shutdown.spawn("searches", async move {
            let Some(services) = stop.run_until_cancelled(serving).await else { return };
            stop.cancelled().await;
            services.shutdown().await;
        });
    }

    /// Tells why it can't do its part, in words; `None`: it can.
    pub fn readiness(&self) -> impl Fn() -> Option<String> + Send + Sync + use<> {
        let connection = self.connection.clone();
        let answering = Arc::clone(&self.answering);
        move || {
            if !connection.borrow().connected {
                return Some("NATS is away".to_owned());
            }
            if let Some(error) = &*answering.failed.borrow() {
                return Some(error.clone());
            }
            let messages = lock(&answering.building).unwrap_or(0);
            let is_first = answering.index().is_none();
            is_first.then(|| format!("the first index is being made: {messages} messages"))
        }
    }

    /// Resolves where it can't go on, with the reason.
    pub async fn failed(&self) -> String {
        let mut failed = self.answering.failed.subscribe();
        match failed.wait_for(Option::is_some).await {
            Ok(error) => error.clone().unwrap_or_default(),
            Err(_) => std::future::pending().await,
        }
    }

    /// Ends in order: nothing new is taken, what was taken is answered, the index is committed. The names of the tasks
    /// that were late.
    pub async fn shutdown(self, patience: Duration) -> Vec<&'static str> {
        let late = self.shutdown.finish(patience).await;
        self.services.shutdown().await;
        if let Some(registration) = Arc::into_inner(self.registration) {
            registration.leave().await;
        }
        late
    }
}
