//! The ingest log: what a JetStream stream and a reader on it do, and what goes wrong with them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep_until};
use weft_core::Error;
use weft_core::partition::ports::CommandLog;
use weft_nats::{IngestMessage, LogInfo, Trimmed};
use weft_proto::{Body, RoomId, UserId};

use super::config::Fault;
use super::life::Life;
use super::world::World;

/// A stream: `messages` are those from `first_seq` to `last_seq`; `None`: a hole.
#[derive(Clone)]
pub struct Stream {
    first_seq: u64,
    last_seq: u64,
    messages: VecDeque<Option<IngestMessage>>,
    /// Tells streams apart that were made one after the other.
    made: u32,
    /// Grows when the stream goes back: readers of another era hear nothing more.
    era: u32,
    readers: Vec<Weak<Mutex<Reader>>>,
    copy: Option<Box<Stream>>,
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            first_seq: 1,
            last_seq: 0,
            messages: VecDeque::new(),
            made: 0,
            era: 0,
            readers: Vec::new(),
            copy: None,
        }
    }
}

#[derive(Default)]
struct Reader {
    next_seq: u64,
    holes_through: u64,
    era: u32,
    /// Came before the stream went back.
    held: VecDeque<IngestMessage>,
    lost_at: Option<Instant>,
    /// Brings nothing more, and does not notice.
    is_stalled: bool,
}

impl Stream {
    fn push(&mut self, message: IngestMessage) -> u64 {
        self.last_seq += 1;
        self.messages.push_back(Some(IngestMessage { stream_seq: self.last_seq, ..message }));
        self.last_seq
    }

    pub fn era(&self) -> u32 {
        self.era
    }

    pub fn has(&self, seq: u64) -> bool {
        self.at(seq).is_some()
    }

    fn at(&self, seq: u64) -> Option<&IngestMessage> {
        self.messages.get(usize::try_from(seq.checked_sub(self.first_seq)?).ok()?)?.as_ref()
    }

    /// The first message at this place or after it.
    fn first_from(&self, seq: u64) -> Option<&IngestMessage> {
        let index = usize::try_from(seq.saturating_sub(self.first_seq)).ok()?;
        self.messages.iter().skip(index).find_map(Option::as_ref)
    }

    /// Also moves the stream forward where it ends before `seq - 1`.
    fn purge_below(&mut self, seq: u64) {
        let gone = seq.saturating_sub(self.first_seq).min(self.messages.len() as u64);
        self.messages.drain(..gone as usize);
        self.first_seq = self.first_seq.max(seq);
        self.last_seq = self.last_seq.max(self.first_seq - 1);
    }

    /// What is on its way to a reader still arrives; then it hears nothing, and notices late.
    fn end_era(&mut self, world: &World) {
        self.era += 1;
        self.readers.retain(|reader| reader.strong_count() > 0);
        for reader in self.readers.iter().filter_map(Weak::upgrade) {
            let mut reader = reader.lock().expect("reader");
            if reader.lost_at.is_some() {
                continue;
            }
            let from = reader.next_seq;
            reader
                .held
                .extend((from..from + world.below(4)).map_while(|seq| self.at(seq).cloned()));
            let silent = Duration::from_millis(world.below(4_000));
            reader.lost_at = Some(Instant::now() + silent);
        }
    }
}

impl World {
    /// Stores a command; its place.
    pub fn publish(&self, message: IngestMessage) -> u64 {
        let message = IngestMessage { stored_at_ms: self.server_ms(), ..message };
        let seq = self.stream.lock().expect("stream").push(message);
        self.grown.notify_waiters();
        seq
    }

    /// The log loses its tail, comes back from a copy, or is made anew.
    pub fn log_goes_back(&self) {
        let mut stream = self.stream.lock().expect("stream");
        match self.below(6) {
            0 => {
                stream.end_era(self);
                let (era, readers) = (stream.era, std::mem::take(&mut stream.readers));
                let made = era;
                *stream = Stream { era, readers, made, ..Stream::default() };
            }
            1 | 2 => {
                let Some(copy) = stream.copy.take() else {
                    stream.copy = Some(Box::new(stream.clone()));
                    return;
                };
                stream.end_era(self);
                let (era, readers) = (stream.era, std::mem::take(&mut stream.readers));
                *stream = Stream { era, readers, ..*copy };
            }
            _ => {
                stream.end_era(self);
                let lost = self.below(stream.messages.len().min(6) as u64 + 1);
                stream.last_seq -= lost;
                let kept = stream.messages.len() - lost as usize;
                stream.messages.truncate(kept);
            }
        }
        let (first, last) = (stream.first_seq, stream.last_seq);
        drop(stream);
        self.say(format_args!("the log goes back to {first}..={last}"));
        self.grown.notify_waiters();
    }
}

impl World {
    /// Somebody deletes messages out of the log, or it loses a block.
    pub fn log_loses_some(&self) {
        let mut stream = self.stream.lock().expect("stream");
        // Before anybody has taken it, a hole can't be told from what an older store lacks.
        let kept = *self.trimmed.lock().expect("trimmed");
        if kept.is_none_or(|kept| kept.made_at_ns != u64::from(stream.made)) {
            return;
        }
        let count = stream.messages.len() as u64;
        let (from, many) = (self.below(count + 1), 1 + self.below(4));
        for index in (from..count.min(from + many)).map(|index| index as usize) {
            stream.messages[index] = None;
        }
        let first = stream.first_seq;
        while let Some(None) = stream.messages.front() {
            stream.messages.pop_front();
            stream.first_seq += 1;
        }
        drop(stream);
        self.say(format_args!("the log loses {many} from {}", first + from));
    }
}

