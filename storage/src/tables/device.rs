//! The logins of a user's devices.

use std::ops::Range;

use bytes::Bytes;
use weft_proto::{DeviceId, UserId};

use super::key::{Key, KeyReader, Tag, behind};
use super::record::{self, decode_whole};
use crate::engine::Snapshot;
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
    /// When it logged in last, Unix milliseconds. Access tokens name it: it tells the device's logins
    /// apart.
    #[prost(uint64, tag = "3")]
    pub login_ms: u64,
    /// SHA-256 of the part that all refresh secrets of this login have in common, 32 bytes; empty:
    /// written by a Weft that did not know of it.
    #[prost(bytes = "vec", tag = "4")]
    pub family_hash: Vec<u8>,
    /// SHA-256 of the refresh secret before this one, where that may be used once more.
    #[prost(bytes = "vec", tag = "5")]
    pub repeat_hash: Vec<u8>,
    /// Until when, Unix milliseconds.
    #[prost(uint64, tag = "6")]
    pub repeat_until_ms: u64,
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
    read_key(key).map(|(_, device)| device)
}

fn read_key(key: &[u8]) -> Result<(UserId, DeviceId), Error> {
    let corrupt = |error| Error::Corrupt(format!("device: {error}"));
    let mut reader = KeyReader::new(Tag::Device, key)?;
    let user = UserId::new(reader.name()?).map_err(corrupt)?;
    Ok((user, DeviceId::new(reader.name()?).map_err(corrupt)?))
}

/// At most `limit` devices of all users behind one (`None`: from the first), by user and device.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn page_after(
    snapshot: &dyn Snapshot,
    after: Option<&(UserId, DeviceId)>,
    limit: usize,
) -> Result<Vec<((UserId, DeviceId), Device)>, Error> {
    let mut range = Key::new(Tag::Device).prefix_range();
    if let Some((user, device)) = after {
        range.start = behind(&key(user, device));
    }
    let rows = snapshot.scan(range, limit, false).await?;
    let read = |(key, value): &(Bytes, Bytes)| Ok((read_key(key)?, decode_whole("device", value)?));
    rows.iter().map(read).collect()
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
