//! `unreact`: a user takes an emoji off a message again.

use serde::{Deserialize, Serialize};

use super::react::Reaction;
use super::{EntryKind, Kind, MESSAGES_LEVEL};
use crate::error::ApiError;

/// Takes the sender's own emoji off a message.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Unreact {
    /// The message's seq.
    pub target: u64,
    /// As it was put on.
    pub emoji: String,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
#[serde(from = "Reaction")]
pub struct Fields {
    #[prost(message, required, tag = "24")]
    unreact: Reaction,
}

impl From<Reaction> for Fields {
    fn from(unreact: Reaction) -> Self {
        Self { unreact }
    }
}

impl EntryKind for Unreact {
    type Fields = Fields;
    const KIND: Kind = Kind { is_for_direct: true, ..Kind::new("unreact", 12, MESSAGES_LEVEL) };

    fn check(Fields { unreact }: Fields) -> Result<Self, ApiError> {
        let (target, emoji) = unreact.check()?;
        Ok(Self { target, emoji })
    }

    fn fields(&self) -> Fields {
        Reaction::new(self.target, &self.emoji).into()
    }

    fn target(&self) -> Option<u64> {
        Some(self.target)
    }
}
