//! Who asks to come into a group.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weft_proto::{RoomId, UserId};

use super::Tag;
use super::key::{Key, next_key};
use super::record;
use super::table::{Page, Table};
use crate::engine::Snapshot;
use crate::error::Error;

#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JoinRequest {
    /// When they asked, Unix milliseconds.
    #[prost(uint64, tag = "1")]
    pub asked_ms: u64,
    /// What they say; empty: nothing.
    #[prost(string, tag = "2")]
    pub text: String,
}

impl Table for JoinRequest {
    const TAG: Tag = Tag::JoinRequest;
    const NAME: &str = "join_request";
    type Key = (RoomId, UserId);
    type Row = Self;
}

impl JoinRequest {
    #[must_use]
    pub fn encode(&self) -> Bytes {
        record::encode(self).into()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        record::decode_whole(Self::NAME, bytes)
    }
}

#[must_use]
pub fn key(room: &RoomId, user: &UserId) -> Bytes {
    Key::new(Tag::JoinRequest).name(room.as_str()).name(user.as_str()).build()
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
) -> Result<Page<JoinRequest>, Error> {
    let mut range = Key::new(Tag::JoinRequest).name(room.as_str()).prefix_range();
    if let Some(user) = after {
        range.start = next_key(&key(room, user));
    }
    let rows = snapshot.scan(range, limit, false).await?;
    let read =
        |(key, row): &(Bytes, Bytes)| Ok((JoinRequest::read_key(key)?, JoinRequest::decode(row)?));
    rows.iter().map(read).collect()
}

/// At most `limit` rows of all groups after one (`None`: from the first), by group and user: each with its key, as it is stored.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn all_after(
    snapshot: &dyn Snapshot,
    after: Option<&(RoomId, UserId)>,
    limit: usize,
) -> Result<Vec<((RoomId, UserId), Bytes)>, Error> {
    let mut range = Key::new(Tag::JoinRequest).prefix_range();
    if let Some((room, user)) = after {
        range.start = next_key(&key(room, user));
    }
    let rows = snapshot.scan(range, limit, false).await?;
    rows.into_iter().map(|(key, row)| Ok((JoinRequest::read_key(&key)?, row))).collect()
}

/// The users who ask, at most `limit`, whether their rows can be read or not.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn users(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    limit: usize,
) -> Result<Vec<UserId>, Error> {
    let range = Key::new(Tag::JoinRequest).name(room.as_str()).prefix_range();
    let rows = snapshot.scan(range, limit, false).await?;
    rows.iter().map(|(key, _)| JoinRequest::read_key(key).map(|(_, user)| user)).collect()
}
