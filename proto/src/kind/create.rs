//! `create`: the first entry of a group.

use serde::{Deserialize, Deserializer, Serialize};

use super::{EntryKind, FIRST_LEVEL, Kind, Membership, number_of_word, rename, word_of_number};
use crate::error::{ApiError, ErrorCode};
use crate::ids::UserId;
use crate::json::{read_object, text_of};
use crate::limits::CREATE_MEMBERS_MAX;
use crate::room::History;

/// Makes the group; the sender becomes its owner.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Create {
    /// Shown to people.
    pub title: String,
    /// The other members, each once.
    pub members: Vec<UserId>,
    /// From where on members see the room.
    pub history: History,
}

impl Create {
    /// Reads its fields from an object that may have others.
    ///
    /// # Errors
    /// [`ErrorCode::BadEncoding`] where the bytes are not UTF-8; those of [`read_object`], and what its check says.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ApiError> {
        Self::check(read_object(text_of(bytes)?)?)
    }
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
pub struct Fields {
    #[prost(string, optional, tag = "8")]
    title: Option<String>,
    #[prost(string, repeated, tag = "9")]
    #[serde(default, deserialize_with = "list")]
    members: Vec<String>,
    #[prost(enumeration = "History", optional, tag = "10")]
    #[serde(default, deserialize_with = "number_of_word::<_, History>")]
    history: Option<i32>,
}

fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl EntryKind for Create {
    type Fields = Fields;
    const KIND: Kind = Kind::new("create", 2, FIRST_LEVEL).with(Membership::Joins);

    fn check(fields: Fields) -> Result<Self, ApiError> {
        let members = check_members(&fields.members)?;
        let title = rename::check_title(fields.title)?;
        let history = fields.history.map(|number| word_of_number("history", number)).transpose()?;
        Ok(Self { title, members, history: history.unwrap_or_default() })
    }

    fn fields(&self) -> Fields {
        Fields {
            title: Some(self.title.clone()),
            members: self.members.iter().map(ToString::to_string).collect(),
            history: Some(self.history.into()),
        }
    }

    fn users<'a>(&'a self, from: &'a UserId) -> Vec<&'a UserId> {
        let others = self.members.iter().filter(|user| *user != from);
        std::iter::once(from).chain(others).collect()
    }
}

fn check_members(names: &[String]) -> Result<Vec<UserId>, ApiError> {
    if names.len() > CREATE_MEMBERS_MAX {
        return Err(ApiError::new(
            ErrorCode::TooLong,
            format!("the field members names more than {CREATE_MEMBERS_MAX} users"),
        ));
    }
    let mut members = names.iter().map(|name| UserId::new(name)).collect::<Result<Vec<_>, _>>()?;
    members.sort();
    members.dedup();
    Ok(members)
}
