//! What one commit wrote, its entries in commit order: what has to be published, and how others catch
//! up when the event stream's window has passed.

use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weft_proto::Partition;

use super::applied::{self, Applied};
use super::key::{Key, KeyReader};
use super::table::Table;
use super::{Tag, record};
use crate::batch::Batch;
use crate::engine::Snapshot;
use crate::error::Error;

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Journal {
    /// Its entries, in the order in which they were applied.
    #[prost(message, repeated, tag = "1")]
    pub entries: Vec<JournalEntry>,
    /// Every command up to this stream sequence was applied with it. 0 in rows of Wefts that did not
    /// number commits: the key says it.
    #[prost(uint64, tag = "2")]
    pub stream_seq: u64,
    /// When its owner sent it to the store, Unix milliseconds; 0: not known.
    #[prost(uint64, tag = "3")]
    pub time_ms: u64,
    /// The marks that it moved, each once.
    #[prost(message, repeated, tag = "4")]
    pub marks: Vec<JournalMark>,
    /// The settings that it changed, each once: whose, and of which room.
    #[prost(message, repeated, tag = "5")]
    pub settings: Vec<JournalMark>,
    /// The drafts that it changed, each once.
    #[prost(message, repeated, tag = "6")]
    pub drafts: Vec<JournalDraft>,
    /// The relations that it changed, each once.
    #[prost(message, repeated, tag = "7")]
    pub relations: Vec<JournalRelation>,
    /// What it changed of what is scheduled, each once.
    #[prost(message, repeated, tag = "8")]
    pub scheduled: Vec<JournalScheduled>,
    /// Who was invited to a group by it, or is so no more, each once: whom, and to which group.
    #[prost(message, repeated, tag = "9")]
    pub invitations: Vec<JournalMark>,
    /// Of whom one has accepted what the other one writes, by writing: each once.
    #[prost(message, repeated, tag = "10")]
    pub sights: Vec<JournalRelation>,
}

/// What a commit changed beside entries, as a mark: whose, and in which room.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JournalMark {
    #[prost(string, tag = "1")]
    pub room: String,
    #[prost(string, tag = "2")]
    pub user: String,
    /// The seq of the message with which the thread begins that it is of; 0: it is of the room.
    #[prost(uint64, tag = "3")]
    pub thread: u64,
    /// Of a mark of a room: others do not hear of it, since neither `read` nor `delivered` has moved for them.
    #[prost(bool, tag = "4")]
    pub own: bool,
}

/// A draft that a commit changed: whose, and for which room.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JournalDraft {
    #[prost(string, tag = "1")]
    pub room: String,
    #[prost(string, tag = "2")]
    pub user: String,
    /// How long the frame is that its user's devices are told.
    #[prost(uint64, tag = "3")]
    pub frame_bytes: u64,
}

/// What another user is to a user, as a commit changed it.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JournalRelation {
    #[prost(string, tag = "1")]
    pub user: String,
    #[prost(string, tag = "2")]
    pub other: String,
    /// It changed whom the two see.
    #[prost(bool, tag = "3")]
    pub sight: bool,
}

/// A scheduled message of which a commit changed something: whose, in which room, and under which id.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JournalScheduled {
    #[prost(string, tag = "1")]
    pub room: String,
    #[prost(string, tag = "2")]
    pub user: String,
    #[prost(string, tag = "3")]
    pub id: String,
}

/// One entry of a commit.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JournalEntry {
    #[prost(string, tag = "1")]
    pub room: String,
    #[prost(uint64, tag = "2")]
    pub seq: u64,
    /// Groups: the users whom the entry concerns.
    #[prost(string, repeated, tag = "3")]
    pub users: Vec<String>,
    /// The word of its kind, perhaps one that this Weft does not know; empty: not known.
    #[prost(string, tag = "4")]
    pub kind: String,
    /// Who sent it; empty: not known.
    #[prost(string, tag = "5")]
    pub from: String,
}

#[must_use]
pub fn key(partition: Partition, commit_no: u64) -> Bytes {
    Key::new(Tag::Journal).u16(partition).u64(commit_no).build()
}

/// Deletes the partition's rows up to a number, and says so in its row of the same commit.
pub fn trim(batch: &mut Batch, partition: Partition, applied: &mut Applied, up_to: u64) {
    let range = range_after(partition, applied.trimmed_up_to);
    batch.clear_range(range.start, range_after(partition, up_to).start);
    applied.trimmed_up_to = up_to;
}

/// All rows of the partition after `commit_no`.
#[must_use]
pub fn range_after(partition: Partition, commit_no: u64) -> Range<Bytes> {
    let all = Key::new(Tag::Journal).u16(partition).prefix_range();
    key(partition, commit_no.saturating_add(1))..all.end
}

/// The commit number in a row's key.
///
/// # Errors
/// [`Error::Corrupt`].
pub fn commit_no(key: &[u8]) -> Result<u64, Error> {
    let mut reader = KeyReader::new(Tag::Journal, key)?;
    reader.array::<2>()?;
    reader.u64()
}

/// Some commits after a number, in their order.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Commits {
    /// Their numbers, and what they wrote.
    pub rows: Vec<(u64, Journal)>,
    /// The snapshot has no further ones.
    pub is_last: bool,
}

/// The commits after number `after` as of the snapshot, at most `rows_max` of them (a row has at most
/// 100 kB). Whoever follows a partition asks again after the last one's number: from any snapshot that
/// is not older, since each page looks itself whether rows were deleted.
///
/// `None`: what came after `after` can't be told. It was deleted, or the store is not that far.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn follow(
    snapshot: &dyn Snapshot,
    partition: Partition,
    after: u64,
    rows_max: usize,
) -> Result<Option<Commits>, Error> {
    let applied = applied::read(snapshot, partition).await?;
    if after < applied.trimmed_up_to || after > applied.last_commit_no() {
        return Ok(None);
    }
    let pairs = snapshot.scan(range_after(partition, after), rows_max, false).await?;
    let read = |(key, value): &(Bytes, Bytes)| Ok((commit_no(key)?, Journal::decode(value)?));
    let rows = pairs.iter().map(read).collect::<Result<Vec<_>, Error>>()?;
    Ok(Some(Commits { is_last: rows.len() < rows_max, rows }))
}

/// An export carries the rows whose events may not be published.
impl Table for Journal {
    const TAG: Tag = Tag::Journal;
    const NAME: &str = "journal";
    /// A row has at most 100 kB.
    const ROWS_AT_ONCE: usize = 16;
    type Key = (Partition, u64);
    type Row = Self;

    fn partition((partition, _): &Self::Key) -> Option<Partition> {
        Some(*partition)
    }
}

impl JournalEntry {
    /// What it takes of its row, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        // With tag and length, as a part of the row.
        6 + prost::Message::encoded_len(self)
    }
}

impl JournalMark {
    /// What it takes of its row, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        6 + prost::Message::encoded_len(self)
    }
}

impl JournalDraft {
    /// What it takes of its row, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        6 + prost::Message::encoded_len(self)
    }
}

impl JournalRelation {
    /// What it takes of its row, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        6 + prost::Message::encoded_len(self)
    }
}

impl JournalScheduled {
    /// What it takes of its row, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        6 + prost::Message::encoded_len(self)
    }
}

impl Journal {
    #[must_use]
    pub fn encode(&self) -> Bytes {
        record::encode(self).into()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        record::decode("journal", bytes)
    }
}
