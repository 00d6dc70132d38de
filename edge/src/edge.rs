//! Starts an edge, and ends it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use weft_nats::{Bus, IngestPublisher, NodeInfo};
use weft_presence::{Announcer, Statuses};
use weft_proto::{NodeId, Partition};
use weft_runtime::{Proxies, Shares, Shutdown, bind};

use crate::answers::Answers;
use crate::auth::Auth;
use crate::bots;
use crate::connections::Connections;
use crate::counts::RoomCounts;
use crate::discovery::Discovery;
use crate::drain::Drain;
use crate::error::Error;
use crate::http;
use crate::life::{self, Life};
use crate::limited::Limited;
use crate::limits::Limits;
use crate::logins::Logins;
use crate::members::{self, LiveEdges};
use crate::rate::{Bucket, PerCaller};
use crate::reading::Reading;
use crate::sending::Sending;
use crate::shared::Shared;
use crate::ticks::Ticks;
use crate::typing::{self, Typing};

/// How long the tasks that serve sessions may take to end after the last session.
const BACK_PATIENCE: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub struct EdgeOptions {
    /// The connection to NATS, as role `edge`. Its owner closes it, after the edge.
    pub bus: Bus,
    /// This node. Answers come to its name: two live edges never share one.
    pub node: NodeId,
    /// Where to listen; port 0: a free one.
    pub listen: SocketAddr,
    /// Where clients reach it, as `wss://edge-1.example.org`; empty: it is not to be found. `None`:
    /// where it listens, if that is one address.
    pub url: Option<String>,
    /// The region, in its operator's words; may be empty.
    pub region: String,
    pub partitions: Partition,
    pub limits: Limits,
    /// Requests of another part that are served on this port too: paths that are not the edge's own.
    pub beside: Option<axum::Router>,
}

pub struct Edge {
    local_addr: SocketAddr,
    shared: Arc<Shared>,
    /// Sessions, requests, connections.
    front: Shutdown,
    /// Feeds and connections, which sessions and requests use: ended after them.
    back: Shutdown,
}

