//! Messages that users have scheduled: what is sent, in which room, and when; and what became of it. Written by the owner
//! of the room's partition, with the position of the commit before the record: there the user's row of what changed is
//! (see [`change`](super::change)). The message is in rows beside it, so that many are counted without their texts.
//!
//! A row whose message was sent or taken back stays, without the message, until no cursor is from before that: it tells
//! that to devices that were away.
//!
//! What is due is listed by a table of its own, in the order of time.

use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tracing::error;
use weft_proto::{ApiError, Body, ClientId, FileId, Partition, Position, RoomId, UserId};

use super::Tag;
use super::key::{Key, KeyReader, next_key};
use super::log::CHUNK_BYTES_MAX;
use super::record;
use super::table::{KeyPart, Page, Stored, Table, before_everything};
use crate::batch::Batch;
use crate::engine::Snapshot;
use crate::error::Error;

/// Whose message, in which room, and under which id: that of the command which has scheduled it, however it is spelled.
pub type ScheduledKey = (UserId, RoomId, ClientId);

/// Of a user, the rows come first, and then those with the messages.
const ROWS: u8 = 0;
const MESSAGES: u8 = 1;

/// A scheduled message, without the message.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Scheduled {
    /// When it is due, Unix milliseconds.
    #[prost(uint64, tag = "1")]
    pub at_ms: u64,
    /// The seq that it got; 0: it is not sent.
    #[prost(uint64, tag = "2")]
    pub seq: u64,
    /// Why it was refused when it was due; empty: it was not.
    #[prost(string, tag = "3")]
    pub code: String,
    /// In how many rows the message is; 0: it is not kept any more.
    #[prost(uint32, tag = "4")]
    pub parts: u32,
    /// The id of the key, as its user spells it.
    #[prost(string, tag = "5")]
    pub id: String,
    /// The ids of the files that the message has: while it waits they stay.
    #[prost(string, repeated, tag = "6")]
    pub files: Vec<String>,
}

/// What became of a scheduled message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    Waiting,
    Sent,
    /// It was refused when it was due. It stays until its user takes it back.
    Failed,
    /// Its user took it back.
    Cancelled,
}

impl Scheduled {
    #[must_use]
    pub fn state(&self) -> State {
        match self {
            Self { seq: 1.., .. } => State::Sent,
            Self { parts: 0, .. } => State::Cancelled,
            Self { code, .. } if code.is_empty() => State::Waiting,
            Self { .. } => State::Failed,
        }
    }

    /// It will be sent with this file.
    #[must_use]
    pub fn waits_for(&self, file: FileId) -> bool {
        let is_it = |id: &String| FileId::new(id) == Ok(file);
        self.state() == State::Waiting && self.files.iter().any(is_it)
    }

    /// It says nothing that a device has to know which was not away.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.state(), State::Sent | State::Cancelled)
    }
}

/// A whole one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Line")]
pub struct Kept {
    pub id: String,
    pub at_ms: u64,
    pub seq: u64,
    pub code: String,
    /// The message in JSON, as the ingest log carries it; `None`: it is not kept any more.
    pub message: Option<String>,
}

/// As it is in an export.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    id: String,
    at_ms: u64,
    seq: u64,
    code: String,
    message: Option<String>,
}

impl TryFrom<Line> for Kept {
    type Error = ApiError;

    fn try_from(Line { id, at_ms, seq, code, message }: Line) -> Result<Self, ApiError> {
        message.as_deref().map(Body::from_text).transpose()?;
        Ok(Self { id, at_ms, seq, code, message })
    }
}

fn of_user(user: &UserId, what: u8) -> Key {
    Key::new(Tag::Scheduled).name(user.as_str()).u8(what)
}

fn with_name(key: Key, room: &RoomId, id: &ClientId) -> Key {
    key.name(room.as_str()).raw(&id.to_bytes())
}

#[must_use]
pub fn key((user, room, id): &ScheduledKey) -> Bytes {
    with_name(of_user(user, ROWS), room, id).build()
}

/// The first key that can come after a row's.
#[must_use]
pub fn key_after(key: &ScheduledKey) -> Bytes {
    next_key(&self::key(key))
}

/// All rows of a user, without the messages.
#[must_use]
pub fn range(user: &UserId) -> Range<Bytes> {
    of_user(user, ROWS).prefix_range()
}

fn message_prefix((user, room, id): &ScheduledKey) -> Key {
    with_name(of_user(user, MESSAGES), room, id)
}

/// Reads a row's key.
///
/// # Errors
/// [`Error::Corrupt`].
pub fn read_key(key: &[u8]) -> Result<ScheduledKey, Error> {
    let mut reader = KeyReader::new(Tag::Scheduled, key)?;
    let user = UserId::read(&mut reader)?;
    reader.u8()?;
    read_name(&mut reader, user)
}

