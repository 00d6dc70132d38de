//! A room's last entry, and what the room is. Stored after the position of that entry.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weft_proto::limits::GROUP_MEMBERS_DEFAULT;
use weft_proto::{History, JoinRule, Position, RoomId, WriteRule, word};

use super::Tag;
use super::key::{Key, KeyReader, next_key};
use super::record::{self, decode_whole};
use crate::batch::{Batch, POSITION_BYTES};
use crate::engine::Snapshot;
use crate::error::Error;

/// A room as its last entry left it.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
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
    #[serde(serialize_with = "word::write::<History, _>")]
    #[serde(deserialize_with = "word::read::<History, _>")]
    pub history: i32,
    #[prost(uint32, tag = "6")]
    pub member_count: u32,
    #[prost(uint32, tag = "7")]
    pub owner_count: u32,
    /// It once had more members than are fanned out to.
    #[prost(bool, tag = "8")]
    pub large: bool,
    /// Entries with a smaller seq were removed; 0: none were.
    #[prost(uint64, tag = "9")]
    pub first_seq: u64,
    /// Seq of the newest entry that a list of rooms shows ([`weft_proto::Body::is_preview`]); 0: none since the
    /// store was at a level that has this.
    #[prost(uint64, tag = "10")]
    pub preview_seq: u64,
    /// Of a group, as the following ones; empty: none.
    #[prost(string, tag = "11")]
    pub topic: String,
    #[prost(enumeration = "JoinRule", tag = "12")]
    #[serde(serialize_with = "word::write::<JoinRule, _>")]
    #[serde(deserialize_with = "word::read::<JoinRule, _>")]
    pub join: i32,
    #[prost(enumeration = "WriteRule", tag = "13")]
    #[serde(serialize_with = "word::write::<WriteRule, _>")]
    #[serde(deserialize_with = "word::read::<WriteRule, _>")]
    pub write: i32,
    /// Seconds between two messages of a member who is no admin; 0: none.
    #[prost(uint32, tag = "14")]
    pub slow_mode_s: u32,
    /// 0: the default. See [`Head::members_max`].
    #[prost(uint32, tag = "15")]
    pub members_limit: u32,
    /// Nobody writes.
    #[prost(bool, tag = "16")]
    pub archived: bool,
    /// For how many days an entry is kept; 0: for ever. See [`expiry`](super::expiry).
    #[prost(uint32, tag = "40")]
    pub retention_days: u32,
    /// Under which hour the room is listed there; 0: under none.
    #[prost(uint32, tag = "42")]
    pub expiry_hour: u32,
    /// How many messages it had below `first_seq`.
    #[prost(uint64, tag = "43")]
    pub expired_ordinal: u64,
    /// By an administrator of the installation: nobody writes, and nothing changes.
    #[prost(bool, tag = "41")]
    pub closed: bool,
    /// For how many days a message has its files; 0: as everywhere.
    #[prost(uint32, tag = "44")]
    pub file_days: u32,
    /// Of a group: a file's id; empty: none. See [`file_reference`](super::file_reference).
    #[prost(string, tag = "45")]
    pub avatar: String,
    /// Its links get no previews.
    #[prost(bool, tag = "46")]
    pub previews_off: bool,
}

impl Head {
    /// Nobody comes into the group while it has so many members.
    #[must_use]
    pub fn members_max(&self) -> u32 {
        match self.members_limit {
            0 => GROUP_MEMBERS_DEFAULT,
            limit => limit,
        }
    }

    /// Who may come in. A rule that this Weft does not know lets in nobody.
    #[must_use]
    pub fn join_rule(&self) -> JoinRule {
        JoinRule::try_from(self.join).unwrap_or(JoinRule::Invitation)
    }

    /// Who may write. A rule that this Weft does not know lets only admins.
    #[must_use]
    pub fn write_rule(&self) -> WriteRule {
        WriteRule::try_from(self.write).unwrap_or(WriteRule::Admins)
    }
}

#[must_use]
pub fn key(room: &RoomId) -> Bytes {
    Key::new(Tag::Head).name(room.as_str()).build()
}

/// Writes the row with the commit's position.
pub fn put(batch: &mut Batch, room: &RoomId, order: u16, head: &Head) {
    batch.set_positioned(key(room), order, record::encode(head));
}

/// Writes the row of a room that gets no entry: it keeps the position of its last one.
pub fn put_again(batch: &mut Batch, room: &RoomId, position: Position, head: &Head) {
    batch.set(key(room), [&position.0[..], &record::encode(head)].concat());
}

/// Reads the stored form: the last entry's position and the head.
///
/// # Errors
/// [`Error::Corrupt`].
pub fn decode(bytes: &[u8]) -> Result<(Position, Head), Error> {
    let (position, rest) = split(bytes)?;
    Ok((position, record::decode_whole("head", rest)?))
}

fn split(bytes: &[u8]) -> Result<(Position, &[u8]), Error> {
    bytes
        .split_at_checked(POSITION_BYTES)
        .and_then(|(position, rest)| Some((Position::from_slice(position)?, rest)))
        .ok_or_else(|| Error::Corrupt("head: too short".into()))
}

/// At most `limit` rooms after a room (`None`: from the first), by id.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn page_after(
    snapshot: &dyn Snapshot,
    after: Option<&RoomId>,
    limit: usize,
) -> Result<Vec<(RoomId, Head)>, Error> {
    let mut range = Key::new(Tag::Head).prefix_range();
    if let Some(room) = after {
        range.start = next_key(&key(room));
    }
    let rows = snapshot.scan(range, limit, false).await?;
    let read = |(key, value): &(Bytes, Bytes)| {
        let (_, record) = split(value)?;
        Ok((room(key)?, decode_whole("head", record)?))
    };
    rows.iter().map(read).collect()
}

fn room(key: &[u8]) -> Result<RoomId, Error> {
    RoomId::new(KeyReader::new(Tag::Head, key)?.name()?)
        .map_err(|error| Error::Corrupt(format!("head: {error}")))
}
