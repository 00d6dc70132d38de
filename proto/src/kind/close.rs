//! `close`: an administrator of the installation closes the room, or opens it again.

use serde::{Deserialize, Serialize};

use super::{EntryKind, Kind, PEOPLE_LEVEL};
use crate::check::{check_reason, missing};
use crate::error::ApiError;
use crate::ids::UserId;

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Close {
    /// From here on nobody writes, comes in or changes it; `false`: as ever again.
    pub closed: bool,
    /// Why, for the administrators' log. No entry has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
#[serde(from = "Inner")]
pub struct Fields {
    #[prost(message, required, tag = "44")]
    close: Inner,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
struct Inner {
    #[prost(bool, optional, tag = "1")]
    closed: Option<bool>,
    #[prost(string, optional, tag = "2")]
    reason: Option<String>,
}

impl From<Inner> for Fields {
    fn from(close: Inner) -> Self {
        Self { close }
    }
}

impl EntryKind for Close {
    type Fields = Fields;
    const KIND: Kind = Kind { is_for_direct: true, ..Kind::new("close", 31, PEOPLE_LEVEL) };

    fn check(Fields { close: Inner { closed, reason } }: Fields) -> Result<Self, ApiError> {
        check_reason(reason.as_deref())?;
        Ok(Self { closed: closed.ok_or_else(|| missing("closed"))?, reason })
    }

    fn fields(&self) -> Fields {
        Inner { closed: Some(self.closed), reason: self.reason.clone() }.into()
    }

    /// Its sender has to be an administrator.
    fn accounts<'a>(&'a self, from: &'a UserId) -> Vec<&'a UserId> {
        vec![from]
    }
}
