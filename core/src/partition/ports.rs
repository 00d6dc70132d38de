//! What a partition's owner needs from outside beside the store and the clock: its ingest log and
//! the bus. Traits, so that a simulation can take their place.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use tokio::time::sleep;
use tracing::warn;
use weft_nats::{
    Answer, AssetOptions, Bus, EventMessage, EventPublisher, IngestLog, IngestMessage,
    IngestReader, LogInfo, OutsideLog, OutsideMessage, Relayed, ReplyTo, Subject, Trimmed, assets,
};
use weft_proto::svc::Change;
use weft_proto::{Body, Partition, RoomId, Tick, UserId};

use crate::error::Error;

/// The ingest log of one partition.
#[async_trait]
pub trait CommandLog: Send + 'static {
    /// Another handle on the same log, which reads nothing: for who watches beside the reader.
    fn beside(&self) -> Self
    where
        Self: Sized;

    /// First and last sequence; [`weft_nats::Error::NoStream`] where somebody deleted the log.
    async fn info(&self) -> Result<LogInfo, Error>;

    /// Makes a log that was deleted: it is empty then, and begins at 1.
    async fn make(&self) -> Result<(), Error>;

    /// The first sequence at `seq` or after it that the log still has.
    async fn first_from(&self, seq: u64) -> Result<Option<u64>, Error>;

    /// Goes on reading at `seq`; what is missing at or below `holes_through` is skipped.
    async fn open(&mut self, seq: u64, holes_through: u64) -> Result<(), Error>;

    /// The next message. Cancel-safe. Only after [`open`](Self::open).
    async fn next(&mut self) -> Result<IngestMessage, Error>;

    /// A message that is there already.
    fn try_next(&mut self) -> Result<Option<IngestMessage>, Error>;

    /// Publishes a command of the owner to itself, in JSON. Its stream sequence.
    async fn tell_itself(&self, sender: &UserId, room: &RoomId, body: &Body) -> Result<u64, Error>;

    /// How far it was trimmed, as it is kept beside it.
    async fn trimmed(&self) -> Result<Option<Trimmed>, Error>;

    /// Keeps how far it is going to be trimmed; for one store and one log that never goes back.
    async fn raise_trimmed(&self, to: Trimmed) -> Result<(), Error>;

    /// Removes everything below `seq`; a log that ends before is moved forward. Only after
    /// [`raise_trimmed`](Self::raise_trimmed).
    async fn purge_below(&self, seq: u64) -> Result<(), Error>;
}

/// What other systems send to a partition, before it is in the ingest log.
#[async_trait]
pub trait Outside: Send + Sync + 'static {
    /// Makes a stream that was deleted.
    async fn make(&self) -> Result<(), Error>;

    /// The newest sequence that it ever gave.
    async fn last_seq(&self) -> Result<u64, Error>;

    /// Some of the messages at `seq` or after it, of about `bytes_max`; none: there are none yet.
    async fn read(&mut self, seq: u64, bytes_max: usize) -> Result<Vec<OutsideMessage>, Error>;

    /// Publishes messages into the ingest log, in this order.
    async fn relay(&self, messages: &[OutsideMessage]) -> Vec<Relayed>;

    /// Removes everything below `seq`.
    async fn trim_below(&self, seq: u64) -> Result<(), Error>;

    /// Waits, not for long, until there may be a message at `seq` or after it.
    async fn wait(&mut self, seq: u64) -> Result<(), Error>;
}

/// Resolves when all events of one [`EventBus::send`] are stored.
pub type Stored = BoxFuture<'static, Result<(), Error>>;

#[async_trait]
pub trait EventBus: Send + Sync + 'static {
    /// Sends an answer. It may be lost on the way.
    async fn answer(&self, to: &ReplyTo, answer: Answer) -> Result<(), Error>;

    /// Publishes events in order.
    async fn send(&self, events: Vec<EventMessage>) -> Result<Stored, Error>;

    /// Publishes a change that is not an entry, after all events that were given before. It may be lost on the
    /// way.
    async fn change(&self, partition: Partition, change: &Change) -> Result<(), Error>;

    /// Publishes the owner's sign of life, after all answers and events that were given before. It
    /// may be lost on the way.
    async fn tick(&self, partition: Partition, tick: &Tick) -> Result<(), Error>;
}

/// Before events are sent again that their stream did not take.
const NOT_STORED_PAUSE: Duration = Duration::from_millis(250);

/// One partition's streams: where they are, and how they are made.
#[derive(Clone)]
pub struct Streams {
    pub bus: Bus,
    pub assets: Arc<AssetOptions>,
    pub partition: Partition,
}

/// The ingest log on JetStream.
pub struct NatsLog {
    streams: Streams,
    log: IngestLog,
    reader: Option<IngestReader>,
}

impl NatsLog {
    /// A log that is not read yet.
    #[must_use]
    pub fn new(streams: Streams) -> Self {
        let log = IngestLog::open(&streams.bus, streams.partition);
        Self { streams, log, reader: None }
    }
}

