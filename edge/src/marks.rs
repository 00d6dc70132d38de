//! The marks of one session, on their way to core: those of a room that come together go as one.
//!
//! They are sent as entries are, but in an outbox of their own: a mark has no place in the order of a room's
//! entries, so it waits for none of them, and none for it.

mod queue;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use weft_nats::IngestPublisher;
use weft_proto::kind::Mark;
use weft_proto::{ApiError, Body, RoomId, UserId};

use self::queue::{Due, Go, Queue};
use crate::answers::SendAnswer;
use crate::metrics;
use crate::outbox::{Command, unknown};
use crate::ports::Ingest;
use crate::sending::{Sending, Sends, Told, made_id};

/// What one session has marked and is not answered yet. Dropping it abandons that.
pub(crate) struct Marks<I: Ingest = IngestPublisher> {
    queue: Queue,
    sends: Sends<I>,
}

/// The answer to a mark.
#[derive(Debug)]
pub(crate) struct Marked {
    /// The client's id of the request.
    pub(crate) request_id: u64,
    pub(crate) outcome: Result<(), ApiError>,
}

impl<I: Ingest> Marks<I> {
    /// `answer_within`: how long a request may take in all.
    pub(crate) fn open(sending: &Arc<Sending<I>>, sender: UserId, answer_within: Duration) -> Self {
        // First it may wait for another one, then for its own answer.
        let half = answer_within / 2;
        Self { queue: Queue::new(half), sends: sending.open_for(sender, half) }
    }

    /// How many requests have no answer yet.
    pub(crate) fn unanswered(&self) -> usize {
        self.queue.len()
    }

    /// When [`on_time`](Self::on_time) has to be called, at the latest.
    pub(crate) fn due_at(&self) -> Option<Instant> {
        [self.queue.due_at(), self.sends.due_at()].into_iter().flatten().min()
    }

    /// Takes a mark in, and sends it where its turn is now. The answers that are there already.
    pub(crate) async fn mark(&mut self, request_id: u64, room: RoomId, mark: Mark) -> Vec<Marked> {
        self.queue.add(request_id, room, mark, Instant::now());
        self.send_due().await
    }

    /// Sends what has come due, and gives up what has waited for too long.
    pub(crate) async fn on_time(&mut self, now: Instant) -> Vec<Marked> {
        let told = self.sends.on_time(now).await;
        self.on_told(told).await
    }

    /// The next answer of core. Cancel-safe.
    pub(crate) async fn next_answer(&mut self) -> SendAnswer {
        self.sends.next_answer().await
    }

    /// Whom an answer of core answers.
    pub(crate) async fn on_answer(&mut self, answer: SendAnswer) -> Vec<Marked> {
        let told = self.sends.on_answer(answer).await;
        self.on_told(told).await
    }

    async fn on_told(&mut self, told: Vec<Told>) -> Vec<Marked> {
        let mut marked = Vec::new();
        for Told { request_id: number, outcome } in told {
            match outcome {
                Ok(_) => marked.extend(self.queue.done(number).into_iter().map(Marked::done)),
                Err(error) => marked.extend(self.refused(number, &error)),
            }
        }
        marked.extend(self.send_due().await);
        marked
    }

    async fn send_due(&mut self) -> Vec<Marked> {
        let Due { go, given_up } = self.queue.due(Instant::now());
        let mut marked: Vec<Marked> =
            given_up.into_iter().map(|id| Marked::refused(id, &unknown())).collect();
        for Go { number, room, mark } in go {
            metrics::MARK_COMMANDS.increment();
            if let Err(error) = self.sends.send(number, command(room, mark)).await {
                marked.extend(self.refused(number, &error));
            }
        }
        marked
    }

    fn refused(&mut self, number: u64, error: &ApiError) -> Vec<Marked> {
        let requests = self.queue.refused(number, !error.temporary).into_iter();
        requests.map(|id| Marked::refused(id, error)).collect()
    }
}

impl Marked {
    fn done(request_id: u64) -> Self {
        Self { request_id, outcome: Ok(()) }
    }

    pub(crate) fn refused(request_id: u64, error: &ApiError) -> Self {
        Self { request_id, outcome: Err(error.clone()) }
    }
}

/// A mark as the log takes it. Marks have no id of their sender's.
pub(crate) fn command(room: RoomId, mark: Mark) -> Command {
    let payload = Body::Mark(mark).to_json().into();
    Command { room, client_id: made_id(), is_made: true, payload }
}
