//! What the server says.

use bytes::Bytes;
use serde::ser::Error as _;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use super::asking::Asking;
use super::devices::DeviceShown;
use super::groups::{BannedUser, FoundGroup, LinkShown};
use super::invitations::{InvitationShown, InvitedUser};
use super::profiles::Profile;
use super::receipts::Receipt;
use super::relations::RelatedUser;
use crate::client_id::ClientId;
use crate::error::{ApiError, ErrorCode};
use crate::ids::UserId;
use crate::kind::HiddenAt;
use crate::notify::Notify;
use crate::presence::{Choice, Presence};
use crate::room::RoomId;
use crate::svc;

/// What the server says: every frame but entries, acks and errors that come ready made from core.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    /// Answers `hello`.
    Welcome {
        session: String,
        /// Who the token says it is.
        user: String,
        /// The device that the token was given to.
        device: String,
        /// Unix milliseconds: stamp client ids by it.
        server_time: u64,
        /// Send something at least so often, in milliseconds.
        heartbeat_ms: u64,
        /// A session that is silent for this long is closed, in milliseconds.
        silence_ms: u64,
        /// When the token ends, Unix milliseconds.
        token_expires_at: u64,
        /// Most requests that may be unanswered.
        in_flight_max: u32,
        /// Where files are uploaded and read: `https://…`, or `/` where that is this very address.
        #[serde(skip_serializing_if = "Option::is_none")]
        files: Option<String>,
    },
    /// The end of a sync.
    Synced {
        /// Everything since the cursor given is on this socket.
        recovered: bool,
        /// Why not: the client loads its rooms anew.
        #[serde(skip_serializing_if = "Option::is_none")]
        resync: Option<&'static str>,
        /// To be given with the next `hello`.
        cursor: String,
    },
    /// Everything up to this cursor is on this socket.
    Cursor {
        /// To be given with the next `hello`.
        cursor: String,
    },
    /// Answers `rooms`.
    Rooms {
        /// Those with the newest entries first.
        rooms: Vec<Room>,
        more: bool,
        /// Where the page ends; empty: it has nothing.
        #[serde(skip_serializing_if = "String::is_empty")]
        cursor: String,
        /// The user tells and hears how far somebody has read.
        receipts: bool,
        /// What the user has set for all rooms.
        #[serde(skip_serializing_if = "Option::is_none")]
        setting: Option<ReadyMade>,
    },
    /// Answers `room`.
    Room {
        #[serde(flatten)]
        room: Box<Room>,
    },
    /// Answers `members`.
    Members {
        /// Ascending by user id.
        members: Vec<Member>,
        more: bool,
    },
    /// Answers `find_groups`.
    Groups {
        /// By what they are found by: title or id.
        groups: Vec<FoundGroup>,
        /// There may be more: ask again with it.
        #[serde(skip_serializing_if = "String::is_empty")]
        cursor: String,
    },
    /// Answers `asking`.
    Asking {
        /// Ascending by user id.
        asking: Vec<Asking>,
        more: bool,
    },
    /// Answers `invitations`.
    Invitations {
        /// Ascending by the group's id.
        invitations: Vec<InvitationShown>,
        more: bool,
    },
    /// Answers `invited`.
    Invited {
        /// Ascending by user id.
        invited: Vec<InvitedUser>,
        more: bool,
    },
    /// Answers `banned`.
    Banned {
        /// Ascending by user id.
        banned: Vec<BannedUser>,
        more: bool,
    },
    /// Answers `link`.
    Link {
        room: String,
        /// The token. It is told here and nowhere else.
        link: String,
        link_id: String,
    },
    /// Answers `links`.
    Links {
        /// Those that were made last come first.
        links: Vec<LinkShown>,
    },
    /// Answers `reactions`.
    Reactions {
        room: String,
        /// The message's seq.
        target: u64,
        emoji: String,
        /// Ascending by id.
        users: Vec<String>,
        more: bool,
    },
    /// Answers `receipts`.
    Receipts {
        /// Ascending by user id.
        receipts: Vec<Receipt>,
        more: bool,
        /// Of an entry: how many have read up to there, those on other pages included.
        #[serde(skip_serializing_if = "Option::is_none")]
        read_count: Option<u32>,
    },
    /// Answers `devices`.
    Devices {
        /// The one that was used last comes first.
        devices: Vec<DeviceShown>,
    },
    /// Answers `relations`.
    Relations {
        /// Ascending by user id.
        relations: Vec<RelatedUser>,
        more: bool,
    },
    /// Answers `find_users`.
    Users {
        /// By what of them begins with what was looked for.
        users: Vec<Profile>,
        more: bool,
        /// Where the page ends: `after` of the next one.
        #[serde(skip_serializing_if = "String::is_empty")]
        cursor: String,
    },
    /// Answers `profiles`.
    Profiles {
        /// Of those users that exist, each once.
        profiles: Vec<Profile>,
    },
    /// Answers `token`.
    Token {
        /// When the new token ends, Unix milliseconds.
        expires_at: u64,
    },
    /// Answers `ping`.
    Pong {
        /// Unix milliseconds.
        server_time: u64,
    },
    /// Answers `presence.get` and `presence.watch`; and tells by itself of users whom the session
    /// watches.
    Presence {
        /// The users as they are now.
        users: Vec<Presence>,
    },
    /// Answers `presence.count`.
    PresenceCount {
        /// How many of the group's members are here.
        present: u32,
        members: u32,
    },
    /// Answers `presence.set` and `presence.own`.
    Status {
        /// How the user wants to be seen.
        status: Choice,
        #[serde(skip_serializing_if = "String::is_empty")]
        text: String,
        /// When the text ends, Unix milliseconds.
        #[serde(skip_serializing_if = "Option::is_none")]
        text_until: Option<u64>,
    },
    /// Answers `presence.unwatch`, `presence.idle`, `presence.attend`, `mark`, `setting`, `relation`, `unlink`, `ask`, `decline`, `report`, `typing` and `logout`; and, with a version
    /// that core gives it, `draft`.
    Done {},
    /// The edge is going away: it closes this session (4000) after this many milliseconds. The client
    /// may reconnect elsewhere before that.
    Draining {
        /// Milliseconds.
        close_in_ms: u64,
    },
    Error {
        error: ApiError,
    },
}

