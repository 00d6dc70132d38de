//! Who is here: what the keys of all edges, the live edges, and what the store keeps of a user come
//! to. Pure: time is handed in, nothing is awaited.
//!
//! Invariants:
//! - A user is here while a live edge says so. An edge is one *life* of it (name and boot): a key of
//!   another life, or an older one that comes late, says nothing.
//! - Who is lost stays as they were for a grace time; who logs out is offline at once.
//! - A key that expires says nothing at once: its edge refreshes it while it lives, and when the
//!   edge dies all its keys go with it. So a bucket that lost its keys takes nobody offline; but a
//!   key that is missing for longer than a refresh takes is deleted.
//! - A user whose choice is not loaded from the store is shown as they were: an invisible user must
//!   not be seen because the store was slow.

mod lives;
mod user;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;
use weft_proto::presence::{Choice, EdgePresence};
use weft_proto::svc::KeptStatus;
use weft_proto::{NodeId, UserId};

use self::lives::Lives;
use self::user::{DeviceKey, User};
use crate::visible_status::VisibleStatus;

/// Who is offline is remembered for this long.
pub const FORGET_AFTER: Duration = Duration::from_secs(120);

#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For what lasts.
    pub at: Instant,
    /// For what is dated: Unix milliseconds.
    pub wall_ms: u64,
}

#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Who is lost stays as they were for this long.
    pub grace: Duration,
    /// An edge of which only a key was seen counts as alive for this long: it has just joined, or all
    /// nodes' keys have just expired in an outage.
    pub presumed: Duration,
}

#[derive(Debug)]
pub struct Merge {
    patience: Patience,
    lives: Lives,
    users: HashMap<UserId, User>,
    /// When something about a user changes by itself.
    due: BTreeSet<(Instant, UserId)>,
    changed: HashSet<UserId>,
    to_load: Vec<UserId>,
    seen: Vec<(UserId, u64)>,
}

impl Merge {
    /// Nobody is here.
    #[must_use]
    pub fn new(patience: Patience) -> Self {
        Self {
            patience,
            lives: Lives::default(),
            users: HashMap::new(),
            due: BTreeSet::new(),
            changed: HashSet::new(),
            to_load: Vec::new(),
            seen: Vec::new(),
        }
    }

    /// An edge says something of a user.
    pub fn on_key(&mut self, user: &UserId, edge: &NodeId, here: &EdgePresence, now: Now) {
        let presumed_until = now.at + self.patience.presumed;
        let life = self.lives.of_key(edge, &here.boot, presumed_until);
        if !self.users.contains_key(user) {
            self.users.insert(user.clone(), User::default());
            self.to_load.push(user.clone());
        }
        let Some(known) = self.users.get_mut(user) else { return };
        let is_new = known.take(DeviceKey::read(life, here));
        if !is_new {
            return;
        }
        if let Some(chosen) = &here.chosen {
            known.choose(chosen);
        }
        self.settle(user, here.logged_out, now);
    }

    /// The bucket has forgotten an edge's key of a user.
    pub fn on_key_gone(&mut self, user: &UserId, edge: &NodeId, now: Now) {
        let Some(known) = self.users.get_mut(user) else { return };
        let lives = &self.lives;
        known.miss(edge, lives, now);
        self.settle(user, false, now);
    }

    /// The bucket was read anew, and these keys are all that it has.
    pub fn reconcile(&mut self, present: &HashSet<(UserId, NodeId)>, now: Now) {
        let mut gone = Vec::new();
        for (user, known) in &self.users {
            let edges = known.keys.iter().filter_map(|key| self.lives.edge(key.life));
            let keys = edges.map(|edge| (user.clone(), edge.clone()));
            gone.extend(keys.filter(|key| !present.contains(key)));
        }
        for (user, edge) in gone {
            self.on_key_gone(&user, &edge, now);
        }
    }

    /// These edges live, each with its boot.
    pub fn on_edges(&mut self, edges: &[(NodeId, String)], now: Now) {
        if self.lives.set(edges) {
            self.settle_all(now);
        }
    }

