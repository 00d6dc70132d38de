//! One item of a room's log, in its two forms: JSON for clients, prost for the store.

use std::borrow::Cow;

use prost::Message as _;
use serde::{Deserialize, Serialize};

use crate::client_id::ClientId;
use crate::ids::UserId;
use crate::kind::{Body, LinkPreview, MESSAGE};
use crate::room::RoomId;

/// Most entries need no more in either form.
const TYPICAL_BYTES: usize = 512;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    pub room: RoomId,
    /// Its place in the room: dense, from 1.
    pub seq: u64,
    /// How many messages the room has up to here, this one included: for unread counts.
    pub ordinal: u64,
    pub from: UserId,
    /// The sender's own id for it; `None` only from outsiders that gave none.
    pub client_id: Option<ClientId>,
    /// When core took it, Unix milliseconds; never smaller than the entry's before it.
    pub time_ms: u64,
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
    kind: &'static str,
    #[serde(flatten)]
    body: &'a Body,
    #[serde(flatten)]
    now: Option<&'a MessageNow>,
}

/// What became of a message, as history shows it beside the message.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct MessageNow {
    /// When its text was last edited, Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edited_at: Option<u64>,
    /// The seqs of its edits.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub edits: Vec<u64>,
    /// What is on it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reactions: Vec<Reactions>,
    /// That it is pinned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned: Option<Pinned>,
    /// The thread that begins with it.
    #[serde(skip_serializing_if = "Option::is_none", rename = "replies")]
    pub thread: Option<ThreadNow>,
    /// What its first link leads to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preview: Option<PreviewNow>,
}

/// What a link leads to, beside the message that has it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PreviewNow {
    /// Seq of the `preview`.
    pub seq: u64,
    #[serde(flatten)]
    pub link: LinkPreview,
}

/// A thread, beside the message that it begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct ThreadNow {
    /// How many replies it has; deleted ones are not counted.
    pub count: u64,
    /// Seq of the newest one, deleted or not.
    pub last: u64,
}

/// That a message is pinned.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Pinned {
    /// Seq of the `pin`.
    pub seq: u64,
    /// Who sent it.
    pub by: String,
    /// When it was taken, Unix milliseconds.
    pub time: u64,
}

/// An emoji on a message.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Reactions {
    /// The emoji.
    pub emoji: String,
    /// How many users have put it there.
    pub count: u32,
    /// Whether the reader is one of them.
    pub own: bool,
}

/// The same frame as it is read, without the fields of its kind.
#[derive(Deserialize)]
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
}

/// The stored form, but for the fields of the entry's kind, which follow. Tags are never reused:
/// those of all kinds are tags of this message.
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
    /// [`Kind::number`](crate::Kind::number); 0: that of a message, which the first release left out.
    #[prost(int32, tag = "6")]
    kind: i32,
}

/// An entry that can't be read: written by a newer Weft, or damaged.
#[derive(Debug, thiserror::Error)]
#[error("entry can't be read: {0}")]
pub struct DecodeError(String);

impl Entry {
    /// The one user whom it concerns beside all members: see [`Body::user`].
    #[must_use]
    pub fn user(&self) -> Option<&UserId> {
        self.body.user(&self.from)
    }

    /// Whether it is counted by ordinals, and so by unread counts: see [`Body::counts`].
    #[must_use]
    pub fn counts(&self) -> bool {
        self.body.counts()
    }

    /// The bytes of its WebSocket frame.
    #[must_use]
    pub fn to_frame(&self) -> Vec<u8> {
        self.frame(None)
    }

    /// The same with what became of the message. `self` has its newest text.
    #[must_use]
    pub fn to_frame_now(&self, now: &MessageNow) -> Vec<u8> {
        self.frame(Some(now))
    }