fn read_name(reader: &mut KeyReader<'_>, user: UserId) -> Result<ScheduledKey, Error> {
    let room = RoomId::read(reader)?;
    Ok((user, room, ClientId::from_bytes(reader.array()?)))
}

/// Writes a row with the commit's position, with its message where it is a new one.
pub fn put(
    batch: &mut Batch,
    order: u16,
    key: &ScheduledKey,
    row: &Scheduled,
    message: Option<&str>,
) {
    batch.set_positioned(self::key(key), order, record::encode(row));
    match message {
        Some(message) => {
            for (part, chunk) in (0..).zip(message.as_bytes().chunks(CHUNK_BYTES_MAX)) {
                batch.set(message_prefix(key).u8(part).build(), chunk.to_vec());
            }
        }
        None if row.parts == 0 => {
            let all = message_prefix(key).prefix_range();
            batch.clear_range(all.start, all.end);
        }
        None => {}
    }
}

/// The files of a message, as its row has them.
#[must_use]
pub fn files_of(message: &Body) -> Vec<String> {
    message.files().iter().map(|file| file.id.to_string()).collect()
}

/// In how many rows a message is.
#[must_use]
pub fn parts(message: &str) -> u32 {
    // The longest one, all escapes, has 1.3 MB.
    u32::try_from(message.len().div_ceil(CHUNK_BYTES_MAX)).unwrap_or(u32::MAX)
}

/// Reads the stored form: the position of the commit that wrote it, and the row.
///
/// # Errors
/// [`Error::Corrupt`].
pub fn decode(bytes: &[u8]) -> Result<(Position, Scheduled), Error> {
    let (position, record) = record::split_position(Scheduled::NAME, bytes)?;
    let row: Scheduled = record::decode_whole(Scheduled::NAME, record)?;
    match u8::try_from(row.parts) {
        Ok(_) => Ok((position, row)),
        Err(_) => Err(Error::Corrupt("scheduled: too many parts".into())),
    }
}

/// These rows, without the messages; `None`: there is none, or it can't be read, which is told in the log: one must not
/// hide the others.
///
/// # Errors
/// Those of the snapshot.
pub async fn get_many(
    snapshot: &dyn Snapshot,
    wanted: &[ScheduledKey],
) -> Result<Vec<Option<(Position, Scheduled)>>, Error> {
    let rows = snapshot.get_many(wanted.iter().map(key).collect()).await?;
    let read = |(key, row): (&ScheduledKey, Option<Bytes>)| {
        let read = decode(&row?);
        let (user, room, id) = key;
        read.inspect_err(
            |error| error!(%user, %room, %id, %error, "what is scheduled can't be read"),
        )
        .ok()
    };
    Ok(wanted.iter().zip(rows).map(read).collect())
}

/// The message of a row of the same snapshot.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn message(
    snapshot: &dyn Snapshot,
    key: &ScheduledKey,
    row: &Scheduled,
) -> Result<Option<String>, Error> {
    let parts = 0..u8::try_from(row.parts).unwrap_or(u8::MAX);
    let keys: Vec<Bytes> = parts.map(|part| message_prefix(key).u8(part).build()).collect();
    if keys.is_empty() {
        return Ok(None);
    }
    let missing = || Error::Corrupt("scheduled: a part of the message is missing".into());
    let chunks: Option<Vec<Bytes>> = snapshot.get_many(keys).await?.into_iter().collect();
    let bytes = chunks.ok_or_else(missing)?.concat();
    let bad = |_| Error::Corrupt("scheduled: the message is no text".into());
    String::from_utf8(bytes).map(Some).map_err(bad)
}

/// Lists when a message is due.
pub fn list(batch: &mut Batch, partition: Partition, at_ms: u64, key: &ScheduledKey) {
    batch.set(due_key(partition, at_ms, key), Bytes::new());
}

/// Takes it off the list.
pub fn unlist(batch: &mut Batch, partition: Partition, at_ms: u64, key: &ScheduledKey) {
    batch.clear(due_key(partition, at_ms, key));
}

fn due_key(partition: Partition, at_ms: u64, (user, room, id): &ScheduledKey) -> Bytes {
    let key = Key::new(Tag::Due).u16(partition).u64(at_ms).name(user.as_str());
    with_name(key, room, id).build()
}

