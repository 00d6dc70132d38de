//! `mark`: up to where the sender has read a room, or got it. It is a command as the others are, but no
//! entry: the room's log never has it, so it has no seq.

use serde::{Deserialize, Serialize};

use super::{CONVERSATIONS_LEVEL, EntryKind, Kind};
use crate::check::{missing, not_zero};
use crate::error::{ApiError, ErrorCode};
use crate::json::{read_object, text_of};

/// Moves the sender's marks. Each names the seq of an entry.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Mark {
    /// Everything up to there is read. It only grows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read: Option<u64>,
    /// Everything up to there is on one of the sender's devices. It only grows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivered: Option<u64>,
    /// From there on it counts as unread for the sender alone, until they read on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unread_from: Option<u64>,
    /// `read` is of the thread that begins with the message at this seq, not of the room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread: Option<u64>,
    /// The sender follows that thread from now on, or no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub follow: Option<bool>,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
#[serde(from = "Inner")]
pub struct Fields {
    #[prost(message, required, tag = "26")]
    mark: Inner,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
struct Inner {
    #[prost(uint64, optional, tag = "1")]
    read: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    delivered: Option<u64>,
    #[prost(uint64, optional, tag = "3")]
    unread_from: Option<u64>,
    #[prost(uint64, optional, tag = "4")]
    thread: Option<u64>,
    #[prost(bool, optional, tag = "5")]
    follow: Option<bool>,
}

impl From<Inner> for Fields {
    fn from(mark: Inner) -> Self {
        Self { mark }
    }
}

impl Mark {
    /// Reads its fields from an object that may have others.
    ///
    /// # Errors
    /// Those of [`read_object`]; [`ErrorCode::BadRequest`].
    pub fn from_text(json: &str) -> Result<Self, ApiError> {
        Self::check(read_object(json)?)
    }

    /// As [`from_text`](Self::from_text), from bytes that may be anything.
    ///
    /// # Errors
    /// [`ErrorCode::BadEncoding`] where they are not UTF-8; those of
    /// [`from_text`](Self::from_text).
    pub fn from_json(bytes: &[u8]) -> Result<Self, ApiError> {
        Self::from_text(text_of(bytes)?)
    }
}

impl EntryKind for Mark {
    type Fields = Fields;
    const KIND: Kind =
        Kind { is_for_direct: true, is_entry: false, ..Kind::new("mark", 13, CONVERSATIONS_LEVEL) };

    fn check(
        Fields { mark: Inner { read, delivered, unread_from, thread, follow } }: Fields,
    ) -> Result<Self, ApiError> {
        let seqs = [
            ("read", read),
            ("delivered", delivered),
            ("unread_from", unread_from),
            ("thread", thread),
        ];
        if let Some((field, _)) = seqs.iter().find(|(_, seq)| *seq == Some(0)) {
            return Err(not_zero(field));
        }
        let bad = |message| Err(ApiError::new(ErrorCode::BadRequest, message));
        if thread.is_some() {
            let is_room = delivered.is_some() || unread_from.is_some();
            return match (read.is_some() != follow.is_some(), is_room) {
                (true, false) => Ok(Self { read, thread, follow, ..Self::default() }),
                _ => bad("a mark of a thread has read or follow, and nothing else"),
            };
        }
        if follow.is_some() {
            return Err(missing("thread"));
        }
        match (read, delivered, unread_from) {
            (None, None, None) => bad("a mark has read, delivered or unread_from"),
            (Some(_), _, Some(_)) => bad("a mark has read or unread_from, not both"),
            _ => Ok(Self { read, delivered, unread_from, ..Self::default() }),
        }
    }

    fn fields(&self) -> Fields {
        let Self { read, delivered, unread_from, thread, follow } = *self;
        Inner { read, delivered, unread_from, thread, follow }.into()
    }

    fn thread(&self) -> Option<u64> {
        self.thread
    }
}
