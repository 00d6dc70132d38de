//! Search (`weft.svc.search.…`). Any search node answers.

use std::fmt;

use bytes::Bytes;
use prost::Message;

use super::Method;

redacted! {
    Search { text, room, from, after_ms, before_ms, has, mentions_me, thread, ranked, counts, cursor, limit }
}

/// Looks for messages that the caller may see.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct Search {
    #[prost(string, tag = "1")]
    pub token: String,
    /// Words, "phrases", and the beginning of the last word; any text.
    #[prost(string, tag = "2")]
    pub text: String,
    /// In this room alone; empty: in all.
    #[prost(string, tag = "3")]
    pub room: String,
    /// Of this user alone; empty: of all.
    #[prost(string, tag = "4")]
    pub from: String,
    /// Those that were taken at this time or later, Unix milliseconds.
    #[prost(uint64, optional, tag = "5")]
    pub after_ms: Option<u64>,
    /// Those that were taken before this time.
    #[prost(uint64, optional, tag = "6")]
    pub before_ms: Option<u64>,
    /// Those with all of this in them: `link`, `file`, `image`.
    #[prost(string, repeated, tag = "7")]
    pub has: Vec<String>,
    /// Those that mention the caller, or all members.
    #[prost(bool, tag = "8")]
    pub mentions_me: bool,
    /// With `room`: those of the thread that begins with the message at this seq; 0: all.
    #[prost(uint64, tag = "9")]
    pub thread: u64,
    /// The best first, else the newest.
    #[prost(bool, tag = "10")]
    pub ranked: bool,
    /// Say in which rooms how many are.
    #[prost(bool, tag = "11")]
    pub counts: bool,
    /// [`FoundMessages::cursor`] of the page before; empty: from the first.
    #[prost(string, tag = "12")]
    pub cursor: String,
    /// Most of one page; 0: as many as a page holds.
    #[prost(uint32, tag = "13")]
    pub limit: u32,
}
method!(Search, "search", "find", FoundMessages);

/// A page of what was found.
#[derive(Clone, PartialEq, Message)]
pub struct FoundMessages {
    /// In their order.
    #[prost(message, repeated, tag = "1")]
    pub messages: Vec<FoundMessage>,
    /// There may be more: ask again with it; empty: there are no more.
    #[prost(string, tag = "2")]
    pub cursor: String,
    /// The index is behind what was sent: something may be missing.
    #[prost(bool, tag = "3")]
    pub partial: bool,
    /// How many there are, about.
    #[prost(uint64, tag = "4")]
    pub total: u64,
    /// By room, the most first.
    #[prost(message, repeated, tag = "5")]
    pub counts: Vec<RoomCount>,
}

/// A message that was found.
#[derive(Clone, PartialEq, Message)]
pub struct FoundMessage {
    /// The frame of the entry, as history shows it.
    #[prost(bytes = "bytes", tag = "1")]
    pub frame: Bytes,
    /// The parts of its text that were looked for.
    #[prost(message, repeated, tag = "2")]
    pub highlights: Vec<Highlight>,
}

/// A part of a text, in characters (Unicode scalar values).
#[derive(Clone, PartialEq, Message)]
pub struct Highlight {
    #[prost(uint32, tag = "1")]
    pub at: u32,
    #[prost(uint32, tag = "2")]
    pub len: u32,
}

/// How many messages of a room were found.
#[derive(Clone, PartialEq, Message)]
pub struct RoomCount {
    #[prost(string, tag = "1")]
    pub room: String,
    #[prost(uint64, tag = "2")]
    pub count: u64,
}

/// Asks one search node how it is, by its name; or to make its index anew.
#[derive(Clone, PartialEq, Message)]
pub struct AskSearchNode {
    /// Make the index anew, from the store. What it has is found until the new one is complete.
    #[prost(bool, tag = "1")]
    pub reindex: bool,
}
method!(AskSearchNode, "search", "node", SearchNodeState);

/// How a search node is.
#[derive(Clone, PartialEq, Message)]
pub struct SearchNodeState {
    /// Messages in the index that it answers from.
    #[prost(uint64, tag = "1")]
    pub documents: u64,
    /// It makes an index, and has read so many messages.
    #[prost(uint64, optional, tag = "2")]
    pub building: Option<u64>,
    /// It answers: a first index is complete.
    #[prost(bool, tag = "3")]
    pub serves: bool,
    /// How many indexes it has made, this life: that of a `reindex` is ready when it has grown.
    #[prost(uint64, tag = "4")]
    pub built: u64,
}
