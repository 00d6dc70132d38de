//! Who is invited to come into a group, and by whom. Written by the owner of the group's partition, with the position of the
//! commit before the record: there the invited user's row of what changed is (see [`change`](super::change)). Beside the
//! row, by user, is one by group for as long as the invitation is open.
//!
//! A row that says that an invitation has ended stays until no cursor is from before it: it tells that to devices that were
//! away.

use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weft_proto::limits::INVITED_DAYS;
use weft_proto::{Position, RoomId, UserId};

use super::Tag;
use super::key::{Key, KeyReader, next_key};
use super::record;
use super::table::{KeyPart, Table};
use crate::batch::Batch;
use crate::engine::Snapshot;
use crate::error::Error;

/// After this long an invitation is over.
const OPEN_MS: u64 = INVITED_DAYS * 24 * 3_600_000;

#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GroupInvitation {
    /// Who has invited them; empty: it has ended.
    #[prost(string, tag = "1")]
    pub by: String,
    /// When that was, Unix milliseconds.
    #[prost(uint64, tag = "2")]
    pub invited_ms: u64,
}

impl GroupInvitation {
    /// True while the user may come in by it.
    #[must_use]
    pub fn is_open(&self, now_ms: u64) -> bool {
        !self.by.is_empty() && now_ms < self.invited_ms.saturating_add(OPEN_MS)
    }
}

/// Who is invited, and to which group.
pub type InvitationKey = (UserId, RoomId);

#[must_use]
pub fn key((user, room): &InvitationKey) -> Bytes {
    Key::new(Tag::GroupInvitation).name(user.as_str()).name(room.as_str()).build()
}

/// All rows of a user.
#[must_use]
pub fn range(user: &UserId) -> Range<Bytes> {
    Key::new(Tag::GroupInvitation).name(user.as_str()).prefix_range()
}

/// Those after a group (`None`: all).
#[must_use]
pub fn range_after(user: &UserId, room: Option<&RoomId>) -> Range<Bytes> {
    let mut range = range(user);
    if let Some(room) = room {
        range.start = next_key(&key(&(user.clone(), room.clone())));
    }
    range
}

/// Reads a row's key.
///
/// # Errors
/// [`Error::Corrupt`].
pub fn read_key(key: &[u8]) -> Result<InvitationKey, Error> {
    InvitationKey::read(&mut KeyReader::new(Tag::GroupInvitation, key)?)
}

/// The key beside the row, by group.
#[must_use]
pub fn listed_key((user, room): &InvitationKey) -> Bytes {
    Key::new(Tag::Invited).name(room.as_str()).name(user.as_str()).build()
}

/// Writes the row with the commit's position, and lists it by its group or not any more.
pub fn put(batch: &mut Batch, order: u16, at: &InvitationKey, row: &GroupInvitation) {
    batch.set_positioned(key(at), order, record::encode(row));
    list(batch, at, row);
}

/// Lists an invitation by its group where it is open, and else does not.
pub fn list(batch: &mut Batch, at: &InvitationKey, row: &GroupInvitation) {
    match row.by.is_empty() {
        true => batch.clear(listed_key(at)),
        false => batch.set(listed_key(at), Bytes::new()),
    }
}

/// Reads the stored form: the position of the commit that wrote it, and the row.
///
/// # Errors
/// [`Error::Corrupt`].
pub fn decode(bytes: &[u8]) -> Result<(Position, GroupInvitation), Error> {
    let (position, record) = record::split_position(GroupInvitation::NAME, bytes)?;
    Ok((position, record::decode_whole(GroupInvitation::NAME, record)?))
}

/// What these are, in the given order; `None`: there never was one.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn get_many(
    snapshot: &dyn Snapshot,
    wanted: &[InvitationKey],
) -> Result<Vec<Option<(Position, GroupInvitation)>>, Error> {
    let rows = snapshot.get_many(wanted.iter().map(key).collect()).await?;
    rows.iter().map(|row| row.as_deref().map(decode).transpose()).collect()
}

/// At most `limit` users after one (`None`: from the first) who were invited to a group and have not come, by id. Of some the
/// time may be over.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn invited(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    after: Option<&UserId>,
    limit: usize,
) -> Result<Vec<UserId>, Error> {
    let mut range = Key::new(Tag::Invited).name(room.as_str()).prefix_range();
    if let Some(user) = after {
        range.start = next_key(&listed_key(&(user.clone(), room.clone())));
    }
    let rows = snapshot.scan(range, limit, false).await?;
    let user = |key: &[u8]| {
        let mut reader = KeyReader::new(Tag::Invited, key)?;
        reader.name()?;
        UserId::read(&mut reader)
    };
    rows.iter().map(|(key, _)| user(key)).collect()
}

impl Table for GroupInvitation {
    const TAG: Tag = Tag::GroupInvitation;
    const NAME: &str = "group_invitation";
    type Key = InvitationKey;
    type Row = Self;
    const IS_POSITIONED: bool = true;
}
