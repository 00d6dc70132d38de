//! `deleted`: what is left of a message, or of an edit, whose content was removed. Nobody sends it:
//! the commit of a `delete` puts it in the place of what was there.

use serde::{Deserialize, Serialize};

use super::{EntryKind, Kind, MESSAGES_LEVEL};
use crate::check::missing;
use crate::error::ApiError;

/// There was a message, or an edit.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Deleted {
    /// The seq of the `delete`.
    pub by: u64,
    /// The seq of the message whose thread it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread: Option<u64>,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
#[serde(from = "Inner")]
pub struct Fields {
    #[prost(message, required, tag = "22")]
    deleted: Inner,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
struct Inner {
    #[prost(uint64, optional, tag = "1")]
    by: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    thread: Option<u64>,
}

impl From<Inner> for Fields {
    fn from(deleted: Inner) -> Self {
        Self { deleted }
    }
}

impl EntryKind for Deleted {
    type Fields = Fields;
    const KIND: Kind = Kind { is_made: true, ..Kind::new("deleted", 10, MESSAGES_LEVEL) };

    fn check(Fields { deleted }: Fields) -> Result<Self, ApiError> {
        Ok(Self { by: deleted.by.ok_or_else(|| missing("by"))?, thread: deleted.thread })
    }

    fn fields(&self) -> Fields {
        Inner { by: Some(self.by), thread: self.thread }.into()
    }

    fn thread(&self) -> Option<u64> {
        self.thread
    }
}
