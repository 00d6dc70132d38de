//! What sessions and requests send by: the edge's outbox, the ingest log, and what comes back.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;
use weft_nats::{Connection, IngestPublisher};
use weft_proto::frame::error_in;
use weft_proto::{ApiError, ClientId, ErrorCode, UserId};
use weft_runtime::{Clock, Over, Share, Shares, SystemClock};

use crate::answers::{AnswerBox, Answers, SendAnswer, SendOutcome, StoredAttempt};
use crate::limited::{LimitKind, Limited};
use crate::limits::Limits;
use crate::metrics;
use crate::outbox::{Attempt, Command, Due, Outbox, SendTimeouts, unknown};
use crate::ports::Ingest;
use crate::ticks::Ticks;

/// When a sender may try again after the outbox was full, in milliseconds.
const OUTBOX_FULL_RETRY_MS: u64 = 250;

/// The same while the store takes nothing.
const STALLED_RETRY_MS: u64 = 2_000;

pub struct Sending<I: Ingest = IngestPublisher> {
    ingest: I,
    connection: watch::Receiver<Connection>,
    /// Where the log's and core's words on sends are handed on.
    pub answers: Answers,
    ticks: Arc<Ticks>,
    /// Bytes of all unanswered sends, by user.
    pub(crate) budget: Arc<Shares<UserId>>,
    limited: Arc<Limited>,
    session_bytes_max: usize,
    patience: SendTimeouts,
}

/// What one session or request has sent and is not answered yet. Dropping it abandons that.
pub struct Sends<I: Ingest = IngestPublisher> {
    sending: Arc<Sending<I>>,
    sender: UserId,
    answers: AnswerBox,
    outbox: Outbox,
}

/// The last word on a send.
#[derive(Debug)]
pub struct Told {
    /// The client's id of the request.
    pub request_id: u64,
    /// Core's own frame, and when the command was added; or why there is none.
    pub outcome: Result<(Bytes, Instant), ApiError>,
}

impl Told {
    pub(crate) fn count(&self) {
        match &self.outcome {
            Ok((_, added_at)) => {
                metrics::ACKS.increment("ok");
                metrics::ACK_DURATION.record_time(added_at.elapsed());
            }
            Err(error) => metrics::ACKS.increment(error.code.as_str()),
        }
    }
}

/// A client id for a command whose sender gives none.
pub(crate) fn made_id() -> ClientId {
    ClientId::from_parts(SystemClock.now_ms(), rand::random())
}

impl<I: Ingest> Sending<I> {
    /// `answers`: where the signals of `ingest` are handed on.
    pub fn new(
        ingest: I,
        connection: watch::Receiver<Connection>,
        answers: Answers,
        ticks: Arc<Ticks>,
        limited: Arc<Limited>,
        limits: &Limits,
    ) -> Arc<Self> {
        let Limits { outbox_bytes_max, outbox_user_bytes_max, .. } = *limits;
        Arc::new(Self {
            ingest,
            connection,
            answers,
            ticks,
            budget: Arc::new(Shares::new(outbox_bytes_max, outbox_user_bytes_max)),
            limited,
            session_bytes_max: limits.outbox_session_bytes_max,
            patience: SendTimeouts {
                resend_after: limits.resend_after,
                give_up_after: limits.give_up_after,
            },
        })
    }

    /// Where the sends of one session begin.
    pub fn open(self: &Arc<Self>, sender: UserId) -> Sends<I> {
        self.open_for(sender, self.patience.give_up_after)
    }

    /// Where a request that waits no longer than this begins.
    pub(crate) fn open_for(
        self: &Arc<Self>,
        sender: UserId,
        give_up_after: std::time::Duration,
    ) -> Sends<I> {
        let give_up_after = give_up_after.min(self.patience.give_up_after);
        Sends {
            sending: Arc::clone(self),
            sender,
            answers: self.answers.open(),
            outbox: Outbox::new(SendTimeouts { give_up_after, ..self.patience }),
        }
    }

    /// The error where the outbox has no place.
    pub(crate) fn outbox_full(&self, over: Over) -> ApiError {
        let (code, message, limit) = match over {
            Over::Share => {
                let message = "too many bytes of sends are unanswered";
                (ErrorCode::RateLimited, message, LimitKind::OutboxShare)
            }
            Over::Total => (ErrorCode::Overloaded, "the edge's outbox is full", LimitKind::Outbox),
        };
        self.limited.note(limit);
        ApiError::new(code, message).retry_after_ms(OUTBOX_FULL_RETRY_MS)
    }

    fn is_connected(&self) -> bool {
        self.connection.borrow().connected
    }
}

