//! `note`: a few words on another entry of the room.

use serde::{Deserialize, Serialize};

use super::{EntryKind, FIRST_LEVEL, Kind};
use crate::check::{check_chars, empty, missing};
use crate::error::ApiError;
use crate::ids::UserId;

const NOTE_CHARS_MAX: usize = 1_000;

/// A few words on another entry of the room.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Note {
    /// The seq of that entry.
    pub on: u64,
    /// 1 to 1,000 characters.
    pub text: String,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
#[serde(from = "Inner")]
pub struct Fields {
    #[prost(message, required, tag = "13")]
    note: Inner,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
struct Inner {
    #[prost(uint64, optional, tag = "1")]
    on: Option<u64>,
    #[prost(string, optional, tag = "2")]
    text: Option<String>,
}

impl From<Inner> for Fields {
    fn from(note: Inner) -> Self {
        Self { note }
    }
}

impl EntryKind for Note {
    type Fields = Fields;
    const KIND: Kind = Kind::new("note", 8, FIRST_LEVEL);

    fn check(Fields { note }: Fields) -> Result<Self, ApiError> {
        let text = note.text.ok_or_else(|| missing("text"))?;
        if text.is_empty() {
            return Err(empty("text"));
        }
        check_chars("text", &text, NOTE_CHARS_MAX)?;
        Ok(Self { on: note.on.ok_or_else(|| missing("on"))?, text })
    }

    fn fields(&self) -> Fields {
        Inner { on: Some(self.on), text: Some(self.text.clone()) }.into()
    }

    fn accounts<'a>(&'a self, from: &'a UserId) -> Vec<&'a UserId> {
        vec![from]
    }

    fn points_at(&self) -> Option<u64> {
        Some(self.on)
    }
}
