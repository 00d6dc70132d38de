//! The keys that sign access tokens.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::key::{Key, KeyReader};
use super::table::{Name, Table};
use super::{Tag, hex, record};
use crate::error::Error;

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[prost(skip_debug)]
pub struct SigningKey {
    /// The Ed25519 secret key (seed), 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    #[serde(with = "hex")]
    pub secret: Vec<u8>,
    /// When it was made, Unix milliseconds. The newest signs, all verify.
    #[prost(uint64, tag = "2")]
    pub created_ms: u64,
}

#[must_use]
pub fn key(kid: &str) -> Bytes {
    Key::new(Tag::SigningKey).name(kid).build()
}

#[must_use]
pub fn range() -> Range<Bytes> {
    Key::new(Tag::SigningKey).prefix_range()
}

/// The key id in a row's key.
///
/// # Errors
/// [`Error::Corrupt`].
pub fn kid(key: &[u8]) -> Result<String, Error> {
    Ok(KeyReader::new(Tag::SigningKey, key)?.name()?.to_owned())
}

impl Table for SigningKey {
    const TAG: Tag = Tag::SigningKey;
    const NAME: &str = "signing_key";
    type Key = Name;
    type Row = Self;
}

impl SigningKey {
    #[must_use]
    pub fn encode(&self) -> Bytes {
        record::encode(self).into()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        record::decode("signing key", bytes)
    }
}

/// Without the secret.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("created_ms", &self.created_ms).finish_non_exhaustive()
    }
}
