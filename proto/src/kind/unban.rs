//! `unban`: a user who was kept out of the group may come again.

use serde::{Deserialize, Serialize};

use super::{EntryKind, Kind, PEOPLE_LEVEL};
use crate::check::missing;
use crate::error::ApiError;
use crate::ids::UserId;

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Unban {
    pub user: UserId,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
#[serde(from = "Inner")]
pub struct Fields {
    #[prost(message, required, tag = "33")]
    unban: Inner,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
struct Inner {
    #[prost(string, optional, tag = "1")]
    user: Option<String>,
}

impl From<Inner> for Fields {
    fn from(unban: Inner) -> Self {
        Self { unban }
    }
}

impl EntryKind for Unban {
    type Fields = Fields;
    const KIND: Kind = Kind::new("unban", 20, PEOPLE_LEVEL);

    fn check(Fields { unban: Inner { user } }: Fields) -> Result<Self, ApiError> {
        Ok(Self { user: UserId::new(&user.ok_or_else(|| missing("user"))?)? })
    }

    fn fields(&self) -> Fields {
        Inner { user: Some(self.user.to_string()) }.into()
    }
}
