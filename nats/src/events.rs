//! Committed entries on their way out: core's side.
//!
//! Acks, events and ticks of a process go over one connection, in the order in which they were
//! given; so they arrive at each edge in that order too.

use bytes::Bytes;
use weft_proto::UserId;

use crate::acks::{Acks, PendingAcks};
use crate::bus::Bus;
use crate::error::Error;
use crate::ingest::{Answer, ReplyTo};
use crate::subject::{Subject, WEFT_ENTRY};

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EventMessage {
    /// [`Subject::EventGroup`] or [`Subject::EventDirect`]: its place in the event stream.
    pub subject: Subject,
    /// An [`EventHead`](weft_proto::EventHead) in its text form.
    pub head: String,
    /// The bytes of the WebSocket frame.
    pub frame: Bytes,
    /// Users who get the same on `weft.u.<user>` (not stored).
    pub also: Vec<UserId>,
}

/// Publishes events. Cheap to clone.
#[derive(Clone)]
pub struct EventPublisher(Acks);

impl EventPublisher {
    /// Subscribes to the stream's acknowledgements.
    ///
    /// # Errors
    /// [`Error::Timeout`], [`Error::Closed`].
    pub async fn start(bus: &Bus) -> Result<Self, Error> {
        Acks::start(bus.link()).await.map(Self)
    }

    /// Publishes the events in order, each followed by its copies for users. Wait for the answer to
    /// know that the stream has them; other events may be sent meanwhile. How many are underway is
    /// for the caller to bound.
    ///
    /// # Errors
    /// [`Error::Timeout`] where NATS is away and the queue is full, [`Error::TooLarge`],
    /// [`Error::Malformed`], [`Error::Closed`]: those before the failing one went out.
    pub async fn send(&self, events: Vec<EventMessage>) -> Result<PendingAcks, Error> {
        // An early return drops the batch, which forgets it.
        let batch = self.0.batch(events.len());
        for (index, event) in events.into_iter().enumerate() {
            let EventMessage { subject, head, frame, also } = event;
            let headers = [(WEFT_ENTRY, head.as_str())];
            let subject = subject.to_wire()?;
            self.0.publish(&batch, index, subject, &headers, frame.clone()).await?;
            for user in also {
                let subject = Subject::User(user).to_wire()?;
                self.0.link().publish(subject, None, &headers, frame.clone()).await?;
            }
        }
        Ok(batch)
    }

    /// Publishes the answer to a command, in order with the events. It is not stored.
    ///
    /// # Errors
    /// As [`Bus::publish`].
    pub async fn answer(&self, to: &ReplyTo, answer: Answer) -> Result<(), Error> {
        let headers = answer.headers();
        let subject = to.subject().to_wire()?;
        self.0.link().publish(subject, None, headers.as_slice(), answer.frame).await
    }

    /// Publishes what is not stored (a tick), in order with the events.
    ///
    /// # Errors
    /// As [`Bus::publish`].
    pub async fn plain(&self, subject: &Subject, payload: Bytes) -> Result<(), Error> {
        self.0.link().publish(subject.to_wire()?, None, &[], payload).await
    }
}
