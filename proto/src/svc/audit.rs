//! What a partition has committed, for edges that compare it with what they handed on (`weft.svc.log.audit`).

use prost::Message;

use super::Method;

/// Asks what a partition has committed after a commit number. Any core node answers it,
/// from one snapshot of the store. Speaks for an edge, not for a user.
#[derive(Clone, PartialEq, Message)]
pub struct Audit {
    #[prost(uint32, tag = "1")]
    pub partition: u32,
    /// Commits after this number; none: only the number of the newest one.
    #[prost(uint64, optional, tag = "2")]
    pub since: Option<u64>,
}
method!(Audit, "log", "audit", AuditPage);

/// What changed in a partition.
#[derive(Clone, PartialEq, Message)]
pub struct AuditPage {
    /// The store's id: 8 bytes, big-endian.
    #[prost(bytes = "vec", tag = "1")]
    pub store: Vec<u8>,
    /// The page speaks of all commits up to this number: ask on from here.
    #[prost(uint64, tag = "2")]
    pub through: u64,
    /// There is more after `through`.
    #[prost(bool, tag = "3")]
    pub more: bool,
    /// The snapshot's read version, 12 bytes: without `more`, everything at or before it is in what
    /// was asked and answered up to here.
    #[prost(bytes = "vec", tag = "4")]
    pub read_version: Vec<u8>,
    /// The rooms that changed, each once.
    #[prost(message, repeated, tag = "5")]
    pub rooms: Vec<ChangedRoom>,
    /// The journal no longer reaches back to `since`, or the store is not that far: what changed can't
    /// be told. `through` and `read_version` say how far the partition is now.
    #[prost(bool, tag = "6")]
    pub unknown: bool,
    /// What changed beside entries, as it is in the snapshot. Each key once for each who hears of it in
    /// another form.
    #[prost(message, repeated, tag = "7")]
    pub changes: Vec<Change>,
}

/// A change that is not an entry, as some hear of it.
#[derive(Clone, PartialEq, Message)]
pub struct Change {
    /// These users...
    #[prost(string, repeated, tag = "1")]
    pub users: Vec<String>,
    /// ...and all members of this group who are here; empty: of none.
    #[prost(string, tag = "2")]
    pub group: String,
    /// A [`ChangeHead`](crate::ChangeHead) in its text form.
    #[prost(string, tag = "3")]
    pub head: String,
    /// The bytes of the frame.
    #[prost(bytes = "bytes", tag = "4")]
    pub frame: bytes::Bytes,
}

/// A room in which something was committed.
#[derive(Clone, PartialEq, Message)]
pub struct ChangedRoom {
    #[prost(string, tag = "1")]
    pub room: String,
    /// The seq of the room's last entry in the snapshot. With `more` it may be after `through`.
    #[prost(uint64, tag = "2")]
    pub seq: u64,
    /// That entry's position: 12 bytes.
    #[prost(bytes = "vec", tag = "3")]
    pub position: Vec<u8>,
    /// Groups: the users whom a membership entry concerns, each with the first such entry.
    #[prost(message, repeated, tag = "4")]
    pub concerned: Vec<ConcernedUser>,
}

/// A user whom an entry of a group concerns: who joined, left or was given another role.
#[derive(Clone, PartialEq, Message)]
pub struct ConcernedUser {
    #[prost(string, tag = "1")]
    pub user: String,
    #[prost(uint64, tag = "2")]
    pub seq: u64,
}
