//! The journal, for whoever follows it (`weft.svc.journal.…`).

use prost::Message;

use super::Method;

/// Reads a partition's journal after a commit number. Any core node answers it, from one snapshot of the
/// store. It names every room and user: neither a user's token nor an edge is enough.
#[derive(Clone, PartialEq, Message)]
pub struct ReadJournal {
    #[prost(uint32, tag = "1")]
    pub partition: u32,
    /// Commits after this number.
    #[prost(uint64, tag = "2")]
    pub after: u64,
}
method!(ReadJournal, "journal", "read", JournalPage);

/// A part of a journal.
#[derive(Clone, PartialEq, Message)]
pub struct JournalPage {
    /// The store's id: 8 bytes, big-endian. In another one the same numbers are other commits.
    #[prost(bytes = "vec", tag = "1")]
    pub store: Vec<u8>,
    /// In their order: ask on after the last one's number.
    #[prost(message, repeated, tag = "2")]
    pub commits: Vec<JournalCommit>,
    /// There are more now.
    #[prost(bool, tag = "3")]
    pub more: bool,
    /// The journal no longer reaches back to `after`, or the store is not that far: what came after can't
    /// be told, and whoever follows begins anew.
    #[prost(bool, tag = "4")]
    pub expired: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct JournalCommit {
    #[prost(uint64, tag = "1")]
    pub commit_no: u64,
    /// Every command up to this stream sequence was applied with it; 0: not known.
    #[prost(uint64, tag = "2")]
    pub stream_seq: u64,
    /// When it was made, Unix milliseconds; 0: not known.
    #[prost(uint64, tag = "3")]
    pub time_ms: u64,
    /// Its entries, in the order in which they were applied.
    #[prost(message, repeated, tag = "4")]
    pub entries: Vec<CommittedEntry>,
    /// The marks that it moved, each once.
    #[prost(message, repeated, tag = "5")]
    pub marks: Vec<CommittedMark>,
    /// Who was invited to a group by it, or is so no more, each once.
    #[prost(message, repeated, tag = "6")]
    pub invitations: Vec<CommittedMark>,
}

/// A mark that a commit moved: whose, and in which room.
#[derive(Clone, PartialEq, Message)]
pub struct CommittedMark {
    #[prost(string, tag = "1")]
    pub room: String,
    #[prost(string, tag = "2")]
    pub user: String,
    /// With which message the thread begins that it is of; 0: it is of the room.
    #[prost(uint64, tag = "3")]
    pub thread: u64,
    /// Of a mark of a room: others do not hear of it.
    #[prost(bool, tag = "4")]
    pub own: bool,
}

/// An entry of a commit: where it is, and what a follower needs to know whether it wants it.
#[derive(Clone, PartialEq, Message)]
pub struct CommittedEntry {
    #[prost(string, tag = "1")]
    pub room: String,
    #[prost(uint64, tag = "2")]
    pub seq: u64,
    /// The word of its kind, perhaps one of a newer Weft; empty: not known.
    #[prost(string, tag = "3")]
    pub kind: String,
    /// Who sent it; empty: not known.
    #[prost(string, tag = "4")]
    pub from: String,
    /// Groups: the users whom it concerns.
    #[prost(string, repeated, tag = "5")]
    pub users: Vec<String>,
}

/// Begins to follow a partition's journal under a name, and ends whoever did so before. The journal is
/// kept for the name, up to a bound.
#[derive(Clone, PartialEq, Message)]
pub struct FollowJournal {
    #[prost(string, tag = "1")]
    pub follower: String,
    #[prost(uint32, tag = "2")]
    pub partition: u32,
    /// Begins anew after this commit number; none: where the name is, or with what comes from now on
    /// where it is new.
    #[prost(uint64, optional, tag = "3")]
    pub after: Option<u64>,
}
method!(FollowJournal, "journal", "follow", Following);

/// Says that a follower has done what follows from every commit up to a number. Until that is said it
/// may see them again, so it does each at least once.
#[derive(Clone, PartialEq, Message)]
pub struct MoveFollower {
    #[prost(string, tag = "1")]
    pub follower: String,
    #[prost(uint32, tag = "2")]
    pub partition: u32,
    /// As [`Following::epoch`]. `conflict`: another process follows under the name since.
    #[prost(uint64, tag = "3")]
    pub epoch: u64,
    /// The number. A lower one than was said before changes nothing.
    #[prost(uint64, tag = "4")]
    pub commit_no: u64,
}
method!(MoveFollower, "journal", "move", Following);

#[derive(Clone, PartialEq, Message)]
pub struct Following {
    /// The store's id: 8 bytes, big-endian.
    #[prost(bytes = "vec", tag = "1")]
    pub store: Vec<u8>,
    /// It reads on after this commit number.
    #[prost(uint64, tag = "2")]
    pub commit_no: u64,
    /// Names the process that follows.
    #[prost(uint64, tag = "3")]
    pub epoch: u64,
    /// The number of the partition's newest commit: who has to begin anew follows after it, and then
    /// reads all rooms.
    #[prost(uint64, tag = "4")]
    pub newest: u64,
}

/// Lists who follows a partition's journal.
#[derive(Clone, PartialEq, Message)]
pub struct ListFollowers {
    /// The partition.
    #[prost(uint32, tag = "1")]
    pub partition: u32,
}
method!(ListFollowers, "journal", "followers", Followers);

/// Those who follow a partition's journal.
#[derive(Clone, PartialEq, Message)]
pub struct Followers {
    /// By name.
    #[prost(message, repeated, tag = "1")]
    pub followers: Vec<FollowerPlace>,
    /// The number of the partition's newest commit.
    #[prost(uint64, tag = "2")]
    pub newest: u64,
    /// How many partitions the store has.
    #[prost(uint32, tag = "3")]
    pub partitions: u32,
}

/// How far a follower is.
#[derive(Clone, PartialEq, Message)]
pub struct FollowerPlace {
    /// Its name.
    #[prost(string, tag = "1")]
    pub follower: String,
    /// It has done every commit up to this number.
    #[prost(uint64, tag = "2")]
    pub commit_no: u64,
    /// What comes next is deleted: it has to begin anew.
    #[prost(bool, tag = "3")]
    pub expired: bool,
    /// When the oldest commit was made that it has not done, Unix milliseconds; 0: there is none, or
    /// that is not known.
    #[prost(uint64, tag = "4")]
    pub waiting_since_ms: u64,
}

/// Forgets a follower: the journal is not kept for it any more. A process that follows under the name is
/// told `conflict` when it moves, and ends.
#[derive(Clone, PartialEq, Message)]
pub struct ForgetFollower {
    /// The name.
    #[prost(string, tag = "1")]
    pub follower: String,
    /// The partition.
    #[prost(uint32, tag = "2")]
    pub partition: u32,
}
method!(ForgetFollower, "journal", "forget", Forgotten);

/// Nobody follows under the name now.
#[derive(Clone, PartialEq, Message)]
pub struct Forgotten {
    /// Somebody did.
    #[prost(bool, tag = "1")]
    pub was_there: bool,
}
