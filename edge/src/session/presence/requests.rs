//! What a client asks about presence.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;
use weft_presence::Visit;
use weft_proto::frame::{PresenceRequest, Reply, Users};
use weft_proto::limits::WATCHED_USERS_MAX;
use weft_proto::presence::Choice;
use weft_proto::scope::Needs;
use weft_proto::svc::{AreVisible, ChooseStatus, GetStatus};
use weft_proto::{ApiError, ErrorCode, UserId};

use super::super::turn::Turn;
use super::SessionPresence;
use crate::rate::rate_limited;

/// What a request about presence needs of a bot's token. What core is asked for by it, core looks at itself.
pub(crate) fn needs(request: &PresenceRequest) -> Needs<'_> {
    match request {
        PresenceRequest::Get(_) | PresenceRequest::Set { .. } | PresenceRequest::Own => {
            Needs::Nothing
        }
        PresenceRequest::Unwatch { .. }
        | PresenceRequest::Idle { .. }
        | PresenceRequest::Attend { .. } => Needs::Nothing,
        // It is looked at again with all rooms in view.
        PresenceRequest::Watch(_) => Needs::ReadAll,
        PresenceRequest::Count { room } => Needs::Read(room.as_str()),
    }
}

impl SessionPresence {
    /// The next turn, where the request needs one. Called in the order in which requests come:
    /// their answers are worked out side by side.
    pub(crate) fn turn(&self, request: &PresenceRequest) -> Option<Turn> {
        if matches!(request, PresenceRequest::Get(_) | PresenceRequest::Count { .. }) {
            return None;
        }
        Some(self.turns.next())
    }

    /// The answer to a request.
    ///
    /// # Errors
    /// Those of the protocol.
    pub(crate) async fn answer(
        self: Arc<Self>,
        request: PresenceRequest,
        mut turn: Option<Turn>,
    ) -> Result<Reply, ApiError> {
        if let Some(turn) = &mut turn {
            turn.come().await;
        }
        match request {
            PresenceRequest::Get(users) => {
                let (mut users, asked_at) = self.visible(users).await?;
                self.with_seen(|seen| users.retain(|user| seen.holds(user, asked_at)));
                Ok(Reply::Presence { users: self.shared.statuses.get(&users).await? })
            }
            PresenceRequest::Watch(users) => self.watch(users).await,
            PresenceRequest::Unwatch { users } => {
                self.unwatch(&users);
                Ok(Reply::Done {})
            }
            PresenceRequest::Count { room } => {
                let token = self.token.get().to_string();
                let (present, members) =
                    self.shared.counts.get(&self.shared.bus, token, &room).await?;
                Ok(Reply::PresenceCount { present, members })
            }
            PresenceRequest::Set { choice, text, text_until_ms } => {
                self.choose(choice, text, text_until_ms, turn).await
            }
            PresenceRequest::Own => {
                let token = self.token.get().to_string();
                Ok(Reply::status(self.shared.bus.call(&GetStatus { token }).await?))
            }
            PresenceRequest::Idle { idle } => self.of_device(|visit| visit.set_idle(idle)),
            PresenceRequest::Attend { attended } => {
                self.of_device(|visit| visit.set_attended(attended))
            }
        }
    }

    /// Those of these users whom the session may see, each once, and since when that is known.
    async fn visible(&self, asked: Users) -> Result<(Vec<UserId>, Instant), ApiError> {
        let asked_at = Instant::now();
        let Users { mut users, room } = asked;
        let mut known = HashSet::new();
        users.retain(|user| known.insert(user.clone()));
        // Where the client names a room, its members are meant.
        let is_known = |user: &UserId| {
            *user == self.user || self.with_seen(|seen| seen.companions.contains(user))
        };
        let unknown: Vec<String> =
            users.iter().filter(|user| !is_known(user)).map(UserId::to_string).collect();
        if unknown.is_empty() {
            return Ok((users, asked_at));
        }
        let token = self.token.get().to_string();
        let room = room.map(|room| room.to_string()).unwrap_or_default();
        let answer = self.shared.bus.call(&AreVisible { token, users: unknown, room }).await?;
        let visible: HashSet<String> = answer.users.into_iter().collect();
        users.retain(|user| is_known(user) || visible.contains(user.as_str()));
        Ok((users, asked_at))
    }

    async fn watch(&self, asked: Users) -> Result<Reply, ApiError> {
        let (mut users, asked_at) = self.visible(asked).await?;
        self.with_seen(|seen| {
            users.retain(|user| seen.holds(user, asked_at));
            let new = users.iter().filter(|user| !seen.companions.contains(*user));
            let new: Vec<UserId> =
                new.filter(|user| !seen.asked.contains(*user)).cloned().collect();
            if seen.asked.len() + new.len() > WATCHED_USERS_MAX {
                let message = format!("a session watches at most {WATCHED_USERS_MAX} users");
                return Err(ApiError::new(ErrorCode::TooLong, message));
            }
            seen.asked.extend(new);
            for user in &users {
                seen.unwanted.remove(user);
            }
            // First, so that no change falls between.
            self.watcher.watch(users.iter().cloned());
            Ok(())
        })?;
        Ok(Reply::Presence { users: self.shared.statuses.get(&users).await? })
    }

    fn unwatch(&self, users: &[UserId]) {
        self.with_seen(|seen| {
            for user in users {
                seen.asked.remove(user);
                if seen.companions.contains(user) {
                    seen.unwanted.insert(user.clone());
                }
            }
            self.watcher.unwatch(users);
        });
    }

    async fn choose(
        &self,
        choice: Choice,
        text: String,
        text_until_ms: u64,
        turn: Option<Turn>,
    ) -> Result<Reply, ApiError> {
        let taken = self.rates.choices.take(1);
        taken.map_err(|wait| rate_limited("too many changes of the status", wait))?;
        let token = self.token.get().to_string();
        let request = ChooseStatus { token, choice: choice.into(), text, text_until_ms };
        let (shared, user) = (Arc::clone(&self.shared), self.user.clone());
        let (done, answer) = oneshot::channel();
        // Where the session ends meanwhile, what the store has taken is told all the same.
        self.shared.life.front.spawn("choice", async move {
            let _turn = turn;
            let chosen = shared.bus.call(&request).await;
            if let Ok(chosen) = &chosen {
                shared.announcer.choose(&user, chosen.clone());
            }
            let _ = done.send(chosen);
        });
        let unknown = || ApiError::new(ErrorCode::Unknown, "the edge is ending");
        Ok(Reply::status(answer.await.map_err(|_| unknown())??))
    }

    /// Takes what the session says of its device; nothing where its user is not to be seen.
    fn of_device(&self, set: impl FnOnce(&Visit)) -> Result<Reply, ApiError> {
        let taken = self.rates.idles.take(1);
        taken.map_err(|wait| rate_limited("too many changes of the device", wait))?;
        if let Some(visit) = &self.visit {
            set(visit);
        }
        Ok(Reply::Done {})
    }
}
