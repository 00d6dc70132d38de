//! Accounts of people and bots.

use std::collections::BTreeSet;
use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weft_proto::UserId;

use super::key::{Key, next_key};
use super::table::{Page, Table};
use super::{Tag, name, record};
use crate::batch::Batch;
use crate::engine::{Pair, Snapshot};
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
    /// A file's id; empty: none. What an earlier version has taken is any text. See
    /// [`file_reference`](super::file_reference).
    #[prost(string, tag = "3")]
    pub avatar: String,
    /// An outside system on NATS.
    #[prost(bool, tag = "4")]
    pub is_bot: bool,
    /// When it was made, Unix milliseconds.
    #[prost(uint64, tag = "5")]
    pub created_ms: u64,
    /// An administrator of the installation.
    #[prost(bool, tag = "6")]
    pub is_admin: bool,
    /// Since when nobody can log in to it, Unix milliseconds; 0: it is not suspended.
    #[prost(uint64, tag = "7")]
    pub suspended_ms: u64,
    /// The password is good for one login, which sets another one, up to this time, Unix milliseconds; 0: it is the user's own.
    #[prost(uint64, tag = "8")]
    pub one_time_until_ms: u64,
    /// A line of the user's own words; empty: none.
    #[prost(string, tag = "10")]
    pub about: String,
    /// Of what others see of the user: grows with each change of it.
    #[prost(uint64, tag = "11")]
    pub profile_version: u64,
    /// When its user deleted it, Unix milliseconds, and all that it had; 0: it is there. The row stays, so that
    /// nobody else gets the user id.
    #[prost(uint64, tag = "14")]
    pub deleted_ms: u64,
}

#[must_use]
pub fn key(user: &UserId) -> Bytes {
    Key::new(Tag::Account).name(user.as_str()).build()
}

/// Writes an account, and what its user is found by. `before`: as it was in the store.
pub fn put(batch: &mut Batch, user: &UserId, before: Option<&Account>, account: &Account) {
    batch.set(key(user), account.encode());
    let found_by = account.found_by(user);
    let found_before = before.map(|before| before.found_by(user));
    for beginning in found_before.unwrap_or_default().difference(&found_by) {
        batch.clear(name::key(beginning, user));
    }
    // All of them: what was written before there were such rows has none.
    for beginning in &found_by {
        batch.set(name::key(beginning, user), Bytes::new());
    }
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
    let rows = rows_after(snapshot, after, limit).await?;
    rows.iter().map(|(key, _)| Account::read_key(key)).collect()
}

/// At most `limit` accounts after a user (`None`: from the first), by id.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn page_after(
    snapshot: &dyn Snapshot,
    after: Option<&UserId>,
    limit: usize,
) -> Result<Page<Account>, Error> {
    let rows = rows_after(snapshot, after, limit).await?;
    rows.iter().map(|(key, row)| Ok((Account::read_key(key)?, Account::decode(row)?))).collect()
}

async fn rows_after(
    snapshot: &dyn Snapshot,
    after: Option<&UserId>,
    limit: usize,
) -> Result<Vec<Pair>, Error> {
    let mut range = Key::new(Tag::Account).prefix_range();
    if let Some(user) = after {
        range.start = next_key(&key(user));
    }
    snapshot.scan(range, limit, false).await
}

impl Table for Account {
    const TAG: Tag = Tag::Account;
    const NAME: &str = "account";
    type Key = UserId;
    type Row = Self;

    /// With what the user is found by.
    fn pairs(user: &UserId, row: &Self) -> Vec<(Bytes, Bytes)> {
        let found_by = row.found_by(user).into_iter();
        let names = found_by.map(|beginning| (name::key(&beginning, user), Bytes::new()));
        std::iter::once((key(user), row.encode())).chain(names).collect()
    }
}

impl Account {
    /// All that its user is found by.
    #[must_use]
    pub fn found_by(&self, user: &UserId) -> BTreeSet<String> {
        if self.is_deleted() { BTreeSet::new() } else { name::of(user, &self.display_name) }
    }

    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.deleted_ms != 0
    }

    #[must_use]
    pub fn encode(&self) -> Bytes {
        record::encode(self).into()
    }

    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.suspended_ms != 0
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
