//! `ask`: the sender asks to come into a group where owners and admins decide that, or does not want to any more. A
//! command without an entry: members do not hear of it.

use serde::{Deserialize, Serialize};

use super::{EntryKind, Kind, PEOPLE_LEVEL};
use crate::check::check_chars;
use crate::error::{ApiError, ErrorCode};
use crate::ids::UserId;
use crate::json::{read_object, text_of};
use crate::limits::ASK_CHARS_MAX;

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Ask {
    /// What they say to owners and admins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// They do not ask any more.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub withdraw: bool,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
#[serde(from = "Inner")]
pub struct Fields {
    #[prost(message, required, tag = "39")]
    ask: Inner,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
struct Inner {
    #[prost(string, optional, tag = "1")]
    text: Option<String>,
    #[prost(bool, optional, tag = "2")]
    withdraw: Option<bool>,
}

impl From<Inner> for Fields {
    fn from(ask: Inner) -> Self {
        Self { ask }
    }
}

impl Ask {
    /// Reads the JSON form: an object, perhaps with other fields.
    ///
    /// # Errors
    /// Those of [`read_object`], and what its check says.
    pub fn from_text(json: &str) -> Result<Self, ApiError> {
        Self::check(read_object(json)?)
    }

    /// Reads it from bytes that may be anything.
    ///
    /// # Errors
    /// [`ErrorCode::BadEncoding`] where they are not UTF-8; those of [`from_text`](Self::from_text).
    pub fn from_json(bytes: &[u8]) -> Result<Self, ApiError> {
        Self::from_text(text_of(bytes)?)
    }
}

impl EntryKind for Ask {
    type Fields = Fields;
    const KIND: Kind = Kind { is_entry: false, ..Kind::new("ask", 26, PEOPLE_LEVEL) };

    fn check(Fields { ask: Inner { text, withdraw } }: Fields) -> Result<Self, ApiError> {
        let (text, withdraw) = (text.filter(|text| !text.is_empty()), withdraw.unwrap_or(false));
        if let Some(text) = &text {
            check_chars("text", text, ASK_CHARS_MAX)?;
            if withdraw {
                let message = "the field text is for who asks, not for who withdraws that";
                return Err(ApiError::new(ErrorCode::BadRequest, message));
            }
        }
        Ok(Self { text, withdraw })
    }

    fn fields(&self) -> Fields {
        let withdraw = self.withdraw.then_some(true);
        Inner { text: self.text.clone(), withdraw }.into()
    }

    fn accounts<'a>(&'a self, from: &'a UserId) -> Vec<&'a UserId> {
        vec![from]
    }
}
