//! Users' lists of rooms, of a store that has kept none until now; nothing in them is unread.

use bytes::Bytes;
use weft_proto::{RoomId, UserId};
use weft_storage::tables::activity::{self, ActivityBucket};
use weft_storage::tables::head::{self, Head};
use weft_storage::tables::sent::{self, Sent};
use weft_storage::tables::{layout, member};
use weft_storage::{Batch, Snapshot, Store};

use super::commit;
use crate::Error;

const ROOMS_AT_ONCE: usize = 200;
/// A batch with this many bytes takes nothing more.
pub(super) const FULL_BYTES: usize = 300_000;

/// Puts all rooms into their members' lists, as read up to now: nobody could say what they have read. Owners who keep these lists, and note who has read
/// by writing or joining, may work meanwhile: a row of where a room was a moment ago is passed over by whoever reads it. `layout_row` has to stay as it is.
///
/// # Errors
/// [`Error::Layout`] where the layout row was changed; those of the store.
pub(super) async fn write(store: &Store, layout_row: &Bytes) -> Result<(), Error> {
    let mut last: Option<RoomId> = None;
    let mut batch = guarded(layout_row);
    loop {
        let snapshot = store.snapshot().await?;
        let page = head::page_after(&*snapshot, last.as_ref(), ROOMS_AT_ONCE).await?;
        let Some((room, _)) = page.last() else { break };
        last = Some(room.clone());
        for (room, _) in &page {
            // Of each a snapshot of its own: FoundationDB forgets one after 5 s.
            let (head, members) = read(&*store.snapshot().await?, room).await?;
            for user in members {
                add(&mut batch, &user, room, &head);
                if batch.size_bytes() >= FULL_BYTES {
                    let full = std::mem::replace(&mut batch, guarded(layout_row));
                    commit(store, full).await?;
                }
            }
        }
    }
    commit(store, batch).await
}

fn add(batch: &mut Batch, user: &UserId, room: &RoomId, head: &Head) {
    batch.set(activity::key(user, ActivityBucket::of(head), room), Bytes::new());
    sent::put(batch, room, user, Sent { seq: head.seq, ordinal: head.ordinal });
}

/// A room and its members, of one moment.
async fn read(
    snapshot: &dyn Snapshot,
    room: &RoomId,
) -> Result<(Head, Vec<UserId>), weft_storage::Error> {
    let row = snapshot.get(head::key(room)).await?;
    let row = row.ok_or_else(|| weft_storage::Error::Corrupt(format!("{room} has no head")))?;
    let (_, head) = head::decode(&row)?;
    if let Some((low, high)) = room.direct_users() {
        return Ok((head, if low == high { vec![low] } else { vec![low, high] }));
    }
    let rows = member::all(snapshot, room).await?.into_iter();
    let members = rows.filter(|(_, row)| row.role().is_some()).map(|(user, _)| user);
    Ok((head, members.collect()))
}

