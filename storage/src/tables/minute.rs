//! When commits were made: of each minute in which a partition committed, its first commit. So the
//! age of an entry is known to the minute, though positions are no clock.
//!
//! A row is written by a commit of the partition's owner, guarded as that is, with the owner's time. A
//! partition's minutes only grow: a clock that is set back writes nothing until it has caught up.

use std::ops::Range;

use bytes::Bytes;
use weft_proto::{Partition, Position};

use super::applied::Applied;
use super::key::{Key, KeyReader};
use super::{Tag, record};
use crate::batch::{Batch, POSITION_BYTES};
use crate::engine::{Pair, Snapshot};
use crate::error::Error;

/// Minutes since the Unix epoch.
pub type Minute = u32;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FirstCommit {
    /// Its minute, by its owner's clock, when it was sent to the store.
    pub minute: Minute,
    /// Its position: everything in the store at or before it is as old as that, or older.
    pub position: Position,
    /// Every command of the partition up to this stream sequence was applied with it.
    pub stream_seq: u64,
    /// The number of the partition's newest commit then.
    pub commit_no: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Record {
    #[prost(uint64, tag = "1")]
    stream_seq: u64,
    #[prost(uint64, tag = "2")]
    commit_no: u64,
}

/// The minute of a time, Unix milliseconds.
#[must_use]
pub fn of_ms(unix_ms: u64) -> Minute {
    Minute::try_from(unix_ms / 60_000).unwrap_or(Minute::MAX)
}

fn key(partition: Partition, minute: Minute) -> Bytes {
    Key::new(Tag::Minute).u16(partition).u32(minute).build()
}

/// Notes a commit, which leaves the partition's row as `applied`, as the first one of its minute.
pub fn put(batch: &mut Batch, partition: Partition, minute: Minute, applied: &Applied) {
    let (stream_seq, commit_no) = (applied.stream_seq, applied.last_commit_no());
    let record = Record { stream_seq, commit_no };
    batch.set_positioned(key(partition, minute), 0, record::encode(&record));
}

/// The partition's rows before `minute`.
#[must_use]
pub fn range_before(partition: Partition, minute: Minute) -> Range<Bytes> {
    key(partition, 0)..key(partition, minute)
}

/// The partition's rows after `minute`.
#[must_use]
pub fn range_after(partition: Partition, minute: Minute) -> Range<Bytes> {
    let all = Key::new(Tag::Minute).u16(partition).prefix_range();
    super::key::next_key(&key(partition, minute))..all.end
}

/// The partition's newest row with a minute of at most `minute`; `None`: nothing is known to be that old.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn newest_until(
    snapshot: &dyn Snapshot,
    partition: Partition,
    minute: Minute,
) -> Result<Option<FirstCommit>, Error> {
    let range = key(partition, 0)..super::key::next_key(&key(partition, minute));
    snapshot.scan(range, 1, true).await?.pop().map(|row| decode(&row)).transpose()
}

fn decode((key, value): &Pair) -> Result<FirstCommit, Error> {
    let mut reader = KeyReader::new(Tag::Minute, key)?;
    reader.array::<2>()?;
    let minute = Minute::from_be_bytes(reader.array()?);
    let (position, record) = value
        .split_at_checked(POSITION_BYTES)
        .and_then(|(position, rest)| Some((Position::from_slice(position)?, rest)))
        .ok_or_else(|| Error::Corrupt("minute: too short".into()))?;
    let Record { stream_seq, commit_no } = record::decode("minute", record)?;
    Ok(FirstCommit { minute, position, stream_seq, commit_no })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Outcome, Store};
    use crate::memory::Memory;

    async fn commit(store: &Store, fill: impl FnOnce(&mut Batch)) -> Position {
        let mut batch = Batch::new(rand::random());
        fill(&mut batch);
        match store.commit(batch).await.expect("commit") {
            Outcome::Committed(position) => position,
            Outcome::Rejected { .. } => panic!("rejected"),
        }
    }

    #[tokio::test]
    async fn the_newest_commit_that_is_old_enough_is_found() {
        let store = Store::new(Memory::new());
        let mut rows = Vec::new();
        for (minute, stream_seq, commit_no) in [(10, 5, 5), (11, 9, 6), (15, 12, 9)] {
            let row = Applied { stream_seq, commit_no: Some(commit_no), ..Applied::default() };
            let position = commit(&store, |batch| put(batch, 3, minute, &row)).await;
            rows.push(FirstCommit { minute, position, stream_seq, commit_no });
        }
        // Neighbours have nothing to do with it.
        commit(&store, |batch| put(batch, 2, 14, &Applied::default())).await;
        commit(&store, |batch| put(batch, 4, 1, &Applied::default())).await;
        let newest = async |minute| {
            let snapshot = store.snapshot().await.expect("snapshot");
            newest_until(&*snapshot, 3, minute).await.expect("scan")
        };
        assert_eq!(newest(9).await, None);
        assert_eq!(newest(10).await, Some(rows[0]));
        assert_eq!(newest(14).await, Some(rows[1]));
        assert_eq!(newest(Minute::MAX).await, Some(rows[2]));
        let (before, after) = (range_before(3, 11), range_after(3, 11));
        commit(&store, |batch| batch.clear_range(before.start, before.end)).await;
        assert_eq!(newest(10).await, None);
        commit(&store, |batch| batch.clear_range(after.start, after.end)).await;
        assert_eq!(newest(Minute::MAX).await, Some(rows[1]));
    }

    #[test]
    fn a_time_is_of_its_minute() {
        assert_eq!([59_999, 60_000, u64::MAX].map(of_ms), [0, 1, Minute::MAX]);
    }
}
