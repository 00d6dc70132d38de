//! Who is kept out of a group, member of it before or not.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weft_proto::{RoomId, UserId};

use super::Tag;
use super::key::{Key, next_key};
use super::record;
use super::table::{Page, Table};
use crate::engine::Snapshot;
use crate::error::Error;

#[derive(Clone, Copy, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ban {
    /// Seq of the `ban`: it says who did it, and when.
    #[prost(uint64, tag = "1")]
    pub seq: u64,
}

impl Table for Ban {
    const TAG: Tag = Tag::Ban;
    const NAME: &str = "ban";
    type Key = (RoomId, UserId);
    type Row = Self;
}

#[must_use]
pub fn key(room: &RoomId, user: &UserId) -> Bytes {
    Key::new(Tag::Ban).name(room.as_str()).name(user.as_str()).build()
}

/// The stored form.
#[must_use]
pub fn encode(seq: u64) -> Bytes {
    record::encode(&Ban { seq }).into()
}

/// At most `limit` rows of a group after a user (`None`: from the first), by user.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn page_after(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    after: Option<&UserId>,
    limit: usize,
) -> Result<Page<Ban>, Error> {
    let mut range = Key::new(Tag::Ban).name(room.as_str()).prefix_range();
    if let Some(user) = after {
        range.start = next_key(&key(room, user));
    }
    let rows = snapshot.scan(range, limit, false).await?;
    let read = |(key, row): &(Bytes, Bytes)| {
        Ok((Ban::read_key(key)?, record::decode_whole(Ban::NAME, row)?))
    };
    rows.iter().map(read).collect()
}
