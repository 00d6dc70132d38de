//! `unpreview`: a message has no preview of its link any more, and gets none.

use serde::{Deserialize, Serialize};

use super::{EntryKind, Kind, PEOPLE_LEVEL, Target};
use crate::error::ApiError;

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Unpreview {
    /// The message's seq.
    pub target: u64,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
#[serde(from = "Target")]
pub struct Fields {
    #[prost(message, required, tag = "51")]
    unpreview: Target,
}

impl From<Target> for Fields {
    fn from(unpreview: Target) -> Self {
        Self { unpreview }
    }
}

impl EntryKind for Unpreview {
    type Fields = Fields;
    const KIND: Kind = Kind { is_for_direct: true, ..Kind::new("unpreview", 38, PEOPLE_LEVEL) };

    fn check(Fields { unpreview }: Fields) -> Result<Self, ApiError> {
        Ok(Self { target: unpreview.check()? })
    }

    fn fields(&self) -> Fields {
        Target::new(self.target).into()
    }

    fn target(&self) -> Option<u64> {
        Some(self.target)
    }
}
