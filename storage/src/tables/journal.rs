//! Which entries one commit wrote, in commit order: what has to be published, and how others catch
//! up when the event stream's window has passed.

use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weft_proto::Partition;

use super::key::{Key, KeyReader};
use super::table::Table;
use super::{Tag, record};
use crate::error::Error;

/// One commit.
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
}

/// One entry of a commit.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JournalEntry {
    /// The room.
    #[prost(string, tag = "1")]
    pub room: String,
    /// The entry's seq.
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

/// The key of a commit.
#[must_use]
pub fn key(partition: Partition, commit_no: u64) -> Bytes {
    Key::new(Tag::Journal).u16(partition).u64(commit_no).build()
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

impl Journal {
    /// The stored form.
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
