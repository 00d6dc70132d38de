//! The frames of `weft.v1`: JSON objects in WebSocket text messages. `docs/protocol.md` is the
//! normative description.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::body::{Body, History, RawBody, Role, missing};
use crate::client_id::ClientId;
use crate::error::{ApiError, ErrorCode};
use crate::hidden::Hidden;
use crate::json::read_object;
use crate::presence::{Choice, Presence};
use crate::room::RoomId;
use crate::svc;

mod presence;

pub use presence::{PresenceRequest, Users};

/// The WebSocket subprotocol.
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
}

/// A checked request of a client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// The first frame: who it is and where it stopped.
    Hello {
        /// The access token.
        token: Hidden<String>,
        /// The device's cursor; `None` on its first connect.
        cursor: Option<String>,
        /// It wants to see the presence of its contacts, and its user is to be seen.
        presence: bool,
        /// Nobody looks at the device.
        idle: bool,
    },
    /// An entry for a room.
    Send {
        /// The room.
        room: RoomId,
        /// The sender's id for it.
        client_id: ClientId,
        /// The entry's content.
        body: Body,
    },
    /// A page of a room's log.
    History {
        /// The room.
        room: RoomId,
        /// From where, in which direction.
        from: HistoryFrom,
        /// At most so many entries; 0: as many as a page holds.
        limit: u32,
    },
    /// A page of the caller's rooms.
    Rooms {
        /// Only rooms after this id; empty: from the first.
        after: String,
        /// At most so many; 0: as many as a page holds.
        limit: u32,
    },
    /// One room of the caller.
    Room {
        /// The room.
        room: RoomId,
    },
    /// A page of a room's members.
    Members {
        /// The room.
        room: RoomId,
        /// Only users after this id; empty: from the first.
        after: String,
        /// At most so many; 0: as many as a page holds.
        limit: u32,
    },
    /// A fresh token for the live session.
    Token {
        /// The access token.
        token: Hidden<String>,
    },
    /// About presence.
    Presence(PresenceRequest),
    /// The device's login ends, and with it the session.
    Logout,
    /// A sign of life.
    Ping,
}

/// Which end of a room's log a page starts from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HistoryFrom {
    /// The first entries with a greater seq.
    After(u64),
    /// The last entries with a smaller seq; 0: the room's last entries.
    Before(u64),
}

/// A frame as it came: flat, nothing checked, so that the error can name its `id`.
#[derive(Deserialize)]
struct RawFrame<'a> {
    id: Option<u64>,
    #[serde(borrow)]
    r#type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    token: Option<Cow<'a, str>>,
    #[serde(borrow)]
    cursor: Option<Cow<'a, str>>,
    #[serde(borrow)]
    room: Option<Cow<'a, str>>,
    #[serde(borrow)]
    client_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow)]
    title: Option<Cow<'a, str>>,
    #[serde(borrow)]
    members: Option<Vec<Cow<'a, str>>>,
    history: Option<History>,
    #[serde(borrow)]
    user: Option<Cow<'a, str>>,
    role: Option<Role>,
    before: Option<u64>,
    after: Option<After<'a>>,
    limit: Option<u32>,
    #[serde(borrow)]
    users: Option<Vec<Cow<'a, str>>>,
    status: Option<Choice>,
    text_until: Option<u64>,
    idle: Option<bool>,
    presence: Option<bool>,
}

/// `after` is a seq in `history` and an id in `rooms` and `members`.
#[derive(Deserialize)]
#[serde(untagged)]
enum After<'a> {
    Seq(u64),
    #[serde(borrow)]
    Id(Cow<'a, str>),
}

/// A frame that was refused, with its `id` where that could be read.
#[derive(Debug)]
pub struct BadFrame {
    /// The request's id.
    pub id: Option<u64>,
    /// Why.
    pub error: ApiError,
}

