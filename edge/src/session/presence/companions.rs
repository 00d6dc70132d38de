//! Whom a session sees without asking, kept up to date while its user's rooms change.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep_until};
use weft_proto::svc::{AreVisible, ListCompanions};
use weft_proto::{ApiError, ErrorCode, Presence, UserId};
use weft_runtime::when_some;

use super::SessionPresence;
use crate::shared::Shared;

/// Between a change of rooms and the look at them: changes come in groups.
const LOOK_AFTER: Duration = Duration::from_secs(2);
/// The longest pause between two looks: it doubles while changes go on, as in a large group that many
/// join.
const LOOK_PAUSE_MAX: Duration = Duration::from_secs(60);
/// Users whom core is asked about at once.
const LOOK_USERS_MAX: usize = 100;
/// Before what failed is tried again, give or take a half.
const RETRY_AFTER: Duration = Duration::from_secs(4);

/// Tells what the session sees. One task owns it.
pub(crate) struct CompanionWatch {
    presence: Arc<SessionPresence>,
    /// When core is to be asked; `None`: nothing has changed.
    look_at: Option<Instant>,
    looked_at: Option<Instant>,
    /// Between the last look and the next.
    pause: Duration,
    looking: Option<BoxFuture<'static, Result<Look, ApiError>>>,
}

/// Core's answer: which users this one may see.
struct Look {
    asked_at: Instant,
    companions: HashSet<UserId>,
    /// Of those whom the session had asked for, those who are to be seen no longer.
    out_of_sight: HashSet<UserId>,
}

impl CompanionWatch {
    pub(crate) fn new(presence: Arc<SessionPresence>) -> Box<Self> {
        let look_at = presence.visit.is_some().then(Instant::now);
        Box::new(Self { presence, look_at, looked_at: None, pause: LOOK_AFTER, looking: None })
    }

    /// Waits for news of those whom the session sees, and returns itself with them. Not
    /// cancel-safe: it is kept over the waits of its session.
    pub(crate) async fn turn(mut self: Box<Self>) -> (Box<Self>, Vec<Presence>) {
        loop {
            let Self { presence, look_at, looking, .. } = &mut *self;
            tokio::select! {
                told = presence.watcher.changed() => return (self, told),
                look = when_some(looking.as_mut()) => {
                    *looking = None;
                    self.on_look(look);
                }
                () = presence.moved.notified() => self.on_moved(),
                () = when_some(look_at.map(sleep_until)) => {
                    *look_at = None;
                    *looking = Some(Box::pin(look(Arc::clone(presence))));
                }
            }
        }
    }

    fn on_moved(&mut self) {
        let now = Instant::now();
        if self.looked_at.is_none_or(|at| at + self.pause * 2 < now) {
            self.pause = LOOK_AFTER;
        }
        let earliest = self.looked_at.map_or(now, |at| at + self.pause);
        let at = earliest.max(now + LOOK_AFTER);
        self.look_at = Some(self.look_at.map_or(at, |before| before.min(at)));
    }

    fn on_look(&mut self, look: Result<Look, ApiError>) {
        match look {
            Ok(look) => {
                self.looked_at = Some(Instant::now());
                self.pause = (self.pause * 2).min(LOOK_PAUSE_MAX);
                self.presence.see(look);
            }
            Err(error) => {
                tracing::debug!(%error, user = %self.presence.user, "companions are not known yet");
                let pause = RETRY_AFTER.mul_f64(0.5 + rand::random::<f64>());
                self.look_at.get_or_insert(Instant::now() + pause);
            }
        }
    }
}

impl SessionPresence {
    /// From now on it sees these, and no others.
    fn see(&self, look: Look) {
        self.with_seen(|seen| {
            let Look { asked_at, mut companions, out_of_sight } = look;
            companions.retain(|user| seen.holds(user, asked_at));
            let before: HashSet<UserId> = seen.companions.union(&seen.asked).cloned().collect();
            seen.asked.retain(|user| !out_of_sight.contains(user));
            seen.unwanted.retain(|user| companions.contains(user));
            seen.companions = companions;
            let sees = |user: &UserId| seen.sees(user);
            self.watcher.unwatch(before.iter().filter(|user| !sees(user)));
            let wanted: Vec<UserId> =
                seen.companions.iter().filter(|user| sees(user)).cloned().collect();
            self.watcher.watch(wanted);
        });
    }
}

impl super::Seen {
    fn sees(&self, user: &UserId) -> bool {
        self.asked.contains(user)
            || (self.companions.contains(user) && !self.unwanted.contains(user))
    }
}

async fn look(presence: Arc<SessionPresence>) -> Result<Look, ApiError> {
    let shared: &Shared = &presence.shared;
    // After an outage all sessions ask at once; what they are sent comes first.
    let _permit = shared.presence_reads.acquire().await;
    let token = presence.token.get().to_string();
    let (asked_at, mut companions) = (Instant::now(), HashSet::new());
    if presence.visit.is_some() {
        let listed = shared.bus.call(&ListCompanions { token: token.clone() }).await?;
        companions = read(&listed.users);
        companions.insert(presence.user.clone());
    }
    let mut out_of_sight = presence.with_seen(|seen| seen.asked.clone());
    let visible = still_visible(shared, &token, out_of_sight.iter().collect()).await?;
    out_of_sight.retain(|user| !visible.contains(user));
    Ok(Look { asked_at, companions, out_of_sight })
}

/// Those of these users who share a room with the caller. Core looks through all rooms of the caller
/// for each of them, so it is asked for a few at a time, and for fewer where that is too much.
async fn still_visible(
    shared: &Shared,
    token: &str,
    users: Vec<&UserId>,
) -> Result<HashSet<UserId>, ApiError> {
    let mut visible = HashSet::new();
    let mut chunks: Vec<&[&UserId]> = users.chunks(LOOK_USERS_MAX).collect();
    while let Some(chunk) = chunks.pop() {
        let names = chunk.iter().map(ToString::to_string).collect();
        let request = AreVisible { token: token.to_owned(), users: names, room: String::new() };
        match shared.bus.call(&request).await {
            Ok(answer) => visible.extend(read(&answer.users)),
            Err(error) if error.code == ErrorCode::TooLarge && chunk.len() > 1 => {
                let (one, other) = chunk.split_at(chunk.len() / 2);
                chunks.extend([one, other]);
            }
            // Whom core can't find in all these rooms is not seen.
            Err(error) if error.code == ErrorCode::TooLarge => {}
            Err(error) => return Err(error),
        }
    }
    Ok(visible)
}

fn read(users: &[String]) -> HashSet<UserId> {
    users.iter().filter_map(|user| UserId::new(user).ok()).collect()
}
