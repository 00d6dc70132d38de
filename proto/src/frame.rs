//! The frames of `weft.v1`: JSON objects in WebSocket text messages. `docs/protocol.md` is the
//! normative description.
//!
//! A request is read as `{id, type}` first, and then as what its type says: one file for each.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};

use crate::check::{missing, not_zero};
use crate::client_id::ClientId;
use crate::error::{ApiError, ErrorCode};
use crate::hidden::Hidden;
use crate::ids::DeviceId;
use crate::json::read_object;
use crate::kind::{Ask, Body, Decline, Draft, Mark, Relation, Setting, Unlink};
use crate::room::RoomId;
use crate::svc::Push;

mod asking;
mod devices;
mod draft;
mod groups;
mod hello;
mod history;
mod interactions;
mod invitations;
mod mark;
mod pins;
mod presence;
mod profiles;
mod push;
mod query;
mod reactions;
mod receipts;
mod relations;
mod reply;
mod report;
mod rooms;
mod scheduled;
mod search;
mod send;
mod setting;
mod threads;
mod token;
mod typing;
mod versions;

pub use asking::{AskState, AskingFrame};
pub use devices::DeviceShown;
pub use draft::{draft_frame, drafted_frame, drafts_frame};
pub use groups::{BannedUser, FoundGroup, LinkShown, WantedLink, searched};
pub use history::{HistoryFrom, HistoryPlace, history_frame, history_thread};
pub use interactions::{
    CommandShown, InteractionAnswer, InteractionAnswerFrame, InteractionFrame, Told,
    bot_commands_frame, interacted_frame,
};
pub use invitations::{
    InvitationFrame, InvitationShown, InvitationState, InvitedUser, invited_frame,
};
pub use mark::{MarkFrame, MarksFrame, ReadUpTo, ThreadMarkFrame};
pub use pins::pins_frame;
pub use presence::{PresenceRequest, Users};
pub use profiles::{Profile, ProfileChange, ProfileFrame, profiles_of};
pub(crate) use push::check_address;
pub use push::{APNS, FCM, PushShown, WEB_PUSH, WEBHOOK, webhook_secret_text};
pub use query::Query;
pub use receipts::{Receipt, entry_of};
pub use relations::{RelatedUser, RelationFrame};
pub use reply::{Ack, Member, Reply, Room, error_frame, error_in, with_id};
pub use scheduled::{ScheduledNow, scheduled_frame};
pub use search::{Has, Order, Searched, search_frame};
pub use setting::SettingFrame;
pub use threads::threads_frame;
pub use typing::typing_frame;
pub use versions::{Version, versions_frame};

pub const SUBPROTOCOL: &str = "weft.v1";

/// Largest request id: what a JavaScript number holds exactly.
pub const REQUEST_ID_MAX: u64 = (1 << 53) - 1;

/// Why the server closes a session. 4000 to 4099: reconnect (after a jittered back-off) and resume.
/// 4100 to 4199: something has to change first (a new token, a mended client).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u16)]
pub enum CloseCode {
    /// The edge is going away.
    GoingAway = 4000,
    /// The client read too slowly; what it missed is in the store.
    SlowReader = 4001,
    /// Nothing came from the client for the time told at `welcome`.
    Silent = 4002,
    /// The edge can't reach what it needs.
    Unavailable = 4003,
    /// The token of `hello` does not verify.
    BadToken = 4100,
    /// The token's time is over and it was not refreshed.
    TokenExpired = 4101,
    /// The first frame was not a `hello`, or none came in time.
    HelloExpected = 4102,
    /// The device's login has ended.
    LoggedOut = 4103,
    /// The user is suspended by an administrator.
    Suspended = 4104,
}

/// A checked request of a client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// The first frame: who it is and where it stopped.
    Hello {
        token: Hidden<String>,
        /// The device's cursor; `None` on its first connect.
        cursor: Option<String>,
        /// It wants to see the presence of its companions, and its user is to be seen.
        presence: bool,
        /// Nobody looks at the device.
        idle: bool,
    },
    /// An entry for a room.
    Send {
        /// `None`, of a `create` alone: it follows from the sender and the client id.
        room: Option<RoomId>,
        /// The sender's id for it.
        client_id: ClientId,
        body: Body,
    },
    /// What core is asked for.
    Query(Query),
    /// The user asks to come into a group, or not any more.
    Ask {
        room: RoomId,
        ask: Ask,
    },
    /// Who has asked does not come in.
    Decline {
        room: RoomId,
        decline: Decline,
    },
    /// A link by which one may join a group.
    Link {
        room: RoomId,
        wanted: WantedLink,
    },
    /// Nobody joins by a link any more.
    Unlink {
        room: RoomId,
        unlink: Unlink,
    },
    /// A fresh token for the live session.
    Token {
        token: Hidden<String>,
    },
    Presence(PresenceRequest),
    /// Up to where the user has read a room.
    Mark {
        room: RoomId,
        mark: Mark,
    },
    /// How the user wants a room to be.
    Setting(Setting),
    /// What the user has typed for a room and not sent, or that they dismiss it.
    Draft(Draft),
    /// What another user is to the user.
    Relation(Relation),
    /// What others see of the user.
    Profile(Box<ProfileChange>),
    /// The user reports a message to the administrators.
    Report {
        room: RoomId,
        /// The message's seq.
        target: u64,
        reason: String,
    },
    /// The user types in a room.
    Typing {
        room: RoomId,
    },
    /// A device's login ends, and with it its sessions.
    Logout {
        /// `None`: this one's.
        device: Option<DeviceId>,
    },
    /// How the session's device is to be notified.
    Push(Box<Push>),
    /// A device is not notified any more.
    Unpush {
        /// `None`: this one.
        device: Option<DeviceId>,
    },
    /// A bot is told to do something.
    Interact {
        room: RoomId,
        told: Box<Told>,
    },
    /// A bot answers what it was told.
    Answer {
        /// By which it may: what it got with it.
        interaction: Hidden<String>,
        answer: InteractionAnswer,
    },
    /// A sign of life.
    Ping,
}

