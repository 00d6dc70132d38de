//! `message`: a text.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::buttons::{self, ButtonRow};
use super::formatting::{self, Mentions, Range};
use super::{CONVERSATIONS_LEVEL, EntryKind, FIRST_LEVEL, Kind, MESSAGES_LEVEL, PEOPLE_LEVEL};
use crate::check::{check_chars, empty, missing, not_zero};
use crate::error::{ApiError, ErrorCode};
use crate::ids::UserId;
use crate::json::try_object;
use crate::limits::{META_BYTES_MAX, META_DEPTH_MAX, TEXT_CHARS_MAX};
use crate::room::RoomId;

/// A text message of 1 to 100,000 characters.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Text {
    pub text: String,
    /// `None` in nearly all messages: so these stay small. Made by [`Extras::boxed`].
    #[serde(flatten)]
    pub extras: Option<Box<Extras>>,
}

/// What few messages have beside their text.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Extras {
    /// How parts of the text look.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ranges: Vec<Range>,
    /// The seq of the message that it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<u64>,
    /// An application's own: carried, and never looked at. At most 4,096 bytes as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meta: Option<Map<String, Value>>,
    /// It does not count as unread, and its mentions don't count either.
    #[serde(skip_serializing_if = "is_false")]
    pub silent: bool,
    /// Nobody is notified of it.
    #[serde(skip_serializing_if = "is_false")]
    pub skip_push: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forwarded: Option<Forwarded>,
    /// The seq of the message whose thread it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread: Option<u64>,
    /// What one may press below it: of a bot's message.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub buttons: Vec<ButtonRow>,
}

static NO_EXTRAS: Extras = Extras {
    ranges: Vec::new(),
    reply_to: None,
    meta: None,
    silent: false,
    skip_push: false,
    forwarded: None,
    thread: None,
    buttons: Vec::new(),
};

fn is_false(value: &bool) -> bool {
    !value
}

/// The message that another one repeats. Its sender says where it is; the entry says who wrote it, and
/// where it is only where that is the same room: who can't see the origin learns no more.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Forwarded {
    /// The origin's room and seq.
    #[serde(flatten)]
    pub origin: Option<Origin>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<UserId>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize)]
pub struct Origin {
    pub room: RoomId,
    pub seq: u64,
}

