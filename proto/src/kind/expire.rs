//! `expire`: entries of the room are as old as its rule lets them be. A command without an entry, and nobody sends it:
//! the owner of the room's partition tells itself so, by its own log.

use serde::{Deserialize, Serialize};

use super::{EntryKind, Kind, PEOPLE_LEVEL};
use crate::check::missing;
use crate::error::ApiError;

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Expire {
    /// Under which hour the room is listed, since the Unix epoch.
    pub hour: u32,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
#[serde(from = "Inner")]
pub struct Fields {
    #[prost(message, required, tag = "45")]
    expire: Inner,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
struct Inner {
    #[prost(uint32, optional, tag = "1")]
    hour: Option<u32>,
}

impl From<Inner> for Fields {
    fn from(expire: Inner) -> Self {
        Self { expire }
    }
}

impl EntryKind for Expire {
    type Fields = Fields;
    const KIND: Kind = Kind {
        is_for_direct: true,
        is_entry: false,
        is_made: true,
        ..Kind::new("expire", 32, PEOPLE_LEVEL)
    };

    fn check(Fields { expire: Inner { hour } }: Fields) -> Result<Self, ApiError> {
        Ok(Self { hour: hour.ok_or_else(|| missing("hour"))? })
    }

    fn fields(&self) -> Fields {
        Inner { hour: Some(self.hour) }.into()
    }
}