/// A room in a list.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Room {
    pub room: String,
    /// `direct` or `group`.
    pub room_kind: crate::room::RoomKind,
    /// Groups only.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// Seq of the last entry.
    pub seq: u64,
    /// How many messages it has.
    pub ordinal: u64,
    /// When the last entry was taken, Unix milliseconds.
    pub time: u64,
    pub member_count: u32,
    /// The caller's own role.
    pub role: String,
    /// Too many members for inboxes.
    pub large: bool,
    /// From where on members see it.
    pub history: String,
    #[serde(flatten)]
    pub group: Option<Group>,
    /// An administrator of the installation has closed it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub closed: bool,
    /// The newest entry that is worth showing, as it is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<ReadyMade>,
    /// Up to where the caller has read it.
    pub read: u64,
    /// How many messages it had up to there; where something is marked as unread, up to before that.
    pub read_ordinal: u64,
    /// How many messages are unread.
    pub unread: u64,
    /// Else they are at most that many.
    #[serde(skip_serializing_if = "is_true")]
    pub unread_exact: bool,
    /// How many messages that mention the caller are unread; at most 1,000 are counted.
    pub mentions: u64,
    /// How many of the threads that the caller follows have unread replies.
    pub unread_threads: u64,
    /// Else there may be more.
    #[serde(skip_serializing_if = "is_true")]
    pub unread_threads_exact: bool,
    /// From where on the caller has marked it as unread.
    #[serde(skip_serializing_if = "is_zero")]
    pub unread_from: u64,
    /// The other user of a direct room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partner: Option<Partner>,
    /// Until when the user wants to hear nothing of it, Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub muted_until: Option<u64>,
    /// Of what the user is notified, where they have said it of the room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify: Option<Notify>,
    /// The user wants it at the top.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pinned: bool,
    /// The user has hidden it, as it was then, and there is nothing new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<HiddenAt>,
    /// The other one is not known to the caller, who has not accepted yet that they write.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub request: bool,
    /// For how many days it keeps an entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_days: Option<u32>,
    /// Entries with a smaller seq were deleted, since they were that old.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_seq: Option<u64>,
    /// For how many days a message has its files, where the room says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_days: Option<u32>,
    /// `false`: its links have no previews.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previews: Option<bool>,
}

