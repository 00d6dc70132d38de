//! `role`: a member has another role.

use serde::Serialize;

use super::add::Fields;
use super::{EntryKind, FIRST_LEVEL, Kind};
use crate::check::missing;
use crate::error::ApiError;
use crate::ids::UserId;
use crate::role::Role;

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ChangeRole {
    pub user: UserId,
    pub role: Role,
}

impl EntryKind for ChangeRole {
    type Fields = Fields;
    const KIND: Kind = Kind::new("role", 7, FIRST_LEVEL);

    fn check(fields: Fields) -> Result<Self, ApiError> {
        let (user, role) = fields.check()?;
        Ok(Self { user, role: role.ok_or_else(|| missing("role"))? })
    }

    fn from_stored(fields: Fields) -> Result<Self, ApiError> {
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
