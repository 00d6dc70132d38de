//! What the store was made for: checked before anything else reads or writes it.

use weft_proto::{Partition, StoreId};
use weft_storage::tables::layout::{self, KEY_VERSION, Layout};
use weft_storage::tables::{self, import};
use weft_storage::{Batch, Outcome, Snapshot, Store};

use crate::Error;

/// Reads the store's layout; on the first start, writes it, with a random store id. Of several
/// processes that start at once, one writes, and all read the same.
///
/// # Errors
/// [`Error::Layout`] where the store was made for another configuration, or those of the store.
pub async fn open(store: &Store, partitions: Partition) -> Result<Layout, Error> {
    open_as(store, partitions, StoreId(rand::random())).await
}

async fn open_as(store: &Store, partitions: Partition, new_id: StoreId) -> Result<Layout, Error> {
    if partitions == 0 {
        return Err(Error::Layout("a store has at least 1 partition, but 0 are configured".into()));
    }
    let snapshot = store.snapshot().await?;
    let row = if let Some(row) = snapshot.get(layout::key()).await? {
        row
    } else {
        refuse_foreign(&*snapshot).await?;
        let first = Layout {
            partitions: partitions.into(),
            epoch: 1,
            key_version: KEY_VERSION,
            store_id: new_id.0,
        };
        let mut batch = Batch::new(rand::random());
        batch.guard(layout::key(), None);
        // A store that is being filled is not a new one.
        batch.guard(import::key(), None);
        batch.set(layout::key(), first.encode());
        // Committed, rejected by somebody's layout, or unknown: what stands there now is the truth.
        match store.commit(batch).await {
            Ok(Outcome::Rejected { guard: 1 }) => return Err(half_imported()),
            Ok(_) | Err(weft_storage::Error::Unknown(_)) => {}
            Err(error) => return Err(error.into()),
        }
        store.snapshot().await?.get(layout::key()).await?.ok_or_else(|| {
            weft_storage::Error::Unavailable("the layout row could not be written".into())
        })?
    };
    let found = Layout::decode(&row)?;
    if found.key_version != KEY_VERSION {
        return Err(Error::Layout(format!(
            "this store has key version {}, but this Weft reads {KEY_VERSION}: run the Weft that \
             made it",
            found.key_version
        )));
    }
    if found.partitions != u32::from(partitions) {
        return Err(Error::Layout(format!(
            "this store was made with {0} partitions, but {partitions} are configured: set them to \
             {0}",
            found.partitions
        )));
    }
    Ok(found)
}

/// Without a layout row a store is empty, half imported, or not for us: FoundationDB serves others
/// too.
async fn refuse_foreign(snapshot: &dyn Snapshot) -> Result<(), Error> {
    if snapshot.scan(tables::all(), 1, false).await?.is_empty() {
        return Ok(());
    }
    if snapshot.get(import::key()).await?.is_some() {
        return Err(half_imported());
    }
    let what = "this store has no layout but is not empty: it belongs to something else";
    Err(Error::Layout(what.into()))
}

fn half_imported() -> Error {
    let what = "an import into this store is not finished: run `weft admin import` again";
    Error::Layout(what.into())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use weft_storage::memory::Memory;
    use weft_storage::tables::import::Import;

    use super::*;

    #[tokio::test]
    async fn the_first_start_makes_the_layout_and_the_next_keeps_it() {
        let store = Store::new(Memory::new());
        let (one, two) =
            tokio::join!(open_as(&store, 4, StoreId(7)), open_as(&store, 4, StoreId(8)),);
        let (one, two) = (one.expect("first"), two.expect("second"));
        assert_eq!(one, two);
        let again = open_as(&store, 4, StoreId(9)).await.expect("again");
        assert_eq!(again.store_id, one.store_id);
    }

    #[tokio::test]
    async fn a_store_that_is_half_imported_is_not_a_new_one() {
        let store = Store::new(Memory::new());
        let mut batch = Batch::new([1; 16]);
        batch.set(import::key(), Import::default().encode());
        store.commit(batch).await.expect("commit");
        let refused = open(&store, 4).await.expect_err("half").to_string();
        assert!(refused.contains("`weft admin import` again"), "{refused}");
        let mut batch = Batch::new([2; 16]);
        batch.clear(import::key());
        store.commit(batch).await.expect("commit");
        open(&store, 4).await.expect("a new store");
    }

    #[tokio::test]
    async fn another_configuration_is_refused_with_both_numbers() {
        let store = Store::new(Memory::new());
        assert!(matches!(open(&store, 0).await, Err(Error::Layout(_))));
        let made = open_as(&store, 4, StoreId(7)).await.expect("first");
        let refused = open_as(&store, 16, StoreId(7)).await.expect_err("16").to_string();
        assert!(refused.contains('4') && refused.contains("16"), "{refused}");

        let mut batch = Batch::new([1; 16]);
        batch.set(layout::key(), Layout { key_version: 99, ..made }.encode());
        store.commit(batch).await.expect("commit");
        let refused = open_as(&store, 4, StoreId(7)).await.expect_err("99").to_string();
        assert!(refused.contains("99") && !refused.contains('\n'), "{refused}");
    }

    #[tokio::test]
    async fn a_store_that_is_not_ours_is_refused_and_left_alone() {
        let store = Store::new(Memory::new());
        let mut batch = Batch::new([1; 16]);
        batch.set(Bytes::from_static(b"users/1"), "somebody's");
        store.commit(batch).await.expect("commit");
        let refused = open(&store, 4).await.expect_err("foreign").to_string();
        assert!(refused.contains("something else") && !refused.contains('\n'), "{refused}");
        let row = store.snapshot().await.expect("snapshot").get(layout::key()).await;
        assert_eq!(row.expect("get"), None);
    }
}
