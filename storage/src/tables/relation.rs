//! What another user is to a user. Written by the owner of the user's notebook `u~u`, with the position of the commit
//! before the record: there the user's row of what changed is (see [`change`](super::change)). Owners of other
//! partitions read it, and decide by it who may write to whom.
//!
//! A row that says the same as none stays until no cursor is from before it: it tells that to devices that were away.

use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weft_proto::{Position, UserId};

use super::Tag;
use super::key::{Key, KeyReader, next_key};
use super::record;
use super::table::{KeyPart, Table};
use crate::batch::Batch;
use crate::engine::Snapshot;
use crate::error::Error;

#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Relation {
    /// The user knows them.
    #[prost(bool, tag = "1")]
    pub contact: bool,
    /// The user wants nothing of them.
    #[prost(bool, tag = "2")]
    pub blocked: bool,
}

impl Relation {
    /// True where it says the same as no row.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Whose it is, and who the other one is.
pub type RelationKey = (UserId, UserId);

#[must_use]
pub fn key((user, other): &RelationKey) -> Bytes {
    Key::new(Tag::Relation).name(user.as_str()).name(other.as_str()).build()
}

/// All rows of a user.
#[must_use]
pub fn range(user: &UserId) -> Range<Bytes> {
    Key::new(Tag::Relation).name(user.as_str()).prefix_range()
}

/// Those after another user.
#[must_use]
pub fn range_after(user: &UserId, other: &UserId) -> Range<Bytes> {
    next_key(&key(&(user.clone(), other.clone())))..range(user).end
}

/// Reads a row's key: the other user.
///
/// # Errors
/// [`Error::Corrupt`].
pub fn other(key: &[u8]) -> Result<UserId, Error> {
    let mut reader = KeyReader::new(Tag::Relation, key)?;
    reader.name()?;
    UserId::read(&mut reader)
}

/// Writes the row with the commit's position.
pub fn put(batch: &mut Batch, order: u16, at: &RelationKey, relation: &Relation) {
    batch.set_positioned(key(at), order, record::encode(relation));
}

/// Reads the stored form: the position of the commit that wrote it, and the relation.
///
/// # Errors
/// [`Error::Corrupt`].
pub fn decode(bytes: &[u8]) -> Result<(Position, Relation), Error> {
    let (position, record) = record::split_position(Relation::NAME, bytes)?;
    Ok((position, record::decode_whole(Relation::NAME, record)?))
}

/// What these are, in the given order; `None`: nothing was ever said.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn get_many(
    snapshot: &dyn Snapshot,
    wanted: &[RelationKey],
) -> Result<Vec<Option<(Position, Relation)>>, Error> {
    let rows = snapshot.get_many(wanted.iter().map(key).collect()).await?;
    rows.iter().map(|row| row.as_deref().map(decode).transpose()).collect()
}

impl Table for Relation {
    const TAG: Tag = Tag::Relation;
    const NAME: &str = "relation";
    type Key = RelationKey;
    type Row = Self;
    const IS_POSITIONED: bool = true;
}
