//! `relation`: what another user is to the sender, on all of their devices. A command to the sender's own notebook
//! and no entry: nobody else hears of it, the other user least of all.

use serde::{Deserialize, Serialize};

use super::{EntryKind, Kind, PEOPLE_LEVEL};
use crate::check::missing;
use crate::error::{ApiError, ErrorCode};
use crate::ids::UserId;
use crate::json::{read_object, text_of};

/// Changes what it names, and leaves the rest.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Relation {
    pub user: UserId,
    /// The sender knows them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact: Option<bool>,
    /// The sender wants nothing of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked: Option<bool>,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
#[serde(from = "Inner")]
pub struct Fields {
    #[prost(message, required, tag = "38")]
    relation: Inner,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
struct Inner {
    #[prost(string, optional, tag = "1")]
    user: Option<String>,
    #[prost(bool, optional, tag = "2")]
    contact: Option<bool>,
    #[prost(bool, optional, tag = "3")]
    blocked: Option<bool>,
}

impl From<Inner> for Fields {
    fn from(relation: Inner) -> Self {
        Self { relation }
    }
}

impl Relation {
    /// Reads the JSON form: an object, perhaps with other fields.
    ///
    /// # Errors
    /// Those of [`read_object`], and what its check says.
    pub fn from_text(json: &str) -> Result<Self, ApiError> {
        Self::check(read_object(json)?)
    }

    /// The same of a user whom a path has named.
    ///
    /// # Errors
    /// [`ErrorCode::BadEncoding`] where it is not UTF-8, those of [`from_text`](Self::from_text), and
    /// [`ErrorCode::BadRequest`] where it names another user.
    pub fn of_user(user: &UserId, bytes: &[u8]) -> Result<Self, ApiError> {
        let mut fields: Fields = read_object(text_of(bytes)?)?;
        fields.relation.user.get_or_insert_with(|| user.to_string());
        let relation = Self::check(fields)?;
        if relation.user == *user {
            return Ok(relation);
        }
        let message = "the field user names another user than the path";
        Err(ApiError::new(ErrorCode::BadRequest, message))
    }
}

impl EntryKind for Relation {
    type Fields = Fields;
    const KIND: Kind =
        Kind { is_for_direct: true, is_entry: false, ..Kind::new("relation", 25, PEOPLE_LEVEL) };

    fn check(
        Fields { relation: Inner { user, contact, blocked } }: Fields,
    ) -> Result<Self, ApiError> {
        let user = UserId::new(&user.ok_or_else(|| missing("user"))?)?;
        if contact.is_none() && blocked.is_none() {
            let message = "a relation has contact or blocked";
            return Err(ApiError::new(ErrorCode::BadRequest, message));
        }
        Ok(Self { user, contact, blocked })
    }

    fn fields(&self) -> Fields {
        let Self { user, contact, blocked } = self;
        let (contact, blocked) = (*contact, *blocked);
        Inner { user: Some(user.to_string()), contact, blocked }.into()
    }

    /// Nobody keeps something about who does not exist.
    fn accounts<'a>(&'a self, _from: &'a UserId) -> Vec<&'a UserId> {
        vec![&self.user]
    }
}
