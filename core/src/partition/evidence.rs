//! What became of a commit whose outcome is not known: the store says it.

use weft_proto::{Partition, Position};
use weft_storage::Store;
use weft_storage::tables::applied::Applied;
use weft_storage::tables::log as log_table;

use super::plan::Sealed;
use super::take::read_row;

/// What the store says about a commit.
pub enum Evidence {
    /// It happened, at this position.
    Done(Position),
    /// It did not happen, and still can.
    Undone,
    /// Somebody else wrote the row.
    Foreign,
}

/// What the store says about a commit whose outcome is not known.
///
/// # Errors
/// Those of the store.
pub async fn evidence(
    store: &Store,
    partition: Partition,
    before: &Applied,
    sealed: &Sealed,
) -> Result<Evidence, weft_storage::Error> {
    let row = read_row(store, partition).await?;
    if row == *before {
        return Ok(Evidence::Undone);
    }
    if row.batch_id != sealed.batch.id() {
        return Ok(Evidence::Foreign);
    }
    let Some(first) = sealed.entries.first() else {
        return Ok(Evidence::Done(Position::MIN));
    };
    let wanted = [(first.entry.room.clone(), first.entry.seq)];
    let snapshot = store.snapshot().await?;
    match log_table::get_many(&*snapshot, &wanted).await?.pop().flatten() {
        Some(logged) => Ok(Evidence::Done(logged.position.with_order(0))),
        None => Err(weft_storage::Error::Corrupt("a commit without its first entry".into())),
    }
}
