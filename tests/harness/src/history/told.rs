//! What users are told of their rooms beside entries and marks, read from frames.

use std::sync::Arc;

use serde_json::Value;

use super::{ClientId, Room, hash};

/// A thread as its follower is told of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Followed {
    pub root: u64,
    /// How many replies it has, and the newest one.
    pub replies: (u64, u64),
    pub read: u64,
    pub unread: u64,
    pub unread_exact: bool,
}

/// How a user wants a room to be.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Setting {
    pub muted_until: u64,
    pub pinned: bool,
}

impl Setting {
    /// Reads a `setting` frame, or a room in a list; what is not there is as it is at first.
    pub fn read(frame: &Value) -> Self {
        let muted_until = frame["muted_until"].as_u64().unwrap_or(0);
        Self { muted_until, pinned: frame["pinned"] == true }
    }
}

impl Followed {
    /// Reads an element of an answer to `threads`; `None` where a field is missing.
    pub fn read(frame: &Value) -> Option<Self> {
        let number = |of: &Value, field: &str| of[field].as_u64();
        let replies = &frame["replies"];
        Some(Self {
            root: number(frame, "thread")?,
            replies: (number(replies, "count")?, number(replies, "last")?),
            read: number(frame, "read")?,
            unread: number(frame, "unread")?,
            unread_exact: frame["unread_exact"] != false,
        })
    }
}

/// What a user has typed for a room and not sent.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Draft {
    pub room: Room,
    pub user: Arc<str>,
    /// As somebody says it: the version that their device has seen.
    pub version: u64,
    /// Hash of the text ([`hash`]); 0: it is dismissed.
    pub text: u64,
}

impl Draft {
    /// Reads a `draft` frame, or the draft in an answer; `None` where a field is missing.
    pub fn read(user: &str, frame: &Value) -> Option<Self> {
        let (room, version) = (frame["room"].as_str()?.into(), frame["version"].as_u64()?);
        let text = frame["text"].as_str().map_or(0, hash);
        Some(Self { room, user: user.into(), version, text })
    }
}

/// A room as the list of a user's rooms tells it.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Listed {
    pub seq: u64,
    pub ordinal: u64,
    pub read: u64,
    pub read_ordinal: u64,
    pub unread_from: u64,
    pub unread: u64,
    pub unread_exact: bool,
    pub mentions: u64,
    pub setting: Setting,
}

impl Listed {
    /// Reads an element of an answer to `rooms`; `None` where a field is missing.
    pub fn read(frame: &Value) -> Option<Self> {
        let number = |field: &str| frame[field].as_u64();
        Some(Self {
            seq: number("seq")?,
            ordinal: number("ordinal")?,
            read: number("read")?,
            read_ordinal: number("read_ordinal")?,
            unread_from: number("unread_from").unwrap_or(0),
            unread: number("unread")?,
            unread_exact: frame["unread_exact"] != false,
            mentions: number("mentions")?,
            setting: Setting::read(frame),
        })
    }
}

/// What became of a message that was to be sent later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Became {
    Waiting,
    /// The seq that it got.
    Sent(u64),
    /// It was refused when its time had come.
    Failed,
    Cancelled,
}

/// A message that its user has scheduled, as their devices are told of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scheduled {
    pub room: Room,
    /// That of the `schedule`.
    pub id: ClientId,
    pub became: Became,
}

impl Scheduled {
    /// Reads a `schedule` frame, or an element of an answer to `scheduled`; `None` where a field is missing.
    pub fn read(frame: &Value) -> Option<Self> {
        let became = match frame["state"].as_str()? {
            "waiting" => Became::Waiting,
            "sent" => Became::Sent(frame["seq"].as_u64()?),
            "failed" => frame["code"].as_str().map(|_| Became::Failed)?,
            "cancelled" => Became::Cancelled,
            _ => return None,
        };
        let text = |field: &str| frame[field].as_str().map(Arc::from);
        Some(Self { room: text("room")?, id: text("schedule")?, became })
    }
}
