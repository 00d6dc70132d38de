//! `ask`, `decline` and `asking`: who wants to come into a group where owners and admins decide that.

use serde::Serialize;

use super::rooms::{read_room_id, read_users};
use super::{Query, Reply, Request};
use crate::error::ApiError;
use crate::ids::UserId;
use crate::kind::{Ask, Decline};
use crate::room::RoomId;
use crate::svc;

/// Somebody who asks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Asking {
    user: String,
    /// When they asked, Unix milliseconds.
    time: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    text: String,
}

/// What becomes of somebody's asking, for owners and admins, and for themselves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AskState {
    Asked,
    Withdrawn,
    Declined,
}

/// The push that tells of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "type", rename = "asking")]
pub struct AskingFrame<'a> {
    pub room: &'a RoomId,
    pub user: &'a UserId,
    pub state: AskState,
    /// When they asked, Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<u64>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub text: &'a str,
}

impl AskingFrame<'_> {
    #[must_use]
    pub fn to_frame(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain fields serialise")
    }
}

pub(super) fn read_ask(text: &str) -> Result<Request, ApiError> {
    Ok(Request::Ask { room: read_room_id(text)?, ask: Ask::from_text(text)? })
}

pub(super) fn read_decline(text: &str) -> Result<Request, ApiError> {
    Ok(Request::Decline { room: read_room_id(text)?, decline: Decline::from_text(text)? })
}

pub(super) fn read_asking(text: &str) -> Result<Request, ApiError> {
    let (room, after, limit) = read_users(text)?;
    Ok(Query::Asking { room, after, limit }.into())
}

impl Reply {
    /// The answer to `asking`.
    #[must_use]
    pub fn asking(page: svc::AskingUsers) -> Self {
        let svc::AskingUsers { users, more } = page;
        let shown =
            |svc::AskingUser { user, asked_ms, text }| Asking { user, time: asked_ms, text };
        Self::Asking { asking: users.into_iter().map(shown).collect(), more }
    }
}
