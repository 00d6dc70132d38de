//! What is not kept for ever is removed, beside the owner of a partition: old pointers of inboxes, logins
//! that nobody has used for long, dead letters, and the minutes that told how old things were.
//!
//! Once a day, by the clock, it goes over all accounts and does those whose notebook (`u~u`) is in
//! its partition, some at a time, with pauses. It keeps no place: whoever owns the partition next begins
//! at the front, and finds what is done already by its marks. Who thinks that they own the partition and
//! do not, do no harm: each commit is guarded by what it was made from, and by a layout of a feature level
//! that this Weft knows.
//!
//! How old a pointer is, its position can't tell. The newest commit that is known to be old enough, of
//! any partition, says up to which position everything is as old (see `minute`).

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::sleep;
use tracing::{debug, info};
use weft_proto::{Partition, Position, RoomId, UserId, partition_of};
use weft_storage::tables::layout::{self, Layout};
use weft_storage::tables::{account, dead_letter, device, inbox, minute};
use weft_storage::{Batch, Outcome, Snapshot, Store};

use super::clocks::Clocks;
use crate::error::Error;
use crate::metrics::TRIMMED;
use crate::services::refresh_token::LIFE_MS;

/// Between two looks whether another day has begun. The first one comes after it too: partitions are
/// taken when others have ended, and then there is other work.
const LOOK_PAUSE: Duration = Duration::from_secs(60);
/// Accounts that are looked at between two pauses, and so users whose inboxes one commit trims.
const USERS_AT_ONCE: usize = 200;
/// The pause.
const PAUSE: Duration = Duration::from_millis(100);
/// Logins of one user that are looked at in a day.
const LOGINS_MAX: usize = 1_000;
const DAY_MS: u64 = 24 * 3_600_000;

/// How long things are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retention {
    /// Pointers of inboxes: a device that was away for longer loads its rooms anew.
    pub inboxes: Duration,
    /// Commands that were put aside.
    pub dead_letters: Duration,
    /// Logins after their last use.
    pub logins: Duration,
    /// The journal; the partition's owner deletes it.
    pub journal: Duration,
    /// When commits were made: longer than what is trimmed by that.
    pub minutes: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        let days = |days: u64| Duration::from_millis(days * DAY_MS);
        Self {
            inboxes: days(30),
            dead_letters: days(30),
            logins: days(90),
            journal: days(30),
            minutes: days(90),
        }
    }
}

/// Removes what is older than it is kept, for one partition.
pub struct Keeper {
    /// The truth.
    pub store: Store,
    /// Tells the time, and whether to believe it: by a clock that is months ahead everything is old.
    pub clocks: Clocks,
    /// The partition.
    pub partition: Partition,
    /// How many there are.
    pub partitions: Partition,
    /// How long things are kept.
    pub retention: Retention,
    /// The newest feature level of a store that it works on.
    pub feature_level: u32,
}

impl Keeper {
    /// Works for as long as it is polled.
    pub async fn run(self) -> Infallible {
        let mut done = None;
        loop {
            sleep(LOOK_PAUSE).await;
            let day = self.clocks.now_ms() / DAY_MS;
            if done == Some(day) || !self.clocks.agree() {
                continue;
            }
            match self.walk().await {
                Ok(()) => done = Some(day),
                // Tried again in a minute. That the store is away, the node says.
                Err(error) => debug!(partition = self.partition, %error, "not trimmed"),
            }
        }
    }

    /// One walk over everything that is this partition's.
    ///
    /// # Errors
    /// [`Error::NotServed`] where the store is of a later feature level; those of the store.
    pub async fn walk(&self) -> Result<(), Error> {
        let up_to = self.old_position().await?;
        let (mut after, mut trimmed, mut ended) = (None, 0, 0);
        loop {
            let snapshot = self.store.snapshot().await?;
            let users = account::users_after(&*snapshot, after.as_ref(), USERS_AT_ONCE).await?;
            let Some(last) = users.last() else { break };
            after = Some(last.clone());
            let mine: Vec<UserId> = users.into_iter().filter(|user| self.is_mine(user)).collect();
            if !mine.is_empty() {
                trimmed += self.trim_inboxes(&*snapshot, &mine, up_to).await?;
                ended += self.end_logins(&*snapshot, &mine).await?;
            }
            drop(snapshot);
            sleep(PAUSE).await;
        }
        let letters = self.remove_dead_letters().await?;
        self.forget_minutes().await?;
        if trimmed + ended + letters > 0 {
            info!(
                partition = self.partition,
                inboxes = trimmed,
                logins = ended,
                letters,
                "trimmed"
            );
        }
        Ok(())
    }

    fn is_mine(&self, user: &UserId) -> bool {
        let notebook = RoomId::new(&format!("{user}~{user}"));
        notebook.is_ok_and(|room| partition_of(&room, self.partitions) == self.partition)
    }

