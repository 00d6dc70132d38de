//! One user: keys, choice, grace.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use weft_proto::NodeId;
use weft_proto::presence::{Choice, EdgePresence, PresenceSettings, Status};
use weft_proto::svc::KeptStatus;

use super::lives::{LifeId, Lives};
use super::{FORGET_AFTER, Now, choice};
use crate::visible_status::VisibleStatus;

/// A key that the bucket has lost is written again by its edge before that, where the user is still
/// there: edges refresh keys after twelve minutes at the latest.
const DOUBTED_FOR: Duration = Duration::from_secs(900);

/// What an edge says of the user. There is one for each user who is online: it is small.
#[derive(Clone, Debug)]
pub(super) struct DeviceKey {
    pub(super) life: LifeId,
    number: u64,
    /// There is a session.
    pub(super) is_here: bool,
    /// Nobody looks at any of the devices.
    is_idle: bool,
    is_attended: bool,
    last_active_ms: u64,
    /// The bucket has lost it though its edge lives: it counts until then, or until it is written
    /// again.
    doubted_until: Option<Instant>,
}

impl DeviceKey {
    pub(super) fn read(life: LifeId, here: &EdgePresence) -> Self {
        Self {
            life,
            number: here.number,
            is_here: !here.devices.is_empty(),
            is_idle: here.devices.iter().all(|device| device.idle),
            is_attended: here.attended,
            last_active_ms: here.last_active_ms,
            doubted_until: None,
        }
    }
}

/// Whether the user is here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reachability {
    /// A live edge says so.
    Here,
    /// None does any more; as if it did until then.
    Lost { until: Instant },
    /// Since then.
    Gone { since: Instant },
}

#[derive(Clone, Debug)]
struct Choosing {
    choice: Choice,
    text: Option<Arc<str>>,
    text_until_ms: u64,
    at_ms: u64,
}

#[derive(Debug)]
pub(super) struct User {
    pub(super) keys: Vec<DeviceKey>,
    choosing: Option<Box<Choosing>>,
    pub(super) is_loaded: bool,
    /// `None`: nothing was heard yet.
    connection: Option<Reachability>,
    is_idle: bool,
    /// When a device was last used, by the keys.
    used_ms: u64,
    /// When others last saw the user, Unix milliseconds.
    last_active_ms: u64,
    pub(super) shown: VisibleStatus,
    pub(super) due_at: Option<Instant>,
}

impl Default for User {
    fn default() -> Self {
        Self {
            keys: Vec::new(),
            choosing: None,
            is_loaded: false,
            connection: None,
            is_idle: false,
            used_ms: 0,
            last_active_ms: 0,
            shown: VisibleStatus::offline(0),
            due_at: None,
        }
    }
}

impl User {
    /// Takes an edge's word; false where it says nothing new. Each life of an edge has its own: a
    /// new one may be heard before it is known to be the living one.
    pub(super) fn take(&mut self, key: DeviceKey) -> bool {
        match self.keys.iter_mut().find(|known| known.life == key.life) {
            Some(known) if key.number < known.number => return false,
            // The bucket was read anew: it has the key after all.
            Some(known) if key.number == known.number => {
                known.doubted_until = None;
                return false;
            }
            Some(known) => *known = key,
            None => {
                // Nearly all users are at one edge.
                self.keys.reserve_exact(1);
                self.keys.push(key);
            }
        }
        true
    }

    /// Takes a choice, where it is newer than what is known.
    pub(super) fn choose(&mut self, chosen: &PresenceSettings) {
        if self.choosing.as_ref().is_none_or(|known| known.at_ms < chosen.at_ms) {
            self.choosing = Some(Box::new(Choosing {
                choice: choice(chosen.choice),
                text: (!chosen.text.is_empty()).then(|| chosen.text.as_str().into()),
                text_until_ms: chosen.text_until_ms,
                at_ms: chosen.at_ms,
            }));
        }
    }

    pub(super) fn load(&mut self, kept: &KeptStatus) {
        if let Some(chosen) = &kept.chosen {
            self.choose(chosen);
        }
        self.last_active_ms = self.last_active_ms.max(kept.last_active_ms);
        if !self.is_loaded {
            self.shown.last_active_ms = self.last_active_ms;
        }
        self.is_loaded = true;
    }

    /// The bucket has no key of this edge any more.
    pub(super) fn miss(&mut self, edge: &NodeId, lives: &Lives, now: Now) {
        self.keys.retain_mut(|key| {
            if lives.edge(key.life) != Some(edge) {
                return true;
            }
            key.doubted_until.get_or_insert(now.at + DOUBTED_FOR);
            key.is_here && lives.is_alive(key.life)
        });
    }

