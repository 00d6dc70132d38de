//! Requests and replies between the parts (`weft.svc.<service>.<method>`).
//!
//! On the wire: a version byte, then prost. A reply has one more byte: 0 = the message follows,
//! 1 = an [`ApiError`] follows, as JSON. Calls that speak for a user carry the user's own access
//! token; core verifies it again.

use std::fmt;

use prost::Message;

use crate::error::{ApiError, ErrorCode};

/// The version of the encoding. A reader refuses any other.
const VERSION: u8 = 1;
const OK: u8 = 0;
const ERROR: u8 = 1;

/// Ties a request to its subject and its reply.
pub trait Method: Message + Default {
    /// `accounts`, `rooms`, `log`, `status` or `presence`.
    const SERVICE: &'static str;
    /// The method's name.
    const METHOD: &'static str;
    /// What is answered.
    type Reply: Message + Default;
}

/// Encodes a request.
#[must_use]
pub fn encode_request<M: Method>(request: &M) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + request.encoded_len());
    bytes.push(VERSION);
    bytes.extend_from_slice(&request.encode_to_vec());
    bytes
}

/// Decodes a request.
///
/// # Errors
/// [`ErrorCode::BadRequest`] for another version or malformed bytes.
pub fn decode_request<M: Method>(bytes: &[u8]) -> Result<M, ApiError> {
    let malformed = || ApiError::new(ErrorCode::BadRequest, "malformed service request");
    match bytes.split_first() {
        Some((&VERSION, rest)) => M::decode(rest).map_err(|_| malformed()),
        _ => Err(malformed()),
    }
}

/// Encodes a reply.
#[must_use]
pub fn encode_reply<R: Message>(reply: &Result<R, ApiError>) -> Vec<u8> {
    match reply {
        Ok(message) => {
            let mut bytes = vec![VERSION, OK];
            bytes.extend_from_slice(&message.encode_to_vec());
            bytes
        }
        Err(error) => {
            let mut bytes = vec![VERSION, ERROR];
            bytes.extend_from_slice(&serde_json::to_vec(error).unwrap_or_default());
            bytes
        }
    }
}

/// Decodes a reply.
///
/// # Errors
/// The error that core answered, or [`ErrorCode::Internal`] for malformed bytes.
pub fn decode_reply<R: Message + Default>(bytes: &[u8]) -> Result<R, ApiError> {
    let malformed = || ApiError::new(ErrorCode::Internal, "malformed service reply");
    match bytes {
        [VERSION, OK, rest @ ..] => R::decode(rest).map_err(|_| malformed()),
        [VERSION, ERROR, rest @ ..] => {
            Err(serde_json::from_slice(rest).unwrap_or_else(|_| malformed()))
        }
        _ => Err(malformed()),
    }
}

macro_rules! method {
    ($request:ident, $service:literal, $method:literal, $reply:ident) => {
        impl Method for $request {
            const SERVICE: &'static str = $service;
            const METHOD: &'static str = $method;
            type Reply = $reply;
        }
    };
}

/// `Debug` of messages with a password or a token in them: only these fields are shown.
macro_rules! redacted {
    ($($message:ident { $($field:ident),* })*) => {$(
        impl fmt::Debug for $message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($message))
                    $(.field(stringify!($field), &self.$field))*
                    .finish_non_exhaustive()
            }
        }
    )*};
}

mod presence;

pub use presence::{
    Active, AreVisible, ChooseStatus, Contacts, CountPresent, GetPresence, GetStatus, KeptStatus,
    KeptStatuses, ListContacts, LoadStatuses, NoteActive, Presences, Present, UserPresence,
    Visible,
};

redacted! {
    Signup { user }
    Login { user, device }
    Refresh {}
    Tokens { user, device, expires_at_ms }
    Logout {}
    ChangePassword {}
    CheckLogins {}
    GetProfile { user }
    SetProfile { display_name, avatar }
    ListGroups { after }
    ListRooms { after, limit }
    GetRoom { room }
    ListMembers { room, after, limit }
    ReadLog { room, after, before, after_position, to, limit, joined_after }
    Sync { cursor }
}

/// Nothing to say.
#[derive(Clone, PartialEq, Message)]
pub struct Empty {}

