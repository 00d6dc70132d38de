//! Rooms and their members (`weft.svc.rooms.…`).

use std::fmt;

use bytes::Bytes;
use prost::Message;

use super::{Method, Profile};
use crate::kind::HiddenAt;
use crate::notify::Notify;

redacted! {
    ListGroups { after, with_direct }
    ListRooms { after, limit, hidden }
    GetRoom { room }
    ListMembers { room, after, limit }
    ListReceipts { room, seq, after, limit }
}

/// Lists the caller's rooms, by id: the groups, which an edge subscribes to, and where that is asked for, the direct rooms
/// after them.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct ListGroups {
    #[prost(string, tag = "1")]
    pub token: String,
    /// Only rooms after this id; empty: from the first.
    #[prost(string, tag = "2")]
    pub after: String,
    /// Direct rooms, too.
    #[prost(bool, tag = "3")]
    pub with_direct: bool,
}
method!(ListGroups, "rooms", "groups", Groups);

#[derive(Clone, PartialEq, Message)]
pub struct Groups {
    /// The rooms, ascending.
    #[prost(string, repeated, tag = "1")]
    pub rooms: Vec<String>,
    /// There are more: ask again with `after` = the last one.
    #[prost(bool, tag = "2")]
    pub more: bool,
}

/// Lists the caller's rooms, those with the newest entries first.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct ListRooms {
    #[prost(string, tag = "1")]
    pub token: String,
    /// [`Rooms::cursor`] of the page before; empty: from the first.
    #[prost(string, tag = "2")]
    pub after: String,
    /// Most of one page; 0: as many as a page holds.
    #[prost(uint32, tag = "3")]
    pub limit: u32,
    /// Those that the caller has hidden, instead of the others.
    #[prost(bool, tag = "4")]
    pub hidden: bool,
}
method!(ListRooms, "rooms", "list", Rooms);

#[derive(Clone, PartialEq, Message)]
pub struct Rooms {
    /// By the time of their last entry, the newest first; of the same time by id.
    #[prost(message, repeated, tag = "1")]
    pub rooms: Vec<RoomSummary>,
    /// There are more: ask again with `after` = [`cursor`](Self::cursor).
    #[prost(bool, tag = "2")]
    pub more: bool,
    /// Where the page ends, for who asked; empty: it has nothing.
    #[prost(string, tag = "3")]
    pub cursor: String,
    /// The user has turned off read receipts.
    #[prost(bool, tag = "4")]
    pub receipts_off: bool,
    /// The frame that says what the user has set for all rooms; empty: it can't be read.
    #[prost(bytes = "bytes", tag = "5")]
    pub setting: Bytes,
}

/// A room as its members see it in a list. Words are for clients: an edge need not know them. (Tags
/// 7 and 9 are used up.)
#[derive(Clone, PartialEq, Message)]
pub struct RoomSummary {
    #[prost(string, tag = "1")]
    pub room: String,
    /// Empty in direct rooms.
    #[prost(string, tag = "2")]
    pub title: String,
    /// Seq of the last entry.
    #[prost(uint64, tag = "3")]
    pub seq: u64,
    /// How many messages it has.
    #[prost(uint64, tag = "4")]
    pub ordinal: u64,
    /// When the last entry was taken, Unix milliseconds.
    #[prost(uint64, tag = "5")]
    pub time_ms: u64,
    #[prost(uint32, tag = "6")]
    pub member_count: u32,
    /// The word for the caller's own role.
    #[prost(string, tag = "10")]
    pub role: String,
    /// It once had more members than `fanout_limit`.
    #[prost(bool, tag = "8")]
    pub large: bool,
    /// The word for from where on members see it.
    #[prost(string, tag = "11")]
    pub history: String,
    /// The frame of the newest entry that is worth showing, as it is now; empty: there is none.
    #[prost(bytes = "bytes", tag = "12")]
    pub last: Bytes,
    /// Up to where the caller has read it.
    #[prost(uint64, tag = "13")]
    pub read: u64,
    /// How many messages it had up to there; where something is marked as unread, up to before that.
    #[prost(uint64, tag = "14")]
    pub read_ordinal: u64,
    /// How many messages are unread.
    #[prost(uint64, tag = "15")]
    pub unread: u64,
    /// Else they are at most that many.
    #[prost(bool, tag = "16")]
    pub unread_exact: bool,
    /// How many messages that mention the caller are unread; at most 1,000 are counted.
    #[prost(uint64, tag = "17")]
    pub mentions: u64,
    /// How many of the threads that the caller follows have unread replies.
    #[prost(uint64, tag = "20")]
    pub unread_threads: u64,
    /// Else there may be more.
    #[prost(bool, tag = "21")]
    pub unread_threads_exact: bool,
    /// Of a group, as the following ones; empty: none.
    #[prost(string, tag = "22")]
    pub topic: String,
    /// The word for who may come in; empty: of an earlier core, or of a direct room.
    #[prost(string, tag = "23")]
    pub join: String,
    /// The word for who may write.
    #[prost(string, tag = "24")]
    pub write: String,
    /// Seconds between two messages of one member; 0: none.
    #[prost(uint32, tag = "25")]
    pub slow_mode_s: u32,
    /// How many members it may have.
    #[prost(uint32, tag = "26")]
    pub members_max: u32,
    /// Nobody writes.
    #[prost(bool, tag = "27")]
    pub archived: bool,
    /// An administrator has closed it.
    #[prost(bool, tag = "41")]
    pub closed: bool,
    /// From where on the caller has marked it as unread; 0: nowhere.
    #[prost(uint64, tag = "19")]
    pub unread_from: u64,
    /// Of a direct room: the other one. Missing in a notebook.
    #[prost(message, optional, tag = "18")]
    pub partner: Option<Partner>,
    /// Until when the caller wants to hear nothing of it, Unix milliseconds; 0: it is not muted.
    #[prost(uint64, tag = "30")]
    pub muted_until_ms: u64,
    /// Of what the caller is notified.
    #[prost(enumeration = "Notify", tag = "57")]
    pub notify: i32,
    /// The caller wants it at the top.
    #[prost(bool, tag = "31")]
    pub pinned: bool,
    /// The caller has hidden it, as it was then, and there is nothing new.
    #[prost(message, optional, tag = "32")]
    pub hidden: Option<HiddenAt>,
    /// The other one of a direct room is not known to the caller, who has not accepted yet that they write.
    #[prost(bool, tag = "52")]
    pub request: bool,
    /// For how many days it keeps an entry; 0: for ever.
    #[prost(uint32, tag = "50")]
    pub retention_days: u32,
    /// Entries with a smaller seq were deleted, since they were that old; 0: none were.
    #[prost(uint64, tag = "51")]
    pub first_seq: u64,
    /// For how many days a message has its files; 0: as everywhere.
    #[prost(uint32, tag = "54")]
    pub file_days: u32,
    /// Of a group: a file's id; empty: none.
    #[prost(string, tag = "55")]
    pub avatar: String,
    /// Its links have no previews.
    #[prost(bool, tag = "56")]
    pub previews_off: bool,
}