    /// Up to which position everything is older than inboxes are kept.
    async fn old_position(&self) -> Result<Position, Error> {
        let snapshot = self.store.snapshot().await?;
        let minute = minute::of_ms(self.ago_ms(self.retention.inboxes));
        let mut up_to = Position::MIN;
        for partition in 0..self.partitions {
            let newest = minute::newest_until(&*snapshot, partition, minute).await?;
            up_to = up_to.max(newest.map_or(Position::MIN, |first| first.position));
        }
        Ok(up_to)
    }

    /// The time so long ago, Unix milliseconds: of a day's begin, so that a day has one.
    fn ago_ms(&self, age: Duration) -> u64 {
        let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        (self.clocks.now_ms() / DAY_MS * DAY_MS).saturating_sub(age_ms)
    }

    /// How many inboxes were trimmed.
    async fn trim_inboxes(
        &self,
        snapshot: &dyn Snapshot,
        users: &[UserId],
        up_to: Position,
    ) -> Result<u64, Error> {
        let rows = snapshot.get_many(users.iter().map(inbox::trimmed_key).collect()).await?;
        let (mut batch, mut count) = (self.batch(snapshot).await?, 0);
        for (user, row) in users.iter().zip(rows) {
            let trimmed = row.as_deref().map(inbox::decode_trimmed).transpose()?;
            if trimmed.is_some_and(|trimmed| trimmed >= up_to) {
                continue;
            }
            let old = inbox::range(user, trimmed.unwrap_or(Position::MIN), up_to);
            if !snapshot.scan(old, 1, false).await?.is_empty() {
                inbox::trim(&mut batch, user, row, up_to);
                count += 1;
            }
        }
        self.commit(batch, count, "inbox").await
    }

    /// How many logins have ended.
    async fn end_logins(&self, snapshot: &dyn Snapshot, users: &[UserId]) -> Result<u64, Error> {
        let used_before_ms = self.ago_ms(self.retention.logins);
        let mut ended = 0;
        for user in users {
            // A batch for each: together they could be more than a store takes.
            let (mut batch, mut count) = (self.batch(snapshot).await?, 0);
            for (key, row) in snapshot.scan(device::range(user), LOGINS_MAX, false).await? {
                let login = device::Device::decode(&row)?;
                // Each use gives it a token that lives for so long.
                if login.refresh_expires_ms.saturating_sub(LIFE_MS) < used_before_ms {
                    batch.guard(key.clone(), Some(row));
                    batch.clear(key);
                    count += 1;
                }
            }
            ended += self.commit(batch, count, "login").await?;
        }
        Ok(ended)
    }

    /// How many dead letters were removed.
    async fn remove_dead_letters(&self) -> Result<u64, Error> {
        let (before_ms, mut after, mut removed) = (self.ago_ms(self.retention.dead_letters), 0, 0);
        loop {
            let snapshot = self.store.snapshot().await?;
            let place = Some((self.partition, after));
            let found = dead_letter::first_after(&*snapshot, place).await?;
            let is_old = |kept: &dead_letter::Kept| {
                kept.partition == self.partition && kept.letter.time_ms < before_ms
            };
            let Some(kept) = found.filter(is_old) else { return Ok(removed) };
            after = kept.stream_seq;
            let mut batch = self.batch(&*snapshot).await?;
            dead_letter::remove(&mut batch, self.partition, after);
            removed += self.commit(batch, 1, "dead_letter").await?;
            sleep(PAUSE).await;
        }
    }

    async fn forget_minutes(&self) -> Result<(), Error> {
        let snapshot = self.store.snapshot().await?;
        let mut batch = self.batch(&*snapshot).await?;
        let old = minute::of_ms(self.ago_ms(self.retention.minutes));
        // The newest one that is so old tells what is, for as long as no later one is.
        let Some(newest) = minute::newest_until(&*snapshot, self.partition, old).await? else {
            return Ok(());
        };
        let range = minute::range_before(self.partition, newest.minute);
        if !snapshot.scan(range.clone(), 1, false).await?.is_empty() {
            batch.clear_range(range.start, range.end);
            self.commit(batch, 1, "minute").await?;
        }
        Ok(())
    }

    async fn batch(&self, snapshot: &dyn Snapshot) -> Result<Batch, Error> {
        let row = snapshot.get(layout::key()).await?;
        let row: Bytes = row.ok_or_else(|| Error::Layout("the store has no layout row".into()))?;
        Layout::decode(&row)?.check(self.feature_level)?;
        let mut batch = Batch::new(rand::random());
        batch.guard(layout::key(), Some(row));
        Ok(batch)
    }

    /// How many of the `count` things in the batch are done: all, or none where somebody else has
    /// changed one meanwhile. The next walk finds those.
    async fn commit(&self, batch: Batch, count: u64, what: &'static str) -> Result<u64, Error> {
        // A clock may be set while it walks.
        if count == 0 || self.clocks.differ() {
            return Ok(0);
        }
        match self.store.commit(batch).await? {
            Outcome::Committed(_) => {
                TRIMMED.add(what, count);
                Ok(count)
            }
            Outcome::Rejected { .. } => Ok(0),
        }
    }
}

#[cfg(test)]
mod tests;