/// Makes an account.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct Signup {
    /// The wanted user id.
    #[prost(string, tag = "1")]
    pub user: String,
    /// Its password.
    #[prost(string, tag = "2")]
    pub password: String,
    /// Shown to people; the user id where it is empty.
    #[prost(string, tag = "3")]
    pub display_name: String,
}
method!(Signup, "accounts", "signup", Profile);

/// What others see of a user.
#[derive(Clone, PartialEq, Message)]
pub struct Profile {
    /// The user id.
    #[prost(string, tag = "1")]
    pub user: String,
    /// Shown to people.
    #[prost(string, tag = "2")]
    pub display_name: String,
    /// A reference to a picture; empty: none.
    #[prost(string, tag = "3")]
    pub avatar: String,
    /// A bot has no password.
    #[prost(bool, tag = "4")]
    pub is_bot: bool,
}

/// Trades a password for tokens.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct Login {
    /// The user id.
    #[prost(string, tag = "1")]
    pub user: String,
    /// The password.
    #[prost(string, tag = "2")]
    pub password: String,
    /// The device, named by the client. A login ends the device's earlier one.
    #[prost(string, tag = "3")]
    pub device: String,
    /// The network that the client comes from, as its edge sees it: an IPv4 address, or the first 64
    /// bits of an IPv6 address; empty: it does not know. Attempts are counted by it.
    #[prost(string, tag = "4")]
    pub network: String,
}
method!(Login, "accounts", "login", Tokens);

/// Trades a refresh token for new tokens. The old refresh token is used up.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct Refresh {
    /// From the last [`Tokens`].
    #[prost(string, tag = "1")]
    pub refresh_token: String,
    /// As in [`Login`].
    #[prost(string, tag = "2")]
    pub network: String,
}
method!(Refresh, "accounts", "refresh", Tokens);

/// What a login gives.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct Tokens {
    /// The user id.
    #[prost(string, tag = "1")]
    pub user: String,
    /// The device.
    #[prost(string, tag = "2")]
    pub device: String,
    /// The access token, a JWT.
    #[prost(string, tag = "3")]
    pub token: String,
    /// When the access token ends, Unix milliseconds.
    #[prost(uint64, tag = "4")]
    pub expires_at_ms: u64,
    /// For the next [`Refresh`].
    #[prost(string, tag = "5")]
    pub refresh_token: String,
}

/// Ends the login of the token's device: its tokens are void.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct Logout {
    /// The access token.
    #[prost(string, tag = "1")]
    pub token: String,
}
method!(Logout, "accounts", "logout", Empty);

/// Changes the password and ends the logins of all other devices.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct ChangePassword {
    /// The access token.
    #[prost(string, tag = "1")]
    pub token: String,
    /// The old password.
    #[prost(string, tag = "2")]
    pub old: String,
    /// The new password.
    #[prost(string, tag = "3")]
    pub new: String,
}
method!(ChangePassword, "accounts", "password", Empty);

/// Asks which logins last. Speaks for an edge, which has verified the tokens, not for a user.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct CheckLogins {
    /// Access tokens, at most [`CHECKED_LOGINS_MAX`](crate::limits::CHECKED_LOGINS_MAX).
    #[prost(string, repeated, tag = "1")]
    pub tokens: Vec<String>,
}
method!(CheckLogins, "accounts", "check", CheckedLogins);

/// Which logins last.
#[derive(Clone, PartialEq, Message)]
pub struct CheckedLogins {
    /// Of each token, in the order of the question. No: the login has ended for good.
    #[prost(bool, repeated, tag = "1")]
    pub lasts: Vec<bool>,
}

/// Reads a profile.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct GetProfile {
    /// The access token.
    #[prost(string, tag = "1")]
    pub token: String,
    /// Whose; empty: one's own.
    #[prost(string, tag = "2")]
    pub user: String,
}
method!(GetProfile, "accounts", "profile_get", Profile);

/// Changes one's own profile; a missing field stays as it is.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct SetProfile {
    /// The access token.
    #[prost(string, tag = "1")]
    pub token: String,
    /// Shown to people.
    #[prost(string, optional, tag = "2")]
    pub display_name: Option<String>,
    /// A reference to a picture; empty: none.
    #[prost(string, optional, tag = "3")]
    pub avatar: Option<String>,
}
method!(SetProfile, "accounts", "profile_set", Profile);

