//! `invitations` and `invited`: into which groups the user is invited, and whom a group has invited.

use serde::{Deserialize, Serialize};

use super::rooms::read_users;
use super::{Query, Reply, Request, or_default, page_limit};
use crate::error::ApiError;
use crate::ids::UserId;
use crate::json::read_object;
use crate::room::RoomId;
use crate::svc;

#[derive(Deserialize)]
struct Page {
    #[serde(default, deserialize_with = "or_default")]
    after: String,
    limit: Option<u32>,
}

pub(super) fn read_invitations(text: &str) -> Result<Request, ApiError> {
    let Page { after, limit } = read_object(text)?;
    Ok(Query::Invitations { after, limit: page_limit(limit)? }.into())
}

pub(super) fn read_invited(text: &str) -> Result<Request, ApiError> {
    let (room, after, limit) = read_users(text)?;
    Ok(Query::Invited { room, after, limit }.into())
}

/// A group into which the user is invited.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct InvitationShown {
    room: String,
    title: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    topic: String,
    /// A file's id.
    #[serde(skip_serializing_if = "String::is_empty")]
    avatar: String,
    member_count: u32,
    by: String,
    /// Since when, Unix milliseconds.
    time: u64,
}

/// Somebody who is invited.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct InvitedUser {
    user: String,
    by: String,
    /// Since when, Unix milliseconds.
    time: u64,
}

/// What becomes of an invitation, for the devices of who is invited.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum InvitationState {
    Invited,
    Ended,
}

/// The push that tells of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "type", rename = "invitation")]
pub struct InvitationFrame<'a> {
    pub room: &'a RoomId,
    pub state: InvitationState,
    /// Who has invited them.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub by: &'a str,
    /// When, Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<u64>,
}

impl InvitationFrame<'_> {
    /// The frame's bytes.
    #[must_use]
    pub fn to_frame(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain fields serialise")
    }
}

/// The answer to an `add` by which its user is invited and not added: `{"type":"done",…}`, without a request id.
#[must_use]
pub fn invited_frame(invited: &[UserId]) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(tag = "type", rename = "done")]
    struct Done<'a> {
        invited: &'a [UserId],
    }
    serde_json::to_vec(&Done { invited }).expect("plain fields serialise")
}

impl Reply {
    /// The answer to `invitations`.
    #[must_use]
    pub fn invitations(page: svc::GroupInvitations) -> Self {
        let svc::GroupInvitations { invitations, more } = page;
        let shown = |it: svc::GroupInvitation| InvitationShown {
            room: it.room,
            title: it.title,
            topic: it.topic,
            avatar: it.avatar,
            member_count: it.member_count,
            by: it.by,
            time: it.invited_ms,
        };
        Self::Invitations { invitations: invitations.into_iter().map(shown).collect(), more }
    }

    /// The answer to `invited`.
    #[must_use]
    pub fn invited(page: svc::InvitedUsers) -> Self {
        let svc::InvitedUsers { users, more } = page;
        let shown =
            |svc::InvitedUser { user, by, invited_ms: time }| InvitedUser { user, by, time };
        Self::Invited { invited: users.into_iter().map(shown).collect(), more }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_becomes_of_an_invitation_is_told() {
        let (room, bob) = (RoomId::new("team").expect("id"), UserId::new("bob").expect("id"));
        let (state, time) = (InvitationState::Invited, Some(7));
        let open = InvitationFrame { room: &room, state, by: "ann", time }.to_frame();
        let text = br#"{"type":"invitation","room":"team","state":"invited","by":"ann","time":7}"#;
        assert_eq!(open, text);
        let state = InvitationState::Ended;
        let ended = InvitationFrame { room: &room, state, by: "", time: None }.to_frame();
        assert_eq!(ended, br#"{"type":"invitation","room":"team","state":"ended"}"#);
        assert_eq!(invited_frame(&[bob]), br#"{"type":"done","invited":["bob"]}"#);
    }
}
