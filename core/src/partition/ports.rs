//! What a partition's owner needs from outside beside the store and the clock: its ingest log and
//! the bus. Traits, so that a simulation can stand in for both.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use weft_nats::{
    EventMessage, EventPublisher, IngestLog, IngestMessage, IngestReader, LogInfo, ReplyTo, Subject,
};
use weft_proto::{Partition, Tick};

use crate::error::Error;

/// The ingest log of one partition.
#[async_trait]
pub trait CommandLog: Send + 'static {
    /// Another handle on the same log, which reads nothing: for who watches beside the reader.
    fn beside(&self) -> Self
    where
        Self: Sized;

    /// First and last sequence.
    async fn info(&self) -> Result<LogInfo, Error>;

    /// Goes on reading at `seq`.
    async fn open(&mut self, seq: u64) -> Result<(), Error>;

    /// The next message. Cancel-safe. Only after [`open`](Self::open).
    async fn next(&mut self) -> Result<IngestMessage, Error>;

    /// A message that is there already.
    fn try_next(&mut self) -> Result<Option<IngestMessage>, Error>;

    /// Removes everything below `seq`; a log that ends before is moved forward.
    async fn purge_below(&self, seq: u64) -> Result<(), Error>;
}

/// Resolves when all events of one [`EventBus::send`] are stored.
pub type Stored = BoxFuture<'static, Result<(), Error>>;

/// Where answers and events go.
#[async_trait]
pub trait EventBus: Send + Sync + 'static {
    /// Sends an answer. It may be lost on the way.
    async fn answer(&self, to: &ReplyTo, frame: Bytes) -> Result<(), Error>;

    /// Publishes events in order.
    async fn send(&self, events: Vec<EventMessage>) -> Result<Stored, Error>;

    /// Publishes the owner's sign of life, behind all answers and events that were given before. It
    /// may be lost on the way.
    async fn tick(&self, partition: Partition, tick: &Tick) -> Result<(), Error>;
}

/// The ingest log on JetStream.
pub struct NatsLog {
    log: IngestLog,
    reader: Option<IngestReader>,
}

impl NatsLog {
    /// A log that is not read yet.
    #[must_use]
    pub fn new(log: IngestLog) -> Self {
        Self { log, reader: None }
    }
}

#[async_trait]
impl CommandLog for NatsLog {
    fn beside(&self) -> Self {
        Self::new(self.log.clone())
    }

    async fn info(&self) -> Result<LogInfo, Error> {
        Ok(self.log.info().await?)
    }

    async fn open(&mut self, seq: u64) -> Result<(), Error> {
        self.reader = None;
        self.reader = Some(self.log.read_from(seq).await?);
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

#[async_trait]
impl EventBus for EventPublisher {
    async fn answer(&self, to: &ReplyTo, frame: Bytes) -> Result<(), Error> {
        Ok(self.plain(&to.subject(), frame).await?)
    }

    async fn send(&self, events: Vec<EventMessage>) -> Result<Stored, Error> {
        let pending = EventPublisher::send(self, events).await?;
        Ok(Box::pin(async move { Ok(pending.await?) }))
    }

    async fn tick(&self, partition: Partition, tick: &Tick) -> Result<(), Error> {
        Ok(self.plain(&Subject::Tick { partition }, tick.encode().into()).await?)
    }
}
