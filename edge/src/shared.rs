//! What all sessions and requests of an edge use.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::time::Instant;
use weft_nats::Bus;
use weft_presence::{Announcer, Statuses};
use weft_proto::UserId;
use weft_runtime::{Clock, Proxies, Shares, SystemClock};

use crate::auth::{Auth, Caller};
use crate::connections::Connections;
use crate::counts::RoomCounts;
use crate::discovery::Discovery;
use crate::http::HookRates;
use crate::life::Life;
use crate::limited::Limited;
use crate::limits::Limits;
use crate::logins::Logins;
use crate::rate::{Bucket, PerCaller};
use crate::reading::Reading;
use crate::sending::Sending;
use crate::typing::Typing;

pub(crate) struct Shared {
    pub(crate) bus: Bus,
    pub(crate) limits: Limits,
    pub(crate) auth: Arc<Auth>,
    pub(crate) logins: Arc<Logins>,
    pub(crate) reading: Arc<Reading>,
    pub(crate) sending: Arc<Sending>,
    pub(crate) life: Arc<Life>,
    /// Who is connected.
    pub(crate) connections: Arc<Connections>,
    pub(crate) proxies: Proxies,
    /// Tells where a limit was reached.
    pub(crate) limited: Arc<Limited>,
    /// Sign-ups, logins and refreshes, by network.
    pub(crate) account_rate: PerCaller<IpAddr>,
    /// What may come by incoming webhooks.
    pub(crate) hooks: HookRates,
    /// New sessions, of all clients and by network.
    pub(crate) connects: Bucket,
    pub(crate) address_connects: PerCaller<IpAddr>,
    /// HTTP requests of users: sends, and others at their cost.
    pub(crate) http_sends: PerCaller<UserId>,
    pub(crate) http_requests: PerCaller<UserId>,
    /// Permits for reads that ask which users a session may see.
    pub(crate) presence_reads: Semaphore,
    /// Permits for HTTP requests of callers with a token.
    pub(crate) http_in_flight: Semaphore,
    /// Of whom each has a share.
    pub(crate) http_users: Arc<Shares<UserId>>,
    /// Exports that are being made.
    pub(crate) exports: Arc<Shares<UserId>>,
    /// Permits for HTTP requests of the others.
    pub(crate) http_strangers_in_flight: Semaphore,
    /// Says which users are here.
    pub(crate) announcer: Announcer,
    /// Knows who is here, of those whom sessions watch.
    pub(crate) statuses: Statuses,
    pub(crate) counts: RoomCounts,
    pub(crate) typing: Typing,
    pub(crate) discovery: Discovery,
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
}
