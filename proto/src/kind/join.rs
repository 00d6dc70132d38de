//! `join`: the sender comes into a group by themselves.

use serde::{Deserialize, Serialize};

use super::{EntryKind, Kind, Membership, PEOPLE_LEVEL};
use crate::error::ApiError;
use crate::ids::UserId;
use crate::link::LinkToken;

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Join {
    /// By which one comes into a group that is not open. Of a command alone: entries never have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkToken>,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
#[serde(from = "Inner")]
pub struct Fields {
    #[prost(message, required, tag = "34")]
    join: Inner,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
struct Inner {
    #[prost(string, optional, tag = "1")]
    link: Option<String>,
}

impl From<Inner> for Fields {
    fn from(join: Inner) -> Self {
        Self { join }
    }
}

impl EntryKind for Join {
    type Fields = Fields;
    const KIND: Kind = Kind::new("join", 21, PEOPLE_LEVEL).with(Membership::Joins);

    fn check(Fields { join: Inner { link } }: Fields) -> Result<Self, ApiError> {
        Ok(Self { link: link.map(|link| LinkToken::new(&link)).transpose()? })
    }

    /// What is kept has no link, whatever becomes of the command.
    fn fields(&self) -> Fields {
        Inner { link: None }.into()
    }

    fn user<'a>(&'a self, from: &'a UserId) -> Option<&'a UserId> {
        Some(from)
    }
}
