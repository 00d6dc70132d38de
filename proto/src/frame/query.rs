//! Requests that read and change nothing. A session and HTTP answer them alike.

use super::{HistoryFrom, Request, Searched};
use crate::ids::UserId;
use crate::room::RoomId;

/// What a client asks of what is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Query {
    /// A page of a room's log.
    History {
        room: RoomId,
        /// Only the thread that begins with the message at this seq.
        thread: Option<u64>,
        /// From where, in which direction.
        from: HistoryFrom,
        /// Most entries; 0: as many as a page holds.
        limit: u32,
    },
    /// The texts that a message has had.
    Versions {
        room: RoomId,
        /// The message's seq.
        target: u64,
        /// Only versions with a greater seq; 0: from the first.
        after: u64,
    },
    /// Who has put an emoji on a message.
    Reactions {
        room: RoomId,
        /// The message's seq.
        target: u64,
        emoji: String,
        /// Only users after this id; empty: from the first.
        after: String,
        /// Most of one page; 0: as many as a page holds.
        limit: u32,
    },
    /// The threads of a room that the caller follows.
    Threads {
        room: RoomId,
        /// Only those that begin with a message of a smaller seq; 0: from the last one.
        before: u64,
        /// Most of one page; 0: as many as a page holds.
        limit: u32,
    },
    /// The messages that are pinned in a room.
    Pins {
        room: RoomId,
        /// Only those that were pinned by an entry with a smaller seq; 0: from the last one.
        before: u64,
        /// Most of one page; 0: as many as a page holds.
        limit: u32,
    },
    /// Up to where the members of a room have read it.
    Receipts {
        room: RoomId,
        /// Only those who have read up to this seq; 0: all.
        seq: u64,
        /// Only users after this id; empty: from the first.
        after: String,
        /// Most of one page; 0: as many as a page holds.
        limit: u32,
    },
    /// A page of the caller's rooms.
    Rooms {
        /// Only rooms after this cursor of a page; empty: from the first.
        after: String,
        /// Most of one page; 0: as many as a page holds.
        limit: u32,
        /// Those that the caller has hidden, instead of the others.
        hidden: bool,
    },
    /// One room of the caller.
    Room { room: RoomId },
    /// A page of a room's members.
    Members {
        room: RoomId,
        /// Only users after this id; empty: from the first.
        after: String,
        /// Most of one page; 0: as many as a page holds.
        limit: u32,
    },
    /// A page of those who are kept out of a group.
    Banned {
        room: RoomId,
        /// Only users after this id; empty: from the first.
        after: String,
        /// Most of one page; 0: as many as a page holds.
        limit: u32,
    },
    /// A page of the groups that everybody may find.
    FindGroups {
        /// What their titles or ids begin with.
        text: String,
        /// Only groups after this cursor of a page; empty: from the first.
        after: String,
        /// Most of one page; 0: as many as a page holds.
        limit: u32,
    },
    /// A page of those who ask to come into a group.
    Asking {
        room: RoomId,
        /// Only users after this id; empty: from the first.
        after: String,
        /// Most of one page; 0: as many as a page holds.
        limit: u32,
    },
    /// A page of the groups into which the user is invited.
    Invitations {
        /// Only groups after this id; empty: from the first.
        after: String,
        /// Most of one page; 0: as many as a page holds.
        limit: u32,
    },
    /// A page of those who are invited to come into a group.
    Invited {
        room: RoomId,
        /// Only users after this id; empty: from the first.
        after: String,
        /// Most of one page; 0: as many as a page holds.
        limit: u32,
    },
    /// The links by which one may join a group.
    Links { room: RoomId },
    /// The user's scheduled messages.
    Scheduled {
        /// The `cursor` of the page before; empty: from the first.
        after: String,
    },
    /// The user's drafts.
    Drafts {
        /// Only those of rooms after this id; `None`: from the first.
        after: Option<RoomId>,
        /// Most of one page; 0: as many as a page holds.
        limit: u32,
    },
    /// The commands of the bots in a room.
    BotCommands { room: RoomId },
    /// The devices on which the user is logged in.
    Devices,
    /// Messages that have something in them.
    Search(Box<Searched>),
    /// What others see of users.
    Profiles { users: Vec<UserId> },
    /// A page of the users whom something is the beginning of.
    FindUsers {
        prefix: String,
        /// The cursor of the page before; empty: the first page.
        after: String,
        /// Most of one page; 0: as many as a page holds.
        limit: u32,
    },
    /// A page of the users who are something to the user.
    Relations {
        /// Only users after this id; empty: from the first.
        after: String,
        /// Most of one page; 0: as many as a page holds.
        limit: u32,
    },
}

impl From<Query> for Request {
    fn from(query: Query) -> Self {
        Self::Query(query)
    }
}
