//! `unschedule`: a message that was scheduled is not sent, or one that was refused is forgotten. A command without an entry.

use serde::{Deserialize, Serialize};

use super::{EntryKind, Kind, PEOPLE_LEVEL};
use crate::check::missing;
use crate::client_id::ClientId;
use crate::error::ApiError;

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Unschedule {
    /// The client id of the command that scheduled it.
    pub schedule: ClientId,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
#[serde(from = "Inner")]
pub struct Fields {
    #[prost(message, required, tag = "42")]
    unschedule: Inner,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
struct Inner {
    #[prost(string, optional, tag = "1")]
    schedule: Option<String>,
}

impl From<Inner> for Fields {
    fn from(unschedule: Inner) -> Self {
        Self { unschedule }
    }
}

impl EntryKind for Unschedule {
    type Fields = Fields;
    const KIND: Kind =
        Kind { is_for_direct: true, is_entry: false, ..Kind::new("unschedule", 29, PEOPLE_LEVEL) };

    fn check(Fields { unschedule: Inner { schedule } }: Fields) -> Result<Self, ApiError> {
        Ok(Self { schedule: ClientId::parse(&schedule.ok_or_else(|| missing("schedule"))?)? })
    }

    fn fields(&self) -> Fields {
        Inner { schedule: Some(self.schedule.to_string()) }.into()
    }
}
