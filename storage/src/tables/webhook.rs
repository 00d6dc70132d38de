//! The outgoing webhooks of a group, or of a user (by their notebook), in one row: so there are never more than may be, and a
//! follower of the journal finds them by one read.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weft_proto::RoomId;

use super::key::Key;
use super::table::Table;
use super::{Tag, hex, record};
use crate::error::Error;

/// Those of one owner.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Webhooks {
    /// Those that were made first, first.
    #[prost(message, repeated, tag = "1")]
    pub webhooks: Vec<Webhook>,
}

#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[prost(skip_debug)]
pub struct Webhook {
    #[prost(string, tag = "1")]
    pub id: String,
    /// Who knows it may send something there: a secret.
    #[prost(string, tag = "2")]
    pub url: String,
    /// With what deliveries are signed.
    #[prost(bytes = "vec", tag = "3")]
    #[serde(with = "hex")]
    pub secret: Vec<u8>,
    /// The one before it; empty: there is none.
    #[prost(bytes = "vec", tag = "4")]
    #[serde(with = "hex")]
    pub old_secret: Vec<u8>,
    /// Up to when deliveries are signed with that, too, Unix milliseconds.
    #[prost(uint64, tag = "5")]
    pub old_secret_until_ms: u64,
    /// Of which kinds of entries it is told; none: of all.
    #[prost(string, repeated, tag = "6")]
    pub kinds: Vec<String>,
    /// Empty: Weft's own; or a word.
    #[prost(string, tag = "7")]
    pub format: String,
    /// Who made it.
    #[prost(string, tag = "8")]
    pub by: String,
    /// When, Unix milliseconds.
    #[prost(uint64, tag = "9")]
    pub made_ms: u64,
    /// Somebody has paused it.
    #[prost(bool, tag = "10")]
    pub paused: bool,
    /// Since when it is told nothing because it failed for too long, Unix milliseconds; 0: it is not so.
    #[prost(uint64, tag = "11")]
    pub ended_ms: u64,
    /// Since when it could not be told anything, Unix milliseconds; 0: the last time it could.
    #[prost(uint64, tag = "12")]
    pub failing_since_ms: u64,
    /// Why it could not then.
    #[prost(string, tag = "13")]
    pub reason: String,
    /// At least so many entries were left out that it is to be told of.
    #[prost(uint64, tag = "14")]
    pub missed: u64,
}

impl Table for Webhooks {
    const TAG: Tag = Tag::Webhook;
    const NAME: &str = "webhook";
    /// A row may have 35 kB.
    const ROWS_AT_ONCE: usize = 16;
    /// The group, or the notebook of the user.
    type Key = RoomId;
    type Row = Self;
}

#[must_use]
pub fn key(owner: &RoomId) -> Bytes {
    Key::new(Tag::Webhook).name(owner.as_str()).build()
}

impl Webhooks {
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

    #[must_use]
    pub fn of(&self, id: &str) -> Option<&Webhook> {
        self.webhooks.iter().find(|it| it.id == id)
    }
}

impl Webhook {
    /// It is told of what comes.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !self.paused && self.ended_ms == 0
    }

    /// It is told of entries of this kind.
    #[must_use]
    pub fn wants(&self, kind: &str) -> bool {
        self.kinds.is_empty() || self.kinds.iter().any(|it| it == kind)
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("id", &self.id)
            .field("kinds", &self.kinds)
            .field("by", &self.by)
            .field("paused", &self.paused)
            .field("ended_ms", &self.ended_ms)
            .field("failing_since_ms", &self.failing_since_ms)
            .field("missed", &self.missed)
            .finish_non_exhaustive()
    }
}
