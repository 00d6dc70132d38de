//! What delivery, feeds, audits and sends need from outside: the wire to core, and the ingest log.
//! Traits, so that a simulation can take their place. Generic, not boxed: nothing is paid for it on the way of a
//! message.

use tokio::sync::watch;
use weft_nats::{Bus, Connection, Error, Filter, IngestPublisher, Message, Subject, Subscription};
use weft_proto::svc::Method;
use weft_proto::{ApiError, UserId};

use crate::outbox::{Attempt, Command};

/// Subscriptions, and calls to core. Cheap to clone.
pub trait Wire: Clone + Send + Sync + 'static {
    /// What a subscription gives.
    type Messages: Messages;

    /// Subscribes to one subject. Messages come for sure only after a [`flush`](Self::flush).
    fn subscribe(
        &self,
        subject: &Subject,
    ) -> impl Future<Output = Result<Self::Messages, Error>> + Send;

    /// Subscribes to the ticks of all partitions.
    fn subscribe_ticks(&self) -> impl Future<Output = Result<Self::Messages, Error>> + Send;

    /// Waits until the server knows all subscriptions that were made before.
    fn flush(&self) -> impl Future<Output = Result<(), Error>> + Send;

    fn call<M: Method>(
        &self,
        request: &M,
    ) -> impl Future<Output = Result<M::Reply, ApiError>> + Send;

    fn connection(&self) -> watch::Receiver<Connection>;

    /// Grows when a subscription has dropped something.
    fn losses(&self) -> watch::Receiver<u64>;

    /// From 0 to 1, by chance: what all sessions do at once, they do at different times.
    fn chance(&self) -> f64 {
        rand::random()
    }
}

/// The messages of one subscription, in order. Dropping it unsubscribes.
pub trait Messages: Send {
    /// The next message; `None` when the connection is closed for good. Cancel-safe.
    fn next(&mut self) -> impl Future<Output = Option<Message>> + Send;

    /// A message that is there already.
    fn try_next(&mut self) -> Option<Message>;
}

pub trait Ingest: Send + Sync + 'static {
    /// Publishes an attempt of a sender. What becomes of it comes back under the token, which is
    /// used once. [`Error::Timeout`]: whether it goes out later is unknown.
    fn publish(
        &self,
        token: &str,
        sender: &UserId,
        attempt: &Attempt,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

impl Ingest for IngestPublisher {
    async fn publish(&self, token: &str, sender: &UserId, attempt: &Attempt) -> Result<(), Error> {
        let Command { room, client_id, is_made, payload } = &attempt.command;
        let (id, payload) = (client_id.to_string(), payload.clone());
        if *is_made {
            return self.publish_without_id(token, sender, room, &id, payload).await;
        }
        let after = attempt.after.map(|after| after.to_string());
        Self::publish(self, token, sender, room, (&id, after.as_deref()), payload).await
    }
}

impl Wire for Bus {
    type Messages = Subscription;

    async fn subscribe(&self, subject: &Subject) -> Result<Subscription, Error> {
        Self::subscribe(self, subject).await
    }

    async fn subscribe_ticks(&self) -> Result<Subscription, Error> {
        self.subscribe_wildcard(&Filter::Ticks).await
    }

    async fn flush(&self) -> Result<(), Error> {
        Self::flush(self).await
    }

    async fn call<M: Method>(&self, request: &M) -> Result<M::Reply, ApiError> {
        Self::call(self, request).await
    }

    fn connection(&self) -> watch::Receiver<Connection> {
        Self::connection(self)
    }

    fn losses(&self) -> watch::Receiver<u64> {
        Self::losses(self)
    }
}

impl Messages for Subscription {
    async fn next(&mut self) -> Option<Message> {
        Self::next(self).await
    }

    fn try_next(&mut self) -> Option<Message> {
        Self::try_next(self)
    }
}
