//! What is asked about presence: presence nodes serve `presence`, core serves `status` (what is
//! kept of it) and, in `rooms`, who may see whom.

use std::fmt;

use prost::Message;

use super::{Empty, Method};
use crate::ids::UserId;
use crate::presence::{Presence, PresenceSettings, Status};

redacted! {
    ChooseStatus { choice, text, text_until_ms }
    GetStatus {}
    ListCompanions {}
    AreVisible { users, room }
}

/// What others see of users: at most [`PRESENCE_USERS_MAX`](crate::limits::PRESENCE_USERS_MAX).
/// Speaks for an edge, which has checked who may see whom.
#[derive(Clone, PartialEq, Message)]
pub struct GetPresence {
    #[prost(string, repeated, tag = "1")]
    pub users: Vec<String>,
}
method!(GetPresence, "presence", "get", Presences);

/// What others see of users.
#[derive(Clone, PartialEq, Message)]
pub struct Presences {
    /// In the order that they were asked in.
    #[prost(message, repeated, tag = "1")]
    pub users: Vec<UserPresence>,
}

/// What others see of a user: a [`Presence`] on its way.
#[derive(Clone, PartialEq, Message)]
pub struct UserPresence {
    #[prost(string, tag = "1")]
    pub user: String,
    #[prost(enumeration = "Status", tag = "2")]
    pub status: i32,
    #[prost(string, tag = "3")]
    pub text: String,
    /// When the text ends, Unix milliseconds; 0: never.
    #[prost(uint64, tag = "4")]
    pub text_until_ms: u64,
    /// When they were last seen, Unix milliseconds; 0: not known, or they are here.
    #[prost(uint64, tag = "5")]
    pub last_active_ms: u64,
    /// Of the change that was published last; 0: none was.
    #[prost(uint64, tag = "6")]
    pub version: u64,
}

impl From<Presence> for UserPresence {
    fn from(presence: Presence) -> Self {
        Self {
            user: presence.user.to_string(),
            status: presence.status.into(),
            text: presence.text,
            text_until_ms: presence.text_until.unwrap_or(0),
            last_active_ms: presence.last_active.unwrap_or(0),
            version: presence.version,
        }
    }
}

impl UserPresence {
    /// `None` where it is malformed.
    #[must_use]
    pub fn read(self) -> Option<Presence> {
        let known = |ms| Some(ms).filter(|ms| *ms > 0);
        Some(Presence {
            user: UserId::new(&self.user).ok()?,
            status: Status::try_from(self.status).ok()?,
            text: self.text,
            text_until: known(self.text_until_ms),
            last_active: known(self.last_active_ms),
            version: self.version,
        })
    }
}

/// How many of these users are seen as other than offline: at most
/// [`PRESENCE_USERS_MAX`](crate::limits::PRESENCE_USERS_MAX).
#[derive(Clone, PartialEq, Message)]
pub struct CountPresent {
    #[prost(string, repeated, tag = "1")]
    pub users: Vec<String>,
}
method!(CountPresent, "presence", "count", Present);

#[derive(Clone, PartialEq, Message)]
pub struct Present {
    #[prost(uint32, tag = "1")]
    pub count: u32,
}

/// Whether a device of the user says that it is attended, whatever others see of the user. Speaks for a push node.
#[derive(Clone, PartialEq, Message)]
pub struct IsAttended {
    #[prost(string, tag = "1")]
    pub user: String,
}
method!(IsAttended, "presence", "attended", Attended);

#[derive(Clone, PartialEq, Message)]
pub struct Attended {
    #[prost(bool, tag = "1")]
    pub attended: bool,
}

/// Keeps what the caller chose, and answers the result.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct ChooseStatus {
    #[prost(string, tag = "1")]
    pub token: String,
    /// How the user wants to be seen.
    #[prost(enumeration = "crate::presence::Choice", tag = "2")]
    pub choice: i32,
    /// A line of the user's own words; empty: none.
    #[prost(string, tag = "3")]
    pub text: String,
    /// When the text ends, Unix milliseconds; 0: never.
    #[prost(uint64, tag = "4")]
    pub text_until_ms: u64,
}
method!(ChooseStatus, "status", "choose", PresenceSettings);

/// What the caller chose.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct GetStatus {
    #[prost(string, tag = "1")]
    pub token: String,
}
method!(GetStatus, "status", "get", PresenceSettings);

/// What is kept of users: at most [`PRESENCE_USERS_MAX`](crate::limits::PRESENCE_USERS_MAX). Speaks
/// for a presence node.
#[derive(Clone, PartialEq, Message)]
pub struct LoadStatuses {
    #[prost(string, repeated, tag = "1")]
    pub users: Vec<String>,
}
method!(LoadStatuses, "status", "load", KeptStatuses);

/// What is kept of users.
#[derive(Clone, PartialEq, Message)]
pub struct KeptStatuses {
    /// One for each user that was asked for, in that order.
    #[prost(message, repeated, tag = "1")]
    pub users: Vec<KeptStatus>,
}

/// What is kept of a user.
#[derive(Clone, PartialEq, Message)]
pub struct KeptStatus {
    /// What the user chose; none: nothing yet.
    #[prost(message, optional, tag = "1")]
    pub chosen: Option<PresenceSettings>,
    /// When the user was last seen, Unix milliseconds; 0: never.
    #[prost(uint64, tag = "2")]
    pub last_active_ms: u64,
}

/// Keeps when users were last seen: at most
/// [`PRESENCE_USERS_MAX`](crate::limits::PRESENCE_USERS_MAX). What is kept only grows. Speaks for a
/// presence node.
#[derive(Clone, PartialEq, Message)]
pub struct NoteActive {
    #[prost(message, repeated, tag = "1")]
    pub users: Vec<Active>,
}
method!(NoteActive, "status", "active", Empty);

/// When a user was last seen.
#[derive(Clone, PartialEq, Message)]
pub struct Active {
    #[prost(string, tag = "1")]
    pub user: String,
    #[prost(uint64, tag = "2")]
    pub last_active_ms: u64,
}

/// Lists whom the caller sees without asking: the partners of direct rooms, then the members of
/// groups that are not large, without the caller; at most
/// [`COMPANIONS_MAX`](crate::limits::COMPANIONS_MAX).
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct ListCompanions {
    #[prost(string, tag = "1")]
    pub token: String,
}
method!(ListCompanions, "rooms", "companions", Companions);

#[derive(Clone, PartialEq, Message)]
pub struct Companions {
    /// Each once.
    #[prost(string, repeated, tag = "1")]
    pub users: Vec<String>,
    /// There are more, which are left out.
    #[prost(bool, tag = "2")]
    pub more: bool,
}

/// Which of these users share a room with the caller: at most
/// [`PRESENCE_USERS_MAX`](crate::limits::PRESENCE_USERS_MAX).
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct AreVisible {
    #[prost(string, tag = "1")]
    pub token: String,
    #[prost(string, repeated, tag = "2")]
    pub users: Vec<String>,
    /// The group that they are to be members of, as the caller is; empty: any room, which is more
    /// work, so a request for many users in many groups is refused.
    #[prost(string, tag = "3")]
    pub room: String,
}
method!(AreVisible, "rooms", "visible", Visible);

#[derive(Clone, PartialEq, Message)]
pub struct Visible {
    /// Those of the request who share a room with the caller, in its order; the caller too.
    #[prost(string, repeated, tag = "1")]
    pub users: Vec<String>,
}
