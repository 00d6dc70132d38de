//! `edit`: a message gets another text.

use serde::{Deserialize, Serialize};

use super::text::Text;
use super::{EntryKind, Kind, MESSAGES_LEVEL, target_of};
use crate::check::missing;
use crate::error::ApiError;

/// Gives a message another text. The one before stays readable, as a version.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Edit {
    /// The message's seq.
    pub target: u64,
    /// As that of a message.
    pub text: String,
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
        let Text { text } = Text::new(edit.text.ok_or_else(|| missing("text"))?)?;
        Ok(Self { target: target_of(edit.target)?, text })
    }

    fn fields(&self) -> Fields {
        Inner { target: Some(self.target), text: Some(self.text.clone()) }.into()
    }

    fn target(&self) -> Option<u64> {
        Some(self.target)
    }
}