impl Edge {
    /// Listens and serves. `GET /readyz` answers 200 once core has told the keys and where the
    /// partitions are, and the other nodes know of this one.
    ///
    /// # Errors
    /// [`Error::PortTaken`], [`Error::Listen`], [`Error::Nats`].
    pub async fn start(options: EdgeOptions) -> Result<Self, Error> {
        let EdgeOptions { bus, node, listen, url, region, partitions, limits, beside } = options;
        let tcp = bind(listen).map_err(|source| match source.kind() {
            std::io::ErrorKind::AddrInUse => Error::PortTaken(listen),
            _ => Error::Listen { addr: listen, source },
        })?;
        let local_addr =
            tcp.local_addr().map_err(|source| Error::Listen { addr: listen, source })?;
        let (publisher, signals) = IngestPublisher::start(&bus, &node).await?;

        let (front, back) = (Shutdown::new(), Shutdown::new());
        let answers = Answers::new(rand::random());
        until_cancelled(&back, "answers", answers.clone().route(signals));
        let auth = Arc::new(Auth::new(bus.clone(), partitions));
        until_cancelled(&back, "keys", Arc::clone(&auth).keep_keys());
        let logins = Logins::new(bus.clone());
        until_cancelled(&back, "logins", Arc::clone(&logins).watch(limits.login_check_every));
        let ticks = Arc::new(Ticks::new(partitions, limits.tick_silence_max));
        let reading = Reading::start(bus.clone(), partitions, &limits, Arc::clone(&ticks), &back);

        let members = LiveEdges::new();
        let announcer = Announcer::new(node.clone(), members.boot().to_owned());
        back.spawn_lasting("announcer", announcer.clone().run(bus.clone(), back.token().clone()));
        let statuses = Statuses::new(bus.clone());
        until_cancelled(&back, "statuses", statuses.clone().run());
        let typing = typing::listen(bus.clone(), reading.feeds.clone(), partitions);
        until_cancelled(&back, "typing", typing);

        let limited = Arc::new(Limited::default());
        let sending = Sending::new(
            publisher,
            bus.connection(),
            answers,
            Arc::clone(&ticks),
            Arc::clone(&limited),
            &limits,
        );
        let life = Arc::new(Life {
            connection: bus.connection(),
            auth: Arc::clone(&auth),
            is_audited: reading.audits.is_ready.clone(),
            ticks,
            members,
            drain: Drain::default(),
            sessions: AtomicUsize::new(0),
            front: front.clone(),
        });
        let shared = Arc::new(Shared {
            life: Arc::clone(&life),
            reading,
            announcer,
            statuses,
            counts: RoomCounts::default(),
            typing: Typing::default(),
            discovery: Discovery::default(),
            bus: bus.clone(),
            auth,
            logins,
            sending,
            connections: Arc::new(Connections::new(&limits, Arc::clone(&limited))),
            proxies: Proxies::new(&limits.trusted_proxies),
            limited,
            account_rate: PerCaller::new(limits.accounts, limits.callers_max),
            hooks: http::HookRates::new(&limits),
            connects: Bucket::new(limits.connects),
            address_connects: PerCaller::new(limits.address_connects, limits.callers_max),
            http_sends: PerCaller::new(limits.sends, limits.callers_max),
            http_requests: PerCaller::new(limits.requests, limits.callers_max),
            presence_reads: Semaphore::new(limits.presence_reads_max),
            http_in_flight: Semaphore::new(limits.http_in_flight_max),
            http_users: Arc::new(Shares::new(usize::MAX, limits.http_user_in_flight_max)),
            exports: Arc::new(Shares::new(limits.exports_max, 1)),
            http_strangers_in_flight: Semaphore::new(limits.http_strangers_in_flight_max),
            limits,
        });
        let info = NodeInfo {
            url: members::url(url, local_addr),
            region,
            sessions_max: u32::try_from(shared.limits.sessions_max).unwrap_or(u32::MAX),
            ..NodeInfo::default()
        };
        let announce = life::announce(life, bus, node.clone(), info, back.token().clone());
        back.spawn_lasting("members", announce);
        until_cancelled(&front, "requests of bots", bots::answer(Arc::clone(&shared)));
        front.spawn_lasting("http", http::serve(tcp, Arc::clone(&shared), beside));
        tracing::info!(%node, %local_addr, "edge serves");
        Ok(Self { local_addr, shared, front, back })
    }

    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Tells why it is not ready for clients, in words; `None`: it is. As `GET /readyz`.
    pub fn readiness(&self) -> impl Fn() -> Option<String> + Send + Sync + use<> {
        let shared = Arc::clone(&self.shared);
        move || shared.life.unready()
    }

    /// Waits until a task has ended without which the edge does not do what it promises, and names it: a
    /// defect. The edge is to be ended then, and started again.
    pub async fn failed(&self) -> &'static str {
        tokio::select! {
            task = self.back.failed() => task,
            task = self.front.failed() => task,
        }
    }

    /// Takes no new sessions, is not named to clients any more, and sends its sessions away: each is told at
    /// once when it will be closed (4000), at a time of its own within the first four fifths of the
    /// window, and waits then for its unanswered sends until the window's end. Returns when no
    /// session is left, or the window is over. HTTP is served on, until [`shutdown`](Self::shutdown).
    pub async fn drain(&self, window: Duration) {
        let shared = &self.shared;
        let count = || shared.life.sessions.load(Ordering::SeqCst);
        tracing::info!(sessions = count(), ?window, "edge drains");
        shared.life.drain.begin(window);
        if timeout(window, shared.life.drain.empty(count)).await.is_err() {
            tracing::warn!(sessions = count(), "sessions are left at the end of the drain");
        }
    }

    /// Accepts nothing more, closes the sessions with code 4000, and waits for them and for the
    /// requests underway. The names of what has not ended when the patience is over; empty: all.
    pub async fn shutdown(self, patience: Duration) -> Vec<&'static str> {
        let mut late = self.front.finish(patience).await;
        late.extend(self.back.finish(BACK_PATIENCE).await);
        late
    }
}

/// Runs a task that ends with `tasks` alone.
fn until_cancelled(
    tasks: &Shutdown,
    name: &'static str,
    task: impl Future<Output = ()> + Send + 'static,
) {
    let token: CancellationToken = tasks.token().clone();
    tasks.spawn_lasting(name, async move {
        let _ = token.run_until_cancelled(task).await;
    });
}
