//! What was published: versions, and whose duty a user is. Pure.
//!
//! Every presence node merges everything; the one whose duty a user is publishes. The others keep
//! what they hear of it, so that each of them can answer for all users, with the same versions, and
//! so that whoever takes over publishes what its predecessor did not.
//!
//! A version is the later of the clock (Unix milliseconds) and one more than the last. So it grows
//! through restarts, as long as the clocks of presence nodes differ by less than it takes to restart
//! one.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;
use weft_proto::partition::fnv1a_64;
use weft_proto::presence::Status;
use weft_proto::{Presence, UserId};

use crate::merge::{FORGET_AFTER, Now};
use crate::visible_status::VisibleStatus;

/// Users are spread over presence nodes in this many shares.
pub const SHARES: u16 = 64;

/// What this node knows and has not been published for this long is believed against what has: before,
/// the other may be about to say it, or this one may lag.
const BELIEVED_AFTER: Duration = Duration::from_secs(3);

#[must_use]
pub fn share_of(user: &UserId) -> u16 {
    // The lowest bits of FNV-1a are its best.
    (fnv1a_64(user.as_str().as_bytes()) % u64::from(SHARES)) as u16
}

#[derive(Clone, Debug)]
struct Published {
    shown: VisibleStatus,
    version: u64,
}

/// What others were told.
#[derive(Default, Debug)]
pub struct Ledger {
    /// The shares that this node publishes.
    duties: BTreeSet<u16>,
    published: HashMap<UserId, Published>,
    /// What this node knows and has not heard of whose duty it is, and since when: the other is about
    /// to publish it, its word was lost, or it is dead.
    unpublished: HashMap<UserId, (VisibleStatus, Instant)>,
    /// Who was shown offline, and when. Whoever stays so is forgotten, connected or not: else an
    /// invisible user could be told from an absent one by what is remembered.
    offline: VecDeque<(Instant, UserId)>,
}

impl Ledger {
    /// A user as found at the start: watchers who ask get it, nobody is told.
    pub fn found(&mut self, user: &UserId, shown: VisibleStatus, now: Now) {
        if shown.status == Status::Offline {
            return;
        }
        // Others know better what was published of what is theirs.
        let version = if self.is_mine(user) { now.wall_ms } else { 0 };
        self.published.insert(user.clone(), Published { shown, version });
    }

    /// A user is to be seen otherwise. What is to be published, where that is this node's duty.
    pub fn on_change(
        &mut self,
        user: &UserId,
        shown: &VisibleStatus,
        now: Now,
    ) -> Option<Presence> {
        if self.says(user, shown) {
            self.unpublished.remove(user);
            return None;
        }
        if self.is_mine(user) {
            return Some(self.publish(user, shown.clone(), now));
        }
        self.note_offline(user, shown, now);
        self.unpublished.insert(user.clone(), (shown.clone(), now.at));
        None
    }

    /// Another node has published something of a user; `own`: what this one would say.
    pub fn on_heard(&mut self, presence: &Presence, own: Option<&VisibleStatus>, now: Now) {
        let user = &presence.user;
        if self.published.get(user).is_some_and(|known| known.version >= presence.version) {
            return;
        }
        let shown = VisibleStatus::of(presence);
        self.unpublished.remove(user);
        if let Some(own) = own.filter(|own| **own != shown) {
            // The other is ahead, or wrong: time will tell.
            self.unpublished.insert(user.clone(), (own.clone(), now.at));
        }
        self.note_offline(user, &shown, now);
        let published = Published { shown, version: presence.version };
        self.published.insert(user.clone(), published);
    }

