//! Answers: from memory, and for users that are not in it, from what the store keeps.

use std::time::Duration;

use tokio::time::timeout;
use weft_nats::Bus;
use weft_proto::limits::PRESENCE_USERS_MAX;
use weft_proto::presence::Status;
use weft_proto::svc::{
    Attended, CountPresent, GetPresence, IsAttended, LoadStatuses, Presences, Present,
};
use weft_proto::{ApiError, ErrorCode, Presence, UserId};

use super::{Shared, lock, now};
use crate::visible_status::VisibleStatus;

/// How long the store may take to say when somebody was last seen.
const STORE_PATIENCE: Duration = Duration::from_secs(1);

/// What others see of these users.
pub(super) async fn get(
    bus: &Bus,
    state: &Shared,
    request: &GetPresence,
) -> Result<Presences, ApiError> {
    let users = read(&request.users)?;
    let mut found: Vec<Presence> = {
        let state = lock(state);
        let now = now();
        let of = |user: &UserId| state.ledger.get(user, now);
        users
            .iter()
            .map(|user| of(user).unwrap_or_else(|| Presence::unknown(user.clone())))
            .collect()
    };
    let unknown: Vec<usize> =
        (0..found.len()).filter(|i| found[*i].version == 0 && is_offline(&found[*i])).collect();
    if !unknown.is_empty() {
        let users = unknown.iter().map(|i| found[*i].user.to_string()).collect();
        // Without core they are offline all the same: since when is not known then. The asker's own
        // time-out has begun.
        let asked = timeout(STORE_PATIENCE, bus.call(&LoadStatuses { users })).await;
        if let Ok(Ok(kept)) = asked {
            for (i, kept) in unknown.into_iter().zip(kept.users) {
                found[i] = VisibleStatus::offline(kept.last_active_ms).presence(&found[i].user, 0);
            }
        }
    }
    Ok(Presences { users: found.into_iter().map(Into::into).collect() })
}

/// How many of these users are here.
pub(super) fn count(state: &Shared, request: &CountPresent) -> Result<Present, ApiError> {
    let users = read(&request.users)?;
    let state = lock(state);
    let now = now();
    let is_here = |user: &UserId| state.ledger.get(user, now).is_some_and(|it| !is_offline(&it));
    let count = users.iter().filter(|user| is_here(user)).count();
    Ok(Present { count: u32::try_from(count).unwrap_or(u32::MAX) })
}

/// Whether a device of the user is attended.
pub(super) fn attended(state: &Shared, request: &IsAttended) -> Result<Attended, ApiError> {
    let user = UserId::new(&request.user)?;
    Ok(Attended { attended: lock(state).merge.is_attended(&user) })
}

fn is_offline(presence: &Presence) -> bool {
    presence.status == Status::Offline
}

fn read(users: &[String]) -> Result<Vec<UserId>, ApiError> {
    if users.len() > PRESENCE_USERS_MAX {
        let message = format!("at most {PRESENCE_USERS_MAX} users can be asked for at once");
        return Err(ApiError::new(ErrorCode::BadRequest, message));
    }
    users.iter().map(|user| UserId::new(user)).collect()
}
