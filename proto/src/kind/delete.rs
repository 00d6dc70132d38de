//! `delete`: what a message said is removed.

use serde::{Deserialize, Serialize};

use super::{EntryKind, Kind, MESSAGES_LEVEL, Target};
use crate::error::ApiError;

/// Removes what a message and its edits said: they become `deleted`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Delete {
    /// The message's seq.
    pub target: u64,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
#[serde(from = "Target")]
pub struct Fields {
    #[prost(message, required, tag = "21")]
    delete: Target,
}

impl From<Target> for Fields {
    fn from(delete: Target) -> Self {
        Self { delete }
    }
}

impl EntryKind for Delete {
    type Fields = Fields;
    const KIND: Kind = Kind { is_for_direct: true, ..Kind::new("delete", 9, MESSAGES_LEVEL) };

    fn check(Fields { delete }: Fields) -> Result<Self, ApiError> {
        Ok(Self { target: delete.check()? })
    }

    fn fields(&self) -> Fields {
        Target::new(self.target).into()
    }

    fn target(&self) -> Option<u64> {
        Some(self.target)
    }
}
