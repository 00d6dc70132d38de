//! What other systems send, before it comes into the ingest log.
//!
//! Each partition has a stream for it, `WEFT_OUT_<n>`: small, and apart, so that a flood fills that
//! and nothing else. The partition's owner takes from there and publishes into the ingest log, under
//! the outsider's subject, as much as the partition applies.
//!
//! The stream is read as JSON alone (see [`raw`]), because anybody may write what the client library
//! can't parse. A consumer only rings: its pulls allow one byte, so the server says that there is a
//! message, and does not deliver it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;
use weft_proto::{ApiError, ClientId, Partition};

use super::log::info;
use super::message::{MadeBy, Problem};
use super::raw::{self, RawMessage};
use super::reader::{delete_consumer, make_consumer};
use crate::assets::{self, AssetOptions};
use crate::bus::{Bus, Link, Subscription};
use crate::error::Error;
use crate::jetstream::{JsError, publish, refusal};
use crate::subject::{
    CONTENT_TYPE, WEFT_AFTER, WEFT_ID, WEFT_MADE, WEFT_REPLY, outside_stream, relayed_subject,
};

/// The headers that mean something; others are dropped.
const HEADERS: [&str; 4] = [WEFT_ID, WEFT_AFTER, WEFT_REPLY, CONTENT_TYPE];
const READ_MAX: u64 = 64;
/// Publishes underway at once, in order on one connection.
const RELAYS_UNDERWAY: usize = 64;
/// The life of one pull of the bell.
const RING_EXPIRES: Duration = Duration::from_secs(1);
/// Silence of this length says that the bell is lost.
const RING_TIMEOUT: Duration = Duration::from_secs(2);

/// A message of another system.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct OutsideMessage {
    pub seq: u64,
    /// When the stream took it, Unix milliseconds by the server's clock.
    pub stored_at_ms: u64,
    pub sender: String,
    /// What it takes in the ingest log, about.
    pub bytes: usize,
    /// It can't be read, so nobody can be answered.
    pub problem: Option<Problem>,
    /// Where the stream keeps it.
    pub subject: String,
    /// Those headers that mean something, and a client id where it had none.
    pub headers: Vec<(&'static str, String)>,
    pub payload: Bytes,
}

/// What became of a message that was published into the ingest log.
#[derive(Debug)]
pub enum Relayed {
    /// It is there, under this sequence.
    At(u64),
    /// Not now: again later.
    Later(Error),
    Never(ApiError),
}

/// A handle on one partition's stream of what other systems send.
pub struct OutsideLog {
    bus: Bus,
    partition: Partition,
    stream: Arc<str>,
    /// A connection of its own: its messages are large, and people's must not wait for them.
    link: Option<Arc<Link>>,
    bell: Option<Bell>,
}

/// A consumer that delivers nothing.
struct Bell {
    main_link: Arc<Link>,
    stream: Arc<str>,
    name: String,
    inbox: String,
    subscription: Subscription,
}

#[derive(Deserialize)]
struct PubAck {
    seq: u64,
}

impl OutsideMessage {
    fn read(raw: RawMessage) -> Self {
        let sender = raw.subject.split('.').nth(3).unwrap_or_default().to_owned();
        let value = |name: &'static str| Some((name, raw.header(name)?.to_owned()));
        let mut headers: Vec<_> = HEADERS.into_iter().filter_map(value).collect();
        if raw.header(WEFT_ID).is_none() {
            // The same each time that it is relayed; so a second time is a resend.
            let id = ClientId::from_parts(raw.stored_at_ms, u128::from(raw.seq));
            headers.extend([
                (WEFT_ID, id.to_string()),
                (WEFT_MADE, MadeBy::Relay.as_str().to_owned()),
            ]);
        }
        let header_bytes: usize =
            headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        Self {
            seq: raw.seq,
            stored_at_ms: raw.stored_at_ms,
            sender,
            bytes: raw.payload.len() + raw.subject.len() + header_bytes,
            problem: raw.unreadable(),
            subject: raw.subject,
            headers,
            payload: raw.payload,
        }
    }
}

impl OutsideLog {
    /// The stream of `partition`. Nothing is asked of the server yet.
    #[must_use]
    pub fn open(bus: &Bus, partition: Partition) -> Self {
        let stream = outside_stream(partition).into();
        Self { bus: bus.clone(), partition, stream, link: None, bell: None }
    }

    /// Makes the stream, where somebody deleted it.
    ///
    /// # Errors
    /// As [`assets::ensure`].
    pub async fn make(&self, options: &AssetOptions) -> Result<(), Error> {
        assets::ensure_outside(&self.bus, options, self.partition).await
    }

