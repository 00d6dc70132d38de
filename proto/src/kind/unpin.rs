//! `unpin`: a message is pinned no more.

use serde::{Deserialize, Serialize};

use super::{CONVERSATIONS_LEVEL, EntryKind, Kind, Target};
use crate::error::ApiError;

/// Takes a message from those that are pinned in its room.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Unpin {
    /// The message's seq.
    pub target: u64,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
#[serde(from = "Target")]
pub struct Fields {
    #[prost(message, required, tag = "28")]
    unpin: Target,
}

impl From<Target> for Fields {
    fn from(unpin: Target) -> Self {
        Self { unpin }
    }
}

impl EntryKind for Unpin {
    type Fields = Fields;
    const KIND: Kind = Kind { is_for_direct: true, ..Kind::new("unpin", 15, CONVERSATIONS_LEVEL) };

    fn check(Fields { unpin }: Fields) -> Result<Self, ApiError> {
        Ok(Self { target: unpin.check()? })
    }

    fn fields(&self) -> Fields {
        Target::new(self.target).into()
    }

    fn target(&self) -> Option<u64> {
        Some(self.target)
    }
}
