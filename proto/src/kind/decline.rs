//! `decline`: who has asked to come into a group does not. A command without an entry, as `ask` is.

use serde::{Deserialize, Serialize};

use super::{EntryKind, Kind, PEOPLE_LEVEL};
use crate::check::missing;
use crate::error::ApiError;
use crate::ids::UserId;
use crate::json::read_object;

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Decline {
    pub user: UserId,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
#[serde(from = "Inner")]
pub struct Fields {
    #[prost(message, required, tag = "40")]
    decline: Inner,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
struct Inner {
    #[prost(string, optional, tag = "1")]
    user: Option<String>,
}

impl From<Inner> for Fields {
    fn from(decline: Inner) -> Self {
        Self { decline }
    }
}

impl Decline {
    /// Reads the JSON form: an object, perhaps with other fields.
    ///
    /// # Errors
    /// Those of [`read_object`], and what its check says.
    pub fn from_text(json: &str) -> Result<Self, ApiError> {
        Self::check(read_object(json)?)
    }
}

impl EntryKind for Decline {
    type Fields = Fields;
    const KIND: Kind = Kind { is_entry: false, ..Kind::new("decline", 27, PEOPLE_LEVEL) };

    fn check(Fields { decline: Inner { user } }: Fields) -> Result<Self, ApiError> {
        Ok(Self { user: UserId::new(&user.ok_or_else(|| missing("user"))?)? })
    }

    fn fields(&self) -> Fields {
        Inner { user: Some(self.user.to_string()) }.into()
    }
}
