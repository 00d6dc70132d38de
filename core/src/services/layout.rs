//! What the store was made for: checked before anything else reads or writes it, and as long as it
//! is served. Raising its feature level.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{MissedTickBehavior, interval, sleep};
use weft_proto::kind::{CONVERSATIONS_LEVEL, PEOPLE_LEVEL};
use weft_proto::{Partition, StoreId};
use weft_storage::tables::layout::{self, KEY_VERSION, Layout};
use weft_storage::tables::{self, import};
use weft_storage::{Batch, Outcome, Snapshot, Store};

use crate::Error;

mod lists;
mod names;

/// Between two looks at the layout of a store that is served.
const LOOK: Duration = Duration::from_secs(1);

/// Reads the store's layout; on the first start, writes it, with a random store id. Of several
/// processes that start at once, one writes, and all read the same.
///
/// # Errors
/// [`Error::NotServed`] where its feature level is not among those up to `known_level`;
/// [`Error::Layout`] where it was made for another configuration; those of the store.
pub async fn open(store: &Store, partitions: Partition, known_level: u32) -> Result<Layout, Error> {
    let layout = open_as(store, partitions, StoreId(rand::random())).await?;
    layout.check(known_level)?;
    if layout.partitions != u32::from(partitions) {
        return Err(Error::Layout(format!(
            "this store was made with {0} partitions, but {partitions} are configured: set them to \
             {0}",
            layout.partitions
        )));
    }
    Ok(layout)
}

/// Waits until a store that is served is not to be served any more: its feature level was raised
/// beyond those that are known. Partitions learn it when they are taken; this is for the calls, and for
/// a node that has no partition.
pub async fn outgrown(store: &Store, known_level: u32) -> Error {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let looked = async {
            let row = store.snapshot().await?.get(layout::key()).await?;
            row.as_deref().map(Layout::decode).transpose()
        };
        let refused = match looked.await {
            Ok(Some(layout)) => layout.check(known_level).err().map(Error::from),
            // The row has a form that only a later Weft knows.
            Err(error @ weft_storage::Error::Corrupt(_)) => Some(error.into()),
            // That the store is away, the node says.
            Ok(None) | Err(_) => None,
        };
        if let Some(refused) = refused {
            return refused;
        }
    }
}

/// How long it takes until a core that does not know the level serves no call any more: some looks.
pub const UPGRADE_PAUSE: Duration = Duration::from_secs(5);

pub struct Upgrade {
    pub from: u32,
    pub to: u32,
    row: Bytes,
    before: Layout,
}

impl Upgrade {
    /// Looks at the store; changes nothing yet. `None`: it is at level `to`.
    ///
    /// # Errors
    /// [`Error::NotServed`] where it is at a later level; [`Error::Layout`] where it is not a store of
    /// Weft; those of the store.
    pub async fn prepare(store: &Store, to: u32) -> Result<Option<Self>, Error> {
        let row = store.snapshot().await?.get(layout::key()).await?;
        let row = row.ok_or_else(|| Error::Layout("the store is empty".into()))?;
        let before = Layout::decode_whole(&row)?;
        match before.check(to) {
            Ok(()) if before.written_level() == to => return Ok(None),
            Ok(()) | Err(layout::NotServed::TooOld) => {}
            Err(refused) => return Err(refused.into()),
        }
        Ok(Some(Self { from: before.written_level(), to, row, before }))
    }

