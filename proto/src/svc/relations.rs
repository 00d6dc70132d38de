//! What others are to a user (`weft.svc.accounts.relations`, `weft.svc.rooms.reaches`).

use std::fmt;

use prost::Message;

use super::Method;

redacted! {
    ListRelations { after, limit }
    Reaches { room }
}

/// Lists the users who are something to the caller.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct ListRelations {
    #[prost(string, tag = "1")]
    pub token: String,
    /// Only users after this id; empty: from the first.
    #[prost(string, tag = "2")]
    pub after: String,
    /// Most of one page; 0: as many as a page holds.
    #[prost(uint32, tag = "3")]
    pub limit: u32,
}
method!(ListRelations, "accounts", "relations", Relations);

#[derive(Clone, PartialEq, Message)]
pub struct Relations {
    /// Ascending by user id.
    #[prost(message, repeated, tag = "1")]
    pub relations: Vec<RelatedUser>,
    /// There are more: ask again with `after` = the last one.
    #[prost(bool, tag = "2")]
    pub more: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct RelatedUser {
    #[prost(string, tag = "1")]
    pub user: String,
    #[prost(bool, tag = "2")]
    pub contact: bool,
    #[prost(bool, tag = "3")]
    pub blocked: bool,
}

/// Asks whether the other user of a direct room is to hear what the caller does there beside entries: neither wants nothing
/// of the other.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct Reaches {
    #[prost(string, tag = "1")]
    pub token: String,
    #[prost(string, tag = "2")]
    pub room: String,
}
method!(Reaches, "rooms", "reaches", Reached);

#[derive(Clone, PartialEq, Message)]
pub struct Reached {
    #[prost(bool, tag = "1")]
    pub reached: bool,
}
