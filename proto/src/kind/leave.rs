//! `leave`: a user leaves.

use serde::{Deserialize, Serialize};

use super::{EntryKind, FIRST_LEVEL, Kind, Membership};
use crate::error::ApiError;
use crate::ids::UserId;

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Leave {}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
pub struct Fields {}

impl EntryKind for Leave {
    type Fields = Fields;
    const KIND: Kind = Kind::new("leave", 6, FIRST_LEVEL).with(Membership::Leaves);

    fn check(_fields: Fields) -> Result<Self, ApiError> {
        Ok(Self {})
    }

    fn fields(&self) -> Fields {
        Fields {}
    }

    fn user<'a>(&'a self, from: &'a UserId) -> Option<&'a UserId> {
        Some(from)
    }
}
