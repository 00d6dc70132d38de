//! `remove`: a user is removed by another.

use serde::{Deserialize, Serialize};

use super::{EntryKind, FIRST_LEVEL, Kind, Membership};
use crate::check::missing;
use crate::error::ApiError;
use crate::ids::UserId;

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Remove {
    pub user: UserId,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
pub struct Fields {
    #[prost(string, optional, tag = "11")]
    user: Option<String>,
}

impl EntryKind for Remove {
    type Fields = Fields;
    const KIND: Kind = Kind::new("remove", 5, FIRST_LEVEL).with(Membership::Leaves);

    fn check(fields: Fields) -> Result<Self, ApiError> {
        Ok(Self { user: UserId::new(&fields.user.ok_or_else(|| missing("user"))?)? })
    }

    fn fields(&self) -> Fields {
        Fields { user: Some(self.user.to_string()) }
    }

    fn user<'a>(&'a self, _from: &'a UserId) -> Option<&'a UserId> {
        Some(&self.user)
    }
}