/// Reads a client's frame: its id and the request.
///
/// # Errors
/// [`BadFrame`] with one of the published codes.
pub fn parse_request(text: &str) -> Result<(u64, Request), BadFrame> {
    let raw: RawFrame<'_> =
        read_object(text).map_err(|error| BadFrame { id: id_of_refused(text), error })?;
    let id = raw.id.filter(|id| (1..=REQUEST_ID_MAX).contains(id));
    let error = |error| BadFrame { id, error };
    let Some(number) = id else {
        let message = format!("the field id is a whole number from 1 to {REQUEST_ID_MAX}");
        return Err(error(ApiError::new(ErrorCode::BadRequest, message)));
    };
    check(raw).map(|request| (number, request)).map_err(error)
}

/// The id of a frame whose other fields have wrong types, so that the client can match the error.
fn id_of_refused(text: &str) -> Option<u64> {
    #[derive(Deserialize)]
    struct OnlyId {
        id: u64,
    }
    let only: OnlyId = read_object(text).ok()?;
    Some(only.id).filter(|id| (1..=REQUEST_ID_MAX).contains(id))
}

fn check(mut raw: RawFrame<'_>) -> Result<Request, ApiError> {
    let word = raw.r#type.take().ok_or_else(|| missing("type"))?;
    if let Some(request) = presence::check(&word, &mut raw) {
        return request.map(Request::Presence);
    }
    let limit = page_limit(raw.limit)?;
    let room = |room: Option<Cow<'_, str>>| RoomId::new(&room.ok_or_else(|| missing("room"))?);
    match &*word {
        "hello" => Ok(Request::Hello {
            token: Hidden(raw.token.ok_or_else(|| missing("token"))?.into_owned()),
            cursor: raw.cursor.map(Cow::into_owned),
            presence: raw.presence.unwrap_or(true),
            idle: raw.idle.unwrap_or(false),
        }),
        "send" => Ok(Request::Send {
            room: room(raw.room)?,
            client_id: ClientId::parse(&raw.client_id.ok_or_else(|| missing("client_id"))?)?,
            body: RawBody {
                kind: raw.kind,
                text: raw.text,
                title: raw.title,
                members: raw.members,
                history: raw.history,
                user: raw.user,
                role: raw.role,
            }
            .check()?,
        }),
        "history" => Ok(Request::History {
            room: room(raw.room)?,
            from: history_from(raw.before, after_seq(raw.after)?)?,
            limit,
        }),
        "rooms" => Ok(Request::Rooms { after: after_id(raw.after)?, limit }),
        "room" => Ok(Request::Room { room: room(raw.room)? }),
        "members" => {
            Ok(Request::Members { room: room(raw.room)?, after: after_id(raw.after)?, limit })
        }
        "token" => {
            let token = raw.token.ok_or_else(|| missing("token"))?.into_owned();
            Ok(Request::Token { token: Hidden(token) })
        }
        "logout" => Ok(Request::Logout),
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

fn not_zero(field: &str) -> ApiError {
    ApiError::new(
        ErrorCode::BadRequest,
        format!("the field {field} has to be a whole number from 1"),
    )
}

/// `before` or `after`, or neither: the room's last entries.
///
/// # Errors
/// [`ErrorCode::BadRequest`] where both are given, or nothing can be before.
pub fn history_from(before: Option<u64>, after: Option<u64>) -> Result<HistoryFrom, ApiError> {
    match (before, after) {
        (Some(_), Some(_)) => {
            Err(ApiError::new(ErrorCode::BadRequest, "give before or after, not both"))
        }
        (Some(0), None) => Err(not_zero("before")),
        (None, Some(seq)) => Ok(HistoryFrom::After(seq)),
        (before, None) => Ok(HistoryFrom::Before(before.unwrap_or(0))),
    }
}

fn after_seq(after: Option<After<'_>>) -> Result<Option<u64>, ApiError> {
    match after {
        None => Ok(None),
        Some(After::Seq(seq)) => Ok(Some(seq)),
        Some(After::Id(_)) => {
            Err(ApiError::new(ErrorCode::BadRequest, "the field after has to be a whole number"))
        }
    }
}

fn after_id(after: Option<After<'_>>) -> Result<String, ApiError> {
    match after {
        None => Ok(String::new()),
        Some(After::Id(id)) => Ok(id.into_owned()),
        Some(After::Seq(_)) => {
            Err(ApiError::new(ErrorCode::BadRequest, "the field after has to be a string"))
        }
    }
}

/// What the server says: every frame but entries, acks and errors that come ready made from core.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Reply {
    /// Answers `hello`.
    Welcome {
        /// Names the session in logs.
        session: String,
        /// Who the token says it is.
        user: String,
        /// The device that the token was given to.
        device: String,
        /// Unix milliseconds: stamp client ids by it.
        server_time: u64,
        /// Send something at least so often, in milliseconds.
        heartbeat_ms: u64,
        /// A session that is silent for so long is closed, in milliseconds.
        silence_ms: u64,
        /// When the token ends, Unix milliseconds.
        token_expires_at: u64,
        /// Most requests that may be unanswered.
        in_flight_max: u32,
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
        /// Ascending by id.
        rooms: Vec<Room>,
        /// There are more.
        more: bool,
    },
    /// Answers `room`.
    Room {
        /// The room.
        #[serde(flatten)]
        room: Room,
    },
    /// Answers `members`.
    Members {
        /// Ascending by user id.
        members: Vec<Member>,
        /// There are more.
        more: bool,
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
        /// How many members it has.
        members: u32,
    },
    /// Answers `presence.set` and `presence.own`.
    Status {
        /// How the user wants to be seen.
        status: Choice,
        /// The user's own words.
        #[serde(skip_serializing_if = "String::is_empty")]
        text: String,
        /// When the text ends, Unix milliseconds.
        #[serde(skip_serializing_if = "Option::is_none")]
        text_until: Option<u64>,
    },
    /// Answers `presence.unwatch`, `presence.idle` and `logout`.
    Done {},
    /// The edge is going away: it closes this session (4000) in so many milliseconds. The client
    /// may reconnect elsewhere before that.
    Draining {
        /// Milliseconds.
        close_in_ms: u64,
    },
    /// Says no.
    Error {
        /// Why.
        error: ApiError,
    },
}

/// A room in a list.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Room {
    /// The room.
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
    /// How many members.
    pub member_count: u32,
    /// The caller's own role.
    pub role: Role,
    /// Too many members for inboxes.
    pub large: bool,
    /// From where on members see it.
    pub history: History,
}

