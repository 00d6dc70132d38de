//! What is not kept for ever is removed, beside the owner of a partition: old pointers of inboxes, settings, relations and
//! invitations that are none any more, drafts that were dismissed, scheduled messages that were sent or taken back, logins
//! that nobody has used for long, dead letters, and the minutes that told how old things were.
//!
//! Once a day, by the clock, it goes over all accounts and does those whose notebook (`u~u`) is in
//! its partition, some at a time, with pauses. Where the store is away meanwhile it goes on where it was.
//! Whoever owns the partition next begins at the front, and finds what is done already by its marks. Who
//! thinks that they own the partition and do not, do no harm: each commit is guarded by what it was made
//! from, and by a layout of a feature level that this Weft knows. A row that can't be read is left, and
//! named: the others are done all the same.
//!
//! Dead letters are bounded by their number too, and that is looked at every minute.
//!
//! How old a pointer is, its position can't tell. The newest commit that is known to be old enough, of
//! any partition, says up to which position everything is as old (see `minute`).

use std::convert::Infallible;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::sleep;
use tracing::{debug, info, warn};
use weft_proto::limits::{INVITATION_ROWS_MAX, RELATIONS_PER_USER_MAX, SETTINGS_PER_USER_MAX};
use weft_proto::{Partition, Position, RoomId, UserId, partition_of};
use weft_storage::tables::layout::{self, Layout};
use weft_storage::tables::{
    account, change, dead_letter, device, draft, group_invitation, inbox, minute,
    push_registration, relation, scheduled, setting,
};
use weft_storage::{Batch, Outcome, Snapshot, Store};

use super::clocks::Clocks;
use super::drafts::ROWS_MAX as DRAFT_ROWS_MAX;
use super::scheduled::ROWS_MAX as SCHEDULED_ROWS_MAX;
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
/// Rows of dead letters that are looked at, and so removed, between two pauses. One may have 100 kB.
const LETTER_ROWS_AT_ONCE: usize = 64;
/// Rows of one user that say nothing any more and are removed in a day.
const FORGOTTEN_MAX: u64 = 1_000;
const DAY_MS: u64 = 24 * 3_600_000;

/// How long things are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retention {
    /// Pointers of inboxes: a device that was away for longer loads its rooms anew.
    pub inboxes: Duration,
    /// Commands that were put aside ...
    pub dead_letters: Duration,
    /// ... and how many of a partition: the newest ones.
    pub dead_letters_max: usize,
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
            dead_letters_max: 10_000,
            logins: days(90),
            journal: days(30),
            minutes: days(90),
        }
    }
}

/// Reads a row: where it was written, and whether it says the same as none at this time.
type ReadRow = fn(&[u8], u64) -> Result<(Position, bool), weft_storage::Error>;

/// A table of what users keep of rooms for their own devices.
struct KeptRows {
    what: &'static str,
    range: fn(&UserId) -> Range<Bytes>,
    rows_max: usize,
    read: ReadRow,
    /// The key of a row beside it, which is removed with it.
    beside: fn(&[u8]) -> Option<Bytes>,
}

