//! What search nodes ask core for (`weft.svc.index.…`): messages as they are, for the index; and for who searches, what
//! they may see. The first kind names every room, and is for search nodes alone; the second carries the user's own token.

use std::fmt;

use prost::Message;

use super::{LogEntry, Method};

redacted! {
    ListSearchable { room, after }
    ReadFound { places }
}

/// A place in a room's log.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Message)]
pub struct Place {
    #[prost(string, tag = "1")]
    pub room: String,
    #[prost(uint64, tag = "2")]
    pub seq: u64,
}

/// A message as the index knows it: with its newest text.
#[derive(Clone, PartialEq, Message)]
pub struct IndexedMessage {
    #[prost(string, tag = "1")]
    pub room: String,
    #[prost(uint64, tag = "2")]
    pub seq: u64,
    /// When it was taken, Unix milliseconds.
    #[prost(uint64, tag = "3")]
    pub time_ms: u64,
    #[prost(string, tag = "4")]
    pub from: String,
    /// With which message the thread begins that it is in; 0: in none.
    #[prost(uint64, tag = "5")]
    pub thread: u64,
    /// What it is found by.
    #[prost(string, repeated, tag = "6")]
    pub texts: Vec<String>,
    /// The users whom it mentions.
    #[prost(string, repeated, tag = "7")]
    pub mentions: Vec<String>,
    #[prost(bool, tag = "8")]
    pub mentions_everyone: bool,
    /// What is in it: `link`, `file`, `image`.
    #[prost(string, repeated, tag = "9")]
    pub has: Vec<String>,
}

/// Asks what became of messages by these entries: messages, edits, deletions.
#[derive(Clone, PartialEq, Message)]
pub struct ReadChanged {
    #[prost(message, repeated, tag = "1")]
    pub places: Vec<Place>,
}
method!(ReadChanged, "index", "changed", ChangedMessages);

/// What became of them.
#[derive(Clone, PartialEq, Message)]
pub struct ChangedMessages {
    /// The store's id: 8 bytes, big-endian.
    #[prost(bytes = "vec", tag = "1")]
    pub store: Vec<u8>,
    /// Of how many of the entries it speaks, from the first: ask again for the others.
    #[prost(uint32, tag = "2")]
    pub done: u32,
    #[prost(message, repeated, tag = "3")]
    pub messages: Vec<IndexedMessage>,
    /// Messages that were deleted.
    #[prost(message, repeated, tag = "4")]
    pub deleted: Vec<Place>,
}

/// Reads the messages of all rooms, by room and seq.
#[derive(Clone, PartialEq, Message)]
pub struct WalkMessages {
    /// After this place; none: from the first room on.
    #[prost(message, optional, tag = "1")]
    pub after: Option<Place>,
}
method!(WalkMessages, "index", "walk", WalkedMessages);

/// A part of all messages.
#[derive(Clone, PartialEq, Message)]
pub struct WalkedMessages {
    /// The store's id: 8 bytes, big-endian.
    #[prost(bytes = "vec", tag = "1")]
    pub store: Vec<u8>,
    #[prost(message, repeated, tag = "2")]
    pub messages: Vec<IndexedMessage>,
    /// Up to where it speaks; none: there are no further ones.
    #[prost(message, optional, tag = "3")]
    pub through: Option<Place>,
}

/// Lists all rooms, by id.
#[derive(Clone, PartialEq, Message)]
pub struct ListIndexed {
    /// Only rooms after this id; empty: from the first.
    #[prost(string, tag = "1")]
    pub after: String,
}
method!(ListIndexed, "index", "rooms", IndexedRooms);

/// A part of all rooms.
#[derive(Clone, PartialEq, Message)]
pub struct IndexedRooms {
    #[prost(message, repeated, tag = "1")]
    pub rooms: Vec<IndexedRoom>,
    /// There are more: ask again with `after` = the last one.
    #[prost(bool, tag = "2")]
    pub more: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct IndexedRoom {
    #[prost(string, tag = "1")]
    pub room: String,
    /// Seq of its newest entry.
    #[prost(uint64, tag = "2")]
    pub seq: u64,
    /// Entries with a smaller seq were deleted; 0: none were.
    #[prost(uint64, tag = "3")]
    pub first_seq: u64,
}

/// Lists the rooms in which a user may search, by id.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct ListSearchable {
    #[prost(string, tag = "1")]
    pub token: String,
    /// This one alone; empty: all of the user's.
    #[prost(string, tag = "2")]
    pub room: String,
    /// Only rooms after this id; empty: from the first.
    #[prost(string, tag = "3")]
    pub after: String,
}
method!(ListSearchable, "index", "searchable", SearchableRooms);

/// A part of the rooms in which a user may search.
#[derive(Clone, PartialEq, Message)]
pub struct SearchableRooms {
    /// The token's user.
    #[prost(string, tag = "1")]
    pub user: String,
    #[prost(message, repeated, tag = "2")]
    pub rooms: Vec<SearchableRoom>,
    /// There are more: ask again with `after` = the last one.
    #[prost(bool, tag = "3")]
    pub more: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct SearchableRoom {
    #[prost(string, tag = "1")]
    pub room: String,
    /// The seqs that the user sees: first, last, first, last, …
    #[prost(uint64, repeated, tag = "2")]
    pub parts: Vec<u64>,
}

/// Reads messages as they are now, for who has found them.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct ReadFound {
    #[prost(string, tag = "1")]
    pub token: String,
    #[prost(message, repeated, tag = "2")]
    pub places: Vec<Place>,
}
method!(ReadFound, "index", "found", FoundEntries);

/// Of these messages those that the user may see now, in their order.
#[derive(Clone, PartialEq, Message)]
pub struct FoundEntries {
    /// Of how many of the messages it speaks, from the first: ask again for the others.
    #[prost(uint32, tag = "1")]
    pub done: u32,
    #[prost(message, repeated, tag = "2")]
    pub entries: Vec<LogEntry>,
}
