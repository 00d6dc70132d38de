//! Tells whoever runs an edge that one of its limits was reached: a counter, and a line of the log
//! that comes at most now and then, whatever strangers do.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;
use weft_runtime::lock;

use crate::metrics::LIMITED;

/// Between two lines about one limit.
const LINE_PAUSE: Duration = Duration::from_secs(10);

/// A limit of the edge. Those of one session are its client's own affair.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LimitKind {
    AddressConnections,
    /// Connections without a token: the oldest was closed.
    Strangers,
    Connections,
    /// Open files of the process.
    OpenFiles,
    /// A body came too slowly.
    SlowBody,
    /// HTTP requests of callers without a token.
    StrangersRequests,
    /// HTTP requests of callers with a token.
    Requests,
    /// HTTP requests of one user.
    UserRequests,
    /// New sessions of one address.
    AddressConnects,
    Connects,
    Sessions,
    /// Sign-ups, logins and refreshes of one address.
    Accounts,
    /// Unknown secrets of incoming webhooks, of one address.
    UnknownHooks,
    /// Messages by one incoming webhook.
    Hooks,
    /// Exports of what is kept of a user.
    Exports,
    /// Bytes of unanswered sends of one session or user.
    OutboxShare,
    /// Bytes of unanswered sends.
    Outbox,
}

/// As the metric names them.
pub(crate) const NAMES: &[&str] = &[
    "address_connections",
    "strangers",
    "connections",
    "open_files",
    "slow_body",
    "strangers_requests",
    "requests",
    "user_requests",
    "address_connects",
    "connects",
    "sessions",
    "accounts",
    "unknown_hooks",
    "hooks",
    "exports",
    "outbox_share",
    "outbox",
];

/// What was not said yet.
#[derive(Clone, Copy, Default, Debug)]
struct Unsaid {
    said_at: Option<Instant>,
    count: u64,
}

/// How often limits were reached.
#[derive(Debug, Default)]
pub struct Limited([Mutex<Unsaid>; NAMES.len()]);

impl Limited {
    pub(crate) fn note(&self, limit: LimitKind) {
        let (index, name) = (limit as usize, NAMES[limit as usize]);
        LIMITED.increment(name);
        let mut unsaid = lock(&self.0[index]);
        unsaid.count += 1;
        let now = Instant::now();
        if unsaid.said_at.is_none_or(|at| now >= at + LINE_PAUSE) {
            let count = unsaid.count;
            *unsaid = Unsaid { said_at: Some(now), count: 0 };
            drop(unsaid);
            tracing::warn!(limit = name, count, "a limit of this edge was reached");
        }
    }
}
