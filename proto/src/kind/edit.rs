//! `edit`: a message gets another text, with ranges of its own.

use serde::{Deserialize, Serialize};

use super::formatting::{self, Mentions, Range};
use super::text::Text;
use super::{CONVERSATIONS_LEVEL, EntryKind, Kind, MESSAGES_LEVEL, target_of};
use crate::check::missing;
use crate::error::ApiError;

/// Gives a message another text. The one before stays readable, as a version.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Edit {
    /// The message's seq.
    pub target: u64,
    /// As that of a message. Of files it is a caption, and may be empty: whether it may, the message says.
    pub text: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ranges: Vec<Range>,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
#[serde(from = "Inner")]
pub struct Fields {
    #[prost(message, required, tag = "20")]
    edit: Inner,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
struct Inner {
    #[prost(uint64, optional, tag = "1")]
    target: Option<u64>,
    #[prost(string, optional, tag = "2")]
    text: Option<String>,
    #[prost(message, repeated, tag = "3")]
    #[serde(default)]
    ranges: Vec<Range>,
}

impl From<Inner> for Fields {
    fn from(edit: Inner) -> Self {
        Self { edit }
    }
}

impl EntryKind for Edit {
    type Fields = Fields;
    const KIND: Kind = Kind { is_for_direct: true, ..Kind::new("edit", 8, MESSAGES_LEVEL) };

    fn check(Fields { edit }: Fields) -> Result<Self, ApiError> {
        let Text { text, .. } = Text::stored(edit.text.ok_or_else(|| missing("text"))?, None)?;
        formatting::check(&edit.ranges, &text)?;
        Ok(Self { target: target_of(edit.target)?, text, ranges: edit.ranges })
    }

    fn fields(&self) -> Fields {
        let (text, ranges) = (Some(self.text.clone()), self.ranges.clone());
        Inner { target: Some(self.target), text, ranges }.into()
    }

    fn target(&self) -> Option<u64> {
        Some(self.target)
    }

    fn mentions(&self) -> Mentions {
        Mentions::of(&self.ranges)
    }

    fn level(&self) -> u32 {
        if formatting::has_mention(&self.ranges) { CONVERSATIONS_LEVEL } else { MESSAGES_LEVEL }
    }
}
