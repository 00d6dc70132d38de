//! `unlink`: nobody joins by a link any more. A command without an entry, as `link` is.

use serde::{Deserialize, Serialize};

use super::{EntryKind, Kind, PEOPLE_LEVEL};
use crate::check::missing;
use crate::error::ApiError;
use crate::json::read_object;
use crate::link::LinkId;

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Unlink {
    pub link_id: LinkId,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
#[serde(from = "Inner")]
pub struct Fields {
    #[prost(message, required, tag = "36")]
    unlink: Inner,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
struct Inner {
    #[prost(string, optional, tag = "1")]
    link_id: Option<String>,
}

impl From<Inner> for Fields {
    fn from(unlink: Inner) -> Self {
        Self { unlink }
    }
}

impl Unlink {
    /// Reads the JSON form: an object, perhaps with other fields.
    ///
    /// # Errors
    /// Those of [`read_object`], and what its check says.
    pub fn from_text(json: &str) -> Result<Self, ApiError> {
        Self::check(read_object(json)?)
    }
}

impl EntryKind for Unlink {
    type Fields = Fields;
    const KIND: Kind = Kind { is_entry: false, ..Kind::new("unlink", 23, PEOPLE_LEVEL) };

    fn check(Fields { unlink: Inner { link_id } }: Fields) -> Result<Self, ApiError> {
        Ok(Self { link_id: LinkId::new(&link_id.ok_or_else(|| missing("link_id"))?)? })
    }

    fn fields(&self) -> Fields {
        Inner { link_id: Some(self.link_id.to_string()) }.into()
    }
}
