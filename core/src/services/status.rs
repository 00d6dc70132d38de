//! What is kept of a user's presence: what the user chose, and when they were last seen.

use weft_proto::check::check_chars;
use weft_proto::limits::{PRESENCE_USERS_MAX, STATUS_TEXT_CHARS_MAX};
use weft_proto::presence::{Choice, PresenceSettings};
use weft_proto::{ApiError, ErrorCode, UserId, svc};
use weft_storage::Batch;
use weft_storage::tables::{last_active, presence_settings};

use super::Context;
use super::accounts::ATTEMPTS_MAX;
use super::failure::Failure;

/// A time further ahead is a defect of its sender, in milliseconds. What is kept only grows, so a
/// wrong one would stay.
const AHEAD_MS_MAX: u64 = 24 * 3_600_000;

impl Context {
    /// Keeps how the caller wants to be seen, and answers the result. Of two choices at the
    /// same time both are kept, one after the other: the later one has the greater `at_ms`.
    ///
    /// # Errors
    /// [`ErrorCode::BadRequest`], [`ErrorCode::TooLong`], [`ErrorCode::Unavailable`] (others keep
    /// changing it), those of the token, or the store's.
    pub async fn status_choose(
        &self,
        request: svc::ChooseStatus,
    ) -> Result<PresenceSettings, Failure> {
        let wanted = checked(request.clone())?;
        for _ in 0..ATTEMPTS_MAX {
            let snapshot = self.store.snapshot().await?;
            let user = self.caller(&*snapshot, &request).await?.user;
            let key = presence_settings::key(&user);
            let row = snapshot.get(key.clone()).await?;
            drop(snapshot);
            let before = row.as_deref().map(presence_settings::decode).transpose()?;
            // A clock that went back must not make a later choice an older one.
            let at_ms_min = before.as_ref().map_or(0, |before| before.at_ms.saturating_add(1));
            let next =
                PresenceSettings { at_ms: self.clock.now_ms().max(at_ms_min), ..wanted.clone() };
            let mut batch = Batch::new(rand::random());
            batch.guard(key.clone(), row);
            batch.set(key.clone(), presence_settings::encode(&next));
            let is_invisible = |it: &PresenceSettings| it.choice == i32::from(Choice::Invisible);
            if is_invisible(&next) && !before.as_ref().is_some_and(is_invisible) {
                // Others see the user leave now, whether or not a presence node looks.
                last_active::note(&mut batch, &user, self.clock.now_ms());
            }
            if self.commit(batch).await? {
                return Ok(next);
            }
        }
        Err(Failure::contended())
    }

    /// What the caller chose; who never did is seen as their devices say.
    ///
    /// # Errors
    /// Those of the token, or the store's.
    pub async fn status_get(&self, request: svc::GetStatus) -> Result<PresenceSettings, Failure> {
        let snapshot = self.store.snapshot().await?;
        let user = self.caller(&*snapshot, &request).await?.user;
        let row = snapshot.get(presence_settings::key(&user)).await?;
        Ok(row.as_deref().map(presence_settings::decode).transpose()?.unwrap_or_default())
    }

    /// What is kept of users, in the order of the request; nothing of what is no user id.
    ///
    /// # Errors
    /// [`ErrorCode::BadRequest`] for too many users, or the store's.
    pub async fn status_load(
        &self,
        request: svc::LoadStatuses,
    ) -> Result<svc::KeptStatuses, Failure> {
        check_count(request.users.len())?;
        let users: Vec<_> = request.users.iter().map(|user| UserId::new(user).ok()).collect();
        let keys = users
            .iter()
            .flatten()
            .flat_map(|user| [presence_settings::key(user), last_active::key(user)]);
        let rows = self.store.snapshot().await?.get_many(keys.collect()).await?;
        let mut rows = rows.chunks(2);
        let kept = |user: &Option<UserId>| {
            let rows = user.as_ref().and_then(|_| rows.next());
            let Some([chosen, seen]) = rows else { return Ok(svc::KeptStatus::default()) };
            Ok(svc::KeptStatus {
                chosen: chosen.as_deref().map(presence_settings::decode).transpose()?,
                last_active_ms: seen.as_deref().map_or(Ok(0), last_active::decode)?,
            })
        };
        let users = users.iter().map(kept).collect::<Result<_, weft_storage::Error>>()?;
        Ok(svc::KeptStatuses { users })
    }

    /// Keeps when users were last seen, where that is later than what is known. What is no user id
    /// is ignored.
    ///
    /// # Errors
    /// [`ErrorCode::BadRequest`] for too many users, or the store's. After any of them it may be
    /// done again.
    pub async fn status_active(&self, request: svc::NoteActive) -> Result<svc::Empty, Failure> {
        check_count(request.users.len())?;
        let now_ms = self.clock.now_ms();
        let mut batch = Batch::new(rand::random());
        for active in request.users {
            let Ok(user) = UserId::new(&active.user) else { continue };
            let is_ahead = active.last_active_ms > now_ms.saturating_add(AHEAD_MS_MAX);
            let time_ms = if is_ahead { now_ms } else { active.last_active_ms };
            // 0 says that nobody knows.
            if time_ms > 0 {
                last_active::note(&mut batch, &user, time_ms);
            }
        }
        if !batch.ops().is_empty() {
            // Nothing is guarded, so nothing is rejected.
            self.store.commit(batch).await?;
        }
        Ok(svc::Empty {})
    }
}

fn checked(request: svc::ChooseStatus) -> Result<PresenceSettings, ApiError> {
    let bad = |what: &str| ApiError::new(ErrorCode::BadRequest, what);
    let svc::ChooseStatus { choice, text, text_until_ms, .. } = request;
    Choice::try_from(choice).map_err(|_| bad("there is no such status to choose"))?;
    check_chars("text", &text, STATUS_TEXT_CHARS_MAX)?;
    if text.chars().any(char::is_control) {
        return Err(bad("a status text is one line"));
    }
    let text_until_ms = if text.is_empty() { 0 } else { text_until_ms };
    Ok(PresenceSettings { choice, text, text_until_ms, at_ms: 0 })
}

/// How many users a request names.
pub(super) fn check_count(users: usize) -> Result<(), ApiError> {
    if users <= PRESENCE_USERS_MAX {
        return Ok(());
    }
    let message = format!("a request names at most {PRESENCE_USERS_MAX} users");
    Err(ApiError::new(ErrorCode::BadRequest, message))
}

#[cfg(test)]
mod tests;
