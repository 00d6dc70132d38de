//! Which bots are in a group, so that an entry's bots are found without its members. It follows from the journal: whoever makes the feeds
//! of bots writes a row when it comes to the entry by which a bot joins, and removes it after the one by which it leaves.
//! When a bot was a member, its row of the [`member`](super::member)s says.

use std::ops::Range;

use bytes::Bytes;
use weft_proto::{RoomId, UserId};

use super::Tag;
use super::key::{Key, KeyReader};
use crate::error::Error;

/// The row's key. Its value is empty.
#[must_use]
pub fn key(room: &RoomId, bot: &UserId) -> Bytes {
    Key::new(Tag::RoomBot).name(room.as_str()).name(bot.as_str()).build()
}

/// All of a group.
#[must_use]
pub fn range(room: &RoomId) -> Range<Bytes> {
    Key::new(Tag::RoomBot).name(room.as_str()).prefix_range()
}

/// The bot in a row's key.
///
/// # Errors
/// [`Error::Corrupt`].
pub fn bot(key: &[u8]) -> Result<UserId, Error> {
    let mut reader = KeyReader::new(Tag::RoomBot, key)?;
    reader.name()?;
    UserId::new(reader.name()?).map_err(|error| Error::Corrupt(format!("room_bot: {error}")))
}
