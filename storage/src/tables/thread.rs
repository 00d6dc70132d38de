//! The replies of a thread, by the seq of the message with which it begins. What a row says follows from the
//! reply's entry: it is there so that a thread is read, and its unread replies are counted, without the room's
//! log.

use std::ops::Range;

use bytes::Bytes;
use weft_proto::{Body, Entry, RoomId, UserId};

use super::Tag;
use super::key::{Key, KeyReader};
use super::message::Thread;
use super::record::{self, decode_whole};
use crate::batch::Batch;
use crate::engine::Snapshot;
use crate::error::Error;

/// Rows that are read at once, where they are counted.
const ROWS_AT_ONCE: usize = 256;

/// A reply.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Reply {
    /// Who sent it.
    #[prost(string, tag = "1")]
    pub from: String,
    #[prost(bool, tag = "2")]
    pub is_deleted: bool,
    /// It is unread for nobody.
    #[prost(bool, tag = "3")]
    pub is_silent: bool,
}

fn prefix(room: &RoomId, root: u64) -> Key {
    Key::new(Tag::Thread).name(room.as_str()).u64(root)
}

fn key(room: &RoomId, root: u64, seq: u64) -> Bytes {
    prefix(room, root).u64(seq).build()
}

/// The replies of all threads that begin with a message with a seq in `roots`.
#[must_use]
pub fn range_of(room: &RoomId, roots: Range<u64>) -> Range<Bytes> {
    prefix(room, roots.start).build()..prefix(room, roots.end).build()
}

/// Writes the row of a reply, or of what is left of one; of an entry that is in no thread nothing.
pub fn put(batch: &mut Batch, entry: &Entry) {
    let Some(root) = entry.body.thread() else { return };
    let (from, is_deleted) = (entry.from.to_string(), matches!(entry.body, Body::Deleted(_)));
    let is_silent = entry.body.as_message().is_some_and(|message| message.extras().silent);
    let row = Reply { from, is_deleted, is_silent };
    batch.set(key(&entry.room, root, entry.seq), record::encode(&row));
}

/// The replies with a seq in `seqs`, at most `limit`: the first ones, or in reverse the last ones, newest first.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn replies(
    snapshot: &dyn Snapshot,
    (room, root): (&RoomId, u64),
    seqs: Range<u64>,
    (limit, reverse): (usize, bool),
) -> Result<Vec<(u64, Reply)>, Error> {
    let range = key(room, root, seqs.start)..key(room, root, seqs.end);
    let rows = snapshot.scan(range, limit, reverse).await?;
    let read = |(key, row): &(Bytes, Bytes)| {
        let mut reader = KeyReader::new(Tag::Thread, key)?;
        reader.name()?;
        reader.u64()?;
        Ok((reader.u64()?, decode_whole("thread", row)?))
    };
    rows.iter().map(read).collect()
}

/// A thread as its replies up to a seq make it; `None`: it has none.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn counted(
    snapshot: &dyn Snapshot,
    at: (&RoomId, u64),
    last: u64,
) -> Result<Option<Thread>, Error> {
    let (mut seqs, mut thread) = (0..last.saturating_add(1), Thread::default());
    loop {
        let rows = replies(snapshot, at, seqs.clone(), (ROWS_AT_ONCE, false)).await?;
        for (seq, reply) in &rows {
            thread.replies += u64::from(!reply.is_deleted);
            thread.last_reply = *seq;
            seqs.start = seq + 1;
        }
        if rows.len() < ROWS_AT_ONCE {
            return Ok((thread.last_reply != 0).then_some(thread));
        }
    }
}

/// How many replies after a seq a user has not read, of those since the user's own newest one; and whether these are
/// all. The newest `max` are looked at: there may be any number of silent and deleted ones, which nobody has unread.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn unread(
    snapshot: &dyn Snapshot,
    at: (&RoomId, u64),
    (user, read, max): (&UserId, u64, usize),
) -> Result<(usize, bool), Error> {
    let (mut seqs, mut count, mut looked_at) = (read.saturating_add(1)..u64::MAX, 0, 0);
    let at_once = ROWS_AT_ONCE.min(max + 1);
    loop {
        let rows = replies(snapshot, at, seqs.clone(), (at_once, true)).await?;
        for (seq, reply) in &rows {
            if reply.from == user.as_str() {
                return Ok((count, true));
            }
            if looked_at >= max {
                return Ok((count, false));
            }
            looked_at += 1;
            count += usize::from(!reply.is_deleted && !reply.is_silent);
            seqs.end = *seq;
        }
        if rows.len() < at_once {
            return Ok((count, true));
        }
    }
}
