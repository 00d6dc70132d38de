//! A user's index of entries in commit order: the sync queue. Old pointers are removed; a row says up
//! to where, in the commit that removes them, and every page of a sync looks at it in its own snapshot.

use std::ops::Range;

use bytes::Bytes;
use weft_proto::{Position, RoomId, UserId};

use super::Tag;
use super::key::{Key, KeyReader};
use super::record;
use crate::batch::Batch;
use crate::engine::Snapshot;
use crate::error::Error;

/// Rows that are read at once, where one is looked for.
const ROWS_AT_ONCE: usize = 256;

/// What an inbox row points to.
#[derive(Clone, PartialEq, prost::Message)]
struct Pointer {
    #[prost(string, tag = "1")]
    room: String,
    #[prost(uint64, tag = "2")]
    seq: u64,
}

/// Adds a pointer at the commit's position.
pub fn put(batch: &mut Batch, user: &UserId, order: u16, room: &RoomId, seq: u64) {
    let pointer = Pointer { room: room.to_string(), seq };
    let prefix = Key::new(Tag::Inbox).name(user.as_str()).build();
    batch.set_at_position(prefix, order, record::encode(&pointer));
}

/// The pointers of a user with a position in `after..=through`, without `after` itself.
#[must_use]
pub fn range(user: &UserId, after: Position, through: Position) -> Range<Bytes> {
    let at = |position| Key::new(Tag::Inbox).name(user.as_str()).position(position);
    // A key with one more byte comes directly after the key itself.
    at(after).u8(0).build()..at(through).u8(0).build()
}

/// Up to where an inbox is trimmed.
#[derive(Clone, PartialEq, prost::Message)]
struct Trimmed {
    #[prost(bytes = "vec", tag = "1")]
    up_to: Vec<u8>,
}

/// The key of the row that says up to where a user's inbox is trimmed.
#[must_use]
pub fn trimmed_key(user: &UserId) -> Bytes {
    Key::new(Tag::InboxTrimmed).name(user.as_str()).build()
}

/// Reads that row: pointers at or before the position are deleted.
///
/// # Errors
/// [`Error::Corrupt`].
pub fn decode_trimmed(row: &[u8]) -> Result<Position, Error> {
    let Trimmed { up_to } = record::decode("inbox_trimmed", row)?;
    Position::from_slice(&up_to)
        .ok_or_else(|| Error::Corrupt("inbox_trimmed: it is no position".into()))
}

/// Removes a user's pointers at or before a position. `row`: what said so until now.
pub fn trim(batch: &mut Batch, user: &UserId, row: Option<Bytes>, up_to: Position) {
    let start = Key::new(Tag::Inbox).name(user.as_str()).build();
    batch.guard(trimmed_key(user), row);
    batch.clear_range(start, range(user, Position::MIN, up_to).end);
    batch.set(trimmed_key(user), record::encode(&Trimmed { up_to: up_to.0.to_vec() }));
}

/// True where pointers after the position are deleted.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn is_trimmed_after(
    snapshot: &dyn Snapshot,
    user: &UserId,
    after: Position,
) -> Result<bool, Error> {
    let row = snapshot.get(trimmed_key(user)).await?;
    let trimmed = row.as_deref().map(decode_trimmed).transpose()?;
    Ok(trimmed.is_some_and(|up_to| up_to > after))
}

/// The seq of a user's first pointer to a room with a position in `after..=through`, without `after` itself. `None`:
/// there is none, or pointers there are deleted.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn first_of(
    snapshot: &dyn Snapshot,
    (user, room): (&UserId, &RoomId),
    (mut after, through): (Position, Position),
) -> Result<Option<u64>, Error> {
    if is_trimmed_after(snapshot, user, after).await? {
        return Ok(None);
    }
    loop {
        let rows = snapshot.scan(range(user, after, through), ROWS_AT_ONCE, false).await?;
        for (key, value) in &rows {
            let (position, of, seq) = decode(key, value)?;
            if of == *room {
                return Ok(Some(seq));
            }
            after = position;
        }
        if rows.len() < ROWS_AT_ONCE {
            return Ok(None);
        }
    }
}

/// Reads a row: position, room and seq.
///
/// # Errors
/// [`Error::Corrupt`].
pub fn decode(key: &[u8], value: &[u8]) -> Result<(Position, RoomId, u64), Error> {
    let mut reader = KeyReader::new(Tag::Inbox, key)?;
    reader.name()?;
    let position = reader.position()?;
    let pointer: Pointer = record::decode("inbox", value)?;
    let room =
        RoomId::new(&pointer.room).map_err(|error| Error::Corrupt(format!("inbox: {error}")))?;
    Ok((position, room, pointer.seq))
}
