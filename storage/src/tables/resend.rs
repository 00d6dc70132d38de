//! The seq that a client id got: so that a resend gets the same answer. Kept by the hour of the
//! client id, so that old ones go by one range clear.

use std::ops::Range;

use bytes::Bytes;
use weft_proto::{ClientId, Partition, RoomId, UserId};

use super::key::{Key, Tag};
use super::record;
use crate::error::Error;

/// What a client id got.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Resend {
    /// The entry's seq.
    #[prost(uint64, tag = "1")]
    pub seq: u64,
    /// [`weft_proto::Body::content_hash`] of the entry: another one is a conflict.
    #[prost(fixed64, tag = "2")]
    pub content_hash: u64,
}

/// The row's key.
#[must_use]
pub fn key(partition: Partition, room: &RoomId, sender: &UserId, id: &ClientId) -> Bytes {
    Key::new(Tag::Resend)
        .u16(partition)
        .u32(id.hour())
        .name(room.as_str())
        .name(sender.as_str())
        .raw(&id.to_bytes())
        .build()
}

/// All rows of the partition with an hour (since the Unix epoch) before `floor_hour`.
#[must_use]
pub fn range_below(partition: Partition, floor_hour: u32) -> Range<Bytes> {
    let of = |hour| Key::new(Tag::Resend).u16(partition).u32(hour).build();
    of(0)..of(floor_hour)
}

impl Resend {
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
