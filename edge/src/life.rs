//! The life of an edge: whether it can serve, how it leaves, and what it says of that to the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use weft_nats::{Bus, Connection, NodeInfo};
use weft_proto::NodeId;
use weft_runtime::Shutdown;

use crate::auth::Auth;
use crate::drain::Drain;
use crate::members::{self, LiveEdges};
use crate::ticks::Ticks;

/// How often a new number of sessions is said, at most.
const SAY_EVERY: Duration = Duration::from_secs(1);
/// How long it may take to leave; NATS may be away.
const LEAVE_TIMEOUT: Duration = Duration::from_millis(500);

/// What says whether an edge can serve, and for how long.
pub(crate) struct Life {
    pub(crate) connection: watch::Receiver<Connection>,
    pub(crate) auth: Arc<Auth>,
    /// What a sync does not cover will be audited.
    pub(crate) is_audited: watch::Receiver<bool>,
    pub(crate) ticks: Arc<Ticks>,
    pub(crate) members: LiveEdges,
    pub(crate) drain: Drain,
    pub(crate) sessions: AtomicUsize,
    /// Sessions and requests: what ends first.
    pub(crate) front: Shutdown,
}

impl Life {
    pub(crate) fn is_connected(&self) -> bool {
        self.connection.borrow().connected
    }

    /// What it needs of others before it can serve clients, in words; `None`: nothing.
    pub(crate) fn lacks(&self) -> Option<&'static str> {
        if !self.is_connected() {
            Some("NATS is away")
        } else if !self.auth.is_ready() {
            Some("no keys to verify tokens with: core has not answered yet")
        } else if !*self.is_audited.borrow() {
            Some("core has not said yet how far the partitions are")
        } else if self.ticks.are_all_silent() {
            Some("core is away: no partition has given a sign of life for a while")
        } else {
            None
        }
    }

    /// Why it is not ready for clients, in words; `None`: it is.
    pub(crate) fn unready(&self) -> Option<String> {
        if self.front.token().is_cancelled() {
            Some("the edge is shutting down".to_owned())
        } else if self.drain.has_begun() {
            let left = self.sessions.load(Ordering::Relaxed);
            Some(format!("draining: {left} sessions left"))
        } else if let Some(reason) = self.lacks() {
            Some(reason.to_owned())
        } else if !self.members.is_known() {
            Some("not announced yet: the others do not know this edge".to_owned())
        } else {
            None
        }
    }

    /// Resolves when nothing new is to come to this edge.
    async fn leaving(&self) {
        tokio::select! {
            () = self.drain.begun() => {}
            () = self.front.token().cancelled() => {}
        }
    }
}

/// Joins, says how many sessions there are and whether it can serve while that changes, and leaves in
/// the end.
pub(crate) async fn announce(
    life: Arc<Life>,
    bus: Bus,
    node: NodeId,
    info: NodeInfo,
    stop: CancellationToken,
) {
    let NodeInfo { url, .. } = info.clone();
    let boot = life.members.boot().to_owned();
    // Edges of an earlier version do not know `unready`.
    let info = NodeInfo { boot, url: String::new(), unready: true, ..info };
    let join = Box::pin(members::join(&bus, &node, &info));
    let joined = stop.run_until_cancelled(join).await;
    let Some(registration) = joined.flatten() else { return };
    life.members.joined(node.clone(), url.clone(), &registration);
    let mut ticks = interval(SAY_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_leaving = false;
    loop {
        registration.update(|info| {
            // While NATS is away nobody can be told; at its return the edge serves at once.
            if life.is_connected() {
                info.unready = life.lacks().is_some();
            }
            if !info.unready {
                info.url.clone_from(&url);
            }
            let sessions = life.sessions.load(Ordering::Relaxed);
            info.sessions = u32::try_from(sessions).unwrap_or(u32::MAX);
            info.draining = is_leaving;
        });
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            () = life.leaving(), if !is_leaving => is_leaving = true,
            _ = ticks.tick() => {}
        }
    }
    if timeout(LEAVE_TIMEOUT, registration.leave()).await.is_err() {
        tracing::warn!(%node, "could not leave in order: the others will miss it");
    }
}