    /// Does it. Whoever owns a partition takes it anew, once with each of two commits: with the first,
    /// cores that do not know the level end, and the others go on as before; after the pause,
    /// when no call is answered by them any more, the second lets the new level be written. Done
    /// halfway, it is done to its end by doing it again. Without a pause, for who has the store alone, one
    /// commit does it. Before the last commit, what readers of the new level look for is written: by then only cores
    /// that know it work, and keep it.
    ///
    /// # Errors
    /// Those of the store; [`Error::Layout`] where somebody else changed the layout.
    pub async fn commit(self, store: &Store, pause: Duration) -> Result<(), Error> {
        let Self { from, to, row, before } = self;
        let after = |level_before, epoch| {
            let (key_version, feature_level) = (KEY_VERSION, to);
            Layout { epoch, key_version, feature_level, level_before, ..before.clone() }
        };
        // A core of before there were levels looks at none: all of them are stopped.
        let lists = from < CONVERSATIONS_LEVEL && to >= CONVERSATIONS_LEVEL;
        let names = from < PEOPLE_LEVEL && to >= PEOPLE_LEVEL;
        let fill = async |row: &Bytes| {
            if lists {
                lists::write(store, row).await?;
            }
            if names { names::write(store, row).await } else { Ok(()) }
        };
        if from == 0 || pause.is_zero() {
            fill(&row).await?;
            return replace(store, row, &after(0, before.epoch + 1)).await;
        }
        let halfway = after(from, before.epoch + 1);
        replace(store, row, &halfway).await?;
        sleep(pause).await;
        let halfway = halfway.encode();
        fill(&halfway).await?;
        replace(store, halfway, &after(0, before.epoch + 2)).await
    }
}

async fn replace(store: &Store, row: Bytes, layout: &Layout) -> Result<(), Error> {
    let mut batch = Batch::new(rand::random());
    batch.guard(layout::key(), Some(row));
    batch.set(layout::key(), layout.encode());
    commit(store, batch).await
}