/// Asks for the keys that verify access tokens.
#[derive(Clone, PartialEq, Message)]
pub struct GetKeys {}
method!(GetKeys, "accounts", "keys", Keys);

/// The keys that verify access tokens.
#[derive(Clone, PartialEq, Message)]
pub struct Keys {
    /// Newest first.
    #[prost(message, repeated, tag = "1")]
    pub keys: Vec<VerifyKey>,
    /// How many partitions the store has: an edge that counts otherwise would listen for events
    /// where none come.
    #[prost(uint32, tag = "2")]
    pub partitions: u32,
}

/// One key that verifies access tokens.
#[derive(Clone, PartialEq, Message)]
pub struct VerifyKey {
    /// The `kid` of the tokens that it verifies.
    #[prost(string, tag = "1")]
    pub kid: String,
    /// An Ed25519 public key, 32 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub public: Vec<u8>,
}

/// Lists the caller's group rooms, by id: what an edge subscribes to.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct ListGroups {
    /// The access token.
    #[prost(string, tag = "1")]
    pub token: String,
    /// Only rooms after this id; empty: from the first.
    #[prost(string, tag = "2")]
    pub after: String,
}
method!(ListGroups, "rooms", "groups", Groups);

/// A page of room ids.
#[derive(Clone, PartialEq, Message)]
pub struct Groups {
    /// The rooms, ascending.
    #[prost(string, repeated, tag = "1")]
    pub rooms: Vec<String>,
    /// There are more: ask again with `after` = the last one.
    #[prost(bool, tag = "2")]
    pub more: bool,
}

/// Lists the caller's rooms with their heads.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct ListRooms {
    /// The access token.
    #[prost(string, tag = "1")]
    pub token: String,
    /// Only rooms after this id; empty: from the first.
    #[prost(string, tag = "2")]
    pub after: String,
    /// At most so many; 0: as many as a page holds.
    #[prost(uint32, tag = "3")]
    pub limit: u32,
}
method!(ListRooms, "rooms", "list", Rooms);

/// A page of rooms.
#[derive(Clone, PartialEq, Message)]
pub struct Rooms {
    /// Groups first, then direct rooms, each ascending by id.
    #[prost(message, repeated, tag = "1")]
    pub rooms: Vec<RoomSummary>,
    /// There are more: ask again with `after` = the last one.
    #[prost(bool, tag = "2")]
    pub more: bool,
}

/// A room as its members see it in a list. Words are for clients: an edge need not know them. (Tags
/// 7 and 9 are used up.)
#[derive(Clone, PartialEq, Message)]
pub struct RoomSummary {
    /// The room.
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
    /// How many members.
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
}

/// Reads one room of the caller.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct GetRoom {
    /// The access token.
    #[prost(string, tag = "1")]
    pub token: String,
    /// The room.
    #[prost(string, tag = "2")]
    pub room: String,
}
method!(GetRoom, "rooms", "get", RoomSummary);

/// Lists a room's members.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct ListMembers {
    /// The access token.
    #[prost(string, tag = "1")]
    pub token: String,
    /// The room.
    #[prost(string, tag = "2")]
    pub room: String,
    /// Only users after this id; empty: from the first.
    #[prost(string, tag = "3")]
    pub after: String,
    /// At most so many; 0: as many as a page holds.
    #[prost(uint32, tag = "4")]
    pub limit: u32,
}
method!(ListMembers, "rooms", "members", Members);

/// A page of members.
#[derive(Clone, PartialEq, Message)]
pub struct Members {
    /// The members, ascending by user id.
    #[prost(message, repeated, tag = "1")]
    pub members: Vec<Member>,
    /// There are more: ask again with `after` = the last one.
    #[prost(bool, tag = "2")]
    pub more: bool,
}