/// A member in a list.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Member {
    /// The user.
    pub user: String,
    /// What the user may do.
    pub role: Role,
    /// Seq of the entry by which the user joined.
    pub since: u64,
}

impl From<svc::RoomSummary> for Room {
    fn from(summary: svc::RoomSummary) -> Self {
        let room_kind =
            RoomId::new(&summary.room).map_or(crate::RoomKind::Group, |room| room.kind());
        Self {
            room_kind,
            role: Role::try_from(summary.role).unwrap_or(Role::Member),
            history: History::try_from(summary.history).unwrap_or_default(),
            room: summary.room,
            title: summary.title,
            seq: summary.seq,
            ordinal: summary.ordinal,
            time: summary.time_ms,
            member_count: summary.member_count,
            large: summary.large,
        }
    }
}

impl From<svc::Member> for Member {
    fn from(member: svc::Member) -> Self {
        Self {
            role: Role::try_from(member.role).unwrap_or(Role::Member),
            user: member.user,
            since: member.since_seq,
        }
    }
}

impl Reply {
    /// The frame's bytes, without a request id.
    #[must_use]
    pub fn to_frame(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain fields serialise")
    }
}

/// The answer to a command that stands in the room: `{"type":"ack",…}`, without a request id. A
/// resend gets the same, with the client id in its own spelling.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(tag = "type", rename = "ack")]
pub struct Ack<'a> {
    /// The room.
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

