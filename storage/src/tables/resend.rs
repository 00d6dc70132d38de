//! The seq that a client id got: so that a resend gets the same answer. Kept by the hour of the
//! client id, so that old ones go by one range clear. Ids that a server made for a sender who gave
//! none are kept apart: they are good for as long as what they were made for can come again.

use std::ops::Range;

use bytes::Bytes;
use weft_proto::{ClientId, Partition, RoomId, UserId};

use super::Tag;
use super::key::Key;
use super::record;
use crate::error::Error;

/// What a client id got.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Resend {
    #[prost(uint64, tag = "1")]
    pub seq: u64,
    /// [`weft_proto::Body::content_hash`] of the entry: another one is a conflict.
    #[prost(fixed64, tag = "2")]
    pub content_hash: u64,
    /// Whom the command has invited in the place of adding them.
    #[prost(string, repeated, tag = "3")]
    pub invited: Vec<String>,
}

#[must_use]
pub fn key(partition: Partition, room: &RoomId, sender: &UserId, id: &ClientId) -> Bytes {
    key_in(partition, id.hour(), (room, sender), id)
}

/// Rows of ids that an edge made are kept beside those of clients.
const EDGE_MADE: u32 = 0x8000_0000;
/// Rows of ids that were made from a message of another system are kept by that message's hour.
const RELAYED: u32 = 0xc000_0000;

/// The row's key where an edge made the id, with the hour that it is kept by.
#[must_use]
pub fn edge_made_key(
    partition: Partition,
    hour: u32,
    (room, sender): (&RoomId, &UserId),
    id: &ClientId,
) -> Bytes {
    key_in(partition, EDGE_MADE | hour, (room, sender), id)
}

/// The row's key where the id was made from a message of another system.
#[must_use]
pub fn relayed_key(
    partition: Partition,
    (room, sender): (&RoomId, &UserId),
    id: &ClientId,
) -> Bytes {
    key_in(partition, RELAYED | id.hour(), (room, sender), id)
}

fn key_in(
    partition: Partition,
    hour: u32,
    (room, sender): (&RoomId, &UserId),
    id: &ClientId,
) -> Bytes {
    Key::new(Tag::Resend)
        .u16(partition)
        .u32(hour)
        .name(room.as_str())
        .name(sender.as_str())
        .raw(&id.to_bytes())
        .build()
}

/// All rows of [`edge_made_key`] with one of these hours.
#[must_use]
pub fn edge_made_range(partition: Partition, hours: Range<u32>) -> Range<Bytes> {
    self::hours(partition, EDGE_MADE | hours.start..EDGE_MADE | hours.end)
}

/// All rows of [`relayed_key`] whose message is of an earlier hour.
#[must_use]
pub fn relayed_below(partition: Partition, hour: u32) -> Range<Bytes> {
    hours(partition, RELAYED..RELAYED | hour)
}

fn hours(partition: Partition, hours: Range<u32>) -> Range<Bytes> {
    let of = |hour| Key::new(Tag::Resend).u16(partition).u32(hour).build();
    of(hours.start)..of(hours.end)
}

/// All rows of clients' ids with one of these hours (since the Unix epoch).
#[must_use]
pub fn range(partition: Partition, hours: Range<u32>) -> Range<Bytes> {
    self::hours(partition, hours.start.min(EDGE_MADE)..hours.end.min(EDGE_MADE))
}

impl Resend {
    #[must_use]
    pub fn encode(&self) -> Bytes {
        record::encode(self).into()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        record::decode("resend", bytes)
    }

    /// As [`decode`](Self::decode), and refuses what this Weft knows only a part of.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn decode_whole(bytes: &[u8]) -> Result<Self, Error> {
        record::decode_whole("resend", bytes)
    }
}
