//! In how many groups users are: so that nobody is put into more than a session can follow.
//!
//! A user's groups lie in all partitions, and each partition's owner adds to them. So the number is
//! counted in the store, kept for some minutes and raised by what this process adds. It is no exact
//! limit: what several processes add at once, and what one commit adds, goes beyond it.

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use lru::LruCache;
use weft_proto::UserId;
use weft_proto::limits::GROUPS_PER_USER_MAX;
use weft_runtime::lock;
use weft_storage::tables::user_room;
use weft_storage::{Error, Snapshot};

/// Users whose number is kept: some 150 bytes each.
const USERS_MAX: NonZeroUsize = NonZeroUsize::new(50_000).expect("not zero");
/// A number that is older is counted again.
const KEPT_MS: u64 = 600_000;
/// Users who are counted at once.
const USERS_AT_ONCE: usize = 16;
const ROWS_PER_SCAN: usize = 2_000;

struct Counted {
    groups: usize,
    at_ms: u64,
}

/// The numbers, of all workers of a process.
pub struct GroupCounts(Mutex<LruCache<UserId, Counted>>);

impl Default for GroupCounts {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(USERS_MAX)))
    }
}

impl GroupCounts {
    fn lock(&self) -> MutexGuard<'_, LruCache<UserId, Counted>> {
        lock(&self.0)
    }

    /// In how many groups these users are, about; counted up to the limit.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn of(
        &self,
        snapshot: &dyn Snapshot,
        users: BTreeSet<UserId>,
        now_ms: u64,
    ) -> Result<HashMap<UserId, usize>, Error> {
        let (mut found, unknown) = self.kept(users, now_ms);
        let counted: Vec<BoxFuture<'_, _>> =
            unknown.into_iter().map(|user| count(snapshot, user).boxed()).collect();
        let counted: Vec<(UserId, usize)> =
            stream::iter(counted).buffered(USERS_AT_ONCE).try_collect().await?;
        for (user, groups) in counted {
            self.lock().put(user.clone(), Counted { groups, at_ms: now_ms });
            found.insert(user, groups);
        }
        Ok(found)
    }

    /// The numbers that are kept and not too old, and the users without one.
    fn kept(&self, users: BTreeSet<UserId>, now_ms: u64) -> (HashMap<UserId, usize>, Vec<UserId>) {
        let (mut found, mut unknown) = (HashMap::new(), Vec::new());
        let mut kept = self.lock();
        for user in users {
            match kept.get(&user).filter(|counted| now_ms.abs_diff(counted.at_ms) < KEPT_MS) {
                Some(counted) => drop(found.insert(user, counted.groups)),
                None => unknown.push(user),
            }
        }
        (found, unknown)
    }

    /// A user was put into a group.
    pub fn add(&self, user: &UserId) {
        if let Some(counted) = self.lock().peek_mut(user) {
            counted.groups += 1;
        }
    }

    /// A user is out of a group.
    pub fn remove(&self, user: &UserId) {
        if let Some(counted) = self.lock().peek_mut(user) {
            counted.groups = counted.groups.saturating_sub(1);
        }
    }
}

async fn count(snapshot: &dyn Snapshot, user: UserId) -> Result<(UserId, usize), Error> {
    let (mut groups, mut after) = (0, None);
    loop {
        let range = user_room::groups_after(&user, after.as_ref());
        let rows = snapshot.scan(range, ROWS_PER_SCAN, false).await?;
        groups += rows.len();
        match rows.last() {
            Some((key, _)) if rows.len() == ROWS_PER_SCAN && groups < GROUPS_PER_USER_MAX => {
                after = Some(user_room::room(key)?);
            }
            _ => return Ok((user, groups)),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use weft_proto::RoomId;
    use weft_storage::memory::Memory;
    use weft_storage::{Batch, Store};

    use super::*;

    #[tokio::test]
    async fn a_users_groups_are_counted_now_and_then_and_raised_meanwhile() {
        let store = Store::new(Memory::new());
        let user = UserId::new("alice").expect("id");
        let join = async |numbers: std::ops::Range<usize>, batch_id: u8| {
            let mut batch = Batch::new([batch_id; 16]);
            for number in numbers {
                let room = RoomId::new(&format!("g{number}")).expect("id");
                batch.set(user_room::key(&user, &room), Bytes::new());
            }
            store.commit(batch).await.expect("commit");
        };
        join(0..5_000, 1).await;
        let counts = GroupCounts::default();
        let of = async |now_ms| {
            let snapshot = store.snapshot().await.expect("snapshot");
            let users = BTreeSet::from([user.clone()]);
            counts.of(&*snapshot, users, now_ms).await.expect("counted")[&user]
        };
        assert_eq!(of(0).await, 5_000);
        counts.add(&user);
        assert_eq!(of(KEPT_MS - 1).await, 5_001);
        assert_eq!(of(KEPT_MS).await, 5_000, "the store knows better");
        counts.remove(&user);
        assert_eq!(of(KEPT_MS).await, 4_999);
        join(5_000..20_000, 2).await;
        let many = of(3 * KEPT_MS).await;
        assert!((GROUPS_PER_USER_MAX..15_000).contains(&many), "{many}: no need to count all");
    }
}
