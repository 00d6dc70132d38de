//! Committed entries on their way out: core's side.
//!
//! Acks, events and ticks of a process go over one connection, in the order in which they were
//! given; so they arrive at each edge in that order too.

use bytes::Bytes;
use weft_proto::svc::Change;
use weft_proto::{Partition, RoomId, UserId};

use crate::acks::{Acks, PendingAcks};
use crate::bus::Bus;
use crate::error::Error;
use crate::ingest::{Answer, ReplyTo};
use crate::subject::{Subject, WEFT_CHANGE, WEFT_ENTRY};

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

    /// Publishes a change that is not an entry to those who hear of it, in order with the events. It may be
    /// lost.
    ///
    /// # Errors
    /// As [`Bus::publish`]: some may have it.
    pub async fn change(&self, partition: Partition, change: &Change) -> Result<(), Error> {
        let headers = [(WEFT_CHANGE, change.head.as_str())];
        let malformed = |_| Error::Malformed("change");
        let users = change.users.iter().map(|user| UserId::new(user).map(Subject::User));
        let group = Some(change.group.as_str()).filter(|group| !group.is_empty());
        let group = group
            .map(|group| RoomId::new(group).map(|room| Subject::EventGroup { partition, room }));
        for subject in users.chain(group) {
            let subject = subject.map_err(malformed)?.to_wire()?;
            self.0.link().publish(subject, None, &headers, change.frame.clone()).await?;
        }
        Ok(())
    }

    /// Publishes what is not stored (a tick), in order with the events.
    ///
    /// # Errors
    /// As [`Bus::publish`].
    pub async fn plain(&self, subject: &Subject, payload: Bytes) -> Result<(), Error> {
        self.0.link().publish(subject.to_wire()?, None, &[], payload).await
    }
}
