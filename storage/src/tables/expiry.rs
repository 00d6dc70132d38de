//! Which rooms have entries whose time ends, by the hour from which on the first of them does. A room is under one hour,
//! which its head names ([`Head::expiry_hour`]); another row of it says nothing. It is moved when the room's first entry is
//! another one: so what has expired is found without a look at all rooms, however idle they are.
//!
//! An entry is there as long as its room's rule says, by the time at which it was taken. What is deleted is the front of
//! the log: an entry with all that is kept of it as a message, whatever comes after it.

use std::ops::Range;

use bytes::Bytes;
use weft_proto::{Partition, RoomId};

use super::file_reference::{self, ReferenceKey};
use super::head::Head;
use super::key::{Key, KeyReader, next_key};
use super::{Tag, log, mention, message, pin, reaction, thread};
use crate::batch::Batch;
use crate::engine::Snapshot;
use crate::error::Error;

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// The row's key. Its value is empty.
#[must_use]
pub fn key(partition: Partition, hour: u32, room: &RoomId) -> Bytes {
    Key::new(Tag::Expiry).u16(partition).u32(hour).name(room.as_str()).build()
}

/// The first rooms that are due in an hour, with the hour under which they are: after a row, or from the first one on.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn due(
    snapshot: &dyn Snapshot,
    partition: Partition,
    (after, hour): (Option<&(u32, RoomId)>, u32),
    limit: usize,
) -> Result<Vec<(u32, RoomId)>, Error> {
    let start = |hour| Key::new(Tag::Expiry).u16(partition).u32(hour).build();
    let from =
        after.map_or_else(|| start(0), |(hour, room)| next_key(&key(partition, *hour, room)));
    let rows = snapshot.scan(from..start(hour.saturating_add(1)), limit, false).await?;
    rows.iter().map(|(key, _)| read_key(key)).collect()
}

fn read_key(key: &[u8]) -> Result<(u32, RoomId), Error> {
    let mut reader = KeyReader::new(Tag::Expiry, key)?;
    let _: [u8; 2] = reader.array()?;
    let hour = u32::from_be_bytes(reader.array()?);
    let room = RoomId::new(reader.name()?);
    Ok((hour, room.map_err(|error| Error::Corrupt(format!("expiry: {error}")))?))
}

/// Lists the room under another hour; 0: under none.
pub fn list(batch: &mut Batch, partition: Partition, room: &RoomId, head: &mut Head, hour: u32) {
    if head.expiry_hour == hour {
        return;
    }
    if head.expiry_hour != 0 {
        batch.clear(key(partition, head.expiry_hour, room));
    }
    if hour != 0 {
        batch.set(key(partition, hour, room), Bytes::new());
    }
    head.expiry_hour = hour;
}

/// The hour in which all is due that is due now, since the Unix epoch.
#[must_use]
pub fn hour_of(time_ms: u64) -> u32 {
    u32::try_from(time_ms / HOUR_MS).unwrap_or(u32::MAX)
}

/// The hour from whose begin on an entry of this time has expired.
#[must_use]
pub fn hour_of_end(head: &Head, time_ms: u64) -> u32 {
    let ends_ms = time_ms.saturating_add(u64::from(head.retention_days) * DAY_MS);
    hour_of(ends_ms).saturating_add(1)
}

/// Entries that were taken before this have expired by `now_ms`; `None`: none ever do.
#[must_use]
pub fn kept_from_ms(head: &Head, now_ms: u64) -> Option<u64> {
    let days = u64::from(head.retention_days);
    (days > 0).then(|| now_ms.saturating_sub(days * DAY_MS))
}

/// Deletes entries of a room, and all that is kept of them as messages. `mentions`: who is mentioned by them, and by which
/// seq. `references`: the files that they have, and now.
pub fn delete<'a>(
    batch: &mut Batch,
    room: &RoomId,
    seqs: &Range<u64>,
    mentions: impl Iterator<Item = (&'a str, u64)>,
    (references, now_ms): (&[ReferenceKey], u64),
) {
    let tables = [log::range, message::range, reaction::range_of, thread::range_of, pin::range];
    for range in tables {
        let range = range(room, seqs.clone());
        batch.clear_range(range.start, range.end);
    }
    for (who, seq) in mentions {
        mention::clear(batch, room, who, seq);
    }
    for reference in references {
        file_reference::clear(batch, reference, now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Store;
    use crate::memory::Memory;

    #[tokio::test]
    async fn a_room_is_listed_once_and_found_when_it_is_due() {
        let store = Store::new(Memory::new());
        let room = |name| RoomId::new(name).expect("id");
        let mut heads = ["a", "b", "c"].map(|name| (room(name), Head::default()));
        let mut batch = Batch::new([1; 16]);
        for ((room, head), hours) in heads.iter_mut().zip([vec![9, 5], vec![7], vec![3, 0]]) {
            hours.into_iter().for_each(|hour| list(&mut batch, 2, room, head, hour));
        }
        list(&mut batch, 3, &room("of-another"), &mut Head::default(), 1);
        store.commit(batch).await.expect("commit");
        let snapshot = store.snapshot().await.expect("snapshot");
        let found = async |after, hour, limit| {
            due(&*snapshot, 2, (after, hour), limit).await.expect("read")
        };
        let (a, b) = ((5, room("a")), (7, room("b")));
        assert_eq!(found(None, 4, 9).await, []);
        assert_eq!(found(None, 5, 9).await, std::slice::from_ref(&a));
        assert_eq!(found(None, 7, 9).await, [a.clone(), b.clone()]);
        assert_eq!(found(None, 7, 1).await, std::slice::from_ref(&a));
        assert_eq!(found(Some(&a), u32::MAX, 9).await, [b]);
    }

    #[test]
    fn an_entry_is_never_due_before_its_days_are_over() {
        let head = Head { retention_days: 2, ..Head::default() };
        for taken_ms in [0, 1, HOUR_MS - 1, HOUR_MS, 490_000 * HOUR_MS + 7] {
            let due_ms = u64::from(hour_of_end(&head, taken_ms)) * HOUR_MS;
            assert!(kept_from_ms(&head, due_ms).expect("a rule") > taken_ms);
            assert!(due_ms <= taken_ms + 2 * DAY_MS + HOUR_MS);
            assert_eq!(kept_from_ms(&head, taken_ms + 2 * DAY_MS), Some(taken_ms));
        }
        assert_eq!(kept_from_ms(&Head::default(), u64::MAX), None);
    }
}