/// What a group is beside its title.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Group {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub topic: String,
    /// A file's id.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub avatar: String,
    /// Who may come in.
    pub join: String,
    /// Who may write.
    pub write: String,
    /// Seconds between two messages of one member.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_mode_s: Option<u32>,
    /// Nobody comes in while it has so many members.
    pub members_max: u32,
    /// Nobody writes.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub archived: bool,
}

impl Group {
    /// `None`: of an earlier core, or of a direct room.
    fn of(summary: &svc::RoomSummary) -> Option<Self> {
        let svc::RoomSummary { topic, join, write, slow_mode_s, members_max, archived, .. } =
            summary;
        (!join.is_empty()).then(|| Self {
            topic: topic.clone(),
            avatar: summary.avatar.clone(),
            join: join.clone(),
            write: write.clone(),
            slow_mode_s: Some(*slow_mode_s).filter(|seconds| *seconds > 0),
            members_max: *members_max,
            archived: *archived,
        })
    }
}

/// JSON that came ready made from core: it is put in as it is.
#[derive(Clone, PartialEq, Debug)]
pub struct ReadyMade(Bytes);

impl ReadyMade {
    /// `None`: it is no JSON.
    fn new(json: Bytes) -> Option<Self> {
        serde_json::from_slice::<&RawValue>(&json).is_ok().then_some(Self(json))
    }
}

impl Serialize for ReadyMade {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_slice(&self.0).map_err(S::Error::custom)?;
        raw.serialize(serializer)
    }
}

/// The other user of a direct room.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Partner {
    #[serde(flatten)]
    pub profile: Profile,
    /// Up to where they have read the room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read: Option<u64>,
    /// Up to where they have got it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivered: Option<u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_true(it: &bool) -> bool {
    *it
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_zero(it: &u64) -> bool {
    *it == 0
}

/// A member in a list.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Member {
    pub user: String,
    pub role: String,
    /// Seq of the entry by which the user joined.
    pub since: u64,
    /// As of a profile; missing: the user has no account any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar: Option<String>,
    /// Of the profile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

impl From<svc::RoomSummary> for Room {
    fn from(summary: svc::RoomSummary) -> Self {
        let room_kind =
            RoomId::new(&summary.room).map_or(crate::RoomKind::Group, |room| room.kind());
        let notify = Some(summary.notify()).filter(|it| *it != Notify::Default);
        Self {
            room_kind,
            group: Group::of(&summary),
            closed: summary.closed,
            request: summary.request,
            role: summary.role,
            history: summary.history,
            room: summary.room,
            title: summary.title,
            seq: summary.seq,
            ordinal: summary.ordinal,
            time: summary.time_ms,
            member_count: summary.member_count,
            large: summary.large,
            last: ReadyMade::new(summary.last),
            read: summary.read,
            read_ordinal: summary.read_ordinal,
            unread: summary.unread,
            unread_exact: summary.unread_exact,
            mentions: summary.mentions,
            unread_threads: summary.unread_threads,
            unread_threads_exact: summary.unread_threads_exact,
            unread_from: summary.unread_from,
            muted_until: Some(summary.muted_until_ms).filter(|until| *until > 0),
            notify,
            pinned: summary.pinned,
            hidden: summary.hidden,
            retention_days: Some(summary.retention_days).filter(|days| *days > 0),
            first_seq: Some(summary.first_seq).filter(|seq| *seq > 0),
            file_days: Some(summary.file_days).filter(|days| *days > 0),
            previews: summary.previews_off.then_some(false),
            partner: summary.partner.and_then(|partner| {
                let svc::Partner { profile, read, delivered } = partner;
                Some(Partner { profile: profile?.into(), read, delivered })
            }),
        }
    }
}

