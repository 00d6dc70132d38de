//! `delete`: what a message said is removed.

use serde::{Deserialize, Serialize};

use super::{EntryKind, Kind, MESSAGES_LEVEL, target_of};
use crate::error::ApiError;

/// Removes what a message and its edits said: they become `deleted`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Delete {
    /// The message's seq.
    pub target: u64,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
#[serde(from = "Inner")]
pub struct Fields {
    #[prost(message, required, tag = "21")]
    delete: Inner,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
struct Inner {
    #[prost(uint64, optional, tag = "1")]
    target: Option<u64>,
}

impl From<Inner> for Fields {
    fn from(delete: Inner) -> Self {
        Self { delete }
    }
}

impl EntryKind for Delete {
    type Fields = Fields;
    const KIND: Kind = Kind { is_for_direct: true, ..Kind::new("delete", 9, MESSAGES_LEVEL) };

    fn check(Fields { delete }: Fields) -> Result<Self, ApiError> {
        Ok(Self { target: target_of(delete.target)? })
    }

    fn fields(&self) -> Fields {
        Inner { target: Some(self.target) }.into()
    }

    fn target(&self) -> Option<u64> {
        Some(self.target)
    }
}
