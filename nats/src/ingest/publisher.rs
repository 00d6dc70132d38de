//! The edge's side: publishes commands, hears what became of them. No future and no timer per
//! message: two subscriptions bring the signals of all of them. Time-outs are the edge's own.

use std::sync::Arc;

use bytes::Bytes;
use weft_proto::ids::is_token;
use weft_proto::{ApiError, NodeId, RoomId, UserId};

use super::answer::Answer;
use super::message::{MadeBy, ReplyTo};
use crate::bus::{Bus, Link, Message, Subscription};
use crate::error::Error;
use crate::jetstream::Stored;
use crate::subject::{
    CONTENT_TYPE, Filter, JSON, Subject, WEFT_AFTER, WEFT_ID, WEFT_MADE, WEFT_REPLY,
};

/// Publishes commands. Cheap to clone.
#[derive(Clone)]
pub struct IngestPublisher {
    link: Arc<Link>,
    edge: NodeId,
    inbox: Arc<str>,
}

/// What became of a command. The token is the one given to [`IngestPublisher::publish`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Signal {
    /// The log has it, under this sequence. That alone promises nothing to a client.
    Stored {
        /// Which command.
        token: String,
        stream_seq: u64,
    },
    /// The log did not take it.
    Refused {
        /// Which command.
        token: String,
        /// Why: `overloaded` (full), `unavailable` (no stream), `too_large`, `internal`.
        error: ApiError,
    },
    /// The partition's owner has answered, after its commit.
    Answered {
        /// Which command.
        token: String,
        answer: Answer,
    },
}

/// Where the signals of all commands of this process arrive.
pub struct IngestSignals {
    stored: Subscription,
    answered: Subscription,
    /// Whose turn it is, so that a flood of one kind does not hold back the other.
    answers_first: bool,
}

impl IngestPublisher {
    /// Subscribes to the signals and waits until the server knows it. Once per process and node
    /// name.
    ///
    /// # Errors
    /// [`Error::Timeout`], [`Error::Closed`].
    pub async fn start(bus: &Bus, node: &NodeId) -> Result<(Self, IngestSignals), Error> {
        let link = Arc::clone(bus.link());
        let inbox = link.new_inbox();
        let stored = link.subscribe(format!("{inbox}.*")).await?;
        let answered = bus.subscribe_wildcard(&Filter::AckEdge(node.clone())).await?;
        bus.flush().await?;
        let signals = IngestSignals { stored, answered, answers_first: false };
        Ok((Self { link, edge: node.clone(), inbox: inbox.into() }, signals))
    }

    /// Publishes a command, an entry in JSON. `token` names it in its signals: `[A-Za-z0-9_-]{1,64}`,
    /// one per attempt. `after` is the client id of the sender's command to the same room before
    /// this one, while that one is unanswered.
    ///
    /// # Errors
    /// [`Error::Timeout`] where NATS is away and the queue is full (whether it goes out later is
    /// unknown), [`Error::TooLarge`], [`Error::Malformed`], [`Error::Closed`].
    pub async fn publish(
        &self,
        token: &str,
        sender: &UserId,
        room: &RoomId,
        (client_id, after): (&str, Option<&str>),
        payload: Bytes,
    ) -> Result<(), Error> {
        let after = after.map(|after| (WEFT_AFTER, after));
        self.publish_with(token, sender, room, (client_id, after), payload).await
    }

    /// As [`publish`](Self::publish), for a sender who gave no client id: `made_id` is the edge's.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub async fn publish_without_id(
        &self,
        token: &str,
        sender: &UserId,
        room: &RoomId,
        made_id: &str,
        payload: Bytes,
    ) -> Result<(), Error> {
        let made = Some((WEFT_MADE, MadeBy::Edge.as_str()));
        self.publish_with(token, sender, room, (made_id, made), payload).await
    }

    async fn publish_with(
        &self,
        token: &str,
        sender: &UserId,
        room: &RoomId,
        (client_id, header): (&str, Option<(&'static str, &str)>),
        payload: Bytes,
    ) -> Result<(), Error> {
        if !is_token(token) {
            return Err(Error::Malformed("token"));
        }
        let subject = Subject::In { sender: sender.clone(), room: room.clone() };
        let reply_to = ReplyTo::header(&self.edge, token);
        let headers = [
            (WEFT_ID, client_id),
            (WEFT_REPLY, &reply_to),
            (CONTENT_TYPE, JSON),
            header.unwrap_or_default(),
        ];
        let headers = &headers[..if header.is_some() { 4 } else { 3 }];
        let reply = format!("{}.{token}", self.inbox);
        self.link.publish(subject.to_wire()?, Some(reply), headers, payload).await
    }
}

impl IngestSignals {
    /// The next signal; `None` when the connection is closed for good. Cancel-safe.
    pub async fn next(&mut self) -> Option<Signal> {
        if let Some(signal) = self.try_next() {
            return Some(signal);
        }
        tokio::select! {
            message = self.stored.next() => message.map(read_stored),
            message = self.answered.next() => message.map(read_answer),
        }
    }

    /// A signal that is there already.
    pub fn try_next(&mut self) -> Option<Signal> {
        self.answers_first = !self.answers_first;
        let stored = |signals: &mut Self| signals.stored.try_next().map(read_stored);
        let answer = |signals: &mut Self| signals.answered.try_next().map(read_answer);
        if self.answers_first {
            answer(self).or_else(|| stored(self))
        } else {
            stored(self).or_else(|| answer(self))
        }
    }
}

/// Both subscriptions end in `.*`, so the last word is the token.
fn token_of(message: &Message) -> String {
    message.subject().rsplit('.').next().unwrap_or_default().to_owned()
}

fn read_stored(message: Message) -> Signal {
    let token = token_of(&message);
    match Stored::read(message.status(), message.payload()) {
        Stored::At(stream_seq) => Signal::Stored { token, stream_seq },
        Stored::Refused(error) => Signal::Refused { token, error },
    }
}

fn read_answer(message: Message) -> Signal {
    Signal::Answered { token: token_of(&message), answer: Answer::read(message) }
}