    /// This node's duties are now these. Of the users that are new among them, what is to be
    /// published: `known` is what this node would say of everybody.
    pub fn set_duties<'a>(
        &mut self,
        duties: BTreeSet<u16>,
        known: impl Iterator<Item = (&'a UserId, &'a VisibleStatus)>,
        now: Now,
    ) -> Vec<Presence> {
        let new: BTreeSet<u16> = duties.difference(&self.duties).copied().collect();
        self.duties = duties;
        if new.is_empty() {
            return Vec::new();
        }
        let owed =
            known.filter(|(user, shown)| new.contains(&share_of(user)) && !self.says(user, shown));
        let owed: Vec<_> = owed.map(|(user, shown)| (user.clone(), shown.clone())).collect();
        owed.into_iter().map(|(user, shown)| self.publish(&user, shown, now)).collect()
    }

    /// Once a second. What is to be published because another node has said something else of what
    /// is this one's duty: not at once, so that two who both believe they have it do not go on for
    /// ever.
    pub fn on_time(&mut self, now: Now) -> Vec<Presence> {
        while let Some((at, user)) = self.offline.front().cloned()
            && at + FORGET_AFTER <= now.at
        {
            self.offline.pop_front();
            let is_offline = |shown: &VisibleStatus| shown.status == Status::Offline;
            if self.unpublished.get(&user).is_none_or(|(shown, _)| is_offline(shown))
                && self.published.get(&user).is_none_or(|known| is_offline(&known.shown))
            {
                self.published.remove(&user);
                self.unpublished.remove(&user);
            }
        }
        let is_believed = |since: Instant| since + BELIEVED_AFTER <= now.at;
        let mine = self.unpublished.iter().filter(|(user, _)| self.is_mine(user));
        let mine = mine.filter(|(_, (_, since))| is_believed(*since));
        let mine: Vec<UserId> = mine.map(|(user, _)| user.clone()).collect();
        let publish = |user: UserId| {
            let (shown, _) = self.unpublished.remove(&user)?;
            Some(self.publish(&user, shown, now))
        };
        mine.into_iter().filter_map(publish).collect()
    }

    /// What is known of a user; `None`: nothing, or they have been offline for a while. What another
    /// node should have published, and was not heard to, has the version of what was.
    #[must_use]
    pub fn get(&self, user: &UserId, now: Now) -> Option<Presence> {
        let published = self.published.get(user);
        let version = published.map_or(0, |known| known.version);
        match self.unpublished.get(user) {
            Some((shown, since)) if *since + BELIEVED_AFTER <= now.at => {
                Some(shown.presence(user, version))
            }
            _ => published.map(|known| known.shown.presence(user, version)),
        }
    }

    /// True where a user is this node's duty.
    #[must_use]
    pub fn is_mine(&self, user: &UserId) -> bool {
        self.duties.contains(&share_of(user))
    }

    /// Others were told just this; nothing: that is as good as offline.
    fn says(&self, user: &UserId, shown: &VisibleStatus) -> bool {
        match self.published.get(user) {
            Some(known) => known.shown == *shown,
            None => shown.status == Status::Offline,
        }
    }

    fn note_offline(&mut self, user: &UserId, shown: &VisibleStatus, now: Now) {
        if shown.status == Status::Offline {
            self.offline.push_back((now.at, user.clone()));
        }
    }

    fn publish(&mut self, user: &UserId, shown: VisibleStatus, now: Now) -> Presence {
        let before = self.published.get(user).map_or(0, |known| known.version);
        let version = now.wall_ms.max(before + 1);
        let presence = shown.presence(user, version);
        self.unpublished.remove(user);
        self.note_offline(user, &shown, now);
        self.published.insert(user.clone(), Published { shown, version });
        presence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(wall_ms: u64) -> Now {
        Now { at: Instant::now(), wall_ms }
    }

    fn bob() -> UserId {
        UserId::new("bob").expect("id")
    }

    fn online() -> VisibleStatus {
        VisibleStatus { status: Status::Online, ..VisibleStatus::offline(0) }
    }

    /// All duties are taken, by one who would say this of Bob.
    fn takes_all(ledger: &mut Ledger, own: &VisibleStatus, wall_ms: u64) -> Vec<Presence> {
        ledger.set_duties((0..SHARES).collect(), [(&bob(), own)].into_iter(), now(wall_ms))
    }

    fn owner() -> Ledger {
        let mut ledger = Ledger::default();
        assert!(takes_all(&mut ledger, &VisibleStatus::offline(0), 1).is_empty());
        ledger
    }

    #[tokio::test(start_paused = true)]
    async fn versions_only_grow() {
        let mut ledger = owner();
        let first = ledger.on_change(&bob(), &online(), now(1_000)).expect("published");
        assert_eq!((first.version, first.status), (1_000, Status::Online));
        assert_eq!(ledger.on_change(&bob(), &online(), now(1_500)), None);
        // Clocks go back, and two changes may fall into one millisecond.
        let second =
            ledger.on_change(&bob(), &VisibleStatus::offline(900), now(900)).expect("published");
        assert_eq!((second.version, second.last_active), (1_001, Some(900)));
        assert_eq!(ledger.get(&bob(), now(0)), Some(second));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_ones_duty_is_heard_or_taken_over() {
        let (mut first, mut second) = (owner(), Ledger::default());
        let told = first.on_change(&bob(), &online(), now(1_000)).expect("published");
        assert_eq!(second.on_change(&bob(), &online(), now(1_002)), None);
        assert_eq!(second.get(&bob(), now(0)), None);
        second.on_heard(&told, Some(&online()), now(1_003));
        assert_eq!(second.get(&bob(), now(0)), Some(told.clone()));
        // The first dies before it says that Bob is offline: the second says it, with a later version.
        let gone = VisibleStatus::offline(7);
        assert_eq!(second.on_change(&bob(), &gone, now(500)), None);
        let taken_over = takes_all(&mut second, &gone, 600);
        assert_eq!(taken_over.len(), 1);
        assert_eq!((taken_over[0].version, taken_over[0].status), (1_001, Status::Offline));
        // What was said already is not said again.
        assert!(takes_all(&mut second, &gone, 2_000).is_empty());
        second.on_heard(&told, Some(&gone), now(2_001));
        assert_eq!(second.get(&bob(), now(0)).map(|bob| bob.status), Some(Status::Offline));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wrong_last_word_of_another_is_put_right() {
        // Bob is here and has not changed; a node that was paused says that he is offline, and dies.
        let mut ledger = Ledger::default();
        ledger.on_heard(&online().presence(&bob(), 40), Some(&online()), now(40));
        let wrong = VisibleStatus::offline(7).presence(&bob(), 50);
        ledger.on_heard(&wrong, Some(&online()), now(51));
        let taken_over = takes_all(&mut ledger, &online(), 60);
        assert_eq!(taken_over.len(), 1);
        assert_eq!((taken_over[0].version, taken_over[0].status), (60, Status::Online));
        // It is not dead, and says so again: the answer comes some seconds later, since it is this
        // node that may lag.
        let wrong = VisibleStatus::offline(7).presence(&bob(), 70);
        ledger.on_heard(&wrong, Some(&online()), now(71));
        assert!(ledger.on_time(now(72)).is_empty());
        tokio::time::advance(BELIEVED_AFTER).await;
        assert_eq!(ledger.on_time(now(73)).len(), 1);
        assert!(ledger.on_time(now(74)).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_published_unheard_is_known_all_the_same() {
        let mut other = Ledger::default();
        let gone = VisibleStatus::offline(7);
        other.on_heard(&online().presence(&bob(), 40), Some(&online()), now(41));
        other.on_change(&bob(), &gone, now(50));
        // At first it may be this node that is ahead or wrong. A later version is never claimed: it
        // would beat the truth for ever.
        assert_eq!(other.get(&bob(), now(0)), Some(online().presence(&bob(), 40)));
        tokio::time::advance(BELIEVED_AFTER).await;
        assert_eq!(other.get(&bob(), now(0)), Some(gone.presence(&bob(), 40)));
        other.on_heard(&gone.presence(&bob(), 50), Some(&gone), now(51));
        assert_eq!(other.get(&bob(), now(0)).map(|bob| bob.version), Some(50));
        assert!(takes_all(&mut other, &gone, 60).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_found_at_the_start_is_not_announced() {
        let mut ledger = owner();
        ledger.found(&bob(), online(), now(5_000));
        assert_eq!(ledger.on_change(&bob(), &online(), now(5_001)), None);
        assert_eq!(ledger.get(&bob(), now(0)).map(|bob| bob.version), Some(5_000));
    }

    /// Connected and invisible, or not there at all: nobody can tell by what is remembered.
    #[tokio::test(start_paused = true)]
    async fn whoever_stays_offline_is_forgotten() {
        let mut ledger = owner();
        ledger.found(&bob(), VisibleStatus::offline(7), now(5_000));
        assert_eq!(ledger.get(&bob(), now(0)), None);
        ledger.on_change(&bob(), &online(), now(6_000));
        ledger.on_change(&bob(), &VisibleStatus::offline(8), now(7_000));
        tokio::time::advance(FORGET_AFTER / 2).await;
        ledger.on_change(&bob(), &online(), now(8_000));
        tokio::time::advance(FORGET_AFTER).await;
        ledger.on_time(now(9_000));
        assert!(ledger.get(&bob(), now(0)).is_some(), "he came back");
        ledger.on_change(&bob(), &VisibleStatus::offline(9), now(10_000));
        tokio::time::advance(FORGET_AFTER).await;
        ledger.on_time(now(11_000));
        assert_eq!(ledger.get(&bob(), now(0)), None);
        assert!(ledger.offline.is_empty());
    }
}
