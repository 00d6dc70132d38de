//! Incoming webhooks of groups: addresses by which other systems post there. What is kept of the secret in an address is its hash.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weft_proto::limits::HOOKS_PER_ROOM_MAX;
use weft_proto::{RoomId, UserId};

use super::hook_secret::{self, HookSecret};
use super::key::Key;
use super::table::Table;
use super::{Tag, hex, record};
use crate::batch::Batch;
use crate::engine::Snapshot;
use crate::error::Error;

/// The group, and the account that posts.
pub type HookKey = (RoomId, UserId);

#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hook {
    /// What it is called.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Who made it.
    #[prost(string, tag = "2")]
    pub by: String,
    /// When, Unix milliseconds.
    #[prost(uint64, tag = "3")]
    pub made_ms: u64,
    /// SHA-256 of the secret in its address.
    #[prost(bytes = "vec", tag = "4")]
    #[serde(with = "hex")]
    pub secret_hash: Vec<u8>,
    /// When it got this secret, Unix milliseconds.
    #[prost(uint64, tag = "5")]
    pub secret_ms: u64,
}

impl Table for Hook {
    const TAG: Tag = Tag::Hook;
    const NAME: &str = "hook";
    type Key = HookKey;
    type Row = Self;

    /// It is found by its secret, too.
    fn pairs(at: &HookKey, row: &Self) -> Vec<(Bytes, Bytes)> {
        let (room, user) = at;
        let (room, user) = (room.to_string(), user.to_string());
        let found = HookSecret { room, user }.encode();
        vec![(key(at), row.encode()), (hook_secret::key(&row.secret_hash), found)]
    }
}

#[must_use]
pub fn key(at: &HookKey) -> Bytes {
    Hook::key(at)
}

/// Writes a hook, and what it is found by.
pub fn put(batch: &mut Batch, at: &HookKey, row: &Hook) {
    for (key, value) in Hook::pairs(at, row) {
        batch.set(key, value);
    }
}

/// Removes a hook that was read, and what it is found by.
pub fn clear(batch: &mut Batch, at: &HookKey, row: &Hook) {
    batch.clear(key(at));
    batch.clear(hook_secret::key(&row.secret_hash));
}

/// All of a group: they are few.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn of_room(snapshot: &dyn Snapshot, room: &RoomId) -> Result<Vec<(UserId, Hook)>, Error> {
    let range = Key::new(Tag::Hook).name(room.as_str()).prefix_range();
    let rows = snapshot.scan(range, HOOKS_PER_ROOM_MAX, false).await?;
    let read = |(key, row): &(Bytes, Bytes)| Ok((Hook::read_key(key)?.1, Hook::decode(row)?));
    rows.iter().map(read).collect()
}

impl Hook {
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
