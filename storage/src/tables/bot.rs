//! Who has a bot: an account that is no person's. Beside it, by whom it is had, that a user's bots are found; those of
//! the installation are had by nobody.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weft_proto::UserId;

use super::key::{Key, next_key};
use super::table::{Page, Table};
use super::{Tag, record};
use crate::batch::Batch;
use crate::engine::Snapshot;
use crate::error::Error;

#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bot {
    /// Who has it; empty: the installation.
    #[prost(string, tag = "1")]
    pub owner: String,
    /// When it was made, Unix milliseconds.
    #[prost(uint64, tag = "2")]
    pub made_ms: u64,
}

impl Table for Bot {
    const TAG: Tag = Tag::Bot;
    const NAME: &str = "bot";
    type Key = UserId;
    type Row = Self;

    /// It is found by its owner, too.
    fn pairs(bot: &UserId, row: &Self) -> Vec<(Bytes, Bytes)> {
        let owned = Some((owned_key(&row.owner, bot), Bytes::new()));
        let owned = owned.filter(|_| !row.owner.is_empty());
        std::iter::once((key(bot), row.encode())).chain(owned).collect()
    }
}

#[must_use]
pub fn key(bot: &UserId) -> Bytes {
    Bot::key(bot)
}

fn owned_key(owner: &str, bot: &UserId) -> Bytes {
    Key::new(Tag::OwnedBot).name(owner).name(bot.as_str()).build()
}

pub fn put(batch: &mut Batch, bot: &UserId, row: &Bot) {
    for (key, value) in Bot::pairs(bot, row) {
        batch.set(key, value);
    }
}

/// Removes a bot's row as it was read, and that it is found by its owner.
///
/// # Errors
/// [`Error::Corrupt`].
pub fn clear(batch: &mut Batch, bot: &UserId, row: Bytes) -> Result<(), Error> {
    for (key, _) in Bot::pairs(bot, &Bot::decode(&row)?) {
        batch.clear(key);
    }
    batch.guard(key(bot), Some(row));
    Ok(())
}

/// A user's bots, by id: at most `limit`.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn of_owner(
    snapshot: &dyn Snapshot,
    owner: &UserId,
    limit: usize,
) -> Result<Vec<UserId>, Error> {
    let range = Key::new(Tag::OwnedBot).name(owner.as_str()).prefix_range();
    let rows = snapshot.scan(range, limit, false).await?;
    let bot = |(key, _): &(Bytes, Bytes)| {
        let mut reader = super::key::KeyReader::new(Tag::OwnedBot, key)?;
        reader.name()?;
        let bot = UserId::new(reader.name()?);
        bot.map_err(|error| Error::Corrupt(format!("owned_bot: {error}")))
    };
    rows.iter().map(bot).collect()
}

/// At most `limit` after one (`None`: from the first), by id.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn page_after(
    snapshot: &dyn Snapshot,
    after: Option<&UserId>,
    limit: usize,
) -> Result<Page<Bot>, Error> {
    let mut range = Key::new(Tag::Bot).prefix_range();
    if let Some(after) = after {
        range.start = next_key(&key(after));
    }
    let rows = snapshot.scan(range, limit, false).await?;
    rows.iter().map(|(key, row)| Ok((Bot::read_key(key)?, Bot::decode(row)?))).collect()
}

impl Bot {
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

    /// It is this user's.
    #[must_use]
    pub fn is_of(&self, user: &UserId) -> bool {
        self.owner == user.as_str()
    }
}
