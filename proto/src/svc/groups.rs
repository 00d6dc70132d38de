//! What owners and admins of groups ask for, and groups that everybody may find (`weft.svc.rooms.…`).

use std::fmt;

use prost::Message;

use super::Method;

redacted! {
    ListBanned { room, after, limit }
    ListLinks { room }
    FindGroups { after, limit }
    ListAsking { room, after, limit }
}

/// Lists groups that everybody may find, whose title or id begins with a text.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct FindGroups {
    #[prost(string, tag = "1")]
    pub token: String,
    /// Empty: all of them.
    #[prost(string, tag = "2")]
    pub text: String,
    /// [`FoundGroups::cursor`] of the page before; empty: from the first.
    #[prost(string, tag = "3")]
    pub after: String,
    /// Most of one page; 0: as many as a page holds.
    #[prost(uint32, tag = "4")]
    pub limit: u32,
}
method!(FindGroups, "rooms", "find", FoundGroups);

#[derive(Clone, PartialEq, Message)]
pub struct FoundGroups {
    /// By what they are found by: title or id.
    #[prost(message, repeated, tag = "1")]
    pub groups: Vec<FoundGroup>,
    /// There may be more: ask again with it. Empty: there are not.
    #[prost(string, tag = "2")]
    pub cursor: String,
}

/// A group as somebody sees it who finds it. The word is for clients: an edge need not know it.
#[derive(Clone, PartialEq, Message)]
pub struct FoundGroup {
    #[prost(string, tag = "1")]
    pub room: String,
    #[prost(string, tag = "2")]
    pub title: String,
    #[prost(string, tag = "3")]
    pub topic: String,
    #[prost(uint32, tag = "4")]
    pub member_count: u32,
    /// The word for who may come in.
    #[prost(string, tag = "5")]
    pub join: String,
    /// The caller is a member.
    #[prost(bool, tag = "6")]
    pub member: bool,
    /// The caller asks to come in.
    #[prost(bool, tag = "7")]
    pub asked: bool,
    /// A file's id; empty: none.
    #[prost(string, tag = "8")]
    pub avatar: String,
}

/// Lists who asks to come into a group.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct ListAsking {
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
method!(ListAsking, "rooms", "asking", AskingUsers);

#[derive(Clone, PartialEq, Message)]
pub struct AskingUsers {
    /// Ascending by id.
    #[prost(message, repeated, tag = "1")]
    pub users: Vec<AskingUser>,
    /// There are more: ask again with `after` = the last one.
    #[prost(bool, tag = "2")]
    pub more: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct AskingUser {
    #[prost(string, tag = "1")]
    pub user: String,
    /// When they asked, Unix milliseconds.
    #[prost(uint64, tag = "2")]
    pub asked_ms: u64,
    /// What they say; empty: nothing.
    #[prost(string, tag = "3")]
    pub text: String,
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