pub(super) fn guarded(layout_row: &Bytes) -> Batch {
    let mut batch = Batch::new(rand::random());
    batch.guard(layout::key(), Some(layout_row.clone()));
    batch
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::ops::Range;
    use std::sync::Arc;
    use std::time::Duration;

    use async_trait::async_trait;
    use tokio::time::{Instant, sleep};
    use weft_proto::History;
    use weft_storage::engine::Pair;
    use weft_storage::tables::layout::{FEATURE_LEVEL, Layout};

    use weft_storage::tables::table::Table as _;
    use weft_storage::{Engine, Outcome};

    use super::super::super::testing::{World, create, remove, room, text, user};
    use super::super::Upgrade;
    use super::*;

    /// A store that is elsewhere, and forgets a snapshot after 5 s.
    struct Far(Store);

    struct Forgotten(Arc<dyn Snapshot>, Instant);

    impl Forgotten {
        async fn check(&self) -> Result<(), weft_storage::Error> {
            sleep(Duration::from_millis(30)).await;
            match self.1.elapsed() < Duration::from_secs(5) {
                true => Ok(()),
                false => Err(weft_storage::Error::Unavailable("the snapshot is too old".into())),
            }
        }
    }

    #[async_trait]
    impl Engine for Far {
        async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, weft_storage::Error> {
            Ok(Arc::new(Forgotten(self.0.snapshot().await?, Instant::now())))
        }

        async fn commit(&self, batch: Batch) -> Result<Outcome, weft_storage::Error> {
            self.0.commit(batch).await
        }
    }

    #[async_trait]
    impl Snapshot for Forgotten {
        fn read_version(&self) -> weft_proto::Position {
            self.0.read_version()
        }

        async fn get(&self, key: Bytes) -> Result<Option<Bytes>, weft_storage::Error> {
            self.check().await?;
            self.0.get(key).await
        }

        async fn get_many(
            &self,
            keys: Vec<Bytes>,
        ) -> Result<Vec<Option<Bytes>>, weft_storage::Error> {
            self.check().await?;
            self.0.get_many(keys).await
        }

        async fn scan(
            &self,
            range: Range<Bytes>,
            limit: usize,
            reverse: bool,
        ) -> Result<Vec<Pair>, weft_storage::Error> {
            self.check().await?;
            self.0.scan(range, limit, reverse).await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_walk_over_a_large_store_outlasts_a_snapshot() {
        let mut world = World::new().await;
        for n in 0..250 {
            world.one(&format!("g{n}"), "alice", create(&["bob"], History::All)).await;
        }
        let layout_row = world.store.snapshot().await.expect("snapshot").get(layout::key()).await;
        let layout_row = layout_row.expect("get").expect("a layout");
        let far = Store::new(Far(world.store.clone()));
        let began = Instant::now();
        write(&far, &layout_row).await.expect("written");
        assert!(began.elapsed() > Duration::from_secs(5));
    }

    async fn rows(store: &Store) -> BTreeSet<Bytes> {
        let snapshot = store.snapshot().await.expect("snapshot");
        let mut rows = BTreeSet::new();
        for name in ["alice", "bob", "cem", "dora"] {
            let range = activity::range_from(&user(name), ActivityBucket::LARGE);
            let found = snapshot.scan(range, usize::MAX, false).await.expect("scan");
            rows.extend(found.into_iter().map(|(key, _)| key));
        }
        rows
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_from_before_them_gets_them_while_its_level_is_raised() {
        let mut world = World::new().await;
        world.fanout_limit = 2;
        for (name, members) in [("small", &["bob"][..]), ("large", &["bob", "cem"])] {
            world.clock.advance_ms(3_600_000);
            world.one(name, "alice", create(members, History::All)).await;
        }
        world.one("small", "alice", remove("bob")).await;
        world.one("alice~dora", "dora", text("x")).await;
        world.one("cem~cem", "cem", text("x")).await;
        let kept = rows(&world.store).await;
        assert_eq!(kept.len(), 7);

        let mut batch = Batch::new(rand::random());
        kept.iter().for_each(|key| batch.clear(key.clone()));
        let row = world.store.snapshot().await.expect("snapshot").get(layout::key()).await;
        let row = Layout::decode(&row.expect("get").expect("a layout")).expect("a layout");
        batch.set(layout::key(), Layout { feature_level: 2, ..row }.encode());
        world.store.commit(batch).await.expect("commit");
        let upgrade = Upgrade::prepare(&world.store, FEATURE_LEVEL).await.expect("prepare");
        let upgrade = upgrade.expect("something to do");
        upgrade.commit(&world.store, Duration::from_secs(1)).await.expect("commit");
        assert_eq!(rows(&world.store).await, kept);
        let snapshot = world.store.snapshot().await.expect("snapshot");
        let row = snapshot.get(sent::key(&room("alice~dora"), &user("alice"))).await;
        let row = sent::decode(&row.expect("get").expect("a row")).expect("a row");
        assert_eq!(row, Sent { seq: 1, ordinal: 1 });
        let all = Sent::page(&*snapshot, None).await.expect("page");
        // Bob's of the group that he has left, too.
        assert_eq!(all.len(), kept.len() + 1);
    }
}