/// A frame that was refused, with its `id` where that could be read.
#[derive(Debug)]
pub struct BadFrame {
    pub id: Option<u64>,
    pub error: ApiError,
}

/// What every request has.
#[derive(Deserialize)]
struct Head<'a> {
    id: Option<u64>,
    #[serde(borrow)]
    r#type: Option<Cow<'a, str>>,
}

/// Reads a client's frame: its id and the request.
///
/// # Errors
/// [`BadFrame`] with one of the published codes.
pub fn parse_request(text: &str) -> Result<(u64, Request), BadFrame> {
    send::read_message(text).map_or_else(|| read_any(text), Ok)
}

fn read_any(text: &str) -> Result<(u64, Request), BadFrame> {
    let head: Head<'_> =
        read_object(text).map_err(|error| BadFrame { id: id_of_refused(text), error })?;
    let id = head.id.filter(|id| (1..=REQUEST_ID_MAX).contains(id));
    let error = |error| BadFrame { id, error };
    let Some(number) = id else {
        let message = format!("the field id is a whole number from 1 to {REQUEST_ID_MAX}");
        return Err(error(ApiError::new(ErrorCode::BadRequest, message)));
    };
    let word = head.r#type.ok_or_else(|| error(missing("type")))?;
    read(&word, text).map(|request| (number, request)).map_err(error)
}

/// The id of a frame whose type is no text, so that the client can match the error.
fn id_of_refused(text: &str) -> Option<u64> {
    #[derive(Deserialize)]
    struct OnlyId {
        id: u64,
    }
    let only: OnlyId = read_object(text).ok()?;
    Some(only.id).filter(|id| (1..=REQUEST_ID_MAX).contains(id))
}

/// The only list of all requests.
fn read(word: &str, text: &str) -> Result<Request, ApiError> {
    match word {
        "hello" => hello::read(text),
        "send" => send::read(text),
        "history" => history::read(text),
        "versions" => versions::read(text),
        "reactions" => reactions::read(text),
        "pins" => pins::read(text),
        "threads" => threads::read(text),
        "rooms" => rooms::read_rooms(text),
        "room" => rooms::read_room(text),
        "members" => rooms::read_members(text),
        "banned" => rooms::read_banned(text),
        "find_groups" => groups::read_find(text),
        "ask" => asking::read_ask(text),
        "decline" => asking::read_decline(text),
        "asking" => asking::read_asking(text),
        "invitations" => invitations::read_invitations(text),
        "invited" => invitations::read_invited(text),
        "link" => groups::read_link(text),
        "unlink" => groups::read_unlink(text),
        "links" => groups::read_links(text),
        "token" => token::read(text),
        "presence.get" => presence::read_get(text),
        "presence.watch" => presence::read_watch(text),
        "presence.unwatch" => presence::read_unwatch(text),
        "presence.count" => presence::read_count(text),
        "presence.set" => presence::read_set(text),
        "presence.own" => Ok(Request::Presence(PresenceRequest::Own)),
        "presence.idle" => presence::read_idle(text),
        "presence.attend" => presence::read_attend(text),
        "mark" => receipts::read_mark(text),
        "receipts" => receipts::read(text),
        "setting" => setting::read(text),
        "draft" => draft::read(text),
        "drafts" => draft::read_list(text),
        "relation" => relations::read(text),
        "relations" => relations::read_relations(text),
        "scheduled" => scheduled::read_list(text),
        "search" => search::read(text),
        "profile" => profiles::read_change(text),
        "profiles" => profiles::read_profiles(text),
        "find_users" => profiles::read_find(text),
        "report" => report::read(text),
        "typing" => typing::read(text),
        "devices" => Ok(Query::Devices.into()),
        "logout" => devices::read_logout(text),
        "push" => push::read(text),
        "unpush" => push::read_unpush(text),
        "interact" => interactions::read_interact(text),
        "answer" => interactions::read_answer(text),
        "commands" => interactions::read_commands(text),
        "ping" => Ok(Request::Ping),
        other => Err(ApiError::new(
            ErrorCode::UnknownType,
            format!("unknown type {:?}", other.chars().take(32).collect::<String>()),
        )),
    }
}

/// How many a page may hold; 0: nothing was asked for, so as many as it holds.
///
/// # Errors
/// [`ErrorCode::BadRequest`] where none are asked for.
pub fn page_limit(asked: Option<u32>) -> Result<u32, ApiError> {
    match asked {
        Some(0) => Err(not_zero("limit")),
        asked => Ok(asked.unwrap_or(0)),
    }
}

/// Reads which part of a room's list is asked for: the room, the seq before which it ends (0: there is none), and
/// how many at the most.
fn read_part(text: &str) -> Result<(RoomId, u64, u32), ApiError> {
    #[derive(Deserialize)]
    struct Part<'a> {
        #[serde(borrow)]
        room: Cow<'a, str>,
        before: Option<u64>,
        limit: Option<u32>,
    }
    let Part { room, before, limit } = read_object(text)?;
    Ok((RoomId::new(&room)?, before.unwrap_or(0), page_limit(limit)?))
}

/// A field that holds for nothing where it is null.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests;
