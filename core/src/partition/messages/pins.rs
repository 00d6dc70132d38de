//! Pins: which messages of a room are pinned is told by their rows, and listed by a table beside them.

use std::collections::{BTreeSet, HashMap};

use weft_proto::limits::PINS_PER_ROOM_MAX;
use weft_proto::{ApiError, Body, Entry, ErrorCode, RoomId, UserId};
use weft_storage::tables::message::{Message, Pinned};
use weft_storage::tables::pin;
use weft_storage::{Batch, Error, Snapshot};

use super::super::command::Command;
use super::super::state::State;
use super::no;

/// The messages that are pinned in the rooms in which commands pin one, as far as that is committed.
pub(super) type FoundPins = HashMap<RoomId, BTreeSet<u64>>;

pub(super) async fn load(
    snapshot: &dyn Snapshot,
    commands: &[&Command],
) -> Result<FoundPins, Error> {
    let mut found = FoundPins::new();
    for Command { room, body, .. } in commands {
        if matches!(body, Body::Pin(_)) && !found.contains_key(room) {
            let rows = pin::of_room(snapshot, room).await?;
            found.insert(room.clone(), rows.into_iter().map(|((_, seq), _)| seq).collect());
        }
    }
    Ok(found)
}

/// How many messages of a room are pinned, those of commits that the lookup may not have seen included.
fn count(found: &FoundPins, state: &State, room: &RoomId) -> usize {
    let mut pinned = found.get(room).cloned().unwrap_or_default();
    for ((of, seq), row) in state.messages.rows.iter() {
        if of == room && row.pinned.is_some() {
            pinned.insert(*seq);
        } else if of == room {
            pinned.remove(seq);
        }
    }
    pinned.len()
}

/// Pins or unpins the message of a row. `seq` and `time_ms`: those of the entry.
pub(super) fn decide(
    row: &mut Message,
    is_on: bool,
    (seq, sender, time_ms): (u64, &UserId, u64),
    (found, state, room): (&FoundPins, &State, &RoomId),
) -> Result<(), ApiError> {
    match (&row.pinned, is_on) {
        (Some(_), true) => return Err(no(ErrorCode::Unchanged, "the message is pinned already")),
        (None, false) => return Err(no(ErrorCode::Unchanged, "the message is not pinned")),
        (Some(_), false) => row.pinned = None,
        (None, true) if count(found, state, room) >= PINS_PER_ROOM_MAX => {
            let message = format!("the room has {PINS_PER_ROOM_MAX} pinned messages already");
            return Err(ApiError::new(ErrorCode::LimitReached, message));
        }
        (None, true) => row.pinned = Some(Pinned { seq, by: sender.to_string(), time_ms }),
    }
    Ok(())
}

/// Writes that `by` has pinned or unpinned a message, or deleted one.
pub(super) fn write(batch: &mut Batch, by: &Entry, target: u64) {
    let key = pin::key(&by.room, target);
    match by.body {
        Body::Pin(_) => batch.set(key, pin::encode(by.seq)),
        Body::Unpin(_) | Body::Delete(_) => batch.clear(key),
        _ => {}
    }
}