/// As it travels in JSON.
#[derive(Deserialize)]
pub(super) struct Flat {
    text: Option<String>,
    ranges: Option<Vec<Range>>,
    reply_to: Option<u64>,
    meta: Option<Map<String, Value>>,
    silent: Option<bool>,
    skip_push: Option<bool>,
    forwarded: Option<StoredForwarded>,
    thread: Option<u64>,
    buttons: Option<Vec<ButtonRow>>,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
#[serde(from = "Flat")]
pub struct Fields {
    #[prost(string, optional, tag = "7")]
    text: Option<String>,
    /// What the first release did not know.
    #[prost(message, optional, tag = "25")]
    more: Option<More>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct More {
    #[prost(message, repeated, tag = "1")]
    ranges: Vec<Range>,
    #[prost(uint64, optional, tag = "2")]
    reply_to: Option<u64>,
    /// JSON.
    #[prost(string, optional, tag = "3")]
    meta: Option<String>,
    #[prost(bool, tag = "4")]
    silent: bool,
    #[prost(bool, tag = "5")]
    skip_push: bool,
    #[prost(message, optional, tag = "6")]
    forwarded: Option<StoredForwarded>,
    #[prost(uint64, optional, tag = "7")]
    thread: Option<u64>,
    #[prost(message, repeated, tag = "8")]
    buttons: Vec<ButtonRow>,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
struct StoredForwarded {
    #[prost(string, optional, tag = "1")]
    room: Option<String>,
    #[prost(uint64, optional, tag = "2")]
    seq: Option<u64>,
    #[prost(string, optional, tag = "3")]
    from: Option<String>,
}

impl Flat {
    /// The text, and what is stored beside it.
    pub(super) fn into_parts(self) -> (Option<String>, Option<More>) {
        let flat = self;
        let more = More {
            ranges: flat.ranges.unwrap_or_default(),
            reply_to: flat.reply_to,
            meta: flat.meta.map(|meta| Value::Object(meta).to_string()),
            silent: flat.silent.unwrap_or_default(),
            skip_push: flat.skip_push.unwrap_or_default(),
            forwarded: flat.forwarded,
            thread: flat.thread,
            buttons: flat.buttons.unwrap_or_default(),
        };
        (flat.text, (more != More::default()).then_some(more))
    }
}

impl From<Flat> for Fields {
    fn from(flat: Flat) -> Self {
        let (text, more) = flat.into_parts();
        Self { text, more }
    }
}

impl Fields {
    /// What is said of files, which may be nothing.
    pub(super) fn into_caption(self) -> (String, Option<More>) {
        (self.text.unwrap_or_default(), self.more)
    }

    /// A message has a text.
    fn into_parts(self) -> Result<(String, Option<More>), ApiError> {
        let text = self.text.ok_or_else(|| missing("text"))?;
        if text.is_empty() { Err(empty("text")) } else { Ok((text, self.more)) }
    }
}

impl Forwarded {
    fn check(StoredForwarded { room, seq, from }: StoredForwarded) -> Result<Self, ApiError> {
        let origin = match (room, seq) {
            (None, None) => None,
            (Some(_), Some(0)) => return Err(not_zero("forwarded.seq")),
            (Some(room), Some(seq)) => Some(Origin { room: RoomId::new(&room)?, seq }),
            (None, Some(_)) => return Err(missing("forwarded.room")),
            (Some(_), None) => return Err(missing("forwarded.seq")),
        };
        let from = from.as_deref().map(UserId::new).transpose()?;
        if origin.is_none() && from.is_none() {
            return Err(missing("forwarded.room"));
        }
        Ok(Self { origin, from })
    }

    fn stored(&self) -> StoredForwarded {
        let origin = self.origin.as_ref();
        StoredForwarded {
            room: origin.map(|origin| origin.room.to_string()),
            seq: origin.map(|origin| origin.seq),
            from: self.from.as_ref().map(ToString::to_string),
        }
    }
}

impl Text {
    /// A text and nothing else, checked.
    pub(super) fn new(text: String) -> Result<Self, ApiError> {
        if text.is_empty() {
            return Err(empty("text"));
        }
        Self::stored(text, None)
    }

    /// One that is stored, with what is beside it. It may be empty.
    pub(super) fn stored(text: String, more: Option<More>) -> Result<Self, ApiError> {
        check_chars("text", &text, TEXT_CHARS_MAX)?;
        let extras = more.map(|more| Extras::from_stored(more, &text)).transpose()?;
        Ok(Self { text, extras: extras.and_then(Extras::boxed) })
    }

    /// One that somebody sends, with what is beside it. It may be empty.
    pub(super) fn sent(text: String, more: Option<More>) -> Result<Self, ApiError> {
        let meta = more.as_ref().and_then(|more| more.meta.as_ref());
        if meta.is_some_and(|meta| meta.len() > META_BYTES_MAX) {
            let message = format!("the field meta has more than {META_BYTES_MAX} bytes");
            return Err(ApiError::new(ErrorCode::TooLong, message));
        }
        let message = Self::stored(text, more)?;
        buttons::check(&message.extras().buttons)?;
        let meta = &message.extras().meta;
        if meta.iter().flat_map(Map::values).any(|value| is_deeper(value, META_DEPTH_MAX - 1)) {
            let message = format!("the field meta is nested more than {META_DEPTH_MAX} deep");
            return Err(ApiError::new(ErrorCode::BadRequest, message));
        }
        Ok(message)
    }

    /// As it is stored.
    pub(super) fn parts(&self) -> (String, Option<More>) {
        (self.text.clone(), self.extras.as_ref().map(|extras| extras.stored()))
    }

    /// What nearly all bodies are, in one reading: a text and nothing else. `None`: it is not that, or
    /// something is wrong with it.
    pub(super) fn read_plain(json: &str) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Plain<'a> {
            #[serde(borrow)]
            kind: Option<Cow<'a, str>>,
            #[serde(borrow)]
            text: Cow<'a, str>,
        }
        let Plain { kind, text } = try_object(json)?;
        let is_message = kind.is_none_or(|word| word == Self::KIND.word);
        is_message.then(|| Self::new(text.into_owned()).ok())?
    }