    /// What the keys say now of whether the user is here.
    pub(super) fn settle_keys(
        &mut self,
        lives: &Lives,
        has_logged_out: bool,
        grace: Duration,
        now: Now,
    ) {
        self.keys.retain(|key| key.doubted_until.is_none_or(|until| until > now.at));
        lives.keep_living(&mut self.keys, |key| key.life);
        let live = self.keys.iter().filter(|key| key.is_here && lives.is_alive(key.life));
        let is_idle = live.clone().all(|key| key.is_idle);
        let is_here = live.count() > 0;
        // What comes after the end, from the past of a dead edge, changes nothing.
        if is_here || !matches!(self.connection, Some(Reachability::Gone { .. })) {
            let used = self.keys.iter().map(|key| key.last_active_ms);
            self.used_ms = used.fold(self.used_ms, u64::max);
        }
        if is_here {
            self.connection = Some(Reachability::Here);
            self.is_idle = is_idle;
            return;
        }
        self.connection = Some(match self.connection {
            Some(Reachability::Here | Reachability::Lost { .. }) if has_logged_out => {
                Reachability::Gone { since: now.at }
            }
            Some(Reachability::Here) => {
                // An edge that died can't say when it last heard the user.
                if self.keys.iter().any(|key| key.is_here) {
                    self.used_ms = self.used_ms.max(now.wall_ms);
                }
                Reachability::Lost { until: now.at + grace }
            }
            Some(Reachability::Lost { until }) if until <= now.at => {
                Reachability::Gone { since: now.at }
            }
            Some(lost_or_gone) => lost_or_gone,
            // This node has just started. Whoever left a moment ago may come back.
            None => self.at_first(has_logged_out, grace, now),
        });
    }

    fn at_first(&self, has_logged_out: bool, grace: Duration, now: Now) -> Reachability {
        let gone_for = Duration::from_millis(now.wall_ms.saturating_sub(self.used_ms));
        match grace.checked_sub(gone_for) {
            Some(left) if !has_logged_out && !left.is_zero() => {
                Reachability::Lost { until: now.at + left }
            }
            _ => Reachability::Gone { since: now.at },
        }
    }

    /// A device of the user is attended, by the word of a live edge.
    pub(super) fn is_attended(&self, lives: &Lives) -> bool {
        let mut live = self.keys.iter().filter(|key| key.is_here && lives.is_alive(key.life));
        live.any(|key| key.is_attended)
    }

    /// When others last saw the user, who has lost the connection a moment ago.
    pub(super) fn lost_ms(&self) -> Option<u64> {
        let is_lost = matches!(self.connection, Some(Reachability::Lost { .. }));
        let was_seen = self.shown.status != Status::Offline;
        (is_lost && was_seen).then_some(self.used_ms)
    }

    /// What others are to see.
    pub(super) fn show(&mut self, now: Now) -> VisibleStatus {
        let choice = self.choosing.as_ref().map_or(Choice::Online, |it| it.choice);
        let is_gone =
            !matches!(self.connection, Some(Reachability::Here | Reachability::Lost { .. }));
        let was_seen = self.shown.status != Status::Offline;
        if is_gone || choice == Choice::Invisible {
            if was_seen {
                // Whoever turns invisible leaves in this moment, for all that others can tell.
                let left_ms = if is_gone { self.used_ms } else { now.wall_ms };
                self.last_active_ms = self.last_active_ms.max(left_ms);
            } else if is_gone && choice != Choice::Invisible {
                // It left while no presence node looked.
                self.last_active_ms = self.last_active_ms.max(self.used_ms);
            }
            return VisibleStatus::offline(self.last_active_ms);
        }
        let status = match choice {
            Choice::Dnd => Status::Dnd,
            Choice::Away => Status::Away,
            Choice::Online | Choice::Invisible if self.is_idle => Status::Away,
            Choice::Online | Choice::Invisible => Status::Online,
        };
        let text = self.choosing.as_ref().filter(|it| it.is_worded(now.wall_ms));
        VisibleStatus {
            status,
            text: text.and_then(|it| it.text.clone()),
            text_until_ms: text.map_or(0, |it| it.text_until_ms),
            last_active_ms: 0,
        }
    }

    /// When something changes by itself.
    pub(super) fn next_due(&self, now: Now) -> Option<Instant> {
        let connection = match self.connection {
            Some(Reachability::Lost { until }) => Some(until),
            // Later it is a matter of keys that expire.
            Some(Reachability::Gone { since }) => {
                Some(since + FORGET_AFTER).filter(|at| *at > now.at)
            }
            Some(Reachability::Here) | None => None,
        };
        let text = self.choosing.as_ref().filter(|it| it.is_worded(now.wall_ms));
        let text = text.filter(|it| it.text_until_ms > 0).map(|it| {
            // A day at the most, then it is looked at again: any number of milliseconds may come here.
            let left_ms = (it.text_until_ms - now.wall_ms).min(86_400_000);
            now.at + Duration::from_millis(left_ms)
        });
        let doubted = self.keys.iter().filter_map(|key| key.doubted_until).min();
        [connection, text, doubted].into_iter().flatten().min()
    }

    /// Nothing is worth remembering: nobody has seen the user for a while, and no edge may still say
    /// something.
    pub(super) fn is_over(&self, now: Now) -> bool {
        let is_gone = matches!(
            self.connection,
            Some(Reachability::Gone { since }) if since + FORGET_AFTER <= now.at
        );
        is_gone && self.keys.iter().all(|key| !key.is_here)
    }
}

impl Choosing {
    fn is_worded(&self, wall_ms: u64) -> bool {
        self.text.is_some() && (self.text_until_ms == 0 || self.text_until_ms > wall_ms)
    }
}
