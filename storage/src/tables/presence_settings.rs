//! How a user wants to be seen. The record is the wire's own [`PresenceSettings`]: it is kept as it was said.

use bytes::Bytes;
use weft_proto::UserId;
use weft_proto::presence::PresenceSettings;

use super::key::Key;
use super::table::Table;
use super::{Tag, record};
use crate::error::Error;

#[must_use]
pub fn key(user: &UserId) -> Bytes {
    Key::new(Tag::PresenceSettings).name(user.as_str()).build()
}

#[must_use]
pub fn encode(settings: &PresenceSettings) -> Bytes {
    record::encode(settings).into()
}

/// Reads the stored form.
///
/// # Errors
/// [`Error::Corrupt`].
pub fn decode(bytes: &[u8]) -> Result<PresenceSettings, Error> {
    record::decode_whole("presence settings", bytes)
}

impl Table for PresenceSettings {
    const TAG: Tag = Tag::PresenceSettings;
    const NAME: &str = "presence_settings";
    type Key = UserId;
    type Row = Self;
}
