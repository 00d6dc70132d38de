//! Which messages of a room are pinned. Who pinned them, and when, is in the message's row.

use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weft_proto::RoomId;

use super::Tag;
use super::key::Key;
use super::record;
use super::table::{Page, Table};
use crate::engine::Snapshot;
use crate::error::Error;

/// That a message is pinned.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pin {
    /// Seq of the `pin`.
    #[prost(uint64, tag = "1")]
    pub seq: u64,
}

impl Table for Pin {
    const TAG: Tag = Tag::Pin;
    const NAME: &str = "pin";
    /// Room, and the message's seq.
    type Key = (RoomId, u64);
    type Row = Self;
}

/// The row's key.
#[must_use]
pub fn key(room: &RoomId, seq: u64) -> Bytes {
    Key::new(Tag::Pin).name(room.as_str()).u64(seq).build()
}

/// The rows of messages with a seq in `seqs`.
#[must_use]
pub fn range(room: &RoomId, seqs: Range<u64>) -> Range<Bytes> {
    key(room, seqs.start)..key(room, seqs.end)
}

/// The stored form.
#[must_use]
pub fn encode(seq: u64) -> Bytes {
    record::encode(&Pin { seq }).into()
}

/// All rows of a room, by the messages' seqs.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn of_room(snapshot: &dyn Snapshot, room: &RoomId) -> Result<Page<Pin>, Error> {
    let range: Range<Bytes> = Key::new(Tag::Pin).name(room.as_str()).prefix_range();
    let rows = snapshot.scan(range, usize::MAX, false).await?;
    let read = |(key, row): &(Bytes, Bytes)| {
        Ok((Pin::read_key(key)?, record::decode_whole(Pin::NAME, row)?))
    };
    rows.iter().map(read).collect()
}
