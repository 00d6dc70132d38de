//! Lets time pass for entries of a room, in an embedded store that nobody uses meanwhile.

use std::path::Path;

use anyhow::{Result, ensure};
use weft_proto::RoomId;
use weft_storage::embedded::Embedded;
use weft_storage::tables::log::{self, At, Limit};
use weft_storage::{Batch, Outcome, Store};

/// Lets all entries that a room has be older; the last one's seq.
pub async fn age(path: &Path, room: &RoomId, by_ms: u64) -> Result<u64> {
    let store = Store::new(Embedded::open(path)?);
    let snapshot = store.snapshot().await?;
    let limit = Limit { entries_max: usize::MAX, bytes_max: usize::MAX };
    let (mut batch, mut last) = (Batch::new(rand::random()), 0);
    for mut logged in log::read(&*snapshot, room, 0..u64::MAX, limit).await? {
        logged.entry.time_ms -= by_ms;
        last = logged.entry.seq;
        log::put_again(&mut batch, At::Position(logged.position), &logged.entry);
    }
    let outcome = store.commit(batch).await?;
    ensure!(matches!(outcome, Outcome::Committed(_)), "{outcome:?}");
    Ok(last)
}
