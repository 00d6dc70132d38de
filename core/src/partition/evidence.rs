//! What became of a commit whose outcome is not known: the store says it.

use weft_proto::{Partition, Position};
use weft_storage::batch::POSITION_BYTES;
use weft_storage::tables::applied::{self, Applied};
use weft_storage::{Op, Store};

use super::plan::Sealed;

/// What the store says about a commit.
pub enum Evidence {
    /// It happened, at this position; [`Position::MIN`]: where it has put nothing at its position.
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
    let snapshot = store.snapshot().await?;
    let row = applied::read(&*snapshot, partition).await?;
    if row == *before {
        return Ok(Evidence::Undone);
    }
    if row.batch_id != sealed.batch.id() {
        return Ok(Evidence::Foreign);
    }
    let positioned = sealed.batch.ops().iter().filter_map(|op| match op {
        Op::SetPositioned { key, .. } => Some(key),
        _ => None,
    });
    // Each row that it has written at its position says it: of entries, marks, settings.
    for key in positioned {
        if let Some(stored) = snapshot.get(key.clone()).await? {
            let position = stored.get(..POSITION_BYTES).and_then(Position::from_slice);
            let position = position.ok_or_else(|| {
                weft_storage::Error::Corrupt("a row of a commit without its position".into())
            })?;
            return Ok(Evidence::Done(position.with_order(0)));
        }
    }
    if sealed.entries.is_empty() {
        return Ok(Evidence::Done(Position::MIN));
    }
    Err(weft_storage::Error::Corrupt("a commit without its first entry".into()))
}
