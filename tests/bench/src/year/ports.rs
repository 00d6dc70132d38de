//! What the owners work with beside the store: a clock, logs and a bus in memory.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::Instant;
use weft_core::Error;
use weft_core::partition::ports::{CommandLog, EventBus, Stored};
use weft_nats::{Answer, EventMessage, IngestMessage, LogInfo, ReplyTo, Trimmed};
use weft_proto::svc::Change;
use weft_proto::{Body, Partition, RoomId, Tick, UserId};
use weft_runtime::{Clock, lock};

/// A day takes so long of the runtime's time.
pub const DAY: Duration = Duration::from_secs(240);
const SPEED: u128 = 86_400 / DAY.as_secs() as u128;
/// When it begins, Unix milliseconds: as a day does.
const BEGIN_MS: u64 = 20_000 * 86_400_000;

/// A clock that runs faster than the runtime's, or as fast and skips some time.
pub struct FastClock {
    began: Instant,
    speed: u128,
    skipped_ms: AtomicU64,
}

impl FastClock {
    pub fn start() -> Self {
        Self { began: Instant::now(), speed: SPEED, skipped_ms: AtomicU64::new(0) }
    }

    /// As fast as the runtime's.
    pub fn start_slow() -> Self {
        Self { speed: 1, ..Self::start() }
    }

    pub fn began(&self) -> Instant {
        self.began
    }

    pub fn skip(&self, time: Duration) {
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.skipped_ms.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for FastClock {
    fn now_ms(&self) -> u64 {
        let elapsed_ms = self.began.elapsed().as_millis() * self.speed;
        let elapsed_ms = u64::try_from(elapsed_ms).unwrap_or(u64::MAX - BEGIN_MS);
        BEGIN_MS + elapsed_ms + self.skipped_ms.load(Ordering::SeqCst)
    }
}

struct Stream {
    first_seq: u64,
    messages: VecDeque<IngestMessage>,
    trimmed: Option<Trimmed>,
}

impl Stream {
    fn last_seq(&self) -> u64 {
        self.first_seq - 1 + self.messages.len() as u64
    }

    fn at(&self, seq: u64) -> Option<&IngestMessage> {
        self.messages.get(usize::try_from(seq.checked_sub(self.first_seq)?).ok()?)
    }
}

/// A partition's ingest log. Clones are handles on the same one.
#[derive(Clone)]
pub struct Log {
    clock: Arc<FastClock>,
    stream: Arc<Mutex<Stream>>,
    grown: Arc<Notify>,
    next_seq: u64,
}

impl Log {
    pub fn new(clock: Arc<FastClock>) -> Self {
        let stream = Stream { first_seq: 1, messages: VecDeque::new(), trimmed: None };
        Self { clock, stream: Arc::new(Mutex::new(stream)), grown: Arc::default(), next_seq: 1 }
    }

    pub fn publish(&self, message: IngestMessage) {
        let mut stream = lock(&self.stream);
        let stored_at_ms = self.clock.now_ms();
        let stream_seq = stream.last_seq() + 1;
        stream.messages.push_back(IngestMessage { stream_seq, stored_at_ms, ..message });
        self.grown.notify_one();
    }
}

#[async_trait]
impl CommandLog for Log {
    fn beside(&self) -> Self {
        self.clone()
    }

    async fn info(&self) -> Result<LogInfo, Error> {
        let stream = lock(&self.stream);
        let (first_seq, last_seq) = (stream.first_seq, stream.last_seq());
        // A clock that is faster than the runtime's would not agree with the time that it tells.
        let answered_at_ms = (self.clock.speed == 1).then(|| self.clock.now_ms());
        Ok(LogInfo { first_seq, last_seq, made_at_ns: 1, answered_at_ms })
    }

    async fn make(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn first_from(&self, seq: u64) -> Result<Option<u64>, Error> {
        let stream = lock(&self.stream);
        let first = seq.max(stream.first_seq);
        Ok((first <= stream.last_seq()).then_some(first))
    }

    async fn open(&mut self, seq: u64, _holes_through: u64) -> Result<(), Error> {
        self.next_seq = seq;
        Ok(())
    }

    async fn next(&mut self) -> Result<IngestMessage, Error> {
        loop {
            if let Some(message) = self.try_next()? {
                return Ok(message);
            }
            self.grown.notified().await;
        }
    }

    fn try_next(&mut self) -> Result<Option<IngestMessage>, Error> {
        let message = lock(&self.stream).at(self.next_seq).cloned();
        self.next_seq += u64::from(message.is_some());
        Ok(message)
    }

    async fn tell_itself(&self, sender: &UserId, room: &RoomId, body: &Body) -> Result<u64, Error> {
        self.publish(IngestMessage::of_owner(sender, room, body.to_json().into()));
        Ok(lock(&self.stream).last_seq())
    }

    async fn trimmed(&self) -> Result<Option<Trimmed>, Error> {
        Ok(lock(&self.stream).trimmed)
    }

    async fn raise_trimmed(&self, to: Trimmed) -> Result<(), Error> {
        lock(&self.stream).trimmed = Some(to);
        Ok(())
    }

    async fn purge_below(&self, seq: u64) -> Result<(), Error> {
        let mut stream = lock(&self.stream);
        while stream.first_seq < seq && stream.messages.pop_front().is_some() {
            stream.first_seq += 1;
        }
        Ok(())
    }
}

/// A bus that counts the entries.
#[derive(Default)]
pub struct MemoryBus {
    entries: AtomicU64,
    more: Notify,
}

impl MemoryBus {
    /// Waits until so many entries went out.
    pub async fn reached(&self, entries: u64) {
        loop {
            let more = self.more.notified();
            if self.entries.load(Ordering::SeqCst) >= entries {
                return;
            }
            more.await;
        }
    }
}

#[async_trait]
impl EventBus for MemoryBus {
    async fn answer(&self, _to: &ReplyTo, _answer: Answer) -> Result<(), Error> {
        Ok(())
    }

    async fn send(&self, events: Vec<EventMessage>) -> Result<Stored, Error> {
        self.entries.fetch_add(events.len() as u64, Ordering::SeqCst);
        self.more.notify_one();
        Ok(Box::pin(async { Ok(()) }))
    }

    async fn change(&self, _partition: Partition, _change: &Change) -> Result<(), Error> {
        Ok(())
    }

    async fn tick(&self, _partition: Partition, _tick: &Tick) -> Result<(), Error> {
        Ok(())
    }
}
