//! Requests about presence.

use std::borrow::Cow;

use serde::Deserialize;

use super::{Reply, Request, or_default};
use crate::check::{check_chars, empty};
use crate::error::{ApiError, ErrorCode};
use crate::ids::UserId;
use crate::json::read_object;
use crate::limits::{PRESENCE_USERS_MAX, STATUS_TEXT_CHARS_MAX};
use crate::presence::{Choice, PresenceSettings};
use crate::room::RoomId;

/// A checked request about presence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PresenceRequest {
    /// Users as they are now.
    Get(Users),
    /// Users as they are now and as they change.
    Watch(Users),
    /// These no longer.
    Unwatch { users: Vec<UserId> },
    /// How many of a group's members are here.
    Count { room: RoomId },
    /// How the caller is to be seen.
    Set {
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
    /// Whether the user looks at this device and uses it.
    Attend { attended: bool },
}

/// Whom a request speaks of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Users {
    /// At least one.
    pub users: Vec<UserId>,
    /// The group that they are members of, where the client says so.
    pub room: Option<RoomId>,
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    users: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    room: Option<Cow<'a, str>>,
}

impl Named<'_> {
    fn check(self) -> Result<Users, ApiError> {
        if self.users.is_empty() {
            return Err(empty("users"));
        }
        if self.users.len() > PRESENCE_USERS_MAX {
            let message = format!("the field users has at most {PRESENCE_USERS_MAX} users");
            return Err(ApiError::new(ErrorCode::TooLong, message));
        }
        let users = self.users.iter().map(|user| UserId::new(user)).collect::<Result<_, _>>()?;
        Ok(Users { users, room: self.room.map(|room| RoomId::new(&room)).transpose()? })
    }
}

pub(super) fn read_get(text: &str) -> Result<Request, ApiError> {
    let users = read_object::<Named<'_>>(text)?.check()?;
    Ok(Request::Presence(PresenceRequest::Get(users)))
}

pub(super) fn read_watch(text: &str) -> Result<Request, ApiError> {
    let users = read_object::<Named<'_>>(text)?.check()?;
    Ok(Request::Presence(PresenceRequest::Watch(users)))
}

pub(super) fn read_unwatch(text: &str) -> Result<Request, ApiError> {
    let Users { users, .. } = read_object::<Named<'_>>(text)?.check()?;
    Ok(Request::Presence(PresenceRequest::Unwatch { users }))
}

#[derive(Deserialize)]
struct Count<'a> {
    #[serde(borrow)]
    room: Cow<'a, str>,
}

pub(super) fn read_count(text: &str) -> Result<Request, ApiError> {
    let Count { room } = read_object(text)?;
    Ok(Request::Presence(PresenceRequest::Count { room: RoomId::new(&room)? }))
}

#[derive(Deserialize)]
struct Set {
    status: Choice,
    #[serde(default, deserialize_with = "or_default")]
    text: String,
    #[serde(default, deserialize_with = "or_default")]
    text_until: u64,
}

pub(super) fn read_set(text: &str) -> Result<Request, ApiError> {
    let Set { status: choice, text, text_until: text_until_ms } = read_object(text)?;
    check_chars("text", &text, STATUS_TEXT_CHARS_MAX)?;
    if text.chars().any(char::is_control) {
        return Err(ApiError::new(ErrorCode::BadRequest, "the field text has to be one line"));
    }
    Ok(Request::Presence(PresenceRequest::Set { choice, text, text_until_ms }))
}

#[derive(Deserialize)]
struct Idle {
    idle: bool,
}

pub(super) fn read_idle(text: &str) -> Result<Request, ApiError> {
    let Idle { idle } = read_object(text)?;
    Ok(Request::Presence(PresenceRequest::Idle { idle }))
}

#[derive(Deserialize)]
struct Attend {
    attended: bool,
}

pub(super) fn read_attend(text: &str) -> Result<Request, ApiError> {
    let Attend { attended } = read_object(text)?;
    Ok(Request::Presence(PresenceRequest::Attend { attended }))
}

impl Reply {
    /// The answer to `presence.set` and `presence.own`.
    #[must_use]
    pub fn status(chosen: PresenceSettings) -> Self {
        Self::Status {
            status: Choice::try_from(chosen.choice).unwrap_or(Choice::Online),
            text: chosen.text,
            text_until: Some(chosen.text_until_ms).filter(|ms| *ms > 0),
        }
    }
}
