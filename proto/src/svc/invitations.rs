//! Who is invited to come into groups (`weft.svc.rooms.…`).

use std::fmt;

use prost::Message;

use super::Method;

redacted! {
    ListGroupInvitations { after, limit }
    ListInvited { room, after, limit }
}

/// Lists the groups into which the caller is invited.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct ListGroupInvitations {
    #[prost(string, tag = "1")]
    pub token: String,
    /// Only groups after this id; empty: from the first.
    #[prost(string, tag = "2")]
    pub after: String,
    /// Most of one page; 0: as many as a page holds.
    #[prost(uint32, tag = "3")]
    pub limit: u32,
}
method!(ListGroupInvitations, "rooms", "invitations", GroupInvitations);

#[derive(Clone, PartialEq, Message)]
pub struct GroupInvitations {
    /// Ascending by the group's id.
    #[prost(message, repeated, tag = "1")]
    pub invitations: Vec<GroupInvitation>,
    /// There are more: ask again with `after` = the last one's group.
    #[prost(bool, tag = "2")]
    pub more: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct GroupInvitation {
    #[prost(string, tag = "1")]
    pub room: String,
    #[prost(string, tag = "2")]
    pub title: String,
    #[prost(string, tag = "3")]
    pub topic: String,
    #[prost(uint32, tag = "4")]
    pub member_count: u32,
    /// Who has invited the caller.
    #[prost(string, tag = "5")]
    pub by: String,
    /// When that was, Unix milliseconds.
    #[prost(uint64, tag = "6")]
    pub invited_ms: u64,
    /// A file's id; empty: none.
    #[prost(string, tag = "7")]
    pub avatar: String,
}

/// Lists who is invited to come into a group.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct ListInvited {
    #[prost(string, tag = "1")]
    pub token: String,
    #[prost(string, tag = "2")]
    pub room: String,
    /// Only users after this id; empty: from the first.
    #[prost(string, tag = "3")]
    pub after: String,
    /// Most of one page; 0: as many as a page holds.
    #[prost(uint32, tag = "4")]
    pub limit: u32,
}
method!(ListInvited, "rooms", "invited", InvitedUsers);

#[derive(Clone, PartialEq, Message)]
pub struct InvitedUsers {
    /// Ascending by id.
    #[prost(message, repeated, tag = "1")]
    pub users: Vec<InvitedUser>,
    /// There are more: ask again with `after` = the last one.
    #[prost(bool, tag = "2")]
    pub more: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct InvitedUser {
    #[prost(string, tag = "1")]
    pub user: String,
    #[prost(string, tag = "2")]
    pub by: String,
    /// Unix milliseconds.
    #[prost(uint64, tag = "3")]
    pub invited_ms: u64,
}