impl KeptRows {
    const SETTINGS: Self = Self {
        what: "setting",
        range: setting::range,
        rows_max: SETTINGS_PER_USER_MAX,
        read: |row, now_ms| {
            setting::decode(row).map(|(at, setting)| (at, setting.is_default(now_ms)))
        },
        beside: |_| None,
    };
    const SCHEDULED: Self = Self {
        what: "scheduled",
        range: scheduled::range,
        rows_max: 2 * SCHEDULED_ROWS_MAX,
        read: |row, _| scheduled::decode(row).map(|(at, row)| (at, row.is_over())),
        beside: |_| None,
    };
    const DRAFTS: Self = Self {
        what: "draft",
        range: |user| draft::range_after(user, None),
        rows_max: DRAFT_ROWS_MAX,
        read: |row, _| draft::decode(row).map(|(at, draft)| (at, draft.is_dismissed())),
        beside: |_| None,
    };
    const INVITATIONS: Self = Self {
        what: "invitation",
        range: group_invitation::range,
        rows_max: INVITATION_ROWS_MAX,
        read: |row, now_ms| {
            group_invitation::decode(row).map(|(at, row)| (at, !row.is_open(now_ms)))
        },
        beside: |key| {
            group_invitation::read_key(key).ok().map(|key| group_invitation::listed_key(&key))
        },
    };
    const RELATIONS: Self = Self {
        what: "relation",
        range: relation::range,
        rows_max: RELATIONS_PER_USER_MAX,
        read: |row, _| relation::decode(row).map(|(at, row)| (at, row.is_default())),
        beside: |_| None,
    };
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
        let (mut done, mut place, mut newest_letter) = (None, None, None);
        loop {
            sleep(LOOK_PAUSE).await;
            if !self.clocks.agree() {
                continue;
            }
            self.say(self.bound_dead_letters(&mut newest_letter).await);
            let day = self.clocks.now_ms() / DAY_MS;
            if done != Some(day) && self.say(self.walk_on(&mut place).await) {
                done = Some(day);
            }
        }
    }

    /// True where it is done; else it is tried again in a minute.
    fn say(&self, result: Result<(), Error>) -> bool {
        let partition = self.partition;
        match &result {
            Ok(()) => {}
            // That the store is away, the node says.
            Err(error) if error.is_retryable() => debug!(partition, %error, "not trimmed"),
            Err(error) => warn!(partition, %error, "not trimmed"),
        }
        result.is_ok()
    }

    /// One walk over everything that is this partition's.
    ///
    /// # Errors
    /// [`Error::NotServed`] where the store is of a later feature level; those of the store.
    pub async fn walk(&self) -> Result<(), Error> {
        self.walk_on(&mut None).await
    }

    /// A walk over the users after `place`, which moves with it, and then over everything else.
    async fn walk_on(&self, place: &mut Option<UserId>) -> Result<(), Error> {
        let up_to = self.old_position().await?;
        let (mut trimmed, mut ended) = (0, 0);
        loop {
            let snapshot = self.store.snapshot().await?;
            let users = account::users_after(&*snapshot, place.as_ref(), USERS_AT_ONCE).await?;
            let Some(last) = users.last().cloned() else { break };
            let mine: Vec<UserId> = users.into_iter().filter(|user| self.is_mine(user)).collect();
            if !mine.is_empty() {
                trimmed += self.trim_inboxes(&*snapshot, &mine, up_to).await?;
                ended += self.end_logins(&*snapshot, &mine).await?;
                Box::pin(self.forget_pushes(&*snapshot, &mine)).await?;
                for kept in [
                    KeptRows::SETTINGS,
                    KeptRows::DRAFTS,
                    KeptRows::RELATIONS,
                    KeptRows::SCHEDULED,
                    KeptRows::INVITATIONS,
                ] {
                    Box::pin(self.forget(&kept, &mine, up_to)).await?;
                }
            }
            *place = Some(last);
            drop(snapshot);
            sleep(PAUSE).await;
        }
        self.bound_dead_letters(&mut None).await?;
        let before_ms = self.ago_ms(self.retention.dead_letters);
        let letters = self.remove_dead_letters(0, before_ms).await?;
        self.forget_minutes().await?;
        *place = None;
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
            let trimmed = match row.as_deref().map(inbox::decode_trimmed).transpose() {
                Ok(trimmed) => trimmed,
                Err(error) => {
                    warn!(%user, %error, "an inbox is not trimmed");
                    continue;
                }
            };
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

    /// Removes rows that say the same as none, and have told that to all devices: no cursor is good
    /// any more that is from before them.
    async fn forget(
        &self,
        kept: &KeptRows,
        users: &[UserId],
        up_to: Position,
    ) -> Result<(), Error> {
        // With the marks of what is trimmed as they are now.
        let snapshot = self.store.snapshot().await?;
        let rows = snapshot.get_many(users.iter().map(inbox::trimmed_key).collect()).await?;
        for (user, trimmed) in users.iter().zip(rows) {
            let (mut batch, mut count) = (self.batch(&*snapshot).await?, 0);
            for (key, row) in snapshot.scan((kept.range)(user), kept.rows_max, false).await? {
                let (position, says_nothing) = match (kept.read)(&row, self.clocks.now_ms()) {
                    Ok(read) => read,
                    Err(error) => {
                        warn!(%user, %error, "a {} is kept, whatever it says", kept.what);
                        continue;
                    }
                };
                if position <= up_to && says_nothing && count < FORGOTTEN_MAX {
                    batch.guard(key.clone(), Some(row));
                    (kept.beside)(&key).into_iter().for_each(|beside| batch.clear(beside));
                    batch.clear(key);
                    change::clear(&mut batch, user, position);
                    count += 1;
                }
            }
            let is_trimmed = match trimmed.as_deref().map(inbox::decode_trimmed).transpose() {
                Ok(trimmed) => trimmed.is_some_and(|trimmed| trimmed >= up_to),
                // It was said when the inbox was looked at.
                Err(_) => continue,
            };
            if count > 0 && !is_trimmed {
                inbox::trim(&mut batch, user, trimmed, up_to);
            }
            self.commit(batch, count, kept.what).await?;
        }
        Ok(())
    }

    /// How many logins have ended.
    async fn end_logins(&self, snapshot: &dyn Snapshot, users: &[UserId]) -> Result<u64, Error> {
        let used_before_ms = self.ago_ms(self.retention.logins);
        let mut ended = 0;
        for user in users {
            // A batch for each: together they could be more than a store takes.
            let (mut batch, mut count) = (self.batch(snapshot).await?, 0);
            for (key, row) in snapshot.scan(device::range(user), LOGINS_MAX, false).await? {
                let login = match device::Device::decode(&row) {
                    Ok(login) => login,
                    Err(error) => {
                        warn!(%user, %error, "a login is kept, however old it is");
                        continue;
                    }
                };
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

    /// Removes how devices were notified whose logins have ended: it was good for these alone.
    async fn forget_pushes(&self, snapshot: &dyn Snapshot, users: &[UserId]) -> Result<(), Error> {
        for user in users {
            let (mut batch, mut count) = (self.batch(snapshot).await?, 0);
            let range = push_registration::range(user);
            for (key, row) in snapshot.scan(range, LOGINS_MAX, false).await? {
                let at = push_registration::read_key(&key)?;
                let login_key = device::key(user, &at.1);
                let login = snapshot.get(login_key.clone()).await?;
                let is_good = match push_registration::is_of(&row, login.as_deref()) {
                    Ok(is_good) => is_good,
                    Err(error) => {
                        warn!(%user, %error, "a registration for push is kept, whatever its login is");
                        continue;
                    }
                };
                if !is_good {
                    batch.guard(login_key, login);
                    push_registration::clear(&mut batch, snapshot, (&at, row)).await?;
                    count += 1;
                }
            }
            self.commit(batch, count, "push registration").await?;
        }
        Ok(())
    }

    /// Removes all dead letters but the newest ones. `newest`: which one was the newest when they were
    /// counted last; they are not counted again while it is.
    async fn bound_dead_letters(&self, newest: &mut Option<u64>) -> Result<(), Error> {
        let snapshot = self.store.snapshot().await?;
        let now_newest = dead_letter::newest_before(&*snapshot, self.partition, 0).await?;
        if now_newest == *newest {
            return Ok(());
        }
        let most = self.retention.dead_letters_max;
        let beyond = dead_letter::newest_before(&*snapshot, self.partition, most).await?;
        drop(snapshot);
        if let Some(up_to) = beyond {
            let removed = self.remove_dead_letters(up_to, 0).await?;
            warn!(partition = self.partition, removed, most, "too many dead letters");
        }
        *newest = now_newest;
        Ok(())
    }

    /// Removes the dead letters up to a stream sequence, and from before a time. How many those are.
    async fn remove_dead_letters(&self, up_to: u64, before_ms: u64) -> Result<u64, Error> {
        let mut removed = 0;
        loop {
            let snapshot = self.store.snapshot().await?;
            let rows = LETTER_ROWS_AT_ONCE;
            let letters = dead_letter::oldest(&*snapshot, self.partition, rows).await?;
            let is_old = |(seq, time_ms): &(u64, Option<u64>)| {
                *seq <= up_to || time_ms.is_some_and(|time_ms| time_ms < before_ms)
            };
            // They came in this order: one that can't be read is as old as those around it.
            let run = letters.iter().take_while(|letter| is_old(letter) || letter.1.is_none());
            let Some((last, _)) = run.filter(|letter| is_old(letter)).last() else {
                return Ok(removed);
            };
            let count = letters.iter().filter(|(seq, _)| seq <= last).count();
            let mut batch = self.batch(&*snapshot).await?;
            dead_letter::remove_up_to(&mut batch, self.partition, *last);
            match self.commit(batch, count as u64, "dead_letter").await? {
                0 => return Ok(removed),
                done => removed += done,
            }
            drop(snapshot);
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
