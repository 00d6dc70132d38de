//! What became of a message: its edits, its deletion, its reactions, that it is pinned; whom it mentions, and its files. A
//! message without any of this has no row. Written by the owner of the room's partition, in the commit of the entry that
//! changes the message.

use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weft_proto::{FileId, RoomId};

use super::Tag;
use super::key::Key;
use super::record::{self, decode_whole};
use super::table::Table;
use crate::engine::Snapshot;
use crate::error::Error;

/// What became of a message.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Message {
    /// The seqs of its edits, ascending: the last one's text is the message's.
    #[prost(uint64, repeated, tag = "1")]
    pub edits: Vec<u64>,
    /// When the last edit was taken, Unix milliseconds; 0: never.
    #[prost(uint64, tag = "2")]
    pub edited_at_ms: u64,
    /// Seq of the `delete`; 0: it is there. Of a deleted message nothing else is kept, but for
    /// [`was_uncounted`](Self::was_uncounted) and [`thread`](Self::thread).
    #[prost(uint64, tag = "3")]
    pub deleted_by: u64,
    /// Emojis that are on it, in the order in which they came; none with a count of 0.
    #[prost(message, repeated, tag = "4")]
    pub reactions: Vec<ReactionCount>,
    /// Of a deleted message: no ordinal had counted it, so that it is not taken off what is unread.
    #[prost(bool, tag = "5")]
    pub was_uncounted: bool,
    /// That it is pinned.
    #[prost(message, optional, tag = "7")]
    pub pinned: Option<Pinned>,
    /// Whom its newest text mentions, by name.
    #[prost(message, repeated, tag = "10")]
    pub mentions: Vec<Mentioned>,
    /// The thread that begins with it.
    #[prost(message, optional, tag = "8")]
    pub thread: Option<Thread>,
    /// The ids of its files, from its first commit on, and that of the image of its preview.
    #[prost(string, repeated, tag = "11")]
    pub files: Vec<String>,
    /// What its first link leads to.
    #[prost(message, optional, tag = "12")]
    pub preview: Option<Preview>,
    /// Somebody has removed that: it gets none.
    #[prost(bool, tag = "13")]
    pub previews_off: bool,
}

/// That a message has a preview of its link. What it says is in its entry.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Preview {
    /// Seq of the `preview`.
    #[prost(uint64, tag = "1")]
    pub seq: u64,
    #[prost(string, tag = "2")]
    pub url: String,
    /// The id of its image, which is one of the message's [files](Message::files); empty: it has none.
    #[prost(string, tag = "3")]
    pub file: String,
}

/// The thread that begins with a message.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Thread {
    /// How many replies it has: those that were not deleted.
    #[prost(uint64, tag = "1")]
    pub replies: u64,
    /// Seq of the newest one, deleted or not.
    #[prost(uint64, tag = "2")]
    pub last_reply: u64,
}

/// That a message is pinned.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pinned {
    /// Seq of the `pin`.
    #[prost(uint64, tag = "1")]
    pub seq: u64,
    /// Who sent it.
    #[prost(string, tag = "2")]
    pub by: String,
    /// When it was taken, Unix milliseconds.
    #[prost(uint64, tag = "3")]
    pub time_ms: u64,
}

/// Somebody whom a message mentions.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mentioned {
    /// A user; [`EVERYONE`](super::mention::EVERYONE): all members.
    #[prost(string, tag = "1")]
    pub user: String,
    /// The seq by which it counts, and a row of the table of mentions: that of the message, or of the edit by
    /// which it came. 0: it does not count.
    #[prost(uint64, tag = "2")]
    pub seq: u64,
}

/// How many users have put an emoji on a message.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReactionCount {
    #[prost(string, tag = "1")]
    pub emoji: String,
    #[prost(uint32, tag = "2")]
    pub count: u32,
}

impl Table for Message {
    const TAG: Tag = Tag::Message;
    const NAME: &str = "message";
    /// Room and seq.
    type Key = (RoomId, u64);
    type Row = Self;
}

/// The row's key.
#[must_use]
pub fn key(room: &RoomId, seq: u64) -> Bytes {
    Key::new(Tag::Message).name(room.as_str()).u64(seq).build()
}

/// The rows of messages with a seq in `seqs`.
#[must_use]
pub fn range(room: &RoomId, seqs: Range<u64>) -> Range<Bytes> {
    key(room, seqs.start)..key(room, seqs.end)
}

/// The rows of messages with a seq in `seqs`, at most one for each, ascending.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn scan(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    seqs: Range<u64>,
    limit: usize,
) -> Result<Vec<(u64, Message)>, Error> {
    let rows = snapshot.scan(key(room, seqs.start)..key(room, seqs.end), limit, false).await?;
    rows.iter().map(|(key, row)| Ok((Message::read_key(key)?.1, Message::decode(row)?))).collect()
}

/// The rows of these messages, as far as there are any, in the given order.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn get_many(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    seqs: &[u64],
) -> Result<Vec<(u64, Message)>, Error> {
    let rows = snapshot.get_many(seqs.iter().map(|seq| key(room, *seq)).collect()).await?;
    let there = seqs.iter().zip(rows).filter_map(|(seq, row)| Some((*seq, row?)));
    there.map(|(seq, row)| Ok((seq, Message::decode(&row)?))).collect()
}

impl Message {
    /// Its files.
    pub fn file_ids(&self) -> impl Iterator<Item = FileId> {
        self.files.iter().filter_map(|id| FileId::new(id).ok())
    }

    /// The stored form.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        record::encode(self).into()
    }

    /// Reads the stored form, and nothing less than all of it: it is written anew.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        decode_whole("message", bytes)
    }
}
