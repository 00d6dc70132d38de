//! Invitations by which one makes an account, by their ids: as links to groups, and kept as these are.

use bytes::Bytes;
use weft_proto::LinkId;
use weft_proto::limits::INVITATIONS_MAX;

use super::Tag;
use super::key::Key;
use super::link::Link;
use super::table::{Name, Table};
use crate::engine::Snapshot;
use crate::error::Error;

pub struct Invitation;

impl Table for Invitation {
    const TAG: Tag = Tag::Invitation;
    const NAME: &str = "invitation";
    /// Its id.
    type Key = Name;
    type Row = Link;
}

#[must_use]
pub fn key(id: &LinkId) -> Bytes {
    Key::new(Tag::Invitation).name(id.as_str()).build()
}

/// All of them, by their ids: they are few.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn list(snapshot: &dyn Snapshot) -> Result<Vec<(LinkId, Link)>, Error> {
    let range = Key::new(Tag::Invitation).prefix_range();
    let rows = snapshot.scan(range, INVITATIONS_MAX, false).await?;
    let read = |(key, row): &(Bytes, Bytes)| {
        let id = LinkId::new(&String::from(Invitation::read_key(key)?));
        let id = id.map_err(|error| Error::Corrupt(format!("invitation: {error}")))?;
        Ok((id, Link::decode(row)?))
    };
    rows.iter().map(read).collect()
}
