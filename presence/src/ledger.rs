//! What was published: versions, and whose duty a user is. Pure.
//!
//! Every presence node merges everything; the one whose duty a user is publishes. The others keep
//! what they hear of it, so that each of them can answer for all users, with the same versions, and
//! so that whoever takes over publishes what its predecessor did not.
//!
//! A version is the later of the clock (Unix milliseconds) and one more than the last. So it grows
//! through restarts, as long as the clocks of presence nodes differ by less than it takes to restart
//! one.

use std::collections::{BTreeSet, HashMap};

use weft_proto::partition::fnv1a_64;
use weft_proto::{Presence, UserId};

use crate::merge::Now;
use crate::shown::Shown;

/// Users are spread over presence nodes in so many shares.
pub const SHARES: u16 = 64;

/// The share of a user.
#[must_use]
pub fn share_of(user: &UserId) -> u16 {
    // The lowest bits of FNV-1a are its best.
    (fnv1a_64(user.as_str().as_bytes()) % u64::from(SHARES)) as u16
}

#[derive(Clone, Debug)]
struct Published {
    shown: Shown,
    version: u64,
}

/// What others were told.
#[derive(Default, Debug)]
pub struct Ledger {
    /// The shares that this node publishes.
    duties: BTreeSet<u16>,
    published: HashMap<UserId, Published>,
    /// What this node knows and has not heard of whose duty it is: the other is about to publish it,
    /// its word was lost, or it is dead.
    unpublished: HashMap<UserId, Shown>,
}

impl Ledger {
    /// A user as found at the start: watchers who ask get it, nobody is told.
    pub fn found(&mut self, user: &UserId, shown: Shown, now: Now) {
        // Others know better what was published of what is theirs.
        let version = if self.is_mine(user) { now.wall_ms } else { 0 };
        self.published.insert(user.clone(), Published { shown, version });
    }

    /// A user is to be seen otherwise. What is to be published, where that is this node's duty.
    pub fn on_change(&mut self, user: &UserId, shown: &Shown, now: Now) -> Option<Presence> {
        if self.published.get(user).is_some_and(|known| known.shown == *shown) {
            self.unpublished.remove(user);
            return None;
        }
        if self.is_mine(user) {
            return Some(self.publish(user, shown.clone(), now));
        }
        self.unpublished.insert(user.clone(), shown.clone());
        None
    }

    /// Another node has published something.
    pub fn on_heard(&mut self, presence: &Presence) {
        let user = &presence.user;
        if self.published.get(user).is_some_and(|known| known.version >= presence.version) {
            return;
        }
        let shown = Shown::of(presence);
        if self.unpublished.get(user) == Some(&shown) {
            self.unpublished.remove(user);
        }
        let published = Published { shown, version: presence.version };
        self.published.insert(user.clone(), published);
    }

    /// This node's duties are now these. What is to be published of those that are new.
    pub fn set_duties(&mut self, duties: BTreeSet<u16>, now: Now) -> Vec<Presence> {
        self.duties = duties;
        let mine = |user: &UserId| self.duties.contains(&share_of(user));
        let owed: Vec<UserId> =
            self.unpublished.keys().filter(|user| mine(user)).cloned().collect();
        let publish = |user: UserId| {
            let shown = self.unpublished.remove(&user)?;
            Some(self.publish(&user, shown, now))
        };
        owed.into_iter().filter_map(publish).collect()
    }

    /// What is known of a user; `None`: nothing. What is not published yet has the version after
    /// the last, so that whoever has heard more keeps that.
    #[must_use]
    pub fn get(&self, user: &UserId) -> Option<Presence> {
        let published = self.published.get(user);
        let version = published.map_or(0, |known| known.version);
        match self.unpublished.get(user) {
            Some(shown) => Some(shown.presence(user, version + 1)),
            None => published.map(|known| known.shown.presence(user, version)),
        }
    }

