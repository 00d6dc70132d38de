//! Links by which one joins a group, by their ids. The tokens are kept nowhere.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weft_proto::limits::LINKS_PER_ROOM_MAX;
use weft_proto::{LinkId, RoomId};

use super::Tag;
use super::key::Key;
use super::record;
use super::table::{Name, Table};
use crate::engine::Snapshot;
use crate::error::Error;

#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Link {
    /// Who made it.
    #[prost(string, tag = "1")]
    pub by: String,
    /// When, Unix milliseconds.
    #[prost(uint64, tag = "2")]
    pub made_ms: u64,
    /// Unix milliseconds; 0: it does not expire.
    #[prost(uint64, tag = "3")]
    pub expires_ms: u64,
    /// How often one may join by it; 0: as often as one likes.
    #[prost(uint32, tag = "4")]
    pub uses_max: u32,
    /// How often somebody did.
    #[prost(uint32, tag = "5")]
    pub used: u32,
}

impl Table for Link {
    const TAG: Tag = Tag::Link;
    const NAME: &str = "link";
    /// Room, and the link's id.
    type Key = (RoomId, Name);
    type Row = Self;
}

impl Link {
    #[must_use]
    pub fn is_expired(&self, now_ms: u64) -> bool {
        self.expires_ms != 0 && self.expires_ms <= now_ms
    }

    #[must_use]
    pub fn is_used_up(&self) -> bool {
        self.uses_max != 0 && self.used >= self.uses_max
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

#[must_use]
pub fn key(room: &RoomId, id: &LinkId) -> Bytes {
    Key::new(Tag::Link).name(room.as_str()).name(id.as_str()).build()
}

/// All links of a group, by their ids: they are few. One that can't be read is as if it were not there, and is told
/// in the log: it must not stop who owns the group.
///
/// # Errors
/// Those of the snapshot.
pub async fn of_room(snapshot: &dyn Snapshot, room: &RoomId) -> Result<Vec<(LinkId, Link)>, Error> {
    let range = Key::new(Tag::Link).name(room.as_str()).prefix_range();
    let rows = snapshot.scan(range, LINKS_PER_ROOM_MAX, false).await?;
    let read = |(key, row): &(Bytes, Bytes)| {
        let (_, id) = Link::read_key(key)?;
        let id = LinkId::new(&String::from(id));
        let id = id.map_err(|error| Error::Corrupt(format!("link: {error}")))?;
        Ok((id, Link::decode(row)?))
    };
    Ok(rows.iter().filter_map(|row| readable(room, read(row))).collect())
}

/// These links, as far as they are there and can be read.
///
/// # Errors
/// Those of the snapshot.
pub async fn get_many(
    snapshot: &dyn Snapshot,
    wanted: &[(RoomId, LinkId)],
) -> Result<Vec<Option<Link>>, Error> {
    let keys = wanted.iter().map(|(room, id)| key(room, id)).collect();
    let rows = snapshot.get_many(keys).await?;
    let read = |((room, _), row): (&(RoomId, LinkId), Option<Bytes>)| {
        row.and_then(|row| readable(room, Link::decode(&row)))
    };
    Ok(wanted.iter().zip(rows).map(read).collect())
}

fn readable<T>(room: &RoomId, row: Result<T, Error>) -> Option<T> {
    row.inspect_err(|error| tracing::error!(%room, %error, "a link can't be read")).ok()
}
