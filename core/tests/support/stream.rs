//! An ingest log in memory, with what can happen to a real one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use tokio::sync::Notify;
use weft_core::Error;
use weft_core::partition::ports::CommandLog;
use weft_nats::{IngestMessage, LogInfo, Trimmed};
use weft_proto::{Body, RoomId, UserId};
use weft_runtime::{Clock as _, ManualClock};

/// Like a JetStream stream: `messages` are those from `first_seq` on; `None`: a hole.
struct Stream {
    first_seq: u64,
    messages: VecDeque<Option<IngestMessage>>,
    trimmed: Option<Trimmed>,
    /// Readers that are open bring nothing more: only those that are opened later.
    stalls: u64,
    opened: u64,
    /// The last message that a reader got.
    read_through: u64,
    is_gone: bool,
}

impl Stream {
    fn last_seq(&self) -> u64 {
        self.first_seq - 1 + self.messages.len() as u64
    }

    /// The first message at this place or after it.
    fn first_from(&self, seq: u64) -> Option<&IngestMessage> {
        let index = usize::try_from(seq.saturating_sub(self.first_seq)).expect("index");
        self.messages.iter().skip(index).find_map(Option::as_ref)
    }
}

/// A log that everybody shares.
#[derive(Clone)]
pub struct Log {
    stream: Arc<Mutex<Stream>>,
    /// The server's, which stamps the messages.
    clock: Arc<ManualClock>,
    grown: Arc<Notify>,
    trimmed: Arc<Notify>,
    next_seq: u64,
    holes_through: u64,
    /// As the stream had it when the reader was opened.
    stalls: u64,
}

impl Log {
    pub fn new(clock: Arc<ManualClock>) -> Self {
        let stream = Stream {
            first_seq: 1,
            messages: VecDeque::new(),
            trimmed: None,
            stalls: 0,
            opened: 0,
            read_through: 0,
            is_gone: false,
        };
        let stream = Arc::new(Mutex::new(stream));
        Self {
            stream,
            clock,
            grown: Arc::default(),
            trimmed: Arc::default(),
            next_seq: 1,
            holes_through: 0,
            stalls: 0,
        }
    }

    fn stream(&self) -> MutexGuard<'_, Stream> {
        self.stream.lock().expect("stream")
    }

    pub fn publish(&self, message: IngestMessage) -> u64 {
        let mut stream = self.stream();
        let stream_seq = stream.last_seq() + 1;
        let stored_at_ms = self.clock.now_ms();
        stream.messages.push_back(Some(IngestMessage { stream_seq, stored_at_ms, ..message }));
        self.grown.notify_waiters();
        stream_seq
    }

    pub fn last_seq(&self) -> u64 {
        self.stream().last_seq()
    }

    /// It ends at `last_seq` again, as after a crash, or made anew (0).
    pub fn go_back(&self, last_seq: u64) {
        let mut stream = self.stream();
        stream.first_seq = stream.first_seq.min(last_seq + 1);
        let kept = (last_seq + 1).saturating_sub(stream.first_seq);
        stream.messages.truncate(usize::try_from(kept).expect("few"));
        assert_eq!(stream.last_seq(), last_seq, "a tail that is not there can't stay");
    }

    /// Somebody deletes these.
    pub fn lose(&self, seqs: std::ops::RangeInclusive<u64>) {
        let mut stream = self.stream();
        for seq in seqs {
            let index = usize::try_from(seq - stream.first_seq).expect("index");
            stream.messages[index] = None;
        }
        while let Some(None) = stream.messages.front() {
            stream.messages.pop_front();
            stream.first_seq += 1;
        }
    }

    pub fn first_seq(&self) -> u64 {
        self.stream().first_seq
    }

    /// Waits until all below `seq` is deleted.
    pub async fn trimmed_below(&self, seq: u64) {
        loop {
            let trimmed = self.trimmed.notified();
            if self.first_seq() >= seq {
                return;
            }
            trimmed.await;
        }
    }

    /// How many times a reader was opened.
    pub fn opened(&self) -> u64 {
        self.stream().opened
    }

    /// The last message that was read.
    pub fn read_through(&self) -> u64 {
        self.stream().read_through
    }

    pub fn delete(&self) {
        self.stall();
        self.go_back(0);
        self.stream().is_gone = true;
    }

    /// Open readers bring nothing more, and do not say so.
    pub fn stall(&self) {
        self.stream().stalls += 1;
    }
}

#[async_trait]
impl CommandLog for Log {
    fn beside(&self) -> Self {
        self.clone()
    }

    async fn make(&self) -> Result<(), Error> {
        self.stream().is_gone = false;
        Ok(())
    }

    async fn info(&self) -> Result<LogInfo, Error> {
        let stream = self.stream();
        if stream.is_gone {
            return Err(weft_nats::Error::NoStream("on purpose".into()).into());
        }
        let (first_seq, last_seq) = (stream.first_seq, stream.last_seq());
        let answered_at_ms = Some(self.clock.now_ms());
        Ok(LogInfo { first_seq, last_seq, made_at_ns: 1, answered_at_ms })
    }

    async fn first_from(&self, seq: u64) -> Result<Option<u64>, Error> {
        Ok(self.stream().first_from(seq).map(|message| message.stream_seq))
    }

    async fn tell_itself(&self, sender: &UserId, room: &RoomId, body: &Body) -> Result<u64, Error> {
        Ok(self.publish(IngestMessage::of_owner(sender, room, body.to_json().into())))
    }

    async fn trimmed(&self) -> Result<Option<Trimmed>, Error> {
        Ok(self.stream().trimmed)
    }

    async fn raise_trimmed(&self, to: Trimmed) -> Result<(), Error> {
        let mut stream = self.stream();
        let kept = stream.trimmed.filter(|kept| kept.is_same_kind(&to) && kept.seq >= to.seq);
        stream.trimmed = kept.or(Some(to));
        Ok(())
    }

    async fn open(&mut self, seq: u64, holes_through: u64) -> Result<(), Error> {
        self.next_seq = seq;
        self.holes_through = holes_through;
        let mut stream = self.stream();
        stream.opened += 1;
        let stalls = stream.stalls;
        drop(stream);
        self.stalls = stalls;
        Ok(())
    }

    async fn next(&mut self) -> Result<IngestMessage, Error> {
        loop {
            let grown = Arc::clone(&self.grown);
            let grown = grown.notified();
            if let Some(message) = self.try_next()? {
                return Ok(message);
            }
            grown.await;
        }
    }

    fn try_next(&mut self) -> Result<Option<IngestMessage>, Error> {
        let stream = self.stream();
        if stream.stalls > self.stalls {
            return Ok(None);
        }
        let Some(message) = stream.first_from(self.next_seq).cloned() else { return Ok(None) };
        drop(stream);
        let (expected, found) = (self.next_seq, message.stream_seq);
        if found > expected.max(self.holes_through + 1) {
            let stream = "WEFT_IN_0".into();
            return Err(weft_nats::Error::Gap { stream, expected, found }.into());
        }
        self.next_seq = found + 1;
        self.stream().read_through = found;
        Ok(Some(message))
    }

    async fn purge_below(&self, seq: u64) -> Result<(), Error> {
        let mut stream = self.stream();
        while stream.first_seq < seq && stream.messages.pop_front().is_some() {
            stream.first_seq += 1;
        }
        stream.first_seq = stream.first_seq.max(seq);
        self.trimmed.notify_waiters();
        Ok(())
    }
}
