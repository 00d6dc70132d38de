//! Entries that are missing in a room's log: the store is damaged. Whatever is deleted leaves a row, or
//! raises the room's `first_seq`.
//!
//! Readers hide them, as what somebody may not see, so that a room is read on. They are said: an ERROR once per
//! room, as long as the process runs, and a metric.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Mutex;

use tracing::error;
use weft_proto::RoomId;
use weft_runtime::lock;
use weft_storage::tables::head;
use weft_storage::{Error, Snapshot};

use crate::metrics::ABSENT_ENTRIES;

/// Rooms that are remembered. Beyond that they are forgotten, and said once more.
const ROOMS_MAX: usize = 10_000;

/// The rooms of which it was said.
static SAID: Mutex<BTreeSet<RoomId>> = Mutex::new(BTreeSet::new());

/// Says that a room's log lacks these entries, as far as the room, in this snapshot, ought to have them.
///
/// # Errors
/// Those of the snapshot.
pub(crate) async fn note(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    seqs: Range<u64>,
) -> Result<(), Error> {
    let row = snapshot.get(head::key(room)).await?;
    let head = row.map(|row| head::decode(&row)).transpose()?.map(|(_, head)| head);
    let head = head.unwrap_or_default();
    let (from, end) = (seqs.start.max(head.first_seq).max(1), seqs.end.min(head.seq + 1));
    if from >= end {
        return Ok(());
    }
    ABSENT_ENTRIES.add(end - from);
    if is_new(&mut lock(&SAID), room) {
        let through = end - 1;
        error!(%room, from, through, "entries are missing in the store, which is damaged: readers pass over them");
    }
    Ok(())
}

fn is_new(said: &mut BTreeSet<RoomId>, room: &RoomId) -> bool {
    if said.len() >= ROOMS_MAX {
        said.clear();
    }
    said.insert(room.clone())
}

/// True where it was said of a room.
#[cfg(test)]
pub(crate) fn is_said(room: &RoomId) -> bool {
    lock(&SAID).contains(room)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_once_per_room() {
        let room = |number| RoomId::new(&format!("r{number}")).expect("id");
        let mut said = BTreeSet::new();
        assert!(is_new(&mut said, &room(0)) && !is_new(&mut said, &room(0)));
        for number in 1..=ROOMS_MAX {
            assert!(is_new(&mut said, &room(number)));
        }
        assert!(said.len() <= ROOMS_MAX);
    }
}
