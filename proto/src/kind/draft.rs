//! `draft`: what the sender has typed for a room and not sent, on all of their devices. A command to the sender's own
//! notebook and no entry: nobody else hears of it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::formatting::{self, Range};
use super::text::Text;
use super::{CONVERSATIONS_LEVEL, EntryKind, Kind, named_by_path};
use crate::check::{missing, not_zero};
use crate::error::{ApiError, ErrorCode};
use crate::json::read_object;
use crate::room::RoomId;

/// A draft: of a command, with the version that its device has seen; else as it is, with its own.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Draft {
    pub room: RoomId,
    /// 0: there is none.
    pub version: u64,
    /// `None`: it is dismissed.
    #[serde(flatten)]
    pub content: Option<Box<DraftText>>,
}

/// What was typed. Its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, prost::Message)]
#[prost(skip_debug)]
pub struct DraftText {
    /// As that of a message.
    #[prost(string, tag = "1")]
    pub text: String,
    #[prost(message, repeated, tag = "2")]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ranges: Vec<Range>,
    /// The seq of the message that it answers.
    #[prost(uint64, optional, tag = "3")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<u64>,
    /// The seq of the message whose thread it is for.
    #[prost(uint64, optional, tag = "4")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<u64>,
}

impl fmt::Debug for DraftText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DraftText").finish_non_exhaustive()
    }
}

/// As it travels in JSON.
#[derive(Deserialize)]
struct Flat {
    room: Option<String>,
    version: Option<u64>,
    text: Option<String>,
    ranges: Option<Vec<Range>>,
    reply_to: Option<u64>,
    thread: Option<u64>,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
#[serde(from = "Flat")]
pub struct Fields {
    #[prost(message, required, tag = "30")]
    draft: Inner,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Inner {
    #[prost(string, optional, tag = "1")]
    room: Option<String>,
    #[prost(uint64, optional, tag = "2")]
    version: Option<u64>,
    #[prost(message, optional, tag = "3")]
    content: Option<DraftText>,
}

impl From<Flat> for Fields {
    fn from(Flat { room, version, text, ranges, reply_to, thread }: Flat) -> Self {
        let (text, ranges) = (text.unwrap_or_default(), ranges.unwrap_or_default());
        let content = DraftText { text, ranges, reply_to, thread };
        let content = (content != DraftText::default()).then_some(content);
        Self { draft: Inner { room, version, content } }
    }
}

impl Draft {
    /// Reads the JSON form: an object, perhaps with other fields.
    ///
    /// # Errors
    /// Those of [`read_object`], and what its check says.
    pub fn from_text(json: &str) -> Result<Self, ApiError> {
        Self::check(read_object(json)?)
    }

    /// The same of a room that a path has named.
    ///
    /// # Errors
    /// Those of [`named_by_path`] and of [`from_text`](Self::from_text).
    pub fn of_room(room: &RoomId, bytes: &[u8]) -> Result<Self, ApiError> {
        Self::check(named_by_path(room, bytes, |fields: &mut Fields| &mut fields.draft.room)?)
    }
}

impl DraftText {
    /// Checks it as the text of a message is checked.
    ///
    /// # Errors
    /// As those of a message.
    pub fn check(Self { text, ranges, reply_to, thread }: Self) -> Result<Self, ApiError> {
        if text.is_empty() {
            let message = "the field text is missing: ranges, reply_to and thread are of a text";
            return Err(ApiError::new(ErrorCode::BadRequest, message));
        }
        let Text { text, .. } = Text::new(text)?;
        formatting::check(&ranges, &text)?;
        let seqs = [("reply_to", reply_to), ("thread", thread)];
        if let Some((field, _)) = seqs.iter().find(|(_, seq)| *seq == Some(0)) {
            return Err(not_zero(field));
        }
        Ok(Self { text, ranges, reply_to, thread })
    }
}

impl EntryKind for Draft {
    type Fields = Fields;
    const KIND: Kind = Kind {
        is_for_direct: true,
        is_entry: false,
        ..Kind::new("draft", 17, CONVERSATIONS_LEVEL)
    };

    fn check(Fields { draft: Inner { room, version, content } }: Fields) -> Result<Self, ApiError> {
        let room = RoomId::new(&room.ok_or_else(|| missing("room"))?)?;
        let version = version.ok_or_else(|| missing("version"))?;
        let content = content.map(DraftText::check).transpose()?.map(Box::new);
        Ok(Self { room, version, content })
    }

    fn fields(&self) -> Fields {
        let Self { room, version, content } = self;
        let (room, version) = (Some(room.to_string()), Some(*version));
        Fields { draft: Inner { room, version, content: content.as_deref().cloned() } }
    }
}
