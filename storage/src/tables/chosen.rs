//! How a user wants to be seen. The record is the wire's own [`Chosen`]: it is kept as it was said.

use bytes::Bytes;
use weft_proto::UserId;
use weft_proto::presence::Chosen;

use super::key::Key;
use super::table::Table;
use super::{Tag, record};
use crate::error::Error;

/// The row's key.
#[must_use]
pub fn key(user: &UserId) -> Bytes {
    Key::new(Tag::Chosen).name(user.as_str()).build()
}

/// The stored form.
#[must_use]
pub fn encode(chosen: &Chosen) -> Bytes {
    record::encode(chosen).into()
}

/// Reads the stored form.
///
/// # Errors
/// [`Error::Corrupt`].
pub fn decode(bytes: &[u8]) -> Result<Chosen, Error> {
    record::decode("chosen", bytes)
}

impl Table for Chosen {
    const TAG: Tag = Tag::Chosen;
    const NAME: &str = "chosen";
    type Key = UserId;
    type Row = Self;
}