    /// What it has beside its text, or nothing of all that.
    #[must_use]
    pub fn extras(&self) -> &Extras {
        self.extras.as_deref().unwrap_or(&NO_EXTRAS)
    }

    /// Its text from now on looks like this.
    pub fn set_ranges(&mut self, ranges: Vec<Range>) {
        let extras = self.extras.take().map(|extras| *extras).unwrap_or_default();
        self.extras = Extras { ranges, ..extras }.boxed();
    }
}

impl Extras {
    /// As a [`Text`] has them.
    #[must_use]
    pub fn boxed(self) -> Option<Box<Self>> {
        (self != NO_EXTRAS).then(|| Box::new(self))
    }

    /// They have what came with [`CONVERSATIONS_LEVEL`].
    fn is_of_late(&self) -> bool {
        let has_mention = formatting::has_mention(&self.ranges);
        let is_flagged = self.silent || self.skip_push;
        is_flagged || self.forwarded.is_some() || has_mention || self.thread.is_some()
    }

    /// Reads them, of a message with this text.
    fn from_stored(more: More, text: &str) -> Result<Self, ApiError> {
        formatting::check(&more.ranges, text)?;
        let seqs = [("reply_to", more.reply_to), ("thread", more.thread)];
        if let Some((field, _)) = seqs.iter().find(|(_, seq)| *seq == Some(0)) {
            return Err(not_zero(field));
        }
        Ok(Self {
            ranges: more.ranges,
            reply_to: more.reply_to,
            meta: more.meta.as_deref().map(read_meta).transpose()?,
            silent: more.silent,
            skip_push: more.skip_push,
            forwarded: more.forwarded.map(Forwarded::check).transpose()?,
            thread: more.thread,
            buttons: more.buttons,
        })
    }

    fn stored(&self) -> More {
        More {
            ranges: self.ranges.clone(),
            reply_to: self.reply_to,
            meta: self.meta.clone().map(|meta| Value::Object(meta).to_string()),
            silent: self.silent,
            skip_push: self.skip_push,
            forwarded: self.forwarded.as_ref().map(Forwarded::stored),
            thread: self.thread,
            buttons: self.buttons.clone(),
        }
    }
}

fn read_meta(meta: &str) -> Result<Map<String, Value>, ApiError> {
    let wrong = |_| ApiError::new(ErrorCode::BadRequest, "the field meta has to be an object");
    serde_json::from_str(meta).map_err(wrong)
}

/// Readers have limits of their own, and answers nest what they carry.
fn is_deeper(value: &Value, depth: usize) -> bool {
    match value {
        Value::Array(values) => depth == 0 || values.iter().any(|it| is_deeper(it, depth - 1)),
        Value::Object(fields) => depth == 0 || fields.values().any(|it| is_deeper(it, depth - 1)),
        _ => false,
    }
}

impl EntryKind for Text {
    type Fields = Fields;
    const KIND: Kind =
        Kind { is_unread: true, is_for_direct: true, ..Kind::new("message", 1, FIRST_LEVEL) };

    fn check(fields: Fields) -> Result<Self, ApiError> {
        let (text, more) = fields.into_parts()?;
        Self::sent(text, more)
    }

    fn from_stored(fields: Fields) -> Result<Self, ApiError> {
        let (text, more) = fields.into_parts()?;
        Self::stored(text, more)
    }

    fn fields(&self) -> Fields {
        let (text, more) = self.parts();
        Fields { text: Some(text), more }
    }

    fn level(&self) -> u32 {
        match &self.extras {
            Some(extras) if !extras.buttons.is_empty() => PEOPLE_LEVEL,
            Some(extras) if extras.is_of_late() => CONVERSATIONS_LEVEL,
            Some(_) => MESSAGES_LEVEL,
            None => FIRST_LEVEL,
        }
    }

    /// In a thread it is counted there.
    fn counts(&self) -> bool {
        let Extras { silent, thread, .. } = self.extras();
        !silent && thread.is_none()
    }

    fn is_preview(&self) -> bool {
        self.extras().thread.is_none()
    }

    fn thread(&self) -> Option<u64> {
        self.extras().thread
    }

    fn mentions(&self) -> Mentions {
        Mentions::of(&self.extras().ranges)
    }

    fn reply_to(&self) -> Option<u64> {
        self.extras().reply_to
    }
}
