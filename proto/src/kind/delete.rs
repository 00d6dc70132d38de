//! `delete`: what a message said is removed.

use serde::{Deserialize, Serialize};

use super::{EntryKind, Kind, MESSAGES_LEVEL, PEOPLE_LEVEL, target_of};
use crate::check::check_reason;
use crate::error::ApiError;
use crate::ids::UserId;

/// Removes what a message and its edits said: they become `deleted`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Delete {
    /// The message's seq.
    pub target: u64,
    /// Of an administrator of the installation, who does it in any room: why, for the administrators' log. No entry
    /// has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Delete {
    /// By who has written the message, or by an admin of the group.
    #[must_use]
    pub fn of(target: u64) -> Self {
        Self { target, reason: None }
    }
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
    #[prost(string, optional, tag = "2")]
    reason: Option<String>,
}

impl From<Inner> for Fields {
    fn from(delete: Inner) -> Self {
        Self { delete }
    }
}

impl EntryKind for Delete {
    type Fields = Fields;
    const KIND: Kind = Kind { is_for_direct: true, ..Kind::new("delete", 9, MESSAGES_LEVEL) };

    fn check(Fields { delete: Inner { target, reason } }: Fields) -> Result<Self, ApiError> {
        check_reason(reason.as_deref())?;
        Ok(Self { target: target_of(target)?, reason })
    }

    fn fields(&self) -> Fields {
        Inner { target: Some(self.target), reason: self.reason.clone() }.into()
    }

    /// Of who says why it has to be known whether they are an administrator.
    fn accounts<'a>(&'a self, from: &'a UserId) -> Vec<&'a UserId> {
        self.reason.iter().map(|_| from).collect()
    }

    fn target(&self) -> Option<u64> {
        Some(self.target)
    }

    fn level(&self) -> u32 {
        if self.reason.is_some() { PEOPLE_LEVEL } else { Self::KIND.level }
    }
}
