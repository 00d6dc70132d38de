//! What all sessions and requests of an edge use.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use weft_nats::{Bus, Connection, IngestPublisher};
use weft_presence::{Announcer, Statuses};
use weft_proto::{ApiError, ErrorCode, UserId};
use weft_runtime::{Clock, Shutdown, SystemClock};

use crate::answers::{AnswerBox, Answers, Stored};
use crate::auth::{Auth, Caller};
use crate::budget::{Over, Share, Shares};
use crate::connections::Connections;
use crate::counts::Counts;
use crate::discovery::Discovery;
use crate::drain::Drain;
use crate::limited::{Limit, Limited};
use crate::limits::Limits;
use crate::logins::Logins;
use crate::members::Members;
use crate::metrics;
use crate::outbox::{Attempt, Command, Due, Outbox, Patience};
use crate::proxies::Proxies;
use crate::rate::{Bucket, PerCaller};
use crate::reading::Reading;
use crate::ticks::Ticks;

/// When a sender may try again after the outbox was full, in milliseconds.
const OUTBOX_FULL_RETRY_MS: u64 = 250;

/// The same while the store takes nothing.
const STALLED_RETRY_MS: u64 = 2_000;

/// The parts of a running edge.
pub(crate) struct Shared {
    pub(crate) bus: Bus,
    pub(crate) connection: watch::Receiver<Connection>,
    pub(crate) limits: Limits,
    pub(crate) auth: Arc<Auth>,
    /// Knows which logins last.
    pub(crate) logins: Arc<Logins>,
    pub(crate) reading: Arc<Reading>,
    pub(crate) answers: Answers,
    pub(crate) publisher: IngestPublisher,
    /// Bytes of all unanswered sends, by user.
    pub(crate) outbox: Arc<Shares<UserId>>,
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

    pub(crate) fn patience(&self) -> Patience {
        let limits = &self.limits;
        Patience { resend_after: limits.resend_after, give_up_after: limits.give_up_after }
    }

    /// A place in the outbox for a new command, beside those that its session has there.
    ///
    /// # Errors
    /// `overloaded` where it is full or the partition's owner can commit nothing, `rate_limited`
    /// where the session's or the user's share of it is full, `unavailable` while NATS is away or
    /// nobody owns the partition: then it would only wait in the log. What is unanswered may be there
    /// already.
    pub(crate) fn admit(
        &self,
        sender: &UserId,
        outbox: &Outbox,
        command: &Command,
    ) -> Result<Share<UserId>, ApiError> {
        let unavailable = |why| ApiError::new(ErrorCode::Unavailable, why).retry_after_ms(1_000);
        let is_resend = outbox.has(command);
        if !self.is_connected() {
            return Err(unavailable("NATS is away"));
        }
        if !is_resend && self.ticks.is_silent(&command.room) {
            return Err(unavailable("core is away: the room's partition gives no sign of life"));
        }
        if !is_resend && self.ticks.of(&command.room).is_some_and(|seen| seen.stalled) {
            let error =
                ApiError::new(ErrorCode::Overloaded, "the store takes nothing at the moment");
            return Err(error.retry_after_ms(STALLED_RETRY_MS));
        }
        let is_over = outbox.queued_bytes() + command.cost() > self.limits.outbox_session_bytes_max;
        let taken = match is_over {
            true => Err(Over::Share),
            false => self.outbox.take(sender, command.cost()),
        };
        taken.map_err(|over| self.outbox_full(over))
    }

    /// The error where the outbox has no place.
    pub(crate) fn outbox_full(&self, over: Over) -> ApiError {
        let (code, message, limit) = match over {
            Over::Share => {
                let message = "too many bytes of sends are unanswered";
                (ErrorCode::RateLimited, message, Limit::OutboxShare)
            }
            Over::Total => (ErrorCode::Overloaded, "the edge's outbox is full", Limit::Outbox),
        };
        self.limited.note(limit);
        ApiError::new(code, message).retry_after_ms(OUTBOX_FULL_RETRY_MS)
    }

    /// What has come due in an outbox, by what its box and the ticks tell.
    pub(crate) fn look_at(
        &self,
        outbox: &mut Outbox,
        answers: &AnswerBox,
        now: Instant,
    ) -> Vec<Due> {
        for Stored { command, attempt, stream_seq } in answers.take_stored() {
            outbox.stored(command, attempt, stream_seq);
        }
        outbox.due(now, self.is_connected(), &self.ticks)
    }

    /// Publishes an attempt. What may still have gone out is no error: it is published again where
    /// no answer comes.
    ///
    /// # Errors
    /// Where it surely did not go out.
    pub(crate) async fn publish(
        &self,
        sender: &UserId,
        answers: &AnswerBox,
        attempt: &Attempt,
    ) -> Result<(), ApiError> {
        if attempt.attempt > 0 {
            metrics::RESENDS.increment();
        }
        let Command { room, client_id, is_made, payload } = &attempt.command;
        let token = answers.token(attempt.number, attempt.attempt);
        let client_id = client_id.to_string();
        let after = attempt.after.map(|after| after.to_string());
        let (id, payload, publisher) = (client_id.as_str(), payload.clone(), &self.publisher);
        let sent = if *is_made {
            publisher.publish_without_id(&token, sender, room, id, payload).await
        } else {
            publisher.publish(&token, sender, room, (id, after.as_deref()), payload).await
        };
        sent.or_else(|error| match error {
            weft_nats::Error::Timeout(_) => Ok(()),
            weft_nats::Error::TooLarge { .. } => {
                Err(ApiError::new(ErrorCode::TooLarge, "the entry is too large"))
            }
            weft_nats::Error::Closed => {
                Err(ApiError::new(ErrorCode::Unavailable, "the edge is shutting down"))
            }
            other => {
                tracing::error!(error = %other, "a command can't be published");
                Err(ApiError::new(ErrorCode::Internal, "the entry can't be published"))
            }
        })
    }
}
