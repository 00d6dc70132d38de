//! A user's rooms by their newest entry, the newest first. A room's rows are in the bucket of the hour of that
//! entry, so that they are moved once an hour and not with each entry; those of a large group are in a bucket
//! of their own, and are never moved.
//!
//! A row counts where the room's head says the same bucket, and its user is a member of the room. Others
//! are passed over: a walk over all rooms (an upgrade) may write one that has just been moved.

use std::ops::Range;

use bytes::Bytes;
use weft_proto::{RoomId, UserId};

use super::Tag;
use super::head::Head;
use super::key::{Key, KeyReader, next_key};
use super::member::Member;
use crate::batch::Batch;
use crate::error::Error;

const HOUR_MS: u64 = 3_600_000;

/// Where in its members' lists a room is: later hours come first. As it is in a key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ActivityBucket(u32);

impl ActivityBucket {
    /// That of large groups, whenever their newest entries were taken.
    pub const LARGE: Self = Self(0);
    pub const NEWEST: Self = Self(1);

    /// That of rooms whose newest entry was taken in the hour of this time.
    #[must_use]
    pub fn at(time_ms: u64) -> Self {
        let hour = u32::try_from(time_ms / HOUR_MS).unwrap_or(u32::MAX);
        Self((u32::MAX - hour).max(Self::NEWEST.0))
    }

    #[must_use]
    pub fn of(head: &Head) -> Self {
        if head.large { Self::LARGE } else { Self::at(head.time_ms) }
    }
}

/// The row's key. Its value is empty.
#[must_use]
pub fn key(user: &UserId, bucket: ActivityBucket, room: &RoomId) -> Bytes {
    Key::new(Tag::Activity).name(user.as_str()).u32(bucket.0).name(room.as_str()).build()
}

/// A user's rows of these buckets, both included.
#[must_use]
pub fn range(user: &UserId, first: ActivityBucket, last: ActivityBucket) -> Range<Bytes> {
    let start = |bucket: u32| Key::new(Tag::Activity).name(user.as_str()).u32(bucket).build();
    let end = match last.0.checked_add(1) {
        Some(next) => start(next),
        None => Key::new(Tag::Activity).name(user.as_str()).prefix_range().end,
    };
    start(first.0)..end
}

/// A user's rows of this bucket, and of all that come after it.
#[must_use]
pub fn range_from(user: &UserId, first: ActivityBucket) -> Range<Bytes> {
    range(user, first, ActivityBucket(u32::MAX))
}

/// What is left of a range after a row.
#[must_use]
pub fn after(range: &Range<Bytes>, key: &[u8]) -> Range<Bytes> {
    next_key(key)..range.end.clone()
}

/// Reads a row's key: bucket and room.
///
/// # Errors
/// [`Error::Corrupt`].
pub fn read_key(key: &[u8]) -> Result<(ActivityBucket, RoomId), Error> {
    let mut reader = KeyReader::new(Tag::Activity, key)?;
    reader.name()?;
    let bucket = ActivityBucket(u32::from_be_bytes(reader.array()?));
    let room = RoomId::new(reader.name()?);
    Ok((bucket, room.map_err(|error| Error::Corrupt(format!("activity: {error}")))?))
}

/// Writes the rows that an entry changes. `before`: the room's bucket before it, `None` where it is the
/// room's first one; `members`: all members after it, taken only where the room moves; `changed`: the rows of
/// members that it writes.
pub fn write<'a>(
    batch: &mut Batch,
    room: &RoomId,
    (before, after): (Option<ActivityBucket>, ActivityBucket),
    members: impl Iterator<Item = &'a UserId>,
    changed: &[(UserId, Member)],
) {
    let is_moved = before != Some(after);
    if is_moved {
        for user in members {
            if let Some(before) = before {
                batch.clear(key(user, before, room));
            }
            batch.set(key(user, after, room), Bytes::new());
        }
    }
    for (user, row) in changed {
        if row.role().is_none() {
            batch.clear(key(user, before.unwrap_or(after), room));
        } else if !is_moved {
            batch.set(key(user, after, room), Bytes::new());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_hours_come_first_and_large_groups_before_them() {
        let (alice, room) =
            (UserId::new("alice").expect("id"), RoomId::new("alice~bob").expect("id"));
        let at = |hour: u64| ActivityBucket::at(hour * HOUR_MS);
        let key = |bucket| key(&alice, bucket, &room);
        let buckets =
            [ActivityBucket::LARGE, at(u64::MAX / HOUR_MS), at(500_001), at(500_000), at(0)];
        assert!(buckets.map(key).is_sorted());
        assert_eq!(at(7), ActivityBucket::at(8 * HOUR_MS - 1));
        for bucket in buckets {
            assert_eq!(read_key(&key(bucket)).expect("key"), (bucket, room.clone()));
            assert!(range(&alice, bucket, bucket).contains(&key(bucket)));
        }
        let newer = range_from(&alice, at(500_000));
        assert!(newer.contains(&key(at(0))) && newer.contains(&key(at(500_000))));
        assert!(!newer.contains(&key(at(500_001))) && !newer.contains(&key(ActivityBucket::LARGE)));
        assert!(after(&newer, &key(at(500_000))).contains(&key(at(0))));
    }
}
