//! The keys that sign access tokens.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;

use super::key::{Key, KeyReader, Tag};
use super::record::{self, decode_whole};
use crate::engine::Snapshot;
use crate::error::Error;

/// A key pair.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct SigningKey {
    /// The Ed25519 secret key (seed), 32 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub secret: Vec<u8>,
    /// When it was made, Unix milliseconds. The newest signs, all verify.
    #[prost(uint64, tag = "2")]
    pub created_ms: u64,
}

/// The row's key.
#[must_use]
pub fn key(kid: &str) -> Bytes {
    Key::new(Tag::SigningKey).name(kid).build()
}

/// All signing keys.
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

/// At most `limit` keys with their ids. There are a few.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn read(
    snapshot: &dyn Snapshot,
    limit: usize,
) -> Result<Vec<(String, SigningKey)>, Error> {
    let rows = snapshot.scan(range(), limit, false).await?;
    let read = |(key, value): &(Bytes, Bytes)| Ok((kid(key)?, decode_whole("signing key", value)?));
    rows.iter().map(read).collect()
}

impl SigningKey {
    /// The stored form.
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
