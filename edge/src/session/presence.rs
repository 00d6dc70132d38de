//! What a session has to do with presence: its user is seen, and it sees others.
//!
//! Whom it may see is decided here: those who share a room with its user. The partners of direct
//! rooms and the members of small groups it sees without asking, as core lists them; whom it asks
//! for beyond them, core is asked about. Both are looked at again when the user's rooms change.

mod companions;
mod requests;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;
use weft_presence::{Visit, Watcher};
use weft_proto::frame::Reply;
use weft_proto::{EventHead, Membership, Presence, RoomKind, UserId};
use weft_runtime::lock;

use super::turn::Turns;
use crate::auth::Caller;
use crate::delivery::{OnEntry, TokenCell};
use crate::rate::{Bucket, Rate};
use crate::shared::Shared;

pub(super) use self::companions::CompanionWatch;
pub(super) use self::requests::needs;

/// Choices of one session: each is a commit in the store.
const CHOICES: Rate = Rate { per_second: 1, burst: 10 };
/// Whether somebody looks: each may be a write of the user's key.
const IDLES: Rate = Rate { per_second: 2, burst: 20 };

/// No question to core waits longer for its answer.
const QUESTION_MAX: Duration = Duration::from_secs(60);

/// A session's part in presence. It ends when all handles on it are dropped.
pub(super) struct SessionPresence {
    shared: Arc<Shared>,
    user: UserId,
    token: TokenCell,
    /// `None`: the client does not want its user to be seen.
    visit: Option<Visit>,
    watcher: Watcher,
    seen: Mutex<Seen>,
    /// The user's rooms have changed.
    moved: Notify,
    rates: Rates,
    /// Resolves when the last request that changes something is over.
    turns: Turns,
}

/// What a client says of itself at `hello`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    /// The user is seen, and the session sees companions without asking.
    pub(crate) is_on: bool,
    /// Nobody looks at the device.
    pub(crate) is_idle: bool,
}

/// Whom the session may see, and why.
#[derive(Default)]
struct Seen {
    /// Without asking.
    companions: HashSet<UserId>,
    /// Because it asked.
    asked: HashSet<UserId>,
    /// Companions whom it does not want to see.
    unwanted: HashSet<UserId>,
    /// Who was cut off lately, and when: an answer of core to an earlier question may be from before that.
    cut_off: HashMap<UserId, Instant>,
}

impl Seen {
    fn cut_off(&mut self, other: &UserId, now: Instant) {
        self.companions.remove(other);
        self.asked.remove(other);
        self.cut_off.retain(|_, at| now - *at < QUESTION_MAX);
        self.cut_off.insert(other.clone(), now);
    }

    /// Whether what core has answered of a user, asked at this time, still holds.
    fn holds(&self, user: &UserId, asked_at: Instant) -> bool {
        self.cut_off.get(user).is_none_or(|at| *at < asked_at)
    }
}

struct Rates {
    choices: Bucket,
    idles: Bucket,
}

impl SessionPresence {
    pub(super) fn new(
        shared: &Arc<Shared>,
        caller: &Caller,
        token: TokenCell,
        wish: Wish,
    ) -> Arc<Self> {
        let Caller { user, device, .. } = caller;
        let enter = || shared.announcer.enter(user.clone(), device.clone(), wish.is_idle);
        Arc::new(Self {
            shared: Arc::clone(shared),
            user: caller.user.clone(),
            token,
            visit: wish.is_on.then(enter),
            watcher: shared.statuses.watcher(),
            seen: Mutex::default(),
            moved: Notify::new(),
            rates: Rates { choices: Bucket::new(CHOICES), idles: Bucket::new(IDLES) },
            turns: Turns::default(),
        })
    }

    /// Something came from the device.
    pub(super) fn touch(&self) {
        if let Some(visit) = &self.visit {
            visit.touch(self.shared.now_ms());
        }
    }

    /// The session ends because the device has logged out.
    pub(super) fn log_out(&self) {
        if let Some(visit) = &self.visit {
            visit.log_out();
        }
    }

    fn sees_somebody(&self) -> bool {
        self.visit.is_some() || self.with_seen(|seen| !seen.asked.is_empty())
    }

    fn with_seen<T>(&self, look: impl FnOnce(&mut Seen) -> T) -> T {
        // Nothing panics while it is held.
        look(&mut lock(&self.seen))
    }
}

impl OnEntry for SessionPresence {
    /// It may be one by which the user's rooms change.
    fn on_entry(&self, head: &EventHead) {
        let changes_members = head.membership != Membership::Stays;
        let is_new = head.seq == 1 && head.room.kind() == RoomKind::Direct;
        if (changes_members || is_new) && self.sees_somebody() {
            self.moved.notify_one();
        }
    }

    fn on_sight(&self, other: &UserId) {
        self.shared.typing.doubt(&self.user, other);
        self.with_seen(|seen| {
            seen.cut_off(other, Instant::now());
            self.watcher.unwatch([other]);
        });
        self.on_loss();
    }

    fn on_loss(&self) {
        if self.sees_somebody() {
            self.moved.notify_one();
        }
    }
}

/// The frame that tells of users.
pub(super) fn presence_frame(users: Vec<Presence>) -> Utf8Bytes {
    // Made by serde_json: always text.
    Reply::Presence { users }.to_frame().try_into().unwrap_or_default()
}
