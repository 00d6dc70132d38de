//! Who has put an emoji on a message. The counts are in the message's row.

use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weft_proto::{RoomId, UserId};

use super::Tag;
use super::key::{Key, next_key};
use super::record;
use super::table::{Name, Page, Table};
use crate::engine::Snapshot;
use crate::error::Error;

/// Rows read at once for a page of a few messages: so few that the embedded engine changes no thread for them.
const FEW_ROWS: usize = 64;

/// That a user has put an emoji on a message.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reaction {
    /// Seq of the `react`.
    #[prost(uint64, tag = "1")]
    pub seq: u64,
}

impl Table for Reaction {
    const TAG: Tag = Tag::Reaction;
    const NAME: &str = "reaction";
    /// Room, the message's seq, emoji, user.
    type Key = ((RoomId, u64), (Name, UserId));
    type Row = Self;
}

fn prefix(room: &RoomId, seq: u64) -> Key {
    Key::new(Tag::Reaction).name(room.as_str()).u64(seq)
}

/// The row's key. No emoji has a zero byte in it.
#[must_use]
pub fn key(room: &RoomId, seq: u64, emoji: &str, user: &UserId) -> Bytes {
    prefix(room, seq).name(emoji).name(user.as_str()).build()
}

/// All rows of a message.
#[must_use]
pub fn range(room: &RoomId, seq: u64) -> Range<Bytes> {
    prefix(room, seq).prefix_range()
}

/// All rows of messages with a seq in `seqs`.
#[must_use]
pub fn range_of(room: &RoomId, seqs: Range<u64>) -> Range<Bytes> {
    prefix(room, seqs.start).build()..prefix(room, seqs.end).build()
}

/// The stored form.
#[must_use]
pub fn encode(seq: u64) -> Bytes {
    record::encode(&Reaction { seq }).into()
}

/// All rows of messages with a seq in `seqs`, by seq, emoji and user.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn of_messages(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    seqs: Range<u64>,
) -> Result<Page<Reaction>, Error> {
    rows(snapshot, room, seqs, Reaction::ROWS_AT_ONCE).await
}

/// The emojis that a user has put on messages with a seq in `seqs`, with the messages' seqs. Reads the rows of all
/// users.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn of_user(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    seqs: Range<u64>,
    user: &UserId,
) -> Result<Vec<(u64, String)>, Error> {
    let all = rows(snapshot, room, seqs, FEW_ROWS).await?.into_iter();
    let own = all.filter(|((_, (_, by)), _)| by == user);
    Ok(own.map(|(((_, seq), (emoji, _)), _)| (seq, emoji.into())).collect())
}

async fn rows(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    seqs: Range<u64>,
    at_once: usize,
) -> Result<Page<Reaction>, Error> {
    let at = |seq| prefix(room, seq).build();
    let (mut all, mut range) = (Vec::new(), at(seqs.start)..at(seqs.end));
    loop {
        let rows = snapshot.scan(range.clone(), at_once, false).await?;
        let is_last = rows.len() < at_once;
        for (key, row) in &rows {
            all.push((Reaction::read_key(key)?, record::decode_whole(Reaction::NAME, row)?));
            range.start = next_key(key);
        }
        if is_last {
            return Ok(all);
        }
    }
}

/// At most `limit` users who have put the emoji on the message, after a user (`None`: from the
/// first), by id.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn users_after(
    snapshot: &dyn Snapshot,
    (room, seq, emoji): (&RoomId, u64, &str),
    after: Option<&UserId>,
    limit: usize,
) -> Result<Vec<UserId>, Error> {
    let mut range = prefix(room, seq).name(emoji).prefix_range();
    if let Some(user) = after {
        range.start = next_key(&key(room, seq, emoji, user));
    }
    let rows = snapshot.scan(range, limit, false).await?;
    rows.iter().map(|(key, _)| Ok(Reaction::read_key(key)?.1.1)).collect()
}
