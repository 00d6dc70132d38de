//! Accounts that are being deleted: what is left to be done.

use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weft_proto::{Partition, RoomId, UserId};

use super::key::{Key, next_key};
use super::table::Table;
use super::{Tag, record};
use crate::engine::Snapshot;
use crate::error::Error;

#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Deletion {
    /// The partitions whose groups the user may be a member of. None: what the user has kept for themselves is
    /// left.
    #[prost(uint32, repeated, tag = "1")]
    pub partitions: Vec<u32>,
    /// When it was asked for, Unix milliseconds.
    #[prost(uint64, tag = "2")]
    pub asked_ms: u64,
    /// The messages of the user are deleted first, in the rooms that they are in.
    #[prost(bool, tag = "3")]
    pub empties: bool,
    /// How far that is in partitions.
    #[prost(message, repeated, tag = "4")]
    pub emptied: Vec<Emptied>,
}

/// Up to where the messages of a user are deleted in a partition.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Emptied {
    #[prost(uint32, tag = "1")]
    pub partition: u32,
    /// In all rooms before this one in the user's list...
    #[prost(string, tag = "2")]
    pub room: String,
    /// ...and in this one before this seq.
    #[prost(uint64, tag = "3")]
    pub seq: u64,
}

impl Table for Deletion {
    const TAG: Tag = Tag::Deletion;
    const NAME: &str = "deletion";
    type Key = UserId;
    type Row = Self;
}

#[must_use]
pub fn key(user: &UserId) -> Bytes {
    Key::new(Tag::Deletion).name(user.as_str()).build()
}

/// At most `limit` users after one (`None`: from the first), by id, each with the row as it is stored.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn after(
    snapshot: &dyn Snapshot,
    after: Option<&UserId>,
    limit: usize,
) -> Result<Vec<(UserId, Bytes)>, Error> {
    let mut range = Key::new(Tag::Deletion).prefix_range();
    if let Some(user) = after {
        range.start = next_key(&key(user));
    }
    let rows = snapshot.scan(range, limit, false).await?;
    rows.into_iter().map(|(key, row)| Ok((Deletion::read_key(&key)?, row))).collect()
}

/// All rows that a user has kept for themselves, or that were kept for their devices: of tables whose keys begin with the
/// user.
pub fn own_rows(user: &UserId) -> impl Iterator<Item = Range<Bytes>> {
    let tables = [
        Tag::UserRoom,
        Tag::Activity,
        Tag::ThreadFollower,
        Tag::Inbox,
        Tag::InboxTrimmed,
        Tag::Change,
        Tag::Setting,
        Tag::Relation,
        Tag::GroupInvitation,
        Tag::Draft,
        Tag::DraftText,
        Tag::Scheduled,
        Tag::Device,
        Tag::PresenceSettings,
        Tag::LastActive,
        Tag::FileQuota,
        Tag::WebhookMaker,
    ];
    let notebook = RoomId::direct(user, user);
    let webhooks = Key::new(Tag::Webhook).name(notebook.as_str()).prefix_range();
    let rows = tables.into_iter().map(|tag| Key::new(tag).name(user.as_str()).prefix_range());
    rows.chain([webhooks])
}

impl Deletion {
    /// All is left.
    #[must_use]
    pub fn new(partitions: u32, asked_ms: u64) -> Self {
        Self { partitions: (0..partitions).collect(), asked_ms, ..Self::default() }
    }

    /// Without a partition, whose groups the user has left.
    #[must_use]
    pub fn without(&self, partition: Partition) -> Self {
        let mut left = self.clone();
        left.partitions.retain(|it| *it != u32::from(partition));
        left.emptied.retain(|it| it.partition != u32::from(partition));
        left
    }

    /// Where the user's messages of a partition are deleted next; `None`: that has not begun.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn emptied_in(&self, partition: Partition) -> Result<Option<(RoomId, u64)>, Error> {
        let place = self.emptied.iter().find(|it| it.partition == u32::from(partition));
        let Some(Emptied { room, seq, .. }) = place else { return Ok(None) };
        let room =
            RoomId::new(room).map_err(|error| Error::Corrupt(format!("deletion: {error}")))?;
        Ok(Some((room, *seq)))
    }

    /// The same when that is so far.
    #[must_use]
    pub fn emptied_to(&self, partition: Partition, room: &RoomId, seq: u64) -> Self {
        let mut left = self.clone();
        let (partition, room) = (u32::from(partition), room.to_string());
        left.emptied.retain(|it| it.partition != partition);
        left.emptied.push(Emptied { partition, room, seq });
        left
    }

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