/// True for the error frame of [`ErrorCode::ResendInOrder`], told by its first bytes.
#[must_use]
pub fn is_resend_in_order(frame: &[u8]) -> bool {
    frame.starts_with(br#"{"type":"error","error":{"code":"resend_in_order""#)
}

/// The error in an error frame; `None` for any other frame.
#[must_use]
pub fn error_in(frame: &[u8]) -> Option<ApiError> {
    #[derive(Deserialize)]
    struct Framed {
        error: ApiError,
    }
    if !frame.starts_with(br#"{"type":"error","#) {
        return None;
    }
    serde_json::from_slice::<Framed>(frame).ok().map(|framed| framed.error)
}

/// `{"type":"history",…}`, without a request id; the entries' bytes are put in as they are.
#[must_use]
pub fn history_frame(room: &RoomId, page: &svc::LogPage) -> Vec<u8> {
    let bytes = page.entries.iter().map(|entry| entry.frame.len() + 1).sum::<usize>();
    let mut frame = format!(
        r#"{{"type":"history","room":"{room}","from":{},"through":{},"more":{},"entries":["#,
        page.from, page.through, page.more
    )
    .into_bytes();
    frame.reserve(bytes + 2);
    for (i, entry) in page.entries.iter().enumerate() {
        if i > 0 {
            frame.push(b',');
        }
        frame.extend_from_slice(&entry.frame);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::UserId;

    fn refused(text: &str) -> (Option<u64>, ErrorCode) {
        let bad = parse_request(text).expect_err(text);
        (bad.id, bad.error.code)
    }

    #[test]
    fn a_send_is_read() {
        let text = r#"{"id":3,"type":"send","room":"alice~bob","client_id":"01ARZ3NDEKTSV4RRFFQ69G5FAV","text":"h\u00e9"}"#;
        let (id, request) = parse_request(text).expect("parse");
        assert_eq!(id, 3);
        let Request::Send { room, body, .. } = request else { panic!("not a send") };
        assert_eq!(room.as_str(), "alice~bob");
        assert_eq!(body, Body::Message { text: "hé".into() });
    }

    #[test]
    fn bad_frames_name_their_id_and_a_stable_code() {
        assert_eq!(refused("nonsense"), (None, ErrorCode::BadJson));
        assert_eq!(refused("[]"), (None, ErrorCode::BadRequest));
        let list = format!(r#"[1,"ping"{}]"#, ",null".repeat(19));
        assert_eq!(refused(&list), (None, ErrorCode::BadRequest));
        assert_eq!(refused("[7,8]"), (None, ErrorCode::BadRequest));
        assert_eq!(refused("{}"), (None, ErrorCode::BadRequest));
        assert_eq!(refused(r#"{"id":0,"type":"ping"}"#), (None, ErrorCode::BadRequest));
        assert_eq!(refused(r#"{"id":"x","type":"ping"}"#), (None, ErrorCode::BadRequest));
        assert_eq!(refused(r#"{"id":1}"#), (Some(1), ErrorCode::BadRequest));
        assert_eq!(refused(r#"{"id":1,"type":7}"#), (Some(1), ErrorCode::BadRequest));
        assert_eq!(refused(r#"{"id":1,"type":"fly"}"#), (Some(1), ErrorCode::UnknownType));
        assert_eq!(refused(r#"{"id":1,"type":"send"}"#), (Some(1), ErrorCode::BadRequest));
        assert_eq!(
            refused(r#"{"id":1,"type":"send","room":"a.b","client_id":"x","text":"y"}"#),
            (Some(1), ErrorCode::BadId)
        );
        assert_eq!(
            refused(r#"{"id":1,"type":"send","room":"a","client_id":"x","text":"y"}"#),
            (Some(1), ErrorCode::BadClientId)
        );
        assert_eq!(
            refused(r#"{"id":1,"type":"history","room":"a","before":1,"after":2}"#),
            (Some(1), ErrorCode::BadRequest)
        );
        for nothing in [r#""history","room":"a","before":0"#, r#""rooms","limit":0"#] {
            let text = format!(r#"{{"id":1,"type":{nothing}}}"#);
            assert_eq!(refused(&text), (Some(1), ErrorCode::BadRequest));
        }
    }

    #[test]
    fn requests_about_presence_are_read() {
        let read = |text: &str| parse_request(text).map(|(_, request)| request);
        let user = |name| UserId::new(name).expect("id");
        assert_eq!(
            read(r#"{"id":1,"type":"presence.watch","users":["bob"],"room":"team"}"#)
                .expect("read"),
            Request::Presence(PresenceRequest::Watch(Users {
                users: vec![user("bob")],
                room: Some(RoomId::new("team").expect("id")),
            }))
        );
        assert_eq!(
            read(
                r#"{"id":1,"type":"presence.set","status":"dnd","text":"h\u00e9","text_until":7}"#
            )
            .expect("read"),
            Request::Presence(PresenceRequest::Set {
                choice: Choice::Dnd,
                text: "hé".into(),
                text_until_ms: 7
            })
        );
        let code = |text: &str| refused(text).1;
        assert_eq!(code(r#"{"id":1,"type":"presence.get"}"#), ErrorCode::BadRequest);
        assert_eq!(code(r#"{"id":1,"type":"presence.get","users":[]}"#), ErrorCode::BadRequest);
        assert_eq!(code(r#"{"id":1,"type":"presence.get","users":["B"]}"#), ErrorCode::BadId);
        assert_eq!(code(r#"{"id":1,"type":"presence.set","status":"x"}"#), ErrorCode::BadRequest);
        assert_eq!(
            code(r#"{"id":1,"type":"presence.set","status":"away","text":"a\nb"}"#),
            ErrorCode::BadRequest
        );
        let long = "x".repeat(crate::limits::STATUS_TEXT_CHARS_MAX + 1);
        let long = format!(r#"{{"id":1,"type":"presence.set","status":"away","text":"{long}"}}"#);
        assert_eq!(code(&long), ErrorCode::TooLong);
    }

    #[test]
    fn an_id_is_spliced_into_a_ready_made_frame() {
        let room = RoomId::new("team").expect("id");
        let ack = Ack { room: &room, seq: 4, ordinal: Some(0), time: Some(7), client_id: None };
        let frame = with_id(9, &ack.to_frame());
        assert_eq!(frame, br#"{"id":9,"type":"ack","room":"team","seq":4,"ordinal":0,"time":7}"#);
        let value: serde_json::Value = serde_json::from_slice(&frame).expect("json");
        assert_eq!(value["seq"], 4);
    }

    #[test]
    fn a_resend_in_order_is_known_by_its_first_bytes() {
        let frame = |code| error_frame(&ApiError::new(code, "x"));
        assert!(is_resend_in_order(&frame(ErrorCode::ResendInOrder)));
        assert!(!is_resend_in_order(&frame(ErrorCode::Conflict)));
    }

    #[test]
    fn an_error_is_read_from_its_own_frame_alone() {
        let error = ApiError::new(ErrorCode::NotMember, "x").retry_after_ms(5);
        assert_eq!(error_in(&error_frame(&error)), Some(error));
        let room = RoomId::new("a~b").expect("id");
        let ack = Ack { room: &room, seq: 1, ordinal: None, time: None, client_id: None };
        assert_eq!(error_in(&ack.to_frame()), None);
    }

    #[test]
    fn history_carries_entries_as_they_are() {
        let entry = |text: &'static str| svc::LogEntry {
            head: String::new(),
            frame: bytes::Bytes::from_static(text.as_bytes()),
        };
        let page = svc::LogPage {
            entries: vec![entry(r#"{"seq":1}"#), entry(r#"{"seq":2}"#)],
            from: 1,
            through: 2,
            more: false,
        };
        let frame = history_frame(&RoomId::new("team").expect("id"), &page);
        let value: serde_json::Value = serde_json::from_slice(&frame).expect("json");
        assert_eq!(value["entries"][1]["seq"], 2);
        assert_eq!(value["through"], 2);
    }
}