/// The log as one life of a node sees it.
pub struct SimLog {
    life: Arc<Life>,
    reader: Arc<Mutex<Reader>>,
}

impl SimLog {
    pub fn new(life: &Arc<Life>) -> Self {
        Self { life: Arc::clone(life), reader: Arc::default() }
    }

    fn world(&self) -> &World {
        &self.life.world
    }

    async fn ask(&self) -> Result<(), Error> {
        self.life.step().await;
        if self.world().hit(Fault::Reader) {
            return Err(weft_nats::Error::Timeout("on purpose").into());
        }
        Ok(())
    }

    fn take(&self) -> Result<Option<IngestMessage>, Error> {
        let stream = self.world().stream.lock().expect("stream");
        let mut reader = self.reader.lock().expect("reader");
        if let Some(held) = reader.held.pop_front() {
            reader.next_seq = held.stream_seq + 1;
            return Ok(Some(held));
        }
        let lost = reader.lost_at.is_some_and(|at| at <= Instant::now());
        if lost || self.world().hit(Fault::Reader) {
            let next_seq = reader.next_seq;
            let reason = "on purpose";
            let stream = "WEFT_IN_0".into();
            return Err(weft_nats::Error::ReaderLost { stream, next_seq, reason }.into());
        }
        reader.is_stalled |= self.world().hit(Fault::ReaderStalls);
        if reader.is_stalled || reader.era != stream.era {
            return Ok(None);
        }
        let Some(message) = stream.first_from(reader.next_seq).cloned() else { return Ok(None) };
        let (expected, found) = (reader.next_seq, message.stream_seq);
        if found > expected.max(reader.holes_through + 1) {
            let stream = "WEFT_IN_0".into();
            return Err(weft_nats::Error::Gap { stream, expected, found }.into());
        }
        reader.next_seq = found + 1;
        Ok(Some(message))
    }
}

#[async_trait]
impl CommandLog for SimLog {
    fn beside(&self) -> Self {
        Self::new(&self.life)
    }

    async fn info(&self) -> Result<LogInfo, Error> {
        self.ask().await?;
        let info = {
            let stream = self.world().stream.lock().expect("stream");
            let (first_seq, last_seq) = (stream.first_seq, stream.last_seq);
            let (made_at_ns, answered_at_ms) = (stream.made.into(), Some(self.world().server_ms()));
            LogInfo { first_seq, last_seq, made_at_ns, answered_at_ms }
        };
        self.life.step().await;
        Ok(info)
    }

    async fn make(&self) -> Result<(), Error> {
        // It is never missing: where it was deleted there is an empty one at once.
        self.ask().await
    }

    async fn first_from(&self, seq: u64) -> Result<Option<u64>, Error> {
        self.ask().await?;
        let stream = self.world().stream.lock().expect("stream");
        Ok(stream.first_from(seq).map(|message| message.stream_seq))
    }

    async fn tell_itself(&self, sender: &UserId, room: &RoomId, body: &Body) -> Result<u64, Error> {
        self.ask().await?;
        let message = IngestMessage::of_owner(sender, room, body.to_json().into());
        Ok(self.world().publish(message))
    }

    async fn trimmed(&self) -> Result<Option<Trimmed>, Error> {
        self.ask().await?;
        Ok(*self.world().trimmed.lock().expect("trimmed"))
    }

    async fn raise_trimmed(&self, to: Trimmed) -> Result<(), Error> {
        self.ask().await?;
        {
            let mut trimmed = self.world().trimmed.lock().expect("trimmed");
            let kept = trimmed.filter(|kept| kept.is_same_kind(&to) && kept.seq >= to.seq);
            *trimmed = kept.or(Some(to));
        }
        self.ask().await
    }

    async fn open(&mut self, seq: u64, holes_through: u64) -> Result<(), Error> {
        self.ask().await?;
        let name = || "WEFT_IN_0".to_owned();
        let world = Arc::clone(&self.life.world);
        let mut stream = world.stream.lock().expect("stream");
        let (first_seq, last_seq) = (stream.first_seq, stream.last_seq);
        if last_seq + 1 < seq {
            let error = weft_nats::Error::LogBehind { stream: name(), last_seq, next_seq: seq };
            return Err(error.into());
        }
        if first_seq > seq.max(holes_through + 1) {
            let error = weft_nats::Error::Gap { stream: name(), expected: seq, found: first_seq };
            return Err(error.into());
        }
        let era = stream.era;
        let reader = Reader { next_seq: seq, holes_through, era, ..Reader::default() };
        self.reader = Arc::new(Mutex::new(reader));
        stream.readers.push(Arc::downgrade(&self.reader));
        Ok(())
    }

    async fn next(&mut self) -> Result<IngestMessage, Error> {
        loop {
            let grown = self.life.world.grown.notified();
            self.life.step().await;
            if let Some(message) = self.take()? {
                return Ok(message);
            }
            let lost_at = self.reader.lock().expect("reader").lost_at;
            let lost = async {
                match lost_at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = grown => {}
                () = lost => {}
            }
        }
    }

    fn try_next(&mut self) -> Result<Option<IngestMessage>, Error> {
        self.take()
    }

    async fn purge_below(&self, seq: u64) -> Result<(), Error> {
        self.ask().await?;
        {
            let kept = self.world().trimmed.lock().expect("trimmed").map_or(0, |kept| kept.seq);
            let judged = self.world().check.lock().expect("check").trims(&self.life, seq, kept);
            if let Err(violation) = judged {
                self.world().violate(violation);
            }
            let mut stream = self.world().stream.lock().expect("stream");
            let moved = stream.last_seq + 1 < seq;
            stream.purge_below(seq);
            if moved {
                self.world().say(format_args!("{} moves the log to {seq}", self.life.name));
            }
        }
        self.ask().await
    }
}
