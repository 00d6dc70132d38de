//! How much of a partition's journal may be deleted. Its owner does it, in pieces, with commits that it
//! makes anyway or in idle seconds: each says in the same commit how far the journal is deleted, so
//! whoever owns the partition next goes on there.

use std::time::Duration;

use weft_proto::Partition;
use weft_storage::tables::follower;
use weft_storage::tables::minute::{self, newest_until};
use weft_storage::{Error, Snapshot};

/// Between two looks at how old the journal is: ages are known to the minute.
pub const LOOK_PAUSE: Duration = Duration::from_secs(60);
/// Between two pieces of a partition.
pub const PIECE_PAUSE: Duration = Duration::from_secs(1);
/// Commit numbers of one piece.
pub const PIECE_COMMITS: u64 = 1_000;
/// Followers that have not read it hold up the deletion of what is old, until it is so many times as
/// old.
const HOLD_FACTOR: u32 = 2;

/// Up to which commit number the journal is old enough: older than `age`, and read by all who follow
/// it, or older than that by [`HOLD_FACTOR`].
///
/// # Errors
/// Those of the store.
pub async fn journal(
    snapshot: &dyn Snapshot,
    partition: Partition,
    now_ms: u64,
    age: Duration,
) -> Result<u64, Error> {
    let before = async |age: Duration| {
        let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let minute = minute::of_ms(now_ms.saturating_sub(age_ms));
        let newest = newest_until(snapshot, partition, minute).await?;
        Ok::<u64, Error>(newest.map_or(0, |first| first.commit_no))
    };
    let old = before(age).await?;
    match follower::lowest(snapshot, partition).await? {
        Some(read) if read < old => Ok(read.max(before(age * HOLD_FACTOR).await?)),
        _ => Ok(old),
    }
}
