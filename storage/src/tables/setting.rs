//! How a user wants a room to be, on all of their devices. Written by the owner of the user's notebook `u~u`, with the
//! position of the commit before the record: there the user's row of what changed is (see [`change`](super::change)).
//!
//! A row that says the same as none stays until no cursor is from before it: it tells that to devices that were away.

use std::collections::BTreeSet;
use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weft_proto::consent::{AddBy, Strangers};
use weft_proto::kind::{DndHours, HiddenAt};
use weft_proto::notify::Notify;
use weft_proto::{Position, RoomId, UserId, word};

use super::Tag;
use super::key::{Key, KeyReader};
use super::record;
use super::table::{KeyPart, Table};
use crate::batch::Batch;
use crate::engine::Snapshot;
use crate::error::Error;

#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Setting {
    /// Until when the user wants to hear nothing of it, Unix milliseconds; 0: it is not muted.
    #[prost(uint64, tag = "1")]
    pub muted_until_ms: u64,
    /// The user wants it at the top.
    #[prost(bool, tag = "2")]
    pub pinned: bool,
    /// Of the user's own notebook, for all rooms: nobody else is told how far the user has read, and the user is not
    /// told it of others.
    #[prost(bool, tag = "3")]
    pub receipts_off: bool,
    /// The same: who may put the user into a group.
    #[prost(enumeration = "AddBy", tag = "4")]
    #[serde(serialize_with = "word::write::<AddBy, _>")]
    #[serde(deserialize_with = "word::read::<AddBy, _>")]
    pub add_by: i32,
    /// The same: what becomes of the first messages of who is not known to the user.
    #[prost(enumeration = "Strangers", tag = "5")]
    #[serde(serialize_with = "word::write::<Strangers, _>")]
    #[serde(deserialize_with = "word::read::<Strangers, _>")]
    pub strangers: i32,
    /// The same: the hours in which the user is not to be disturbed.
    #[prost(message, optional, tag = "20")]
    pub dnd: Option<DndHours>,
    /// The user has hidden the room as it was then.
    #[prost(message, optional, tag = "21")]
    pub hidden: Option<HiddenAt>,
    /// Of the user's own notebook: until when they are not to be disturbed, whatever the hour, Unix milliseconds; 0: only then.
    #[prost(uint64, tag = "22")]
    pub dnd_until_ms: u64,
    /// Of what the user is notified; of the user's own notebook, for all rooms that they have said nothing of.
    #[prost(enumeration = "Notify", tag = "23")]
    #[serde(serialize_with = "word::write::<Notify, _>")]
    #[serde(deserialize_with = "word::read::<Notify, _>")]
    pub notify: i32,
}

impl Setting {
    /// True where it says the same as no row, at this time.
    #[must_use]
    pub fn is_default(&self, now_ms: u64) -> bool {
        let says = Self { muted_until_ms: 0, dnd_until_ms: 0, ..self.clone() };
        self.muted_until_ms.max(self.dnd_until_ms) <= now_ms && says == Self::default()
    }
}

#[must_use]
pub fn key(user: &UserId, room: &RoomId) -> Bytes {
    Key::new(Tag::Setting).name(user.as_str()).name(room.as_str()).build()
}

/// All rows of a user.
#[must_use]
pub fn range(user: &UserId) -> Range<Bytes> {
    Key::new(Tag::Setting).name(user.as_str()).prefix_range()
}

/// Reads a row's key: the room.
///
/// # Errors
/// [`Error::Corrupt`].
pub fn room(key: &[u8]) -> Result<RoomId, Error> {
    let mut reader = KeyReader::new(Tag::Setting, key)?;
    reader.name()?;
    RoomId::read(&mut reader)
}

/// Writes the row with the commit's position.
pub fn put(batch: &mut Batch, order: u16, (user, room): (&UserId, &RoomId), setting: &Setting) {
    batch.set_positioned(key(user, room), order, record::encode(setting));
}

/// Reads the stored form: the position of the commit that wrote it, and the setting.
///
/// # Errors
/// [`Error::Corrupt`].
pub fn decode(bytes: &[u8]) -> Result<(Position, Setting), Error> {
    let (position, record) = record::split_position(Setting::NAME, bytes)?;
    Ok((position, record::decode_whole(Setting::NAME, record)?))
}

/// What these users want of these rooms, in the given order; `None`: nothing was ever said.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn get_many(
    snapshot: &dyn Snapshot,
    wanted: &[(UserId, RoomId)],
) -> Result<Vec<Option<(Position, Setting)>>, Error> {
    let keys = wanted.iter().map(|(user, room)| key(user, room)).collect();
    let rows = snapshot.get_many(keys).await?;
    rows.iter().map(|row| row.as_deref().map(decode).transpose()).collect()
}

/// The row of what a user wants of all rooms: that of their own notebook.
#[must_use]
pub fn of_user(user: &UserId) -> Bytes {
    key(user, &RoomId::direct(user, user))
}

/// Whether this row of a user turns off read receipts. One that can't be read does so: what was hidden is not shown.
#[must_use]
pub fn hides_receipts(user: &UserId, row: Option<&[u8]>) -> bool {
    match row.map(decode).transpose() {
        Ok(row) => row.is_some_and(|(_, setting)| setting.receipts_off),
        Err(error) => {
            tracing::error!(%user, %error, "a setting can't be read: no read receipts");
            true
        }
    }
}

/// What this row of a user says of the first messages of who is not known to them. One that can't be read asks: what was hidden
/// is not shown.
#[must_use]
pub fn strangers(user: &UserId, row: Option<&[u8]>) -> Strangers {
    match row.map(decode).transpose() {
        Ok(row) => row.map_or(Strangers::Default, |(_, setting)| setting.strangers()),
        Err(error) => {
            tracing::error!(%user, %error, "a setting can't be read: strangers ask");
            Strangers::Request
        }
    }
}

/// Those of these users who have turned off read receipts.
///
/// # Errors
/// Those of the snapshot.
pub async fn receipts_off(
    snapshot: &dyn Snapshot,
    users: impl IntoIterator<Item = &UserId>,
) -> Result<BTreeSet<UserId>, Error> {
    let users: BTreeSet<&UserId> = users.into_iter().collect();
    if users.is_empty() {
        return Ok(BTreeSet::new());
    }
    let rows = snapshot.get_many(users.iter().map(|user| of_user(user)).collect()).await?;
    let off =
        users.into_iter().zip(rows).filter(|(user, row)| hides_receipts(user, row.as_deref()));
    Ok(off.map(|(user, _)| user.clone()).collect())
}

impl Table for Setting {
    const TAG: Tag = Tag::Setting;
    const NAME: &str = "setting";
    type Key = (UserId, RoomId);
    type Row = Self;
    const IS_POSITIONED: bool = true;
}
