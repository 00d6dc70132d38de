//! A user's rooms: groups first, then direct rooms, each by id.

use std::ops::Range;

use bytes::Bytes;
use weft_proto::{RoomId, RoomKind, UserId};

use super::Tag;
use super::key::{Key, KeyReader};
use crate::error::Error;

fn kind_byte(kind: RoomKind) -> u8 {
    match kind {
        RoomKind::Group => 0,
        RoomKind::Direct => 1,
    }
}

/// The row's key. Its value is empty.
#[must_use]
pub fn key(user: &UserId, room: &RoomId) -> Bytes {
    Key::new(Tag::UserRoom)
        .name(user.as_str())
        .u8(kind_byte(room.kind()))
        .name(room.as_str())
        .build()
}

/// A user's rooms after a room (`None`: from the first), groups first.
#[must_use]
pub fn range_after(user: &UserId, after: Option<&RoomId>) -> Range<Bytes> {
    let all = Key::new(Tag::UserRoom).name(user.as_str()).prefix_range();
    match after {
        None => all,
        Some(room) => after_key(user, room)..all.end,
    }
}

/// A user's groups after a room (`None`: from the first).
#[must_use]
pub fn groups_after(user: &UserId, after: Option<&RoomId>) -> Range<Bytes> {
    kind_after(user, RoomKind::Group, after)
}

/// A user's direct rooms after a room (`None`: from the first).
#[must_use]
pub fn directs_after(user: &UserId, after: Option<&RoomId>) -> Range<Bytes> {
    kind_after(user, RoomKind::Direct, after)
}

fn kind_after(user: &UserId, kind: RoomKind, after: Option<&RoomId>) -> Range<Bytes> {
    let all = Key::new(Tag::UserRoom).name(user.as_str()).u8(kind_byte(kind)).prefix_range();
    match after {
        None => all,
        Some(room) => after_key(user, room)..all.end,
    }
}

fn after_key(user: &UserId, room: &RoomId) -> Bytes {
    Key::new(Tag::UserRoom)
        .name(user.as_str())
        .u8(kind_byte(room.kind()))
        .name(room.as_str())
        .u8(0)
        .build()
}

/// The room in a row's key.
///
/// # Errors
/// [`Error::Corrupt`].
pub fn room(key: &[u8]) -> Result<RoomId, Error> {
    let mut reader = KeyReader::new(Tag::UserRoom, key)?;
    reader.name()?;
    reader.u8()?;
    RoomId::new(reader.name()?).map_err(|error| Error::Corrupt(format!("user room: {error}")))
}