/// The other user of a direct room.
#[derive(Clone, PartialEq, Message)]
pub struct Partner {
    #[prost(message, optional, tag = "1")]
    pub profile: Option<Profile>,
    /// Up to where they have read the room; none, as `delivered`: one of the two users has turned off read receipts.
    #[prost(uint64, optional, tag = "2")]
    pub read: Option<u64>,
    /// Up to where they have got it.
    #[prost(uint64, optional, tag = "3")]
    pub delivered: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct GetRoom {
    #[prost(string, tag = "1")]
    pub token: String,
    #[prost(string, tag = "2")]
    pub room: String,
}
method!(GetRoom, "rooms", "get", RoomSummary);

#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct ListMembers {
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
method!(ListMembers, "rooms", "members", Members);

#[derive(Clone, PartialEq, Message)]
pub struct Members {
    #[prost(message, repeated, tag = "1")]
    pub members: Vec<Member>,
    /// There are more: ask again with `after` = the last one.
    #[prost(bool, tag = "2")]
    pub more: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct Member {
    #[prost(string, tag = "1")]
    pub user: String,
    /// The word for the user's role. (Tag 2 is used up.)
    #[prost(string, tag = "4")]
    pub role: String,
    /// Seq of the entry by which the user joined.
    #[prost(uint64, tag = "3")]
    pub since_seq: u64,
    /// Missing: the user has no account any more.
    #[prost(message, optional, tag = "5")]
    pub profile: Option<Profile>,
}

/// Asks up to where members have read a room.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct ListReceipts {
    #[prost(string, tag = "1")]
    pub token: String,
    #[prost(string, tag = "2")]
    pub room: String,
    /// Only those who have read up to this entry; 0: all members.
    #[prost(uint64, tag = "3")]
    pub seq: u64,
    /// Only users after this id; empty: from the first.
    #[prost(string, tag = "4")]
    pub after: String,
    /// Most of one page; 0: as many as a page holds.
    #[prost(uint32, tag = "5")]
    pub limit: u32,
}
method!(ListReceipts, "rooms", "receipts", Receipts);

#[derive(Clone, PartialEq, Message)]
pub struct Receipts {
    /// Ascending by user id.
    #[prost(message, repeated, tag = "1")]
    pub receipts: Vec<Receipt>,
    /// There are more: ask again with `after` = the last one.
    #[prost(bool, tag = "2")]
    pub more: bool,
    /// With `seq`: how many have read up to there, those on other pages included.
    #[prost(uint32, optional, tag = "3")]
    pub read_count: Option<u32>,
}

/// Up to where a member has read a room.
#[derive(Clone, PartialEq, Message)]
pub struct Receipt {
    #[prost(string, tag = "1")]
    pub user: String,
    /// The seq of an entry; 0: nothing yet.
    #[prost(uint64, tag = "2")]
    pub read: u64,
    /// Direct rooms: up to where they have got it.
    #[prost(uint64, optional, tag = "3")]
    pub delivered: Option<u64>,
}
