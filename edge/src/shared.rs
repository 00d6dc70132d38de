//! What all sessions and requests of an edge use.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use weft_nats::{Bus, Connection};
use weft_presence::{Announcer, Statuses};
use weft_proto::UserId;
use weft_runtime::{Clock, Shutdown, SystemClock};

use crate::auth::{Auth, Caller};
use crate::budget::Shares;
use crate::connections::Connections;
use crate::counts::Counts;
use crate::discovery::Discovery;
use crate::drain::Drain;
use crate::limited::Limited;
use crate::limits::Limits;
use crate::logins::Logins;
use crate::members::Members;
use crate::proxies::Proxies;
use crate::rate::{Bucket, PerCaller};
use crate::reading::Reading;
use crate::sending::Sending;
use crate::ticks::Ticks;

/// The parts of a running edge.
pub(crate) struct Shared {
    pub(crate) bus: Bus,
    pub(crate) connection: watch::Receiver<Connection>,
    pub(crate) limits: Limits,
    pub(crate) auth: Arc<Auth>,
    /// Knows which logins last.
    pub(crate) logins: Arc<Logins>,
    pub(crate) reading: Arc<Reading>,
    pub(crate) sending: Arc<Sending>,
    /// Who is connected.
    pub(crate) connections: Arc<Connections>,
    pub(crate) proxies: Proxies,
    /// Tells where a limit was reached.
    pub(crate) limited: Arc<Limited>,
    /// Sign-ups, logins and refreshes, by network.
    pub(crate) account_rate: PerCaller<IpAddr>,
    /// New sessions, of all clients and by network.
    pub(crate) connects: Bucket,
    pub(crate) address_connects: PerCaller<IpAddr>,
    /// HTTP requests of users: sends, and others at their cost.
    pub(crate) http_sends: PerCaller<UserId>,
    pub(crate) http_requests: PerCaller<UserId>,
    /// Permits for reads of whom sessions may see.
    pub(crate) presence_reads: Semaphore,
    /// Permits for HTTP requests of callers with a token.
    pub(crate) http_in_flight: Semaphore,
    /// Of whom each has a share.
    pub(crate) http_users: Arc<Shares<UserId>>,
    /// Permits for HTTP requests of the others.
    pub(crate) http_strangers_in_flight: Semaphore,
    pub(crate) sessions: AtomicUsize,
    pub(crate) drain: Drain,
    pub(crate) members: Members,
    /// Says which users are here.
    pub(crate) announcer: Announcer,
    /// Knows who is here, of those whom sessions watch.
    pub(crate) statuses: Statuses,
    pub(crate) counts: Counts,
    pub(crate) discovery: Discovery,
    pub(crate) ticks: Arc<Ticks>,
    /// Sessions and requests: what ends first.
    pub(crate) front: Shutdown,
}

impl Shared {
    pub(crate) fn now_ms(&self) -> u64 {
        SystemClock.now_ms()
    }

    /// When a token ends, on the monotonic clock.
    pub(crate) fn expiry(&self, caller: &Caller) -> Instant {
        let left_ms = caller.expires_at_ms.saturating_sub(self.now_ms());
        // A far future would overflow the clock's arithmetic; a session does not live for a year.
        Instant::now() + std::time::Duration::from_millis(left_ms.min(365 * 86_400_000))
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connection.borrow().connected
    }

    /// What it needs of others before it can serve clients, in words; `None`: nothing.
    pub(crate) fn lacks(&self) -> Option<&'static str> {
        if !self.is_connected() {
            Some("NATS is away")
        } else if !self.auth.is_ready() {
            Some("no keys to verify tokens with: core has not answered yet")
        } else if !*self.reading.audits.is_ready.borrow() {
            Some("core has not told yet where the partitions stand")
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
}