/// Commits what is guarded by the layout row.
async fn commit(store: &Store, batch: Batch) -> Result<(), Error> {
    match store.commit(batch).await? {
        Outcome::Committed(_) => Ok(()),
        Outcome::Rejected { .. } => {
            Err(Error::Layout("the store was changed meanwhile: look again".into()))
        }
    }
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
        let first = Layout::new(partitions.into(), new_id.0);
        let mut batch = Batch::new(rand::random());
        batch.guard(layout::key(), None);
        // A store that is being filled is not a new one.
        batch.guard(import::key(), None);
        batch.set(layout::key(), first.encode());
        // Committed, rejected by somebody's layout, or unknown: what is there now is the truth.
        match store.commit(batch).await {
            Ok(Outcome::Rejected { guard: 1 }) => return Err(half_imported()),
            Ok(_) | Err(weft_storage::Error::Unknown(_)) => {}
            Err(error) => return Err(error.into()),
        }
        store.snapshot().await?.get(layout::key()).await?.ok_or_else(|| {
            weft_storage::Error::Unavailable("the layout row could not be written".into())
        })?
    };
    Ok(Layout::decode(&row)?)
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
    use std::pin::pin;

    use tokio::time::timeout;
    use weft_storage::memory::Memory;
    use weft_storage::tables::import::Import;
    use weft_storage::tables::layout::FEATURE_LEVEL;

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
        let refused = open(&store, 4, FEATURE_LEVEL).await.expect_err("half").to_string();
        assert!(refused.contains("`weft admin import` again"), "{refused}");
        let mut batch = Batch::new([2; 16]);
        batch.clear(import::key());
        store.commit(batch).await.expect("commit");
        open(&store, 4, FEATURE_LEVEL).await.expect("a new store");
    }

    #[tokio::test]
    async fn another_configuration_is_refused_with_both_numbers() {
        let store = Store::new(Memory::new());
        assert!(matches!(open(&store, 0, FEATURE_LEVEL).await, Err(Error::Layout(_))));
        open(&store, 4, FEATURE_LEVEL).await.expect("first");
        let refused = open(&store, 16, FEATURE_LEVEL).await.expect_err("16").to_string();
        assert!(refused.contains('4') && refused.contains("16"), "{refused}");
    }

    /// A store of the Weft that had no levels.
    async fn store_of_level_0() -> Store {
        let store = Store::new(Memory::new());
        let row = Layout { key_version: 1, feature_level: 0, ..Layout::new(4, 7) };
        let mut batch = Batch::new([1; 16]);
        batch.set(layout::key(), row.encode());
        store.commit(batch).await.expect("commit");
        store
    }

    #[tokio::test]
    async fn a_store_without_levels_is_upgraded_in_place() {
        let store = store_of_level_0().await;
        let refused = open(&store, 4, FEATURE_LEVEL).await.expect_err("level 0").to_string();
        assert!(refused.contains("`weft admin upgrade`") && !refused.contains('\n'), "{refused}");
        let upgrade = Upgrade::prepare(&store, FEATURE_LEVEL).await.expect("prepare");
        let upgrade = upgrade.expect("something to do");
        assert_eq!((upgrade.from, upgrade.to), (0, FEATURE_LEVEL));
        upgrade.commit(&store, Duration::ZERO).await.expect("commit");
        let layout = open(&store, 4, FEATURE_LEVEL).await.expect("served");
        assert_eq!(layout, Layout { epoch: 2, ..Layout::new(4, 7) });
        let again = Upgrade::prepare(&store, FEATURE_LEVEL).await.expect("prepare");
        assert!(again.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_level_that_is_not_known_is_noticed_while_it_is_served() {
        let store = Store::new(Memory::new());
        open(&store, 4, FEATURE_LEVEL).await.expect("served");
        let mut outgrown = pin!(outgrown(&store, FEATURE_LEVEL));
        assert!(timeout(LOOK * 3, &mut outgrown).await.is_err());
        let next = FEATURE_LEVEL + 1;
        let upgrade = Upgrade::prepare(&store, next).await.expect("prepare");
        upgrade.expect("something to do").commit(&store, Duration::ZERO).await.expect("commit");
        let refused = timeout(LOOK * 2, &mut outgrown).await.expect("noticed").to_string();
        assert!(refused.contains(&format!("feature level {next}")), "{refused}");
        open(&store, 4, next).await.expect("served by who knows it");
        // Nobody lowers it.
        assert!(open(&store, 4, FEATURE_LEVEL).await.is_err());
        assert!(Upgrade::prepare(&store, FEATURE_LEVEL).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_level_is_written_only_when_nobody_who_does_not_know_it_answers() {
        let store = Store::new(Memory::new());
        open(&store, 4, FEATURE_LEVEL).await.expect("a new store");
        let next = FEATURE_LEVEL + 1;
        let prepare = async || Upgrade::prepare(&store, next).await.expect("prepare");
        let upgrade = prepare().await.expect("something to do");
        // It is interrupted halfway.
        assert!(timeout(LOOK * 2, upgrade.commit(&store, UPGRADE_PAUSE)).await.is_err());
        assert!(open(&store, 4, FEATURE_LEVEL).await.is_err(), "who does not know it, ends");
        let halfway = open(&store, 4, next).await.expect("served");
        assert_eq!((halfway.written_level(), halfway.epoch), (FEATURE_LEVEL, 2));
        let again = prepare().await.expect("something to do");
        assert_eq!((again.from, again.to), (FEATURE_LEVEL, next));
        again.commit(&store, UPGRADE_PAUSE).await.expect("commit");
        assert_eq!(open(&store, 4, next).await.expect("served").written_level(), next);
        assert!(prepare().await.is_none());
    }

    #[tokio::test]
    async fn a_store_that_is_not_ours_is_refused_and_left_alone() {
        let store = Store::new(Memory::new());
        let mut batch = Batch::new([1; 16]);
        batch.set(Bytes::from_static(b"users/1"), "somebody's");
        store.commit(batch).await.expect("commit");
        let refused = open(&store, 4, FEATURE_LEVEL).await.expect_err("foreign").to_string();
        assert!(refused.contains("something else") && !refused.contains('\n'), "{refused}");
        let row = store.snapshot().await.expect("snapshot").get(layout::key()).await;
        assert_eq!(row.expect("get"), None);
    }
}