/// The first messages that are due by a time: after one, or from the first one on.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn due(
    snapshot: &dyn Snapshot,
    partition: Partition,
    (after, now_ms): (Option<&(u64, ScheduledKey)>, u64),
    limit: usize,
) -> Result<Vec<(u64, ScheduledKey)>, Error> {
    let start = |at_ms| Key::new(Tag::Due).u16(partition).u64(at_ms).build();
    let from = after.map_or_else(|| start(0), |(at, key)| next_key(&due_key(partition, *at, key)));
    let rows = snapshot.scan(from..start(now_ms.saturating_add(1)), limit, false).await?;
    let read = |(key, _): &(Bytes, Bytes)| {
        let mut reader = KeyReader::new(Tag::Due, key)?;
        let _: [u8; 2] = reader.array()?;
        let at_ms = reader.u64()?;
        let user = UserId::read(&mut reader)?;
        Ok((at_ms, read_name(&mut reader, user)?))
    };
    rows.iter().map(read).collect()
}

/// Of the row without the message.
impl Stored for Kept {
    fn to_stored(&self) -> Bytes {
        record::encode(&self.row()).into()
    }

    fn from_stored(table: &str, bytes: &[u8]) -> Result<Self, Error> {
        let Scheduled { id, at_ms, seq, code, .. } = record::decode_whole(table, bytes)?;
        Ok(Self { id, at_ms, seq, code, message: None })
    }
}

impl Kept {
    fn row(&self) -> Scheduled {
        let Self { id, at_ms, seq, code, message } = self.clone();
        let (parts, body) = match message.as_deref() {
            Some(message) => (parts(message), Body::from_text(message).ok()),
            None => (0, None),
        };
        let files = body.as_ref().map_or_else(Vec::new, files_of);
        Scheduled { id, at_ms, seq, code, parts, files }
    }
}

/// A client id in a key.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Id(ClientId);

impl TryFrom<String> for Id {
    type Error = ApiError;

    fn try_from(text: String) -> Result<Self, ApiError> {
        ClientId::parse(&text).map(Self)
    }
}

impl KeyPart for Id {
    fn write(&self, key: Key) -> Key {
        key.raw(&self.0.to_bytes())
    }

    fn read(reader: &mut KeyReader<'_>) -> Result<Self, Error> {
        Ok(Self(ClientId::from_bytes(reader.array()?)))
    }
}

impl Table for Scheduled {
    const TAG: Tag = Tag::Scheduled;
    const NAME: &str = "scheduled";
    const ROWS_AT_ONCE: usize = 16;
    /// User, room, client id.
    type Key = (UserId, (RoomId, Id));
    type Row = Kept;

    fn key(key: &Self::Key) -> Bytes {
        let (user, rest) = key;
        rest.write(of_user(user, ROWS)).build()
    }

    fn read_key(key: &[u8]) -> Result<Self::Key, Error> {
        let mut reader = KeyReader::new(Tag::Scheduled, key)?;
        let user = UserId::read(&mut reader)?;
        reader.u8()?;
        Ok((user, KeyPart::read(&mut reader)?))
    }

    async fn page(snapshot: &dyn Snapshot, after: Option<&Self::Key>) -> Result<Page<Self>, Error> {
        let mut range = Key::new(Self::TAG).prefix_range();
        if let Some(key) = after {
            range.start = next_key(&<Self as Table>::key(key));
        }
        let mut page = Vec::new();
        // The rows of a user, and those with the messages, which are passed over.
        while page.is_empty() {
            let rows = snapshot.scan(range.clone(), Self::ROWS_AT_ONCE, false).await?;
            let Some((last, _)) = rows.last() else { break };
            range.start = next_key(last);
            for (key, value) in &rows {
                if is_message(key)? {
                    continue;
                }
                let ((_, row), at) = (decode(value)?, self::read_key(key)?);
                let message = message(snapshot, &at, &row).await?;
                let Self { id, at_ms, seq, code, .. } = row;
                let kept = Kept { id, at_ms, seq, code, message };
                page.push((<Self as Table>::read_key(key)?, kept));
            }
        }
        Ok(page)
    }

    fn pairs(key: &Self::Key, kept: &Kept) -> Vec<(Bytes, Bytes)> {
        let stored = before_everything(&record::encode(&kept.row()));
        let mut pairs = vec![(<Self as Table>::key(key), stored)];
        let (user, rest) = key;
        let message = kept.message.as_deref().unwrap_or_default().as_bytes();
        for (part, chunk) in (0..).zip(message.chunks(CHUNK_BYTES_MAX)) {
            let prefix = rest.write(of_user(user, MESSAGES));
            pairs.push((prefix.u8(part).build(), Bytes::copy_from_slice(chunk)));
        }
        pairs
    }
}

fn is_message(key: &[u8]) -> Result<bool, Error> {
    let mut reader = KeyReader::new(Tag::Scheduled, key)?;
    reader.name()?;
    Ok(reader.u8()? == MESSAGES)
}
