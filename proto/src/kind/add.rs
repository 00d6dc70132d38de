//! `add`: a user joins.

use serde::{Deserialize, Serialize};

use super::{EntryKind, FIRST_LEVEL, Kind, Membership, number_of_word, word_of_number};
use crate::check::missing;
use crate::error::ApiError;
use crate::ids::UserId;
use crate::role::Role;

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Add {
    pub user: UserId,
    pub role: Role,
}

/// A user and a role.
#[derive(Clone, PartialEq, Deserialize, prost::Message)]
pub struct Fields {
    #[prost(string, optional, tag = "11")]
    user: Option<String>,
    #[prost(enumeration = "Role", optional, tag = "12")]
    #[serde(default, deserialize_with = "number_of_word::<_, Role>")]
    role: Option<i32>,
}

impl Fields {
    pub(super) fn new(user: &UserId, role: Role) -> Self {
        Self { user: Some(user.to_string()), role: Some(role.into()) }
    }

    pub(super) fn check(self) -> Result<(UserId, Option<Role>), ApiError> {
        let user = UserId::new(&self.user.ok_or_else(|| missing("user"))?)?;
        Ok((user, self.role.map(|number| word_of_number("role", number)).transpose()?))
    }
}

impl EntryKind for Add {
    type Fields = Fields;
    const KIND: Kind = Kind::new("add", 4, FIRST_LEVEL).with(Membership::Joins);

    fn check(fields: Fields) -> Result<Self, ApiError> {
        let (user, role) = fields.check()?;
        Ok(Self { user, role: role.unwrap_or(Role::Member) })
    }

    fn fields(&self) -> Fields {
        Fields::new(&self.user, self.role)
    }

    fn user<'a>(&'a self, _from: &'a UserId) -> Option<&'a UserId> {
        Some(&self.user)
    }
}
