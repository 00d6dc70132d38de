//! `react`: a user puts an emoji on a message.

use serde::{Deserialize, Serialize};

use super::{EntryKind, Kind, MESSAGES_LEVEL, target_of};
use crate::check::{check_chars, missing};
use crate::error::{ApiError, ErrorCode};
use crate::limits::EMOJI_CHARS_MAX;

/// Puts an emoji on a message, once per user and emoji.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct React {
    /// The message's seq.
    pub target: u64,
    /// An emoji, or an application's name for one.
    pub emoji: String,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
#[serde(from = "Reaction")]
pub struct Fields {
    #[prost(message, required, tag = "23")]
    react: Reaction,
}

impl From<Reaction> for Fields {
    fn from(react: Reaction) -> Self {
        Self { react }
    }
}

/// A message and an emoji, as they travel.
#[derive(Clone, PartialEq, Deserialize, prost::Message)]
pub(super) struct Reaction {
    #[prost(uint64, optional, tag = "1")]
    target: Option<u64>,
    #[prost(string, optional, tag = "2")]
    emoji: Option<String>,
}

impl Reaction {
    pub(super) fn new(target: u64, emoji: &str) -> Self {
        Self { target: Some(target), emoji: Some(emoji.to_owned()) }
    }

    pub(super) fn check(self) -> Result<(u64, String), ApiError> {
        let emoji = self.emoji.ok_or_else(|| missing("emoji"))?;
        check_emoji(&emoji)?;
        Ok((target_of(self.target)?, emoji))
    }
}

/// What an emoji looks like changes every year, so any few visible characters are taken.
///
/// # Errors
/// [`ErrorCode::BadRequest`] or [`ErrorCode::TooLong`].
pub fn check_emoji(emoji: &str) -> Result<(), ApiError> {
    if emoji.is_empty() || emoji.contains(|char: char| char.is_whitespace() || char.is_control()) {
        let message = "the field emoji is empty, or has a space or a control character in it";
        return Err(ApiError::new(ErrorCode::BadRequest, message));
    }
    check_chars("emoji", emoji, EMOJI_CHARS_MAX)
}

impl EntryKind for React {
    type Fields = Fields;
    const KIND: Kind = Kind { is_for_direct: true, ..Kind::new("react", 11, MESSAGES_LEVEL) };

    fn check(Fields { react }: Fields) -> Result<Self, ApiError> {
        let (target, emoji) = react.check()?;
        Ok(Self { target, emoji })
    }

    fn fields(&self) -> Fields {
        Reaction::new(self.target, &self.emoji).into()
    }

    fn target(&self) -> Option<u64> {
        Some(self.target)
    }
}
