//! A partition's ingest log, as its owner sees it.

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;
use weft_proto::{Partition, RoomId, UserId};

use super::message::MadeBy;
use super::raw;
use super::reader::IngestReader;
use super::trimmed::{self, Trimmed};
use crate::bus::{Bus, Link};
use crate::error::Error;
use crate::jetstream::{publish, read_time_ns, request};
use crate::subject::{CONTENT_TYPE, JSON, Subject, WEFT_MADE, ingest_stream};

/// What the stream holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LogInfo {
    /// The oldest sequence that it still has; `last_seq + 1` where it is empty.
    pub first_seq: u64,
    /// The newest sequence that it ever gave; 0 before the first message.
    pub last_seq: u64,
    /// When it was made, Unix nanoseconds: one that is made anew counts from 1.
    pub made_at_ns: u64,
    /// The server's clock when it answered, Unix milliseconds: the clock that stamps the messages.
    /// `None` where the answer does not say it.
    pub answered_at_ms: Option<u64>,
}

/// A handle on one partition's log.
#[derive(Clone)]
pub struct IngestLog {
    bus: Bus,
    partition: Partition,
    stream: Arc<str>,
    /// A connection of its own, for reading alone; made at first use, and anew when it has died.
    ///
    /// The client library drops its whole connection on a message whose header or subject it can't
    /// parse, or even panics on it. Neither answers, events and service calls nor the readers of
    /// other partitions must notice.
    reader: Arc<Mutex<Option<Arc<Link>>>>,
}

#[derive(Deserialize)]
struct StreamInfo {
    /// RFC 3339.
    created: String,
    state: StreamState,
    ts: Option<String>,
}

#[derive(Deserialize)]
struct StreamState {
    first_seq: u64,
    last_seq: u64,
}

#[derive(Deserialize)]
struct Put {
    seq: u64,
}

#[derive(Deserialize)]
struct Purged {
    #[allow(dead_code, reason = "its presence tells a reply from an error")]
    success: bool,
}

impl IngestLog {
    /// The log of `partition`. Nothing is asked of the server yet.
    #[must_use]
    pub fn open(bus: &Bus, partition: Partition) -> Self {
        let stream = ingest_stream(partition).into();
        Self { bus: bus.clone(), partition, stream, reader: Arc::default() }
    }

    /// What the stream holds at the moment.
    ///
    /// # Errors
    /// [`Error::NoStream`], [`Error::JetStream`], [`Error::NoResponders`], [`Error::Timeout`].
    pub async fn info(&self) -> Result<LogInfo, Error> {
        info(self.bus.link(), &self.stream).await
    }

    /// The first sequence at `seq` or after it that the stream still has.
    ///
    /// # Errors
    /// As [`info`](Self::info).
    pub async fn first_from(&self, seq: u64) -> Result<Option<u64>, Error> {
        let first = raw::first_from(self.bus.link(), &self.stream, seq.max(1)).await?;
        Ok(first.map(|message| message.seq))
    }

    /// Reads from `seq` (at least 1) on, without end. What is missing at or below `holes_through` is
    /// skipped, with an ERROR in the log.
    ///
    /// # Errors
    /// [`Error::Gap`] where the stream begins after `seq`, and that is not to be skipped.
    /// [`Error::LogBehind`] where it ends before `seq - 1`: [`purge_below`](Self::purge_below)
    /// `seq` first, else messages up to there would be skipped. Else as [`info`](Self::info).
    pub async fn read_from(&self, seq: u64, holes_through: u64) -> Result<IngestReader, Error> {
        let seq = seq.max(1);
        let link = self.reader_link().await?;
        let found = info(&link, &self.stream).await?;
        if found.last_seq + 1 < seq {
            let stream = self.stream.to_string();
            return Err(Error::LogBehind { stream, last_seq: found.last_seq, next_seq: seq });
        }
        if found.first_seq > seq.max(holes_through.saturating_add(1)) {
            let stream = self.stream.to_string();
            return Err(Error::Gap { stream, expected: seq, found: found.first_seq });
        }
        let main_link = Arc::clone(self.bus.link());
        let stream = Arc::clone(&self.stream);
        IngestReader::open(link, main_link, stream, (seq, holes_through)).await
    }

    async fn reader_link(&self) -> Result<Arc<Link>, Error> {
        let mut reader = self.reader.lock().await;
        if let Some(link) = reader.as_ref().filter(|link| !link.is_dead()) {
            return Ok(Arc::clone(link));
        }
        let link = self.bus.another_link().await?;
        *reader = Some(Arc::clone(&link));
        Ok(link)
    }

    /// Publishes a command of the partition's owner to itself, an entry in JSON. Its stream sequence.
    ///
    /// # Errors
    /// As [`info`](Self::info).
    pub async fn tell_itself(
        &self,
        sender: &UserId,
        room: &RoomId,
        payload: Bytes,
    ) -> Result<u64, Error> {
        let (partition, sender, room) = (self.partition, sender.clone(), room.clone());
        let subject = Subject::Outside { partition, sender, room }.to_wire()?;
        let headers = [(WEFT_MADE, MadeBy::Owner.as_str()), (CONTENT_TYPE, JSON)];
        match publish::<Put>(self.bus.link(), subject, &headers, payload).await? {
            Ok(Put { seq }) => Ok(seq),
            Err(error) => Err(error.into_error("take a command of its owner")),
        }
    }

    /// How far it was trimmed, as it is kept beside the log.
    ///
    /// # Errors
    /// As [`info`](Self::info).
    pub async fn trimmed(&self) -> Result<Option<Trimmed>, Error> {
        let (kept, _) = trimmed::read(self.bus.link(), self.partition).await?;
        Ok(kept)
    }

    /// Keeps how far it is going to be trimmed. For one store and one stream that never goes back.
    ///
    /// # Errors
    /// As [`info`](Self::info); [`Error::Bucket`].
    pub async fn raise_trimmed(&self, to: Trimmed) -> Result<(), Error> {
        trimmed::raise(self.bus.link(), self.partition, to).await
    }

    /// Removes everything below `seq`: the trim of what is applied. Where the stream ends before
    /// `seq - 1`, it moves forward, and the next message gets exactly `seq`.
    ///
    /// # Errors
    /// As [`info`](Self::info).
    pub async fn purge_below(&self, seq: u64) -> Result<(), Error> {
        purge(self.bus.link(), &self.stream, seq).await
    }
}

pub(super) async fn purge(link: &Link, stream: &str, below: u64) -> Result<(), Error> {
    let verb = format!("STREAM.PURGE.{stream}");
    request::<Purged>(link, &verb, &json!({ "seq": below })).await.map(drop)
}

pub(super) async fn info(link: &Link, stream: &str) -> Result<LogInfo, Error> {
    let info: StreamInfo = request(link, &format!("STREAM.INFO.{stream}"), &json!({})).await?;
    let made_at_ns = read_time_ns(&info.created).ok_or(Error::Malformed("stream info"))?;
    let answered_at_ms = info.ts.as_deref().and_then(read_time_ns).map(|ns| ns / 1_000_000);
    let StreamState { first_seq, last_seq } = info.state;
    Ok(LogInfo { first_seq, last_seq, made_at_ns, answered_at_ms })
}
