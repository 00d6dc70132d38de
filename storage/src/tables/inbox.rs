//! A user's index of entries in commit order: the sync queue.

use std::ops::Range;

use bytes::Bytes;
use weft_proto::{Position, RoomId, UserId};

use super::Tag;
use super::key::{Key, KeyReader};
use super::record;
use crate::batch::Batch;
use crate::error::Error;

/// What an inbox row points to.
#[derive(Clone, PartialEq, prost::Message)]
struct Pointer {
    #[prost(string, tag = "1")]
    room: String,
    #[prost(uint64, tag = "2")]
    seq: u64,
}

/// Adds a pointer at the commit's position.
pub fn put(batch: &mut Batch, user: &UserId, order: u16, room: &RoomId, seq: u64) {
    let pointer = Pointer { room: room.to_string(), seq };
    let prefix = Key::new(Tag::Inbox).name(user.as_str()).build();
    batch.set_at_position(prefix, order, record::encode(&pointer));
}

/// The pointers of a user with a position in `after..=through`, without `after` itself.
#[must_use]
pub fn range(user: &UserId, after: Position, through: Position) -> Range<Bytes> {
    let at = |position| Key::new(Tag::Inbox).name(user.as_str()).position(position);
    // A key with one more byte stands directly behind the key itself.
    at(after).u8(0).build()..at(through).u8(0).build()
}

/// Reads a row: position, room and seq.
///
/// # Errors
/// [`Error::Corrupt`].
pub fn decode(key: &[u8], value: &[u8]) -> Result<(Position, RoomId, u64), Error> {
    let mut reader = KeyReader::new(Tag::Inbox, key)?;
    reader.name()?;
    let position = reader.position()?;
    let pointer: Pointer = record::decode("inbox", value)?;
    let room =
        RoomId::new(&pointer.room).map_err(|error| Error::Corrupt(format!("inbox: {error}")))?;
    Ok((position, room, pointer.seq))
}