/// One member of a room.
#[derive(Clone, PartialEq, Message)]
pub struct Member {
    /// The user.
    #[prost(string, tag = "1")]
    pub user: String,
    /// The word for the user's role. (Tag 2 is used up.)
    #[prost(string, tag = "4")]
    pub role: String,
    /// Seq of the entry by which the user joined.
    #[prost(uint64, tag = "3")]
    pub since_seq: u64,
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

/// Reads a part of a room's log. Exactly one of `after`, `before` and `after_position` is given.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct ReadLog {
    /// The access token.
    #[prost(string, tag = "1")]
    pub token: String,
    /// The room.
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
    /// At most so many; 0: as many as a page holds.
    #[prost(uint32, tag = "7")]
    pub limit: u32,
    /// With `after` and `after_position`: the caller was no member of the group there, and wants its
    /// entries from the next joining on, which is after this position (12 bytes); what lies before
    /// it is hidden.
    #[prost(bytes = "vec", optional, tag = "8")]
    pub joined_after: Option<Vec<u8>>,
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
    /// The access token.
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

/// A page of a sync.
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
}

/// Asks what a partition has committed after a commit number. Any core node answers it,
/// from one snapshot of the store. Speaks for an edge, not for a user.
#[derive(Clone, PartialEq, Message)]
pub struct Audit {
    /// The partition.
    #[prost(uint32, tag = "1")]
    pub partition: u32,
    /// Commits after this number; none: only the number of the newest one.
    #[prost(uint64, optional, tag = "2")]
    pub since: Option<u64>,
}
method!(Audit, "log", "audit", AuditPage);

/// Reads a partition's journal after a commit number. Any core node answers it, from one snapshot of the
/// store. It names every room and user: neither a user's token nor an edge is enough.
#[derive(Clone, PartialEq, Message)]
pub struct ReadJournal {
    /// The partition.
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
    /// The journal no longer reaches back to `after`, or the store is behind it: what came after can't
    /// be told, and whoever follows begins anew.
    #[prost(bool, tag = "4")]
    pub expired: bool,
}

/// A commit.
#[derive(Clone, PartialEq, Message)]
pub struct JournalCommit {
    /// Its number.
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
}

/// An entry of a commit: where it is, and what a follower needs to know whether it wants it.
#[derive(Clone, PartialEq, Message)]
pub struct CommittedEntry {
    /// The room.
    #[prost(string, tag = "1")]
    pub room: String,
    /// Its seq there.
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
    /// The name: one for all partitions.
    #[prost(string, tag = "1")]
    pub follower: String,
    /// The partition.
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
    /// The name.
    #[prost(string, tag = "1")]
    pub follower: String,
    /// The partition.
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

/// Where a follower is.
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
}

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
    /// The journal no longer reaches back to `since`, or the store is behind it: what changed can't
    /// be told. `through` and `read_version` say where the partition stands now.
    #[prost(bool, tag = "6")]
    pub unknown: bool,
}

/// A room in which something was committed.
#[derive(Clone, PartialEq, Message)]
pub struct ChangedRoom {
    /// The room.
    #[prost(string, tag = "1")]
    pub room: String,
    /// The seq of the room's last entry in the snapshot. With `more` it may be behind `through`.
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
    /// The user.
    #[prost(string, tag = "1")]
    pub user: String,
    /// The entry's seq.
    #[prost(uint64, tag = "2")]
    pub seq: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_carry_a_message_or_an_error() {
        let profile = Profile { user: "alice".into(), ..Profile::default() };
        let bytes = encode_reply(&Ok(profile.clone()));
        assert_eq!(decode_reply::<Profile>(&bytes), Ok(profile));
        let error = ApiError::new(ErrorCode::Overloaded, "busy").retry_after_ms(250);
        let bytes = encode_reply::<Profile>(&Err(error.clone()));
        assert_eq!(decode_reply::<Profile>(&bytes), Err(error));
        assert_eq!(decode_reply::<Profile>(b"").expect_err("empty").code, ErrorCode::Internal);
        assert!(decode_request::<Login>(&[9]).is_err());
    }

    #[test]
    fn debug_shows_no_secret() {
        let (user, password) = ("alice".into(), "hunter22".into());
        let login = Login { user, password, device: "d".into(), ..Login::default() };
        let text = format!("{login:?}");
        assert!(text.contains("alice") && !text.contains("hunter22"), "{text}");
        let tokens = Tokens { token: "JWT".into(), refresh_token: "R".into(), ..Tokens::default() };
        let text = format!("{tokens:?}");
        assert!(!text.contains("JWT") && !text.contains("\"R\""), "{text}");
    }
}
