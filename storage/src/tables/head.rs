//! A room's last entry, and what the room is. Stored behind the position of that entry.

use bytes::Bytes;
use weft_proto::{History, Position, RoomId};

use super::key::{Key, Tag};
use super::record;
use crate::batch::{Batch, POSITION_BYTES};
use crate::error::Error;

/// A room as its last entry left it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Head {
    /// Seq of the last entry.
    #[prost(uint64, tag = "1")]
    pub seq: u64,
    /// How many messages it has.
    #[prost(uint64, tag = "2")]
    pub ordinal: u64,
    /// When the last entry was taken, Unix milliseconds.
    #[prost(uint64, tag = "3")]
    pub time_ms: u64,
    /// Empty in direct rooms.
    #[prost(string, tag = "4")]
    pub title: String,
    /// From where on members see it.
    #[prost(enumeration = "History", tag = "5")]
    pub history: i32,
    /// How many members a group has.
    #[prost(uint32, tag = "6")]
    pub member_count: u32,
    /// How many of them are owners.
    #[prost(uint32, tag = "7")]
    pub owner_count: u32,
    /// It once had more members than are fanned out to.
    #[prost(bool, tag = "8")]
    pub large: bool,
}

/// The row's key.
#[must_use]
pub fn key(room: &RoomId) -> Bytes {
    Key::new(Tag::Head).name(room.as_str()).build()
}

/// Writes the row with the commit's position.
pub fn put(batch: &mut Batch, room: &RoomId, order: u16, head: &Head) {
    batch.set_positioned(key(room), order, record::encode(head));
}

/// Reads the stored form: the last entry's position and the head.
///
/// # Errors
/// [`Error::Corrupt`].
pub fn decode(bytes: &[u8]) -> Result<(Position, Head), Error> {
    let (position, rest) = bytes
        .split_at_checked(POSITION_BYTES)
        .and_then(|(position, rest)| Some((Position::from_slice(position)?, rest)))
        .ok_or_else(|| Error::Corrupt("head: too short".into()))?;
    Ok((position, record::decode("head", rest)?))
}
