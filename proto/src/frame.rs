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
use crate::json::read_object;
use crate::kind::{Body, Mark, Setting};
use crate::room::RoomId;

mod hello;
mod history;
mod mark;
mod pins;
mod presence;
mod reactions;
mod receipts;
mod reply;
mod rooms;
mod send;
mod setting;
mod threads;
mod token;
mod typing;
mod versions;

pub use history::{HistoryFrom, HistoryPlace, history_frame, history_thread};
pub use mark::{MarkFrame, MarksFrame, ReadUpTo, ThreadMarkFrame};
pub use pins::pins_frame;
pub use presence::{PresenceRequest, Users};
pub use receipts::{Receipt, entry_of};
pub use reply::{Ack, Member, Reply, Room, error_frame, error_in, with_id};
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
}

/// A checked request of a client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// The first frame: who it is and where it stopped.
    Hello {
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
        room: RoomId,
        /// The sender's id for it.
        client_id: ClientId,
        body: Body,
    },
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
    /// A page of the caller's rooms.
    Rooms {
        /// Only rooms after this cursor of a page; empty: from the first.
        after: String,
        /// Most of one page; 0: as many as a page holds.
        limit: u32,
    },
    /// One room of the caller.
    Room {
        room: RoomId,
    },
    /// A page of a room's members.
    Members {
        room: RoomId,
        /// Only users after this id; empty: from the first.
        after: String,
        /// Most of one page; 0: as many as a page holds.
        limit: u32,
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
    /// How the user wants a room to be.
    Setting(Setting),
    /// The user types in a room.
    Typing {
        room: RoomId,
    },
    /// The device's login ends, and with it the session.
    Logout,
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
        "token" => token::read(text),
        "presence.get" => presence::read_get(text),
        "presence.watch" => presence::read_watch(text),
        "presence.unwatch" => presence::read_unwatch(text),
        "presence.count" => presence::read_count(text),
        "presence.set" => presence::read_set(text),
        "presence.own" => Ok(Request::Presence(PresenceRequest::Own)),
        "presence.idle" => presence::read_idle(text),
        "mark" => receipts::read_mark(text),
        "receipts" => receipts::read(text),
        "setting" => setting::read(text),
        "typing" => typing::read(text),
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

/// A field that holds for nothing where it is null.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::UserId;
    use crate::presence::Choice;
    use crate::svc;

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
        assert_eq!(body, Body::message("hé".into()).expect("text"));
    }

    #[test]
    fn what_is_read_at_once_is_read_as_any_frame_is() {
        let good = r#"{"id":3,"type":"send","room":"a~b","client_id":"01ARZ3NDEKTSV4RRFFQ69G5FAV","text":"h\u00e9"}"#;
        let long = format!(r#""text":"{}""#, "x".repeat(crate::limits::TEXT_CHARS_MAX + 1));
        let deep = format!(r#""new":{}{}"#, "[".repeat(200), "]".repeat(200));
        let mut at_once = 0;
        for (old, new) in [
            ("{", "{"),
            ("{", " {"),
            ("{", r#"{"kind":"message","#),
            ("{", r#"{"kind":null,"#),
            ("{", r#"{"new":[{"id":7}],"#),
            ("send", r"s\u0065nd"),
            ("{", r#"{"kind":"edit","target":1,"#),
            ("{", r#"{"reply_to":1,"#),
            ("{", r#"{"kind":7,"#),
            ("{", r#"{"id":3,"#),
            ("{", r#"{"text":"again","#),
            ("{", &format!("{{{deep},")),
            (r#""id":3"#, r#""id":0"#),
            (r#""id":3"#, r#""id":9007199254740992"#),
            ("send", "ping"),
            ("a~b", "b~a"),
            ("01AR", "91AR"),
            (r#""h\u00e9""#, r#""""#),
            (r#""h\u00e9""#, "null"),
            (r#""text":"h\u00e9""#, &long),
            (r"\u00e9", r"\ud800"),
            ("}", "}}"),
        ] {
            let text = good.replacen(old, new, 1);
            let Some(read) = send::read_message(&text) else { continue };
            assert_eq!(read_any(&text).expect(&text), read);
            at_once += 1;
        }
        assert_eq!(at_once, 5);
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
        for nothing in [
            r#""history","room":"a","before":0"#,
            r#""history","room":"a","around":0"#,
            r#""history","room":"a","thread":0"#,
            r#""history","room":"a","around":1,"at":2"#,
            r#""rooms","limit":0"#,
            r#""versions","room":"a""#,
            r#""versions","room":"a","target":0"#,
            r#""reactions","room":"a","target":1"#,
            r#""reactions","room":"a","target":1,"emoji":"a b""#,
        ] {
            let text = format!(r#"{{"id":1,"type":{nothing}}}"#);
            assert_eq!(refused(&text), (Some(1), ErrorCode::BadRequest));
        }
    }

    #[test]
    fn requests_about_a_message_are_read() {
        let read = |text: &str| parse_request(text).map(|(_, request)| request).expect(text);
        let room = || RoomId::new("a").expect("id");
        assert_eq!(
            read(r#"{"id":1,"type":"versions","room":"a","target":2}"#),
            Request::Versions { room: room(), target: 2, after: 0 }
        );
        assert_eq!(
            read(r#"{"id":1,"type":"reactions","room":"a","target":2,"emoji":"+","after":"bob"}"#),
            Request::Reactions {
                room: room(),
                target: 2,
                emoji: "+".into(),
                after: "bob".into(),
                limit: 0
            }
        );
        assert_eq!(
            read(r#"{"id":1,"type":"pins","room":"a","before":9}"#),
            Request::Pins { room: room(), before: 9, limit: 0 }
        );
        for (place, from) in [
            ("", HistoryFrom::Before(0)),
            (r#","around":7"#, HistoryFrom::Around(7)),
            (r#","at":0"#, HistoryFrom::At(0)),
        ] {
            let text = format!(r#"{{"id":1,"type":"history","room":"a"{place}}}"#);
            assert_eq!(
                read(&text),
                Request::History { room: room(), thread: None, from, limit: 0 }
            );
        }
        let (thread, from) = (Some(3), HistoryFrom::Before(0));
        assert_eq!(
            read(r#"{"id":1,"type":"history","room":"a","thread":3}"#),
            Request::History { room: room(), thread, from, limit: 0 }
        );
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
    fn an_error_is_read_from_its_own_frame_alone() {
        let error = ApiError::new(ErrorCode::NotMember, "x").retry_after_ms(5);
        assert_eq!(error_in(&error_frame(&error)), Some(error));
        let room = RoomId::new("a~b").expect("id");
        let ack = Ack { room: &room, seq: 1, ordinal: None, time: None, client_id: None };
        // One of a newer core is no ack.
        let newer = br#"{"type":"error","error":{"code":"of_tomorrow","message":"no"}}"#;
        assert_eq!(error_in(newer).map(|error| error.code), Some(ErrorCode::Unknown));
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
            newest: 2,
            more_before: None,
        };
        let room = RoomId::new("team").expect("id");
        let read =
            |frame: Vec<u8>| -> serde_json::Value { serde_json::from_slice(&frame).expect("json") };
        let value = read(history_frame(&room, Some(9), &page));
        assert_eq!(value["thread"], 9);
        assert_eq!(value["entries"][1]["seq"], 2);
        assert_eq!((&value["through"], &value["more"]), (&2.into(), &false.into()));
        let value =
            read(history_frame(&room, None, &svc::LogPage { more_before: Some(true), ..page }));
        let more = ["more_before", "more_after", "more"].map(|field| value.get(field).cloned());
        assert_eq!(more, [Some(true.into()), Some(false.into()), None]);
        let version = Version { seq: 3, time: 7, text: "h\"", ranges: &[] }.to_json().into();
        let page = svc::Versions { versions: vec![version], more: false };
        let value = read(versions_frame(&room, 2, &page));
        assert_eq!((&value["versions"][0]["text"], &value["target"]), (&"h\"".into(), &2.into()));
    }
}
