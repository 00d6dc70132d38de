//! One item of a room's log, in its two forms: JSON for clients, prost for the store.

use std::borrow::Cow;

use prost::Message as _;
use serde::{Deserialize, Serialize};

use crate::body::{Body, History, Kind, RawBody, Role};
use crate::client_id::ClientId;
use crate::ids::UserId;
use crate::room::RoomId;

/// An entry of a room's log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The room.
    pub room: RoomId,
    /// Its place in the room: dense, from 1.
    pub seq: u64,
    /// How many messages the room has up to here, this one included: for unread counts.
    pub ordinal: u64,
    /// Who sent it.
    pub from: UserId,
    /// The sender's own id for it; `None` only from outsiders that gave none.
    pub client_id: Option<ClientId>,
    /// When core took it, Unix milliseconds; never smaller than the entry's before it.
    pub time_ms: u64,
    /// What it says.
    pub body: Body,
}

/// The JSON frame of an entry. Field order is fixed: the same entry always has the same bytes.
#[derive(Serialize)]
struct EntryFrame<'a> {
    r#type: &'static str,
    room: &'a str,
    seq: u64,
    ordinal: u64,
    from: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<ClientId>,
    time: u64,
    #[serde(flatten)]
    body: RawBody<'a>,
}

/// The same frame as it is read. A field that this version does not know is refused: it would be
/// lost in silence.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadFrame<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    room: RoomId,
    seq: u64,
    ordinal: u64,
    from: UserId,
    #[serde(borrow)]
    client_id: Option<Cow<'a, str>>,
    time: u64,
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
}

/// The stored form. Tags are never reused.
#[derive(Clone, PartialEq, prost::Message)]
struct StoredEntry {
    #[prost(uint64, tag = "1")]
    seq: u64,
    #[prost(uint64, tag = "2")]
    ordinal: u64,
    #[prost(string, tag = "3")]
    from: String,
    #[prost(string, tag = "4")]
    client_id: String,
    #[prost(uint64, tag = "5")]
    time_ms: u64,
    #[prost(enumeration = "Kind", tag = "6")]
    kind: i32,
    #[prost(string, tag = "7")]
    text: String,
    #[prost(string, tag = "8")]
    title: String,
    #[prost(string, repeated, tag = "9")]
    members: Vec<String>,
    #[prost(enumeration = "History", tag = "10")]
    history: i32,
    #[prost(string, tag = "11")]
    user: String,
    #[prost(enumeration = "Role", tag = "12")]
    role: i32,
}

/// An entry that can't be read: written by a newer Weft, or damaged.
#[derive(Debug, thiserror::Error)]
#[error("entry can't be read: {0}")]
pub struct DecodeError(String);

impl Entry {
    /// The user whom it concerns beside all members: who joins, leaves or gets a role.
    #[must_use]
    pub fn user(&self) -> Option<&UserId> {
        match self.body {
            Body::Leave => Some(&self.from),
            _ => self.body.user(),
        }
    }

    /// The bytes of its WebSocket frame.
    #[must_use]
    pub fn to_frame(&self) -> Vec<u8> {
        serde_json::to_vec(&EntryFrame {
            r#type: "entry",
            room: self.room.as_str(),
            seq: self.seq,
            ordinal: self.ordinal,
            from: self.from.as_str(),
            client_id: self.client_id,
            time: self.time_ms,
            body: self.body.to_raw(),
        })
        .expect("plain fields serialise")
    }