impl From<svc::Member> for Member {
    fn from(member: svc::Member) -> Self {
        let svc::Member { user, role, since_seq: since, profile } = member;
        let profile = profile.map(|it| ((it.display_name, it.avatar), it.version));
        let (shown, version) = profile.unzip();
        let (display_name, avatar) = shown.unzip();
        Self { user, role, since, display_name, avatar, version }
    }
}

impl Reply {
    /// The answer to `members`.
    #[must_use]
    pub fn members(page: svc::Members) -> Self {
        let members = page.members.into_iter().map(Into::into).collect();
        Self::Members { members, more: page.more }
    }

    /// The answer to `rooms`.
    #[must_use]
    pub fn rooms(page: svc::Rooms) -> Self {
        let svc::Rooms { rooms, more, cursor, receipts_off, setting } = page;
        let rooms = rooms.into_iter().map(Into::into).collect();
        let setting = ReadyMade::new(setting);
        Self::Rooms { rooms, more, cursor, receipts: !receipts_off, setting }
    }

    /// The answer to `reactions`.
    #[must_use]
    pub fn reactions(asked: svc::ListReactions, page: svc::ReactionUsers) -> Self {
        let svc::ListReactions { room, target, emoji, .. } = asked;
        Self::Reactions { room, target, emoji, users: page.users, more: page.more }
    }

    /// The frame's bytes, without a request id.
    #[must_use]
    pub fn to_frame(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain fields serialise")
    }
}

/// The answer to a command that is committed in the room: `{"type":"ack",…}`, without a request id. A
/// resend gets the same, with the client id in its own spelling.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(tag = "type", rename = "ack")]
pub struct Ack<'a> {
    pub room: &'a RoomId,
    /// The entry's place in it.
    pub seq: u64,
    /// How many messages the room has up to the entry. It and the time are missing where the entry
    /// of a resend is not there any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ordinal: Option<u64>,
    /// When core took the entry, Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<u64>,
    /// As the request spelt it; `None`: it had none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<ClientId>,
    /// Whom a `create` has invited in the place of adding them.
    #[serde(skip_serializing_if = "<[UserId]>::is_empty")]
    pub invited: &'a [UserId],
}

impl Ack<'_> {
    /// The frame's bytes, without a request id.
    #[must_use]
    pub fn to_frame(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain fields serialise")
    }
}

/// `{"type":"error",…}`, without a request id.
#[must_use]
pub fn error_frame(error: &ApiError) -> Vec<u8> {
    Reply::Error { error: error.clone() }.to_frame()
}

/// The error in an error frame; `None` for any other frame. Of a newer core's error that can't be read
/// only that it is one is known: `unknown`.
#[must_use]
pub fn error_in(frame: &[u8]) -> Option<ApiError> {
    #[derive(Deserialize)]
    struct Framed {
        error: ApiError,
    }
    if !frame.starts_with(br#"{"type":"error","#) {
        return None;
    }
    let error = serde_json::from_slice::<Framed>(frame).map(|framed| framed.error);
    Some(error.unwrap_or_else(|_| {
        let message = "it was refused for a reason that this edge does not know";
        ApiError::new(ErrorCode::Unknown, message)
    }))
}

/// A frame with a list, whose items' bytes are put in as they are. `head`: its other fields.
pub(super) fn list_frame<'a>(
    head: &str,
    list: &str,
    items: impl Iterator<Item = &'a Bytes> + Clone,
) -> Vec<u8> {
    let bytes = items.clone().map(|item| item.len() + 1).sum::<usize>();
    let mut frame = format!(r#"{{{head},"{list}":["#).into_bytes();
    frame.reserve(bytes + 2);
    for (i, item) in items.enumerate() {
        if i > 0 {
            frame.push(b',');
        }
        frame.extend_from_slice(item);
    }
    frame.extend_from_slice(b"]}");
    frame
}

/// Puts a request id into a frame made without one. `frame` is a JSON object with a field.
#[must_use]
pub fn with_id(id: u64, frame: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(frame.len() + 26);
    bytes.extend_from_slice(br#"{"id":"#);
    bytes.extend_from_slice(id.to_string().as_bytes());
    bytes.push(b',');
    bytes.extend_from_slice(frame.strip_prefix(b"{").unwrap_or(frame));
    bytes
}
