//! What holds for all of an installation, as administrators have set it: one row, or none while all is as it was.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weft_proto::sign_up::SignUpMode;
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
