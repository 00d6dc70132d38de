//! Who there is, how they log in, and how they want to be seen. These lines hold secrets.

use serde::{Deserialize, Serialize};
use weft_proto::presence::{Choice, Chosen};
use weft_proto::{DeviceId, UserId};

use super::hex;
use crate::error::Error;
use crate::tables::account::Account;
use crate::tables::device::Device;
use crate::tables::signing_key::SigningKey;

/// A key that signs access tokens.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SigningKeyLine {
    /// Its id.
    pub key: String,
    #[serde(with = "hex")]
    secret: Vec<u8>,
    created_at: u64,
}

impl From<(String, SigningKey)> for SigningKeyLine {
    fn from((key, row): (String, SigningKey)) -> Self {
        let SigningKey { secret, created_ms } = row;
        Self { key, secret, created_at: created_ms }
    }
}

impl SigningKeyLine {
    /// The row.
    pub fn row(&self) -> SigningKey {
        SigningKey { secret: self.secret.clone(), created_ms: self.created_at }
    }
}

/// An account.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountLine {
    pub user: UserId,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    password_hash: String,
    display_name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    avatar: String,
    is_bot: bool,
    created_at: u64,
}

impl From<(UserId, Account)> for AccountLine {
    fn from((user, row): (UserId, Account)) -> Self {
        let Account { password_hash, display_name, avatar, is_bot, created_ms } = row;
        Self { user, password_hash, display_name, avatar, is_bot, created_at: created_ms }
    }
}

impl AccountLine {
    /// The row.
    pub fn row(&self) -> Account {
        Account {
            password_hash: self.password_hash.clone(),
            display_name: self.display_name.clone(),
            avatar: self.avatar.clone(),
            is_bot: self.is_bot,
            created_ms: self.created_at,
        }
    }
}

/// The login of a device.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceLine {
    pub user: UserId,
    pub device: DeviceId,
    /// Not there: logged out.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "hex")]
    refresh_hash: Vec<u8>,
    refresh_expires_at: u64,
    login_at: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "hex")]
    family_hash: Vec<u8>,
    /// Not there: only the newest refresh token is good.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "hex")]
    repeat_hash: Vec<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    repeat_until: Option<u64>,
}

impl From<((UserId, DeviceId), Device)> for DeviceLine {
    fn from(((user, device), row): ((UserId, DeviceId), Device)) -> Self {
        let Device { refresh_hash, refresh_expires_ms, login_ms, .. } = row;
        Self {
            user,
            device,
            refresh_hash,
            refresh_expires_at: refresh_expires_ms,
            login_at: login_ms,
            family_hash: row.family_hash,
            repeat_hash: row.repeat_hash,
            repeat_until: (row.repeat_until_ms != 0).then_some(row.repeat_until_ms),
        }
    }
}

impl DeviceLine {
    /// The row.
    pub fn row(&self) -> Device {
        Device {
            refresh_hash: self.refresh_hash.clone(),
            refresh_expires_ms: self.refresh_expires_at,
            login_ms: self.login_at,
            family_hash: self.family_hash.clone(),
            repeat_hash: self.repeat_hash.clone(),
            repeat_until_ms: self.repeat_until.unwrap_or(0),
        }
    }
}

/// How a user wants to be seen.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChosenLine {
    pub user: UserId,
    choice: Choice,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    text: String,
    /// Not there: the text has no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text_until: Option<u64>,
    chosen_at: u64,
}

impl ChosenLine {
    pub fn new(user: UserId, row: Chosen) -> Result<Self, Error> {
        let Chosen { choice, text, text_until_ms, at_ms } = row;
        let unknown = |_| Error::Corrupt("chosen: a choice that this Weft does not know".into());
        let choice = Choice::try_from(choice).map_err(unknown)?;
        let text_until = (text_until_ms != 0).then_some(text_until_ms);
        Ok(Self { user, choice, text, text_until, chosen_at: at_ms })
    }

    /// The row.
    pub fn row(&self) -> Chosen {
        Chosen {
            choice: self.choice.into(),
            text: self.text.clone(),
            text_until_ms: self.text_until.unwrap_or(0),
            at_ms: self.chosen_at,
        }
    }
}

/// When a user was last seen.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastActiveLine {
    pub user: UserId,
    pub last_active: u64,
}