    /// Reads the frame: what [`to_frame`](Self::to_frame) has written, and nothing less strict.
    ///
    /// # Errors
    /// [`DecodeError`] where a field is unknown to this version or malformed.
    pub fn from_frame(frame: &str) -> Result<Self, DecodeError> {
        let raw: ReadFrame<'_> =
            serde_json::from_str(frame).map_err(|error| DecodeError(error.to_string()))?;
        if raw.r#type != "entry" {
            return Err(DecodeError(format!("a frame of type {:?}", raw.r#type)));
        }
        let bad = |error: crate::ApiError| DecodeError(error.message);
        let body = RawBody {
            kind: raw.kind,
            text: raw.text,
            title: raw.title,
            members: raw.members,
            history: raw.history,
            user: raw.user,
            role: raw.role,
        };
        Ok(Self {
            room: raw.room,
            seq: raw.seq,
            ordinal: raw.ordinal,
            from: raw.from,
            client_id: raw.client_id.map(|id| ClientId::parse(&id)).transpose().map_err(bad)?,
            time_ms: raw.time,
            // What was taken once passes again: limits are only ever raised.
            body: body.check().map_err(bad)?,
        })
    }

    /// The stored form, without the room (it stands in the key).
    #[must_use]
    pub fn to_stored(&self) -> Vec<u8> {
        let mut stored = StoredEntry {
            seq: self.seq,
            ordinal: self.ordinal,
            from: self.from.to_string(),
            client_id: self.client_id.map(|id| id.to_string()).unwrap_or_default(),
            time_ms: self.time_ms,
            kind: self.body.kind().into(),
            ..StoredEntry::default()
        };
        match &self.body {
            Body::Message { text } => stored.text.clone_from(text),
            Body::Create { title, members, history } => {
                stored.title.clone_from(title);
                stored.members = members.iter().map(ToString::to_string).collect();
                stored.history = (*history).into();
            }
            Body::Rename { title } => stored.title.clone_from(title),
            Body::Add { user, role } | Body::Role { user, role } => {
                stored.user = user.to_string();
                stored.role = (*role).into();
            }
            Body::Remove { user } => stored.user = user.to_string(),
            Body::Leave => {}
        }
        stored.encode_to_vec()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`DecodeError`] where a field is unknown to this version or malformed.
    pub fn from_stored(room: RoomId, bytes: &[u8]) -> Result<Self, DecodeError> {
        let bad = |what: &str| DecodeError(format!("{what} in room {room}"));
        let stored = StoredEntry::decode(bytes).map_err(|error| DecodeError(error.to_string()))?;
        let user = |name: &str| UserId::new(name).map_err(|_| bad("bad user id"));
        let role = || Role::try_from(stored.role).map_err(|_| bad("unknown role"));
        let body = match Kind::try_from(stored.kind).map_err(|_| bad("unknown kind"))? {
            Kind::Message => Body::Message { text: stored.text },
            Kind::Create => Body::Create {
                title: stored.title,
                members: stored.members.iter().map(|m| user(m)).collect::<Result<_, _>>()?,
                history: History::try_from(stored.history).map_err(|_| bad("unknown history"))?,
            },
            Kind::Rename => Body::Rename { title: stored.title },
            Kind::Add => Body::Add { user: user(&stored.user)?, role: role()? },
            Kind::Remove => Body::Remove { user: user(&stored.user)? },
            Kind::Leave => Body::Leave,
            Kind::Role => Body::Role { user: user(&stored.user)?, role: role()? },
        };
        let client_id = match stored.client_id.as_str() {
            "" => None,
            text => Some(ClientId::parse(text).map_err(|_| bad("bad client id"))?),
        };
        Ok(Self {
            seq: stored.seq,
            ordinal: stored.ordinal,
            from: user(&stored.from)?,
            client_id,
            time_ms: stored.time_ms,
            body,
            room,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(body: Body) -> Entry {
        Entry {
            room: RoomId::new("alice~bob").expect("id"),
            seq: 7,
            ordinal: 5,
            from: UserId::new("alice").expect("id"),
            client_id: Some(ClientId::parse("01ARZ3NDEKTSV4RRFFQ69G5FAV").expect("id")),
            time_ms: 1_700_000_000_000,
            body,
        }
    }

    #[test]
    fn frame_bytes_are_fixed() {
        let frame = entry(Body::Message { text: "hi \"there\"".into() }).to_frame();
        assert_eq!(
            String::from_utf8(frame).expect("utf8"),
            r#"{"type":"entry","room":"alice~bob","seq":7,"ordinal":5,"from":"alice","client_id":"01ARZ3NDEKTSV4RRFFQ69G5FAV","time":1700000000000,"kind":"message","text":"hi \"there\""}"#
        );
    }

    #[test]
    fn both_forms_round_trip() {
        let user = || UserId::new("bob").expect("id");
        for body in [
            Body::Message { text: "한글 \"\u{1f600}\"\n\0".into() },
            Body::Create { title: "T".into(), members: vec![user()], history: History::All },
            Body::Create { title: "T".into(), members: vec![], history: History::Joined },
            Body::Rename { title: "N".into() },
            Body::Add { user: user(), role: Role::Member },
            Body::Remove { user: user() },
            Body::Leave,
            Body::Role { user: user(), role: Role::Owner },
        ] {
            let id = ClientId::parse("017f22e2-79b0-7cc3-98c4-dc0c0c07398f").expect("id");
            for client_id in [None, Some(id)] {
                let entry = Entry { client_id, ..entry(body.clone()) };
                let stored = entry.to_stored();
                let read = Entry::from_stored(entry.room.clone(), &stored).expect("decode");
                assert_eq!(read, entry);
                let frame = String::from_utf8(entry.to_frame()).expect("utf8");
                let read = Entry::from_frame(&frame).expect("read");
                assert_eq!(read, entry);
                assert_eq!(read.to_frame(), frame.as_bytes());
            }
        }
    }

    #[test]
    fn a_frame_of_a_newer_version_is_refused() {
        let frame = String::from_utf8(entry(Body::Leave).to_frame()).expect("utf8");
        for (old, new) in [
            ("leave\"", "leave\",\"mood\":\"sad\""),
            ("\"leave\"", "\"dance\""),
            ("\"entry\"", "\"ack\""),
        ] {
            let newer = frame.replace(old, new);
            assert_ne!(newer, frame);
            assert!(Entry::from_frame(&newer).is_err(), "{newer}");
        }
    }
}
