//! `pin`: a message is put where everybody finds it.

use serde::{Deserialize, Serialize};

use super::{CONVERSATIONS_LEVEL, EntryKind, Kind, Target};
use crate::error::ApiError;

/// Adds a message to those that are pinned in its room.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Pin {
    /// The message's seq.
    pub target: u64,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
#[serde(from = "Target")]
pub struct Fields {
    #[prost(message, required, tag = "27")]
    pin: Target,
}

impl From<Target> for Fields {
    fn from(pin: Target) -> Self {
        Self { pin }
    }
}

impl EntryKind for Pin {
    type Fields = Fields;
    const KIND: Kind = Kind { is_for_direct: true, ..Kind::new("pin", 14, CONVERSATIONS_LEVEL) };

    fn check(Fields { pin }: Fields) -> Result<Self, ApiError> {
        Ok(Self { target: pin.check()? })
    }

    fn fields(&self) -> Fields {
        Target::new(self.target).into()
    }

    fn target(&self) -> Option<u64> {
        Some(self.target)
    }
}