    /// The newest sequence that it ever gave.
    ///
    /// # Errors
    /// [`Error::NoStream`], [`Error::JetStream`], [`Error::NoResponders`], [`Error::Timeout`].
    pub async fn last_seq(&self) -> Result<u64, Error> {
        Ok(info(self.bus.link(), &self.stream).await?.last_seq)
    }

    /// The messages at `seq` or after it, in order: some of them, of about `bytes_max`. None: there
    /// is none yet.
    ///
    /// # Errors
    /// As [`last_seq`](Self::last_seq).
    pub async fn read(&mut self, seq: u64, bytes_max: usize) -> Result<Vec<OutsideMessage>, Error> {
        let link = self.link().await?;
        let Some(first) = raw::first_from(&link, &self.stream, seq.max(1)).await? else {
            return Ok(Vec::new());
        };
        let (next, bytes_left) = (first.seq + 1, bytes_max.saturating_sub(first.payload.len()));
        let rest = raw::stretch(&link, &self.stream, next, (READ_MAX, bytes_left)).await?;
        Ok(std::iter::once(first).chain(rest).map(OutsideMessage::read).collect())
    }

    /// Publishes messages into the ingest log, in this order. What became of each.
    pub async fn relay(&self, messages: &[OutsideMessage]) -> Vec<Relayed> {
        let relay_one = |message: OutsideMessage| {
            let link = Arc::clone(self.bus.link());
            async move { relay_one(&link, &message).await }
        };
        let relays = stream::iter(messages.to_vec()).map(relay_one);
        relays.buffered(RELAYS_UNDERWAY).collect().await
    }

    /// Removes everything below `seq`.
    ///
    /// # Errors
    /// As [`last_seq`](Self::last_seq).
    pub async fn trim_below(&self, seq: u64) -> Result<(), Error> {
        super::log::purge(self.bus.link(), &self.stream, seq).await
    }

    /// Waits until there may be a message at `seq` or after it: a second or two at the most.
    ///
    /// # Errors
    /// As [`last_seq`](Self::last_seq).
    pub async fn wait(&mut self, seq: u64) -> Result<(), Error> {
        let bell = match self.bell.take() {
            Some(bell) => bell,
            None => self.hang_bell(seq).await?,
        };
        self.bell = bell.ring().await?;
        Ok(())
    }

    async fn hang_bell(&self, seq: u64) -> Result<Bell, Error> {
        let link = self.bus.link();
        let inbox = link.new_inbox();
        let subscription = link.subscribe(inbox.clone()).await?;
        let name = make_consumer(link, &self.stream, "relay", seq).await?;
        let (main_link, stream) = (Arc::clone(link), Arc::clone(&self.stream));
        Ok(Bell { main_link, stream, name, inbox, subscription })
    }

    async fn link(&mut self) -> Result<Arc<Link>, Error> {
        if let Some(link) = self.link.as_ref().filter(|link| !link.is_dead()) {
            return Ok(Arc::clone(link));
        }
        let link = self.bus.another_link().await?;
        self.link = Some(Arc::clone(&link));
        Ok(link)
    }
}

impl Bell {
    /// Waits for a ring, or for the end of the pull. Itself, where it can ring again.
    async fn ring(mut self) -> Result<Option<Self>, Error> {
        let to = format!("$JS.API.CONSUMER.MSG.NEXT.{}.{}", self.stream, self.name);
        let pull = json!({ "batch": 1, "max_bytes": 1, "expires": RING_EXPIRES.as_nanos() as u64 });
        let body = Bytes::from(pull.to_string());
        self.main_link.publish(to, Some(self.inbox.clone()), &[], body).await?;
        let said = timeout(RING_TIMEOUT, self.subscription.next()).await;
        let is_whole = match said {
            Ok(Some(said)) => {
                said.status() == Some(408)
                    || (said.status() == Some(409) && said.description().contains("MaxBytes"))
            }
            _ => false,
        };
        Ok(is_whole.then_some(self))
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        delete_consumer(&self.main_link, &self.stream, &self.name);
    }
}

async fn relay_one(link: &Link, message: &OutsideMessage) -> Relayed {
    let Some(subject) = relayed_subject(&message.subject) else {
        return Relayed::Never(Problem::Subject.error());
    };
    let headers: Vec<(&'static str, &str)> =
        message.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    match publish::<PubAck>(link, subject, &headers, message.payload.clone()).await {
        Ok(Ok(ack)) => Relayed::At(ack.seq),
        Ok(Err(error)) => {
            let refused = refusal(&error);
            if refused.temporary { Relayed::Later(full(error)) } else { Relayed::Never(refused) }
        }
        Err(Error::Malformed(_)) => Relayed::Never(Problem::Headers.error()),
        Err(error) => Relayed::Later(error),
    }
}

fn full(error: JsError) -> Error {
    error.into_error("take a message of another system")
}