    /// What the store keeps of a user.
    pub fn on_loaded(&mut self, user: &UserId, kept: &KeptStatus, now: Now) {
        let Some(known) = self.users.get_mut(user) else { return };
        known.load(kept);
        self.settle(user, false, now);
    }

    /// Does what has come due.
    pub fn on_time(&mut self, now: Now) {
        if self.lives.expire(now.at) {
            self.settle_all(now);
        }
        while let Some((at, user)) = self.due.first().cloned() {
            if at > now.at {
                break;
            }
            self.due.pop_first();
            if let Some(known) = self.users.get_mut(&user) {
                known.due_at = None;
                self.settle(&user, false, now);
            }
        }
    }

    /// When [`on_time`](Self::on_time) has something to do.
    #[must_use]
    pub fn due_at(&self) -> Option<Instant> {
        let first = self.due.first().map(|(at, _)| *at);
        [first, self.lives.due_at()].into_iter().flatten().min()
    }

    /// The users whose [`shown`](Self::shown) has changed since this was asked last.
    pub fn take_changed(&mut self) -> Vec<UserId> {
        self.changed.drain().collect()
    }

    /// The users for whom the store has to be asked.
    pub fn take_to_load(&mut self) -> Vec<UserId> {
        std::mem::take(&mut self.to_load)
    }

    /// When users were last seen, to be kept in the store; Unix milliseconds.
    pub fn take_seen(&mut self) -> Vec<(UserId, u64)> {
        std::mem::take(&mut self.seen)
    }

    /// This node ends: when those were last seen who have just lost their connection, though they may
    /// come back.
    #[must_use]
    pub fn lost(&self) -> Vec<(UserId, u64)> {
        let lost = |(user, known): (&UserId, &User)| Some((user.clone(), known.lost_ms()?));
        self.users.iter().filter_map(lost).collect()
    }

    /// What others are to see of a user; `None`: nothing is known.
    #[must_use]
    pub fn shown(&self, user: &UserId) -> Option<&VisibleStatus> {
        self.users.get(user).map(|known| &known.shown)
    }

    /// Whether a device of a user is attended.
    #[must_use]
    pub fn is_attended(&self, user: &UserId) -> bool {
        self.users.get(user).is_some_and(|known| known.is_attended(&self.lives))
    }

    /// All users about whom something is known.
    pub fn users(&self) -> impl Iterator<Item = (&UserId, &VisibleStatus)> {
        self.users.iter().map(|(user, known)| (user, &known.shown))
    }

    fn settle_all(&mut self, now: Now) {
        let users: Vec<UserId> = self.users.keys().cloned().collect();
        for user in users {
            self.settle(&user, false, now);
        }
    }

    /// What a user's keys come to now.
    fn settle(&mut self, user: &UserId, has_logged_out: bool, now: Now) {
        let Some(known) = self.users.get_mut(user) else { return };
        known.settle_keys(&self.lives, has_logged_out, self.patience.grace, now);
        if known.is_loaded {
            let shown = known.show(now);
            if shown != known.shown {
                let has_gone = known.shown.last_active_ms != shown.last_active_ms;
                if has_gone && shown.last_active_ms > 0 {
                    self.seen.push((user.clone(), shown.last_active_ms));
                }
                known.shown = shown;
                self.changed.insert(user.clone());
            }
        }
        let due_at = known.next_due(now);
        if known.due_at != due_at {
            if let Some(before) = known.due_at {
                self.due.remove(&(before, user.clone()));
            }
            known.due_at = due_at;
            if let Some(at) = due_at {
                self.due.insert((at, user.clone()));
            }
        }
        if known.is_over(now) {
            self.users.remove(user);
        }
    }
}

/// A choice as it is stored, or the default for what a newer version wrote.
fn choice(number: i32) -> Choice {
    Choice::try_from(number).unwrap_or(Choice::Online)
}

#[cfg(test)]
mod tests;