#[async_trait]
impl CommandLog for NatsLog {
    fn beside(&self) -> Self {
        Self::new(self.streams.clone())
    }

    async fn make(&self) -> Result<(), Error> {
        let Streams { bus, assets, partition } = &self.streams;
        Ok(assets::ensure_ingest(bus, assets, *partition).await?)
    }

    async fn info(&self) -> Result<LogInfo, Error> {
        Ok(self.log.info().await?)
    }

    async fn first_from(&self, seq: u64) -> Result<Option<u64>, Error> {
        Ok(self.log.first_from(seq).await?)
    }

    async fn tell_itself(&self, sender: &UserId, room: &RoomId, body: &Body) -> Result<u64, Error> {
        Ok(self.log.tell_itself(sender, room, body.to_json().into()).await?)
    }

    async fn trimmed(&self) -> Result<Option<Trimmed>, Error> {
        Ok(self.log.trimmed().await?)
    }

    async fn raise_trimmed(&self, to: Trimmed) -> Result<(), Error> {
        match self.log.raise_trimmed(to).await {
            // Somebody deleted the bucket.
            Err(weft_nats::Error::NoResponders(_)) => {
                let Streams { bus, assets, .. } = &self.streams;
                assets::ensure_trimmed(bus, assets).await?;
                Ok(self.log.raise_trimmed(to).await?)
            }
            raised => Ok(raised?),
        }
    }

    async fn open(&mut self, seq: u64, holes_through: u64) -> Result<(), Error> {
        self.reader = None;
        self.reader = Some(self.log.read_from(seq, holes_through).await?);
        Ok(())
    }

    async fn next(&mut self) -> Result<IngestMessage, Error> {
        match &mut self.reader {
            Some(reader) => Ok(reader.next().await?),
            None => std::future::pending().await,
        }
    }

    fn try_next(&mut self) -> Result<Option<IngestMessage>, Error> {
        match &mut self.reader {
            Some(reader) => Ok(reader.try_next()?),
            None => Ok(None),
        }
    }

    async fn purge_below(&self, seq: u64) -> Result<(), Error> {
        Ok(self.log.purge_below(seq).await?)
    }
}

/// What other systems send, on JetStream.
pub struct NatsOutside {
    streams: Streams,
    log: OutsideLog,
}

impl NatsOutside {
    /// A stream that is not read yet.
    #[must_use]
    pub fn new(streams: Streams) -> Self {
        let log = OutsideLog::open(&streams.bus, streams.partition);
        Self { streams, log }
    }
}

#[async_trait]
impl Outside for NatsOutside {
    async fn make(&self) -> Result<(), Error> {
        Ok(self.log.make(&self.streams.assets).await?)
    }

    async fn last_seq(&self) -> Result<u64, Error> {
        Ok(self.log.last_seq().await?)
    }

    async fn read(&mut self, seq: u64, bytes_max: usize) -> Result<Vec<OutsideMessage>, Error> {
        Ok(self.log.read(seq, bytes_max).await?)
    }

    async fn relay(&self, messages: &[OutsideMessage]) -> Vec<Relayed> {
        self.log.relay(messages).await
    }

    async fn trim_below(&self, seq: u64) -> Result<(), Error> {
        Ok(self.log.trim_below(seq).await?)
    }

    async fn wait(&mut self, seq: u64) -> Result<(), Error> {
        Ok(self.log.wait(seq).await?)
    }
}

pub struct NatsBus {
    publisher: EventPublisher,
    streams: Streams,
}

impl NatsBus {
    /// `publisher`: the one of all partitions of this process.
    #[must_use]
    pub fn new(publisher: EventPublisher, streams: Streams) -> Self {
        Self { publisher, streams }
    }
}

#[async_trait]
impl EventBus for NatsBus {
    async fn answer(&self, to: &ReplyTo, answer: Answer) -> Result<(), Error> {
        Ok(self.publisher.answer(to, answer).await?)
    }

    async fn send(&self, events: Vec<EventMessage>) -> Result<Stored, Error> {
        let (pending, streams) = (self.publisher.send(events).await?, self.streams.clone());
        Ok(Box::pin(async move {
            let Err(error) = pending.await else { return Ok(()) };
            // A stream that was deleted looks like one that is silent where somebody else hears the
            // subject. Where the stream exists, nothing is changed.
            let Streams { bus, assets, partition } = &streams;
            if let Err(error) = assets::ensure_events(bus, assets, *partition).await {
                warn!(partition, %error, "the event stream can't be made");
            }
            sleep(NOT_STORED_PAUSE).await;
            Err(error.into())
        }))
    }

    async fn change(&self, partition: Partition, change: &Change) -> Result<(), Error> {
        Ok(self.publisher.change(partition, change).await?)
    }

    async fn tick(&self, partition: Partition, tick: &Tick) -> Result<(), Error> {
        let subject = Subject::Tick { partition };
        Ok(self.publisher.plain(&subject, tick.encode().into()).await?)
    }
}
