//! How a device is notified: by which gateway, and where there. It is good for the login of the device that made it, and
//! for no other.

use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weft_proto::{DeviceId, UserId};

use super::device::Device;
use super::key::Key;
use super::push_endpoint::{self, PushEndpoint};
use super::table::Table;
use super::{Tag, hex, record};
use crate::batch::Batch;
use crate::engine::Snapshot;
use crate::error::Error;

/// Whose it is, and of which device.
pub type PushKey = (UserId, DeviceId);

#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PushRegistration {
    /// When the device logged in that made it, Unix milliseconds.
    #[prost(uint64, tag = "1")]
    pub login_ms: u64,
    /// The word of its kind, perhaps one of a newer Weft.
    #[prost(string, tag = "2")]
    pub kind: String,
    /// Where notifications go. Nobody else has the same one.
    #[prost(string, tag = "3")]
    pub address: String,
    /// Of `webpush`: the device's public key, 65 bytes.
    #[prost(bytes = "vec", tag = "4")]
    #[serde(with = "hex")]
    pub p256dh: Vec<u8>,
    /// Of `webpush`: what both keep secret, 16 bytes. Of `webhook`: what it is signed with.
    #[prost(bytes = "vec", tag = "5")]
    #[serde(with = "hex")]
    pub secret: Vec<u8>,
    /// In which language it is told; empty: the service's.
    #[prost(string, tag = "6")]
    pub language: String,
    /// It is told that there is something, and nothing of what it is.
    #[prost(bool, tag = "7")]
    pub private: bool,
    /// When it was made, Unix milliseconds.
    #[prost(uint64, tag = "8")]
    pub made_ms: u64,
    /// Of `apns`: the app.
    #[prost(string, tag = "9")]
    pub topic: String,
    /// Of `apns`: it is one of the sandbox.
    #[prost(bool, tag = "10")]
    pub sandbox: bool,
}

impl Table for PushRegistration {
    const TAG: Tag = Tag::PushRegistration;
    const NAME: &str = "push_registration";
    type Key = PushKey;
    type Row = Self;

    /// It is found by its address, too.
    fn pairs(at: &PushKey, row: &Self) -> Vec<(Bytes, Bytes)> {
        let (user, device) = at;
        let (user, device) = (user.to_string(), device.to_string());
        let endpoint = PushEndpoint { user, device }.encode();
        vec![(key(at), row.encode()), (push_endpoint::key(&row.address), endpoint)]
    }
}

#[must_use]
pub fn key(at: &PushKey) -> Bytes {
    PushRegistration::key(at)
}

/// All of a user.
#[must_use]
pub fn range(user: &UserId) -> Range<Bytes> {
    Key::new(Tag::PushRegistration).name(user.as_str()).prefix_range()
}

/// Reads a row's key.
///
/// # Errors
/// [`Error::Corrupt`].
pub fn read_key(key: &[u8]) -> Result<PushKey, Error> {
    PushRegistration::read_key(key)
}

pub fn put(batch: &mut Batch, at: &PushKey, row: &PushRegistration) {
    for (key, value) in PushRegistration::pairs(at, row) {
        batch.set(key, value);
    }
}

/// Whether the registration is of the device's login as this row has it.
///
/// # Errors
/// [`Error::Corrupt`].
pub fn is_of(row: &[u8], login: Option<&[u8]>) -> Result<bool, Error> {
    let registration = PushRegistration::decode(row)?;
    let login = login.map(Device::decode).transpose()?;
    let is_good = |it: Device| it.login_ms == registration.login_ms && !it.refresh_hash.is_empty();
    Ok(login.is_some_and(is_good))
}

/// Removes a registration whose row was read, and what it is found by, where nobody else is by then.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn clear(
    batch: &mut Batch,
    snapshot: &dyn Snapshot,
    (at, row): (&PushKey, Bytes),
) -> Result<(), Error> {
    let address = PushRegistration::decode(&row)?.address;
    batch.guard(key(at), Some(row));
    batch.clear(key(at));
    let endpoint = push_endpoint::key(&address);
    let Some(found) = snapshot.get(endpoint.clone()).await? else { return Ok(()) };
    if PushEndpoint::decode(&found)?.owner()? == *at {
        batch.guard(endpoint.clone(), Some(found));
        batch.clear(endpoint);
    }
    Ok(())
}

impl PushRegistration {
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
