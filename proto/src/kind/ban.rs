//! `ban`: a user is kept out of the group, and out at once where they are a member.

use serde::{Deserialize, Serialize};

use super::{EntryKind, Kind, Membership, PEOPLE_LEVEL};
use crate::check::missing;
use crate::error::ApiError;
use crate::ids::UserId;

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Ban {
    pub user: UserId,
    /// They were a member up to this entry. Core says it, whatever the command does.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub removed: bool,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
#[serde(from = "Inner")]
pub struct Fields {
    #[prost(message, required, tag = "32")]
    ban: Inner,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
struct Inner {
    #[prost(string, optional, tag = "1")]
    user: Option<String>,
    #[prost(bool, optional, tag = "2")]
    removed: Option<bool>,
}

impl From<Inner> for Fields {
    fn from(ban: Inner) -> Self {
        Self { ban }
    }
}

impl EntryKind for Ban {
    type Fields = Fields;
    const KIND: Kind = Kind::new("ban", 19, PEOPLE_LEVEL);

    fn check(Fields { ban: Inner { user, removed } }: Fields) -> Result<Self, ApiError> {
        let user = UserId::new(&user.ok_or_else(|| missing("user"))?)?;
        Ok(Self { user, removed: removed.unwrap_or(false) })
    }

    fn fields(&self) -> Fields {
        let removed = self.removed.then_some(true);
        Inner { user: Some(self.user.to_string()), removed }.into()
    }

    fn membership(&self) -> Membership {
        if self.removed { Membership::Leaves } else { Membership::Stays }
    }

    /// Who is no member hears nothing of it.
    fn user<'a>(&'a self, _from: &'a UserId) -> Option<&'a UserId> {
        self.removed.then_some(&self.user)
    }

    fn members<'a>(&'a self, _from: &'a UserId) -> Vec<&'a UserId> {
        vec![&self.user]
    }

    fn accounts<'a>(&'a self, _from: &'a UserId) -> Vec<&'a UserId> {
        vec![&self.user]
    }
}
