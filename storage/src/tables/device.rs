//! The logins of a user's devices.

use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weft_proto::{DeviceId, UserId};

use super::key::Key;
use super::table::Table;
use super::{Tag, hex, record};
use crate::error::Error;

/// The login of one device.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Device {
    /// SHA-256 of the refresh token's secret, 32 bytes; empty: logged out.
    #[prost(bytes = "vec", tag = "1")]
    #[serde(with = "hex")]
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
    #[serde(with = "hex")]
    pub family_hash: Vec<u8>,
    /// SHA-256 of the refresh secret before this one, where that may be used once more.
    #[prost(bytes = "vec", tag = "5")]
    #[serde(with = "hex")]
    pub repeat_hash: Vec<u8>,
    /// Until when, Unix milliseconds.
    #[prost(uint64, tag = "6")]
    pub repeat_until_ms: u64,
    /// It is no device: a token of a bot, which is good up to `refresh_expires_ms`. Nobody knows a refresh token of it.
    #[prost(message, optional, tag = "7")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bot_token: Option<BotToken>,
}

/// What a bot's token is good for.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BotToken {
    /// For people, to tell it from others.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Who has the bot; empty: the installation.
    #[prost(string, tag = "2")]
    pub owner: String,
    /// In these rooms alone; none: in all.
    #[prost(string, repeated, tag = "3")]
    pub rooms: Vec<String>,
    /// These kinds alone; none: all.
    #[prost(string, repeated, tag = "4")]
    pub kinds: Vec<String>,
    #[prost(bool, tag = "5")]
    pub is_read_only: bool,
    /// The public `NKey` of whoever is to have it; empty: of nobody.
    #[prost(string, tag = "6")]
    pub nkey: String,
}

impl BotToken {
    /// Who has the bot; `None`: the installation.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn owner(&self) -> Result<Option<UserId>, Error> {
        if self.owner.is_empty() {
            return Ok(None);
        }
        let owner = UserId::new(&self.owner);
        owner.map(Some).map_err(|error| Error::Corrupt(format!("device: {error}")))
    }
}

#[must_use]
pub fn key(user: &UserId, device: &DeviceId) -> Bytes {
    Key::new(Tag::Device).name(user.as_str()).name(device.as_str()).build()
}

#[must_use]
pub fn range(user: &UserId) -> Range<Bytes> {
    Key::new(Tag::Device).name(user.as_str()).prefix_range()
}

/// The device in a row's key.
///
/// # Errors
/// [`Error::Corrupt`].
pub fn device(key: &[u8]) -> Result<DeviceId, Error> {
    Device::read_key(key).map(|(_, device)| device)
}

impl Table for Device {
    const TAG: Tag = Tag::Device;
    const NAME: &str = "device";
    type Key = (UserId, DeviceId);
    type Row = Self;
}

impl Device {
    #[must_use]
    pub fn encode(&self) -> Bytes {
        record::encode(self).into()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        record::decode_whole("device", bytes)
    }
}
