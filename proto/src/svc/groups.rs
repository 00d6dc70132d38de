//! What owners and admins of groups ask for (`weft.svc.rooms.…`).

use std::fmt;

use prost::Message;

use super::Method;

redacted! {
    ListBanned { room, after, limit }
    ListLinks { room }
}

/// Lists who is kept out of a group.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct ListBanned {
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
method!(ListBanned, "rooms", "banned", Banned);

#[derive(Clone, PartialEq, Message)]
pub struct Banned {
    /// Ascending by id.
    #[prost(message, repeated, tag = "1")]
    pub users: Vec<BannedUser>,
    /// There are more: ask again with `after` = the last one.
    #[prost(bool, tag = "2")]
    pub more: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct BannedUser {
    #[prost(string, tag = "1")]
    pub user: String,
    /// Seq of the `ban`.
    #[prost(uint64, tag = "2")]
    pub seq: u64,
}

/// Lists the links by which one may join a group.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct ListLinks {
    #[prost(string, tag = "1")]
    pub token: String,
    #[prost(string, tag = "2")]
    pub room: String,
}
method!(ListLinks, "rooms", "links", Links);

#[derive(Clone, PartialEq, Message)]
pub struct Links {
    /// Those that were made last come first.
    #[prost(message, repeated, tag = "1")]
    pub links: Vec<Link>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Link {
    #[prost(string, tag = "1")]
    pub id: String,
    /// Who made it.
    #[prost(string, tag = "2")]
    pub by: String,
    /// When, Unix milliseconds.
    #[prost(uint64, tag = "3")]
    pub made_ms: u64,
    /// Unix milliseconds; 0: it does not expire.
    #[prost(uint64, tag = "4")]
    pub expires_ms: u64,
    /// How often one may join by it; 0: as often as one likes.
    #[prost(uint32, tag = "5")]
    pub uses_max: u32,
    /// How often somebody did.
    #[prost(uint32, tag = "6")]
    pub used: u32,
}
