//! `due`: the time of a scheduled message has come. A command without an entry, and nobody sends it: the owner of the room's
//! partition tells itself so, by its own log, in the name of who has scheduled the message.

use serde::{Deserialize, Serialize};

use super::{EntryKind, Kind, PEOPLE_LEVEL};
use crate::check::missing;
use crate::client_id::ClientId;
use crate::error::ApiError;

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Due {
    /// The client id of the command that scheduled it.
    pub schedule: ClientId,
    /// Under which time it is listed, Unix milliseconds.
    pub at: u64,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
#[serde(from = "Inner")]
pub struct Fields {
    #[prost(message, required, tag = "43")]
    due: Inner,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
struct Inner {
    #[prost(string, optional, tag = "1")]
    schedule: Option<String>,
    #[prost(uint64, optional, tag = "2")]
    at: Option<u64>,
}

impl From<Inner> for Fields {
    fn from(due: Inner) -> Self {
        Self { due }
    }
}

impl EntryKind for Due {
    type Fields = Fields;
    const KIND: Kind = Kind {
        is_for_direct: true,
        is_entry: false,
        is_made: true,
        ..Kind::new("due", 30, PEOPLE_LEVEL)
    };

    fn check(Fields { due: Inner { schedule, at } }: Fields) -> Result<Self, ApiError> {
        let schedule = ClientId::parse(&schedule.ok_or_else(|| missing("schedule"))?)?;
        Ok(Self { schedule, at: at.ok_or_else(|| missing("at"))? })
    }

    fn fields(&self) -> Fields {
        Inner { schedule: Some(self.schedule.to_string()), at: Some(self.at) }.into()
    }
}