    /// True where a user is this node's duty.
    #[must_use]
    pub fn is_mine(&self, user: &UserId) -> bool {
        self.duties.contains(&share_of(user))
    }

    /// Nothing is remembered of a user any more: what the store keeps is all.
    pub fn forget(&mut self, user: &UserId) {
        self.published.remove(user);
        self.unpublished.remove(user);
    }

    fn publish(&mut self, user: &UserId, shown: Shown, now: Now) -> Presence {
        let before = self.published.get(user).map_or(0, |known| known.version);
        let version = now.wall_ms.max(before + 1);
        let presence = shown.presence(user, version);
        self.unpublished.remove(user);
        self.published.insert(user.clone(), Published { shown, version });
        presence
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;
    use weft_proto::presence::Status;

    use super::*;

    fn now(wall_ms: u64) -> Now {
        Now { at: Instant::now(), wall_ms }
    }

    fn bob() -> UserId {
        UserId::new("bob").expect("id")
    }

    fn online() -> Shown {
        Shown { status: Status::Online, ..Shown::offline(0) }
    }

    fn owner() -> Ledger {
        let mut ledger = Ledger::default();
        assert!(ledger.set_duties((0..SHARES).collect(), now(1)).is_empty());
        ledger
    }

    #[tokio::test(start_paused = true)]
    async fn versions_only_grow() {
        let mut ledger = owner();
        let first = ledger.on_change(&bob(), &online(), now(1_000)).expect("published");
        assert_eq!((first.version, first.status), (1_000, Status::Online));
        assert_eq!(ledger.on_change(&bob(), &online(), now(1_500)), None);
        // Clocks go back, and two changes may fall into one millisecond.
        let second = ledger.on_change(&bob(), &Shown::offline(900), now(900)).expect("published");
        assert_eq!((second.version, second.last_active), (1_001, Some(900)));
        assert_eq!(ledger.get(&bob()), Some(second));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_ones_duty_is_heard_or_taken_over() {
        let (mut first, mut second) = (owner(), Ledger::default());
        let told = first.on_change(&bob(), &online(), now(1_000)).expect("published");
        assert_eq!(second.on_change(&bob(), &online(), now(1_002)), None);
        assert_eq!(
            second.get(&bob()).map(|bob| (bob.status, bob.version)),
            Some((Status::Online, 1))
        );
        second.on_heard(&told);
        assert_eq!(second.get(&bob()), Some(told.clone()));
        // The first dies before it says that Bob is gone: the second says it, with a later version.
        assert_eq!(second.on_change(&bob(), &Shown::offline(7), now(500)), None);
        let taken_over = second.set_duties((0..SHARES).collect(), now(600));
        assert_eq!(taken_over.len(), 1);
        assert_eq!((taken_over[0].version, taken_over[0].status), (1_001, Status::Offline));
        // What was said already is not said again.
        assert!(second.set_duties((0..SHARES).collect(), now(2_000)).is_empty());
        second.on_heard(&told);
        assert_eq!(second.get(&bob()).map(|bob| bob.status), Some(Status::Offline));
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_published_unheard_is_known_all_the_same() {
        let mut other = Ledger::default();
        other.on_heard(&online().presence(&bob(), 40));
        other.on_change(&bob(), &Shown::offline(7), now(50));
        // Whoever has heard version 50 of its owner keeps that.
        assert_eq!(other.get(&bob()), Some(Shown::offline(7).presence(&bob(), 41)));
        other.on_heard(&Shown::offline(7).presence(&bob(), 50));
        assert_eq!(other.get(&bob()).map(|bob| bob.version), Some(50));
        assert!(other.set_duties((0..SHARES).collect(), now(60)).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_found_at_the_start_is_not_announced() {
        let mut ledger = owner();
        ledger.found(&bob(), online(), now(5_000));
        assert_eq!(ledger.on_change(&bob(), &online(), now(5_001)), None);
        assert_eq!(ledger.get(&bob()).map(|bob| bob.version), Some(5_000));
    }
}
