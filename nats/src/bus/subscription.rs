//! What a subscription gives.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use tokio::task::coop::unconstrained;
use tokio::time::sleep;

use crate::error::Error;
use crate::subject::Subject;

/// Between two attempts to subscribe.
const SUBSCRIBE_PAUSE: Duration = Duration::from_millis(200);

/// Tries until a subscription is made. `None`: the connection is closed for good.
pub async fn subscribed<S, F>(mut subscribe: impl FnMut() -> F) -> Option<S>
where
    F: Future<Output = Result<S, Error>>,
{
    loop {
        match subscribe().await {
            Ok(subscription) => return Some(subscription),
            Err(error) if error.is_retryable() => sleep(SUBSCRIBE_PAUSE).await,
            Err(error) => {
                tracing::debug!(%error, "can't subscribe");
                return None;
            }
        }
    }
}

/// Messages of one subscription, in the order in which the server sent them. It survives
/// reconnects, but what was sent meanwhile is lost. Dropping it unsubscribes.
#[derive(Debug)]
pub struct Subscription(async_nats::Subscriber);

impl Subscription {
    pub(crate) fn new(subscriber: async_nats::Subscriber) -> Self {
        Self(subscriber)
    }

    /// The next message; `None` when the connection is closed for good. Cancel-safe.
    pub async fn next(&mut self) -> Option<Message> {
        self.0.next().await.map(Message)
    }

    /// A message that is there already, without waiting.
    pub fn try_next(&mut self) -> Option<Message> {
        // Unconstrained: tokio's budget would say "nothing there" after 128 messages and so cap
        // every batch.
        unconstrained(self.0.next()).now_or_never().flatten().map(Message)
    }
}

#[derive(Clone, Debug)]
pub struct Message(async_nats::Message);

impl Message {
    /// As it would arrive: for whatever takes the wire's place.
    ///
    /// # Errors
    /// [`Error::Malformed`] where the subject has no form on the wire.
    pub fn new(subject: &Subject, headers: &[(&str, &str)], payload: Bytes) -> Result<Self, Error> {
        let mut map = async_nats::HeaderMap::new();
        headers.iter().for_each(|(name, value)| map.insert(*name, *value));
        Ok(Self(async_nats::Message {
            subject: subject.to_wire()?.into(),
            reply: None,
            length: payload.len(),
            payload,
            headers: (!headers.is_empty()).then_some(map),
            status: None,
            description: None,
        }))
    }

    #[must_use]
    pub fn subject(&self) -> &str {
        &self.0.subject
    }

    /// Where it was published, where that is a subject of Weft.
    #[must_use]
    pub fn parse_subject(&self) -> Option<Subject> {
        Subject::parse(&self.0.subject)
    }

    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.0.payload
    }

    /// Its bytes, without a copy of the handle.
    #[must_use]
    pub fn into_payload(self) -> Bytes {
        self.0.payload
    }

    /// A header's first value. Other systems write names in upper or lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let headers = self.0.headers.as_ref()?;
        // There are a few. The map would check and copy the name first.
        let find = |is_it: fn(&str, &str) -> bool| {
            headers.iter().find(|(own, _)| is_it(AsRef::<str>::as_ref(*own), name))
        };
        let (_, values) = find(|a, b| a == b).or_else(|| find(str::eq_ignore_ascii_case))?;
        values.first().map(async_nats::HeaderValue::as_str)
    }

    /// The subject that its sender wants an answer on. Only for messages of the server itself:
    /// nobody answers a subject that a user chose.
    pub(crate) fn reply(&self) -> Option<&str> {
        self.0.reply.as_deref()
    }

    /// The status of a control message of the server (`503`: nobody listens).
    pub(crate) fn status(&self) -> Option<u16> {
        self.0.status.map(|status| status.as_u16())
    }

    pub(crate) fn description(&self) -> &str {
        self.0.description.as_deref().unwrap_or_default()
    }
}
