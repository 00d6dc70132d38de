//! The last entry of a room that its member has read without saying so: their own, or the one by which they
//! joined. It only grows, and only the owner of the room's partition writes it: so it does so without a look.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weft_proto::{RoomId, UserId};

use super::key::Key;
use super::table::Table;
use super::{Tag, record};
use crate::batch::Batch;
use crate::error::Error;

#[derive(Clone, Copy, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sent {
    /// Seq of the entry.
    #[prost(uint64, tag = "1")]
    pub seq: u64,
    /// The entry's ordinal.
    #[prost(uint64, tag = "2")]
    pub ordinal: u64,
}

impl Table for Sent {
    const TAG: Tag = Tag::Sent;
    const NAME: &str = "sent";
    type Key = (RoomId, UserId);
    type Row = Self;
}

#[must_use]
pub fn key(room: &RoomId, user: &UserId) -> Bytes {
    Key::new(Tag::Sent).name(room.as_str()).name(user.as_str()).build()
}

pub fn put(batch: &mut Batch, room: &RoomId, user: &UserId, sent: Sent) {
    batch.set(key(room, user), record::encode(&sent));
}

/// Reads the stored form.
///
/// # Errors
/// [`Error::Corrupt`].
pub fn decode(bytes: &[u8]) -> Result<Sent, Error> {
    record::decode_whole(Sent::NAME, bytes)
}
