//! What holds for all of an installation, as administrators have set it: one row, or none while all is as it was.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weft_proto::consent::{AddBy, Strangers};
use weft_proto::sign_up::SignUpMode;
use weft_proto::svc::WrittenMessages;
use weft_proto::word;

use super::Tag;
use super::key::Key;
use super::record;
use super::table::{Name, Table};
use crate::error::Error;

#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Installation {
    /// Who may make an account.
    #[prost(enumeration = "SignUpMode", tag = "1")]
    #[serde(serialize_with = "word::write::<SignUpMode, _>")]
    #[serde(deserialize_with = "word::read::<SignUpMode, _>")]
    pub sign_up: i32,
    /// Who may put users into groups who have not said it themselves.
    #[prost(enumeration = "AddBy", tag = "2")]
    #[serde(serialize_with = "word::write::<AddBy, _>")]
    #[serde(deserialize_with = "word::read::<AddBy, _>")]
    pub add_by: i32,
    /// What becomes of first messages to users who have not said it themselves.
    #[prost(enumeration = "Strangers", tag = "3")]
    #[serde(serialize_with = "word::write::<Strangers, _>")]
    #[serde(deserialize_with = "word::read::<Strangers, _>")]
    pub strangers: i32,
    /// What becomes of messages when accounts are deleted, whoever deletes them.
    #[prost(enumeration = "WrittenMessages", tag = "4")]
    #[serde(serialize_with = "word::write::<WrittenMessages, _>")]
    #[serde(deserialize_with = "word::read::<WrittenMessages, _>")]
    pub messages: i32,
}

impl Table for Installation {
    const TAG: Tag = Tag::Installation;
    const NAME: &str = "installation";
    /// Empty: there is one row.
    type Key = Name;
    type Row = Self;
}

impl Installation {
    /// A mode that this Weft does not know lets in nobody.
    #[must_use]
    pub fn sign_up_mode(&self) -> SignUpMode {
        SignUpMode::try_from(self.sign_up).unwrap_or(SignUpMode::Closed)
    }

    /// Who may put a user into a group who says this themselves: never [`AddBy::Default`].
    #[must_use]
    pub fn add_by_of(&self, own: AddBy) -> AddBy {
        let said = [own, self.add_by()].into_iter().find(|it| *it != AddBy::Default);
        said.unwrap_or(AddBy::All)
    }

    /// What first messages are to a user who says this themselves: never [`Strangers::Default`].
    #[must_use]
    pub fn strangers_of(&self, own: Strangers) -> Strangers {
        let said = [own, self.strangers()].into_iter().find(|it| *it != Strangers::Default);
        said.unwrap_or(Strangers::Welcome)
    }

    /// What becomes of the messages of an account where this is asked for: never [`WrittenMessages::Any`]. `None`: it is not to
    /// be as asked.
    #[must_use]
    pub fn messages_of(&self, asked: WrittenMessages) -> Option<WrittenMessages> {
        match (self.messages(), asked) {
            (WrittenMessages::Any, WrittenMessages::Any) => Some(WrittenMessages::Keep),
            (said, WrittenMessages::Any) | (WrittenMessages::Any, said) => Some(said),
            (policy, asked) => (policy == asked).then_some(policy),
        }
    }

    #[must_use]
    pub fn encode(&self) -> Bytes {
        record::encode(self).into()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        record::decode_whole(Self::NAME, bytes)
    }
}

#[must_use]
pub fn key() -> Bytes {
    Key::new(Tag::Installation).name("").build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_has_messages_treated_otherwise_than_the_installation() {
        use WrittenMessages::{Any, Empty, Keep};
        for (policy, asked, becomes) in [
            (Any, Any, Some(Keep)),
            (Any, Keep, Some(Keep)),
            (Any, Empty, Some(Empty)),
            (Keep, Any, Some(Keep)),
            (Keep, Keep, Some(Keep)),
            (Keep, Empty, None),
            (Empty, Any, Some(Empty)),
            (Empty, Keep, None),
            (Empty, Empty, Some(Empty)),
        ] {
            let row = Installation { messages: policy.into(), ..Installation::default() };
            assert_eq!(row.messages_of(asked), becomes, "{policy:?}, {asked:?}");
        }
    }
}