    fn frame(&self, now: Option<&MessageNow>) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(TYPICAL_BYTES);
        let frame = EntryFrame {
            r#type: "entry",
            room: self.room.as_str(),
            seq: self.seq,
            ordinal: self.ordinal,
            from: self.from.as_str(),
            client_id: self.client_id,
            time: self.time_ms,
            kind: self.body.kind().word,
            body: &self.body,
            now,
        };
        serde_json::to_writer(&mut bytes, &frame).expect("plain fields serialise");
        bytes
    }

    /// Reads the frame: what [`to_frame`](Self::to_frame) has written, and nothing less strict. A
    /// field that this version does not know is refused: it would be lost in silence.
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
        let entry = Self {
            room: raw.room,
            seq: raw.seq,
            ordinal: raw.ordinal,
            from: raw.from,
            client_id: raw.client_id.map(|id| ClientId::parse(&id)).transpose().map_err(bad)?,
            time_ms: raw.time,
            body: Body::from_text(frame).map_err(bad)?,
        };
        let fields = |frame: &[u8]| serde_json::from_slice::<serde_json::Value>(frame).ok();
        let again = entry.to_frame();
        if again == frame.as_bytes() || fields(&again) == fields(frame.as_bytes()) {
            return Ok(entry);
        }
        Err(DecodeError("a field that this Weft does not know".into()))
    }

    /// The stored form, without the room (it is in the key).
    #[must_use]
    pub fn to_stored(&self) -> Vec<u8> {
        let stored = StoredEntry {
            seq: self.seq,
            ordinal: self.ordinal,
            from: self.from.to_string(),
            client_id: self.client_id.map(|id| id.to_string()).unwrap_or_default(),
            time_ms: self.time_ms,
            kind: self.body.kind().number,
        };
        let mut bytes = Vec::with_capacity(TYPICAL_BYTES);
        stored.encode(&mut bytes).expect("a vector grows");
        self.body.store(&mut bytes);
        bytes
    }

    /// Reads the stored form, and nothing less than all of it: whoever hands an entry on without a
    /// field that a newer Weft has written would drop it.
    ///
    /// # Errors
    /// [`DecodeError`] where the kind or a field is unknown to this version, or malformed.
    pub fn from_stored(room: RoomId, bytes: &[u8]) -> Result<Self, DecodeError> {
        let bad = |what: &str| DecodeError(format!("{what} in room {room}"));
        let stored = StoredEntry::decode(bytes).map_err(|error| DecodeError(error.to_string()))?;
        let number = if stored.kind == 0 { MESSAGE.number } else { stored.kind };
        let body = Body::from_stored(number, bytes)
            .ok_or_else(|| bad(&format!("kind {number}, which this Weft does not know,")))?;
        let (body, body_bytes) = body.map_err(|error| bad(&error))?;
        if stored.encoded_len() + body_bytes != bytes.len() {
            return Err(bad("a field that this Weft does not know"));
        }
        let client_id = match stored.client_id.as_str() {
            "" => None,
            text => Some(ClientId::parse(text).map_err(|_| bad("bad client id"))?),
        };
        Ok(Self {
            seq: stored.seq,
            ordinal: stored.ordinal,
            from: UserId::new(&stored.from).map_err(|_| bad("bad user id"))?,
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

    fn entry() -> Entry {
        Entry {
            room: RoomId::new("alice~bob").expect("id"),
            seq: 7,
            ordinal: 5,
            from: UserId::new("alice").expect("id"),
            client_id: None,
            time_ms: 1_700_000_000_000,
            body: Body::message("한글 \"\u{1f600}\"\n\0".into()).expect("text"),
        }
    }

    #[test]
    fn both_forms_round_trip() {
        let id = ClientId::parse("017f22e2-79b0-7cc3-98c4-dc0c0c07398f").expect("id");
        for client_id in [None, Some(id)] {
            let entry = Entry { client_id, ..entry() };
            let stored = entry.to_stored();
            let read = Entry::from_stored(entry.room.clone(), &stored).expect("decode");
            assert_eq!(read, entry);
            let frame = String::from_utf8(entry.to_frame()).expect("utf8");
            let read = Entry::from_frame(&frame).expect("read");
            assert_eq!(read, entry);
            assert_eq!(read.to_frame(), frame.as_bytes());
            let spaced = frame.replace(":", ": ");
            assert_eq!(Entry::from_frame(&spaced).expect("read"), entry);
        }
    }

    #[test]
    fn a_frame_of_a_newer_version_is_refused() {
        let frame = String::from_utf8(entry().to_frame()).expect("utf8");
        for (old, new) in [
            ("\"message\"", "\"message\",\"mood\":\"sad\""),
            ("\"message\"", "\"dance\""),
            ("\"entry\"", "\"ack\""),
        ] {
            let newer = frame.replace(old, new);
            assert_ne!(newer, frame);
            assert!(Entry::from_frame(&newer).is_err(), "{newer}");
        }
    }

    #[test]
    fn a_stored_entry_of_a_newer_version_is_refused() {
        let (entry, stored) = (entry(), entry().to_stored());
        let refused = |bytes: &[u8]| {
            Entry::from_stored(entry.room.clone(), bytes).expect_err("newer").to_string()
        };
        // Field 99, a text: of the entry or of its kind.
        let more = [&stored, &[0x9a, 0x06, 0x01, b'x'][..]].concat();
        assert!(refused(&more).contains("a field that this Weft does not know"));
        let kind_at = stored.windows(2).position(|two| two == [0x30, 0x01]).expect("kind");
        let mut other = stored.clone();
        other[kind_at + 1] = 0x63;
        assert!(refused(&other).contains("kind 99"));
    }
}
