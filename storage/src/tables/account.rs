//! Accounts of people and bots.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weft_proto::UserId;

use super::key::{Key, next_key};
use super::table::Table;
use super::{Tag, record};
use crate::engine::Snapshot;
use crate::error::Error;

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[prost(skip_debug)]
pub struct Account {
    /// A PHC string (argon2id); empty: nobody can log in by password (a bot).
    #[prost(string, tag = "1")]
    pub password_hash: String,
    /// Shown to people.
    #[prost(string, tag = "2")]
    pub display_name: String,
    /// A reference to a picture; empty: none.
    #[prost(string, tag = "3")]
    pub avatar: String,
    /// An outside system on NATS.
    #[prost(bool, tag = "4")]
    pub is_bot: bool,
    /// When it was made, Unix milliseconds.
    #[prost(uint64, tag = "5")]
    pub created_ms: u64,
}

#[must_use]
pub fn key(user: &UserId) -> Bytes {
    Key::new(Tag::Account).name(user.as_str()).build()
}

/// At most `limit` users after one (`None`: from the first), by id.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn users_after(
    snapshot: &dyn Snapshot,
    after: Option<&UserId>,
    limit: usize,
) -> Result<Vec<UserId>, Error> {
    let mut range = Key::new(Tag::Account).prefix_range();
    if let Some(user) = after {
        range.start = next_key(&key(user));
    }
    let rows = snapshot.scan(range, limit, false).await?;
    rows.iter().map(|(key, _)| Account::read_key(key)).collect()
}

impl Table for Account {
    const TAG: Tag = Tag::Account;
    const NAME: &str = "account";
    type Key = UserId;
    type Row = Self;
}

impl Account {
    #[must_use]
    pub fn encode(&self) -> Bytes {
        record::encode(self).into()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        record::decode_whole("account", bytes)
    }
}

/// Without the password hash.
impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("display_name", &self.display_name)
            .field("is_bot", &self.is_bot)
            .field("created_ms", &self.created_ms)
            .finish_non_exhaustive()
    }
}
