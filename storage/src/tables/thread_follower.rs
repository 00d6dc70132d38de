//! Which threads a user follows, and up to where they have read each. Written by the owner of the room's
//! partition, with the position of the commit before the record: there the user's row of what changed is (see
//! [`change`](super::change)). The user comes first in the key, so that a
//! user's threads are together: those of a room, and those of all rooms.
//!
//! What the user has written in a thread, and what is read of its room, counts as read, too: see
//! [`thread::unread`](super::thread::unread).

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weft_proto::{Position, RoomId, UserId};

use super::Tag;
use super::key::Key;
use super::record;
use super::table::Table;
use crate::batch::{Batch, POSITION_BYTES};
use crate::engine::Snapshot;
use crate::error::Error;

#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ThreadFollower {
    /// False: the user has said that they do not, and nobody else makes them follow it.
    #[prost(bool, tag = "1")]
    pub follows: bool,
    /// The user has read the thread up to this entry of the room. It only grows.
    #[prost(uint64, tag = "2")]
    pub read: u64,
}

/// User, room, and the seq of the message with which the thread begins.
pub type FollowerKey = (UserId, (RoomId, u64));

fn prefix(user: &UserId, room: &RoomId) -> Key {
    Key::new(Tag::ThreadFollower).name(user.as_str()).name(room.as_str())
}

#[must_use]
pub fn key((user, (room, root)): &FollowerKey) -> Bytes {
    prefix(user, room).u64(*root).build()
}

/// Writes the row with the commit's position.
pub fn put(batch: &mut Batch, order: u16, at: &FollowerKey, row: &ThreadFollower) {
    batch.set_positioned(key(at), order, record::encode(row));
}

/// Reads the stored form: the position of the commit that wrote it, and the record.
///
/// # Errors
/// [`Error::Corrupt`].
pub fn decode(bytes: &[u8]) -> Result<(Position, ThreadFollower), Error> {
    let (position, record) = bytes
        .split_at_checked(POSITION_BYTES)
        .and_then(|(position, record)| Some((Position::from_slice(position)?, record)))
        .ok_or_else(|| Error::Corrupt("thread follower: too short".into()))?;
    Ok((position, record::decode_whole(ThreadFollower::NAME, record)?))
}

/// These rows, in the given order.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn get_many(
    snapshot: &dyn Snapshot,
    wanted: &[FollowerKey],
) -> Result<Vec<Option<(Position, ThreadFollower)>>, Error> {
    let rows = snapshot.get_many(wanted.iter().map(key).collect()).await?;
    rows.iter().map(|row| row.as_deref().map(decode).transpose()).collect()
}

/// At most `limit` threads of a room that the user follows or has followed, those that began last first: of
/// those that began before `before`.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn of_room(
    snapshot: &dyn Snapshot,
    (user, room): (&UserId, &RoomId),
    before: u64,
    limit: usize,
) -> Result<Vec<(u64, ThreadFollower)>, Error> {
    let range = prefix(user, room).u64(0).build()..prefix(user, room).u64(before).build();
    let rows = snapshot.scan(range, limit, true).await?;
    let read = |(key, row): &(Bytes, Bytes)| {
        let (_, (_, root)) = ThreadFollower::read_key(key)?;
        Ok((root, decode(row)?.1))
    };
    rows.iter().map(read).collect()
}

impl Table for ThreadFollower {
    const TAG: Tag = Tag::ThreadFollower;
    const NAME: &str = "thread_follower";
    type Key = FollowerKey;
    type Row = Self;
    const IS_POSITIONED: bool = true;
}
