//! The logins of a user's devices.

use std::ops::Range;

use bytes::Bytes;
use weft_proto::{DeviceId, UserId};

use super::key::{Key, KeyReader, Tag};
use super::record;
use crate::error::Error;

/// The login of one device.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Device {
    /// SHA-256 of the refresh token's secret, 32 bytes; empty: logged out.
    #[prost(bytes = "vec", tag = "1")]
    pub refresh_hash: Vec<u8>,
    /// When the refresh token ends, Unix milliseconds.
    #[prost(uint64, tag = "2")]
    pub refresh_expires_ms: u64,
    /// When it logged in last, Unix milliseconds.
    #[prost(uint64, tag = "3")]
    pub login_ms: u64,
}

/// The row's key.
#[must_use]
pub fn key(user: &UserId, device: &DeviceId) -> Bytes {
    Key::new(Tag::Device).name(user.as_str()).name(device.as_str()).build()
}

/// All devices of a user.
#[must_use]
pub fn range(user: &UserId) -> Range<Bytes> {
    Key::new(Tag::Device).name(user.as_str()).prefix_range()
}

/// The device in a row's key.
///
/// # Errors
/// [`Error::Corrupt`].
pub fn device(key: &[u8]) -> Result<DeviceId, Error> {
    let mut reader = KeyReader::new(Tag::Device, key)?;
    reader.name()?;
    DeviceId::new(reader.name()?).map_err(|error| Error::Corrupt(format!("device: {error}")))
}

impl Device {
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
        record::decode("device", bytes)
    }
}
