//! `message`: a text.

use serde::{Deserialize, Serialize};

use super::{EntryKind, FIRST_LEVEL, Kind};
use crate::check::{check_chars, empty, missing};
use crate::error::ApiError;
use crate::limits::TEXT_CHARS_MAX;

/// A text message of 1 to 100,000 characters.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Text {
    pub text: String,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
pub struct Fields {
    #[prost(string, optional, tag = "7")]
    text: Option<String>,
}

impl Text {
    pub(super) fn new(text: String) -> Result<Self, ApiError> {
        if text.is_empty() {
            return Err(empty("text"));
        }
        check_chars("text", &text, TEXT_CHARS_MAX)?;
        Ok(Self { text })
    }
}

impl EntryKind for Text {
    type Fields = Fields;
    const KIND: Kind =
        Kind { is_unread: true, is_for_direct: true, ..Kind::new("message", 1, FIRST_LEVEL) };

    fn check(fields: Fields) -> Result<Self, ApiError> {
        Self::new(fields.text.ok_or_else(|| missing("text"))?)
    }

    fn fields(&self) -> Fields {
        Fields { text: Some(self.text.clone()) }
    }
}
