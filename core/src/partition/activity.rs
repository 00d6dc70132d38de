//! Keeps members' lists of rooms in the order of their newest entries.

use weft_proto::{RoomId, RoomKind};
use weft_storage::Batch;
use weft_storage::tables::activity::{self, ActivityBucket};

use super::rooms::{Members, Room};
use super::rules::Change;

/// Writes what an entry changes of them. `room`: as the entry leaves it; `before`: in which bucket it was, `None`
/// where the entry is its first one.
pub fn write(
    batch: &mut Batch,
    (id, room): (&RoomId, &Room),
    before: Option<ActivityBucket>,
    change: &Change,
) {
    let buckets = (before, ActivityBucket::of(&room.head));
    let changed = &change.members;
    match &room.members {
        // Of a direct room both users are concerned.
        _ if id.kind() == RoomKind::Direct => {
            activity::write(batch, id, buckets, change.concerned.iter(), changed);
        }
        Members::All(all) => activity::write(batch, id, buckets, all.keys(), changed),
        // A large group is moved once, when it becomes one: then all are in memory.
        Members::Some(_) => activity::write(batch, id, buckets, std::iter::empty(), changed),
    }
}
