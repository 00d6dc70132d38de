//! What became of a message, as far as history does not show it (`weft.svc.log.…`).

use std::fmt;

use prost::Message;

use super::Method;

redacted! {
    ReadVersions { room, target, after }
    ListReactions { room, target, emoji, after, limit }
    ListPins { room, before, limit }
    ListThreads { room, before, limit }
}

/// Asks for the texts that a message has had.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct ReadVersions {
    #[prost(string, tag = "1")]
    pub token: String,
    #[prost(string, tag = "2")]
    pub room: String,
    /// The message's seq.
    #[prost(uint64, tag = "3")]
    pub target: u64,
    /// Only versions with a greater seq; 0: from the first.
    #[prost(uint64, tag = "4")]
    pub after: u64,
}
method!(ReadVersions, "log", "versions", Versions);

#[derive(Clone, PartialEq, Message)]
pub struct Versions {
    /// As clients get them, in JSON; oldest first.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub versions: Vec<bytes::Bytes>,
    /// There are newer ones: ask again after the last one's seq.
    #[prost(bool, tag = "2")]
    pub more: bool,
}

/// Asks who has put an emoji on a message.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct ListReactions {
    #[prost(string, tag = "1")]
    pub token: String,
    #[prost(string, tag = "2")]
    pub room: String,
    /// The message's seq.
    #[prost(uint64, tag = "3")]
    pub target: u64,
    #[prost(string, tag = "4")]
    pub emoji: String,
    /// Only users after this id; empty: from the first.
    #[prost(string, tag = "5")]
    pub after: String,
    /// Most of one page; 0: as many as a page holds.
    #[prost(uint32, tag = "6")]
    pub limit: u32,
}
method!(ListReactions, "log", "reactions", ReactionUsers);

#[derive(Clone, PartialEq, Message)]
pub struct ReactionUsers {
    /// Ascending by id.
    #[prost(string, repeated, tag = "1")]
    pub users: Vec<String>,
    #[prost(bool, tag = "2")]
    pub more: bool,
}

/// Asks for the messages that are pinned in a room.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct ListPins {
    #[prost(string, tag = "1")]
    pub token: String,
    #[prost(string, tag = "2")]
    pub room: String,
    /// Only those that were pinned by an entry with a smaller seq; 0: from the last one.
    #[prost(uint64, tag = "3")]
    pub before: u64,
    /// Most of one page; 0: as many as a page holds.
    #[prost(uint32, tag = "4")]
    pub limit: u32,
}
method!(ListPins, "log", "pins", PinnedMessages);

#[derive(Clone, PartialEq, Message)]
pub struct PinnedMessages {
    /// The bytes of the messages' frames, as `history` has them; what was pinned last comes first.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub entries: Vec<bytes::Bytes>,
    /// There are earlier ones: ask again before the last one's `pinned.seq`.
    #[prost(bool, tag = "2")]
    pub more: bool,
}

/// Asks for the threads of a room that the caller follows.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct ListThreads {
    #[prost(string, tag = "1")]
    pub token: String,
    #[prost(string, tag = "2")]
    pub room: String,
    /// Only those that begin with a message of a smaller seq; 0: from the last one.
    #[prost(uint64, tag = "3")]
    pub before: u64,
    /// Most of one page; 0: as many as a page holds.
    #[prost(uint32, tag = "4")]
    pub limit: u32,
}
method!(ListThreads, "log", "threads", FollowedThreads);

#[derive(Clone, PartialEq, Message)]
pub struct FollowedThreads {
    /// That which began last comes first.
    #[prost(message, repeated, tag = "1")]
    pub threads: Vec<FollowedThread>,
    /// There are earlier ones: ask again before the last one's root.
    #[prost(bool, tag = "2")]
    pub more: bool,
}

/// A thread that the caller follows.
#[derive(Clone, PartialEq, Message)]
pub struct FollowedThread {
    /// The seq of the message with which it begins.
    #[prost(uint64, tag = "1")]
    pub root: u64,
    /// How many replies it has, without those that were deleted.
    #[prost(uint64, tag = "2")]
    pub replies: u64,
    /// Seq of the newest one, deleted or not; 0: there is none.
    #[prost(uint64, tag = "3")]
    pub last_reply: u64,
    /// Up to which entry of the room the caller has read it.
    #[prost(uint64, tag = "4")]
    pub read: u64,
    /// How many replies the caller has not read.
    #[prost(uint64, tag = "5")]
    pub unread: u64,
    /// There may be more: not all replies were looked at.
    #[prost(bool, tag = "6")]
    pub has_more_unread: bool,
}
