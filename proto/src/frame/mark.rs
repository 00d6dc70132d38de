//! What the server says of marks, by itself.

use serde::Serialize;

use crate::ids::UserId;
use crate::room::RoomId;

/// Up to where a user has read a room: `{"type":"mark",…}`.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(tag = "type", rename = "mark")]
pub struct MarkFrame<'a> {
    pub room: &'a RoomId,
    pub user: &'a UserId,
    /// The seq of an entry; 0: nothing yet.
    pub read: u64,
    /// For the user's own devices: messages with a greater ordinal are unread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_ordinal: Option<u64>,
    /// Direct rooms: up to where it is on a device of the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivered: Option<u64>,
    /// For the user's own devices: from where on they want it to count as unread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread_from: Option<u64>,
}

/// What a user has said of a thread, for their own devices: `{"type":"mark",…}`.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(tag = "type", rename = "mark")]
pub struct ThreadMarkFrame<'a> {
    pub room: &'a RoomId,
    pub user: &'a UserId,
    /// The seq of the message with which the thread begins.
    pub thread: u64,
    /// Up to which entry of the room they have read it.
    pub read: u64,
    pub following: bool,
}

/// Up to where some members have read a group: `{"type":"marks",…}`.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename = "marks")]
pub struct MarksFrame<'a> {
    pub room: &'a RoomId,
    pub marks: Vec<ReadUpTo<'a>>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct ReadUpTo<'a> {
    pub user: &'a UserId,
    /// The seq of an entry.
    pub read: u64,
}

impl MarkFrame<'_> {
    /// The frame's bytes.
    #[must_use]
    pub fn to_frame(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain fields serialise")
    }
}

impl ThreadMarkFrame<'_> {
    /// The frame's bytes.
    #[must_use]
    pub fn to_frame(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain fields serialise")
    }
}

impl MarksFrame<'_> {
    /// The frame's bytes.
    #[must_use]
    pub fn to_frame(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain fields serialise")
    }
}