impl<I: Ingest> Sends<I> {
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.outbox.len()
    }

    /// When [`on_time`](Self::on_time) has to be called, at the latest.
    #[must_use]
    pub fn due_at(&self) -> Option<Instant> {
        self.outbox.due_at()
    }

    /// Takes a command in and publishes it, or holds it until those before it are answered.
    ///
    /// # Errors
    /// `overloaded` where the outbox is full or the partition's owner can commit nothing,
    /// `rate_limited` where the session's or the user's share of it is full, `unavailable` while NATS
    /// is away or nobody owns the partition: then it would only wait in the log. Otherwise those of
    /// the publication.
    pub async fn send(&mut self, request_id: u64, command: Command) -> Result<(), ApiError> {
        let share = self.admit(&command)?;
        let Some(attempt) = self.outbox.add(request_id, command, share, Instant::now()) else {
            return Ok(());
        };
        match self.publish(&attempt).await.and_then(|told| told.outcome.err()) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Publishes again what counts as lost, and gives up what has waited for too long.
    pub async fn on_time(&mut self, now: Instant) -> Vec<Told> {
        for StoredAttempt { command, attempt, stream_seq } in self.answers.take_stored() {
            self.outbox.stored(command, attempt, stream_seq);
        }
        let is_connected = self.sending.is_connected();
        let mut told = Vec::new();
        for due in self.outbox.due(now, is_connected, &self.sending.ticks) {
            match due {
                Due::Publish(attempt) => told.extend(self.publish(&attempt).await),
                Due::GiveUp { request_id } => {
                    told.push(Told { request_id, outcome: Err(unknown()) });
                }
            }
        }
        told
    }

    /// The next answer. Cancel-safe.
    pub async fn next_answer(&mut self) -> SendAnswer {
        self.answers.next().await
    }

    /// What an answer means to the client, where it is the last word.
    pub async fn on_answer(&mut self, answer: SendAnswer) -> Vec<Told> {
        let SendAnswer { command, attempt, outcome } = answer;
        let told = match outcome {
            SendOutcome::Refused(error) => self.refused((command, attempt), error),
            SendOutcome::Answered(answer) if answer.error == Some(ErrorCode::ResendInOrder) => {
                let mut told = Vec::new();
                for attempt in self.outbox.in_order(command, attempt, Instant::now()) {
                    told.extend(self.publish(&attempt).await);
                }
                return told;
            }
            SendOutcome::Answered(answer) => match error_in(&answer.frame) {
                Some(error) => self.refused((command, attempt), error),
                // The answer to a resend, after that to the first attempt: nothing is open.
                None => self.outbox.settle(command).map(|(request_id, added_at)| Told {
                    request_id,
                    outcome: Ok((answer.frame, added_at)),
                }),
            },
        };
        told.into_iter().collect()
    }

    /// A place in the outbox for a new command. What is unanswered may be in the log already.
    fn admit(&self, command: &Command) -> Result<Share<UserId>, ApiError> {
        let Sending { ticks, session_bytes_max, budget, .. } = &*self.sending;
        let unavailable = |why| ApiError::new(ErrorCode::Unavailable, why).retry_after_ms(1_000);
        let is_resend = self.outbox.has(command);
        if !self.sending.is_connected() {
            return Err(unavailable("NATS is away"));
        }
        if !is_resend && ticks.is_silent(&command.room) {
            return Err(unavailable("core is away: the room's partition gives no sign of life"));
        }
        if !is_resend && ticks.of(&command.room).is_some_and(|seen| seen.stalled) {
            let error =
                ApiError::new(ErrorCode::Overloaded, "the store takes nothing at the moment");
            return Err(error.retry_after_ms(STALLED_RETRY_MS));
        }
        let is_over = self.outbox.queued_bytes() + command.cost() > *session_bytes_max;
        let taken = match is_over {
            true => Err(Over::Share),
            false => budget.take(&self.sender, command.cost()),
        };
        taken.map_err(|over| self.sending.outbox_full(over))
    }

    /// Publishes an attempt. What may still have gone out is published again where no answer comes;
    /// where it surely did not, that is the last word.
    async fn publish(&mut self, attempt: &Attempt) -> Option<Told> {
        if attempt.attempt > 0 {
            metrics::RESENDS.increment();
        }
        let token = self.answers.token(attempt.number, attempt.attempt);
        let error = match self.sending.ingest.publish(&token, &self.sender, attempt).await {
            Ok(()) | Err(weft_nats::Error::Timeout(_)) => return None,
            Err(weft_nats::Error::TooLarge { .. }) => {
                ApiError::new(ErrorCode::TooLarge, "the entry is too large")
            }
            Err(weft_nats::Error::Closed) => {
                ApiError::new(ErrorCode::Unavailable, "the edge is shutting down")
            }
            Err(other) => {
                tracing::error!(error = %other, "a command can't be published");
                ApiError::new(ErrorCode::Internal, "the entry can't be published")
            }
        };
        self.refused((attempt.number, attempt.attempt), error)
    }

    fn refused(&mut self, attempt: (u64, u32), error: ApiError) -> Option<Told> {
        let (request_id, error) = self.outbox.refuse(attempt, error)?;
        Some(Told { request_id, outcome: Err(error) })
    }
}
