//! Requests about presence.

use super::RawFrame;
use crate::body::missing;
use crate::error::{ApiError, ErrorCode};
use crate::ids::UserId;
use crate::limits::{PRESENCE_USERS_MAX, STATUS_TEXT_CHARS_MAX};
use crate::presence::Choice;
use crate::room::RoomId;

/// A checked request about presence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PresenceRequest {
    /// Users as they are now.
    Get(Users),
    /// Users as they are now and as they change.
    Watch(Users),
    /// These no longer.
    Unwatch {
        /// The users.
        users: Vec<UserId>,
    },
    /// How many of a group's members are here.
    Count {
        /// The group.
        room: RoomId,
    },
    /// How the caller is to be seen.
    Set {
        /// How.
        choice: Choice,
        /// A line of the user's own words; empty: none.
        text: String,
        /// When the text ends, Unix milliseconds; 0: never.
        text_until_ms: u64,
    },
    /// How the caller wants to be seen.
    Own,
    /// Whether somebody looks at this device.
    Idle {
        /// Nobody does.
        idle: bool,
    },
}

/// Whom a request speaks of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Users {
    /// At least one.
    pub users: Vec<UserId>,
    /// The group that they are members of, where the client says so.
    pub room: Option<RoomId>,
}

/// `None` where `word` is not about presence.
pub(super) fn check(
    word: &str,
    raw: &mut RawFrame<'_>,
) -> Option<Result<PresenceRequest, ApiError>> {
    let request = match word {
        "presence.get" => named(raw).map(PresenceRequest::Get),
        "presence.watch" => named(raw).map(PresenceRequest::Watch),
        "presence.unwatch" => users(raw).map(|users| PresenceRequest::Unwatch { users }),
        "presence.count" => room(raw)
            .and_then(|room| room.ok_or_else(|| missing("room")))
            .map(|room| PresenceRequest::Count { room }),
        "presence.set" => set(raw),
        "presence.own" => Ok(PresenceRequest::Own),
        "presence.idle" => {
            raw.idle.map(|idle| PresenceRequest::Idle { idle }).ok_or_else(|| missing("idle"))
        }
        _ => return None,
    };
    Some(request)
}

fn named(raw: &mut RawFrame<'_>) -> Result<Users, ApiError> {
    Ok(Users { users: users(raw)?, room: room(raw)? })
}

fn users(raw: &mut RawFrame<'_>) -> Result<Vec<UserId>, ApiError> {
    let users = raw.users.take().ok_or_else(|| missing("users"))?;
    if users.is_empty() {
        return Err(ApiError::new(ErrorCode::BadRequest, "the field users is empty"));
    }
    if users.len() > PRESENCE_USERS_MAX {
        let message = format!("the field users has at most {PRESENCE_USERS_MAX} users");
        return Err(ApiError::new(ErrorCode::TooLong, message));
    }
    users.iter().map(|user| UserId::new(user)).collect()
}

fn room(raw: &mut RawFrame<'_>) -> Result<Option<RoomId>, ApiError> {
    raw.room.take().map(|room| RoomId::new(&room)).transpose()
}

fn set(raw: &mut RawFrame<'_>) -> Result<PresenceRequest, ApiError> {
    let choice = raw.status.ok_or_else(|| missing("status"))?;
    let text = raw.text.take().unwrap_or_default();
    if text.chars().count() > STATUS_TEXT_CHARS_MAX {
        let message = format!("the field text has more than {STATUS_TEXT_CHARS_MAX} characters");
        return Err(ApiError::new(ErrorCode::TooLong, message));
    }
    if text.chars().any(char::is_control) {
        return Err(ApiError::new(ErrorCode::BadRequest, "the field text has to be one line"));
    }
    let text_until_ms = raw.text_until.unwrap_or(0);
    Ok(PresenceRequest::Set { choice, text: text.into_owned(), text_until_ms })
}
