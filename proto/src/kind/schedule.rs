//! `schedule`: a message that is sent later, as its sender's. A command without an entry: when its time has come, the room
//! gets the message.

use serde::{Deserialize, Serialize};

use super::text::{self, Text};
use super::{EntryKind, Kind, PEOPLE_LEVEL};
use crate::check::missing;
use crate::error::ApiError;

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Schedule {
    /// When, Unix milliseconds.
    pub at: u64,
    #[serde(flatten)]
    pub message: Box<Text>,
}

/// As it travels in JSON.
#[derive(Deserialize)]
struct Flat {
    at: Option<u64>,
    #[serde(flatten)]
    message: text::Fields,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
#[serde(from = "Flat")]
pub struct Fields {
    #[prost(message, required, tag = "41")]
    schedule: Inner,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Inner {
    #[prost(uint64, optional, tag = "1")]
    at: Option<u64>,
    #[prost(message, optional, tag = "2")]
    message: Option<text::Fields>,
}

impl From<Flat> for Fields {
    fn from(Flat { at, message }: Flat) -> Self {
        Self { schedule: Inner { at, message: Some(message) } }
    }
}

impl EntryKind for Schedule {
    type Fields = Fields;
    const KIND: Kind =
        Kind { is_for_direct: true, is_entry: false, ..Kind::new("schedule", 28, PEOPLE_LEVEL) };

    fn check(Fields { schedule: Inner { at, message } }: Fields) -> Result<Self, ApiError> {
        let message = Box::new(Text::check(message.unwrap_or_default())?);
        Ok(Self { at: at.ok_or_else(|| missing("at"))?, message })
    }

    fn fields(&self) -> Fields {
        let message = Some(self.message.fields());
        Fields { schedule: Inner { at: Some(self.at), message } }
    }
}
