//! The feed of a bot on NATS: in which form it has its entries. A bot has a row from the first room on in which it is; without one it
//! has no feed.

use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weft_proto::UserId;

use super::key::{Key, next_key};
use super::table::Table;
use super::{Tag, record};
use crate::error::Error;

#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Feed {
    /// Its entries are CloudEvents.
    #[prost(bool, tag = "1")]
    pub cloudevents: bool,
}

impl Table for Feed {
    const TAG: Tag = Tag::Feed;
    const NAME: &str = "feed";
    type Key = UserId;
    type Row = Self;
}

#[must_use]
pub fn key(bot: &UserId) -> Bytes {
    Feed::key(bot)
}

/// All after a bot (`None`: from the first).
#[must_use]
pub fn range_after(bot: Option<&UserId>) -> Range<Bytes> {
    let mut range = Key::new(Tag::Feed).prefix_range();
    if let Some(bot) = bot {
        range.start = next_key(&key(bot));
    }
    range
}

/// Reads a row's key.
///
/// # Errors
/// [`Error::Corrupt`].
pub fn bot(key: &[u8]) -> Result<UserId, Error> {
    Feed::read_key(key)
}

impl Feed {
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
