//! Entries: pages of a log, and what came after a cursor (`weft.svc.log.…`).

use std::fmt;

use prost::Message;

use super::Method;

redacted! {
    ReadLog { room, after, before, after_position, to, limit, joined_after, merged, around, at_ms, thread }
    Sync { cursor }
}

/// An entry as the log services carry it.
#[derive(Clone, PartialEq, Message)]
pub struct LogEntry {
    /// An [`EventHead`](crate::EventHead) in its text form.
    #[prost(string, tag = "1")]
    pub head: String,
    /// The bytes of the WebSocket frame.
    #[prost(bytes = "bytes", tag = "2")]
    pub frame: bytes::Bytes,
}

/// Reads a part of a room's log. Exactly one of `after`, `before`, `after_position`, `around` and
/// `at_ms` is given.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct ReadLog {
    #[prost(string, tag = "1")]
    pub token: String,
    #[prost(string, tag = "2")]
    pub room: String,
    /// Entries with a greater seq, oldest first.
    #[prost(uint64, optional, tag = "3")]
    pub after: Option<u64>,
    /// The last entries with a smaller seq (0: of the whole room). Answered oldest first.
    #[prost(uint64, optional, tag = "4")]
    pub before: Option<u64>,
    /// Entries with a greater position, oldest first: 12 bytes.
    #[prost(bytes = "vec", optional, tag = "5")]
    pub after_position: Option<Vec<u8>>,
    /// With `after` and `after_position`: entries with at most this seq; 0: up to the head.
    #[prost(uint64, tag = "6")]
    pub to: u64,
    /// Most of one page; 0: as many as a page holds.
    #[prost(uint32, tag = "7")]
    pub limit: u32,
    /// With `after` and `after_position`: the caller was no member of the group there, and wants its
    /// entries from the next joining on, which is after this position (12 bytes); what lies before
    /// it is hidden.
    #[prost(bytes = "vec", optional, tag = "8")]
    pub joined_after: Option<Vec<u8>>,
    /// Messages are shown as they are now, with what became of them. Else entries are as they were
    /// taken: who has a room's further entries can tell the rest.
    #[prost(bool, tag = "9")]
    pub merged: bool,
    /// The entries around this seq, oldest first: half of them before it, the others from it on.
    #[prost(uint64, optional, tag = "10")]
    pub around: Option<u64>,
    /// The first entries that were taken at this time or later, Unix milliseconds.
    #[prost(uint64, optional, tag = "11")]
    pub at_ms: Option<u64>,
    /// Only entries of the thread that begins with the message at this seq.
    #[prost(uint64, optional, tag = "12")]
    pub thread: Option<u64>,
}
method!(ReadLog, "log", "read", LogPage);

/// A part of a room's log. All that the caller may see in `from..=through` is in it; what is
/// missing there is hidden from the caller.
#[derive(Clone, PartialEq, Message)]
pub struct LogPage {
    /// Oldest first.
    #[prost(message, repeated, tag = "1")]
    pub entries: Vec<LogEntry>,
    /// First seq that the page speaks of.
    #[prost(uint64, tag = "2")]
    pub from: u64,
    /// Last seq that the page speaks of (`from - 1`: none).
    #[prost(uint64, tag = "3")]
    pub through: u64,
    /// The asked range has more than the page: ask again from its end.
    #[prost(bool, tag = "4")]
    pub more: bool,
    /// Seq of the room's newest entry: all of the room up to there is in what the page shows.
    #[prost(uint64, tag = "5")]
    pub newest: u64,
    /// With `around` and `at_ms`: the caller sees entries before `from`; and `more` says that there
    /// are such after `through`.
    #[prost(bool, optional, tag = "6")]
    pub more_before: Option<bool>,
}

/// Why a device has to load its rooms anew.
#[derive(Clone, Copy, PartialEq, Eq, Debug, prost::Enumeration)]
#[repr(i32)]
pub enum Resync {
    /// It has not: the sync carries everything since the cursor.
    None = 0,
    /// The device has no cursor yet.
    NoCursor = 1,
    /// The cursor is of another store (restored or imported since).
    OtherStore = 2,
    /// The cursor is older than what inboxes keep.
    CursorExpired = 3,
    /// More happened since the cursor than a sync carries.
    TooFarBehind = 4,
}

impl Resync {
    /// The word on the wire; `None` for [`Resync::None`].
    #[must_use]
    pub fn as_str(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::NoCursor => Some("no_cursor"),
            Self::OtherStore => Some("other_store"),
            Self::CursorExpired => Some("cursor_expired"),
            Self::TooFarBehind => Some("too_far_behind"),
        }
    }
}

/// Asks for everything since a cursor. The first page fixes the read version; later pages repeat
/// it and leave out what is newer.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct Sync {
    #[prost(string, tag = "1")]
    pub token: String,
    /// The device's [`Cursor`](crate::Cursor) as text; empty: none.
    #[prost(string, tag = "2")]
    pub cursor: String,
    /// `next` of the page before; empty on the first page.
    #[prost(bytes = "vec", tag = "3")]
    pub page: Vec<u8>,
}
method!(Sync, "log", "sync", SyncPage);

#[derive(Clone, PartialEq, Message)]
pub struct SyncPage {
    /// The first page's read version as a [`Cursor`](crate::Cursor): what the device has after the
    /// last page. The same on every page.
    #[prost(string, tag = "1")]
    pub cursor: String,
    /// Other than `None`: nothing follows, the device has to load its rooms anew.
    #[prost(enumeration = "Resync", tag = "2")]
    pub resync: i32,
    /// Each room's entries in its order.
    #[prost(message, repeated, tag = "3")]
    pub entries: Vec<LogEntry>,
    /// Opaque; empty on the last page.
    #[prost(bytes = "vec", tag = "4")]
    pub next: Vec<u8>,
    /// The frames of what changed beside entries, as it is now. They come after the entries.
    #[prost(bytes = "bytes", repeated, tag = "5")]
    pub changes: Vec<bytes::Bytes>,
    /// The user has turned off read receipts, as of this page: how far others have read a group is not for them.
    #[prost(bool, tag = "6")]
    pub receipts_off: bool,
}
