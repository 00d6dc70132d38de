//! Up to where a user has read a room, and got it. Written by the owner of the room's partition, with the
//! position of the commit before the record: there the user's row of what changed is (see [`change`](super::change)).
//!
//! What the user has sent counts as read, too: [`Mark::with_sent`] is what readers go by.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weft_proto::{Position, RoomId, UserId};

use super::Tag;
use super::key::Key;
use super::record;
use super::sent::{self, Sent};
use super::table::Table;
use crate::batch::Batch;
use crate::engine::Snapshot;
use crate::error::Error;

/// A user's marks in a room. Seqs and ordinals are those of entries; 0: of none.
#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mark {
    /// All entries up to this one are read. It only grows.
    #[prost(uint64, tag = "1")]
    pub read: u64,
    /// The ordinal of that entry.
    #[prost(uint64, tag = "2")]
    pub read_ordinal: u64,
    /// Direct rooms: all entries up to this one are on a device of the user. It only grows.
    #[prost(uint64, tag = "3")]
    pub delivered: u64,
    /// For the user alone, it counts as unread from this entry on; 0: from what is not read.
    #[prost(uint64, tag = "4")]
    pub unread_from: u64,
    /// The ordinal of the entry before that one.
    #[prost(uint64, tag = "5")]
    pub unread_ordinal: u64,
    /// The room's last entry when that was said: what the user sends after it ends it.
    #[prost(uint64, tag = "6")]
    pub unread_at: u64,
    /// Direct rooms: where the other user was told of it last, where that is not the record's position. What came
    /// later is for the own devices alone. A position; no export carries it.
    #[prost(bytes = "vec", tag = "7")]
    #[serde(skip)]
    pub told_at: Vec<u8>,
}

impl Mark {
    /// The same with what the user has sent: this is what holds.
    #[must_use]
    pub fn with_sent(mut self, sent: Option<Sent>) -> Self {
        let Some(sent) = sent else { return self };
        if sent.seq > self.read {
            (self.read, self.read_ordinal) = (sent.seq, sent.ordinal);
        }
        if self.unread_from != 0 && sent.seq > self.unread_at {
            (self.unread_from, self.unread_ordinal, self.unread_at) = (0, 0, 0);
        }
        self
    }

    /// Where the other user was told last of a record at this position; [`Position::MIN`]: never.
    #[must_use]
    pub fn told_at(&self, position: Position) -> Position {
        Position::from_slice(&self.told_at).unwrap_or(position)
    }

    /// The ordinal after which messages are unread for the user.
    #[must_use]
    pub fn unread_after(&self) -> u64 {
        if self.unread_from == 0 { self.read_ordinal } else { self.unread_ordinal }
    }
}

#[must_use]
pub fn key(room: &RoomId, user: &UserId) -> Bytes {
    Key::new(Tag::Mark).name(room.as_str()).name(user.as_str()).build()
}

/// Writes the row with the commit's position.
pub fn put(batch: &mut Batch, order: u16, (room, user): (&RoomId, &UserId), mark: &Mark) {
    batch.set_positioned(key(room, user), order, record::encode(mark));
}

/// Reads the stored form: the position of the commit that wrote it, and the mark.
///
/// # Errors
/// [`Error::Corrupt`].
pub fn decode(bytes: &[u8]) -> Result<(Position, Mark), Error> {
    let (position, record) = record::split_position(Mark::NAME, bytes)?;
    Ok((position, record::decode_whole(Mark::NAME, record)?))
}

/// A mark as it holds, and where it was last written; `None`: nobody has said anything.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Held {
    pub position: Option<Position>,
    /// See [`Mark::with_sent`].
    pub mark: Mark,
}

/// What holds of these marks, in the given order. Of a row that can't be read it is as if it were not there, and
/// that is told in the log: many marks are read at once, and one of them must not hide the others.
///
/// # Errors
/// Those of the snapshot.
pub async fn held(
    snapshot: &dyn Snapshot,
    wanted: &[(RoomId, UserId)],
) -> Result<Vec<Held>, Error> {
    let keys = wanted.iter().flat_map(|(room, user)| [key(room, user), sent::key(room, user)]);
    let rows = snapshot.get_many(keys.collect()).await?;
    let read = |(key, rows): (&(RoomId, UserId), &[Option<Bytes>])| {
        let [mark, sent] = rows else { return Held::default() };
        let mark = mark.as_deref().and_then(|mark| readable(key, decode(mark)));
        let sent = sent.as_deref().and_then(|sent| readable(key, sent::decode(sent)));
        let (position, mark) = mark.unzip();
        Held { position, mark: mark.unwrap_or_default().with_sent(sent) }
    };
    Ok(wanted.iter().zip(rows.chunks(2)).map(read).collect())
}

fn readable<T>((room, user): &(RoomId, UserId), row: Result<T, Error>) -> Option<T> {
    row.inspect_err(|error| tracing::error!(%room, %user, %error, "a mark can't be read")).ok()
}

impl Table for Mark {
    const TAG: Tag = Tag::Mark;
    const NAME: &str = "mark";
    type Key = (RoomId, UserId);
    type Row = Self;
    const IS_POSITIONED: bool = true;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Store;
    use crate::memory::Memory;

    fn sent(seq: u64, ordinal: u64) -> Option<Sent> {
        Some(Sent { seq, ordinal })
    }

    #[test]
    fn what_was_sent_is_read() {
        let mark = Mark { read: 7, read_ordinal: 5, delivered: 8, ..Mark::default() };
        assert_eq!(mark.clone().with_sent(None), mark);
        assert_eq!(mark.clone().with_sent(sent(7, 5)), mark);
        let later = mark.with_sent(sent(9, 6));
        assert_eq!((later.read, later.unread_after(), later.delivered), (9, 6, 8));
        assert_eq!(Mark::default().with_sent(sent(3, 1)).read, 3);
    }

    #[test]
    fn what_is_marked_as_unread_stays_so_until_the_user_writes() {
        let unread = Mark { unread_from: 3, unread_ordinal: 1, unread_at: 9, ..Mark::default() };
        let held = unread.clone().with_sent(sent(9, 6));
        assert_eq!((held.read, held.unread_from, held.unread_after()), (9, 3, 1));
        let held = unread.with_sent(sent(10, 7));
        assert_eq!((held.read, held.unread_from, held.unread_after()), (10, 0, 7));
    }

    #[tokio::test]
    async fn a_mark_is_read_with_what_was_sent_and_moves_without_its_position() {
        let store = Store::new(Memory::new());
        let (room, user) = (RoomId::new("team").expect("id"), UserId::new("bob").expect("id"));
        let ann = UserId::new("ann").expect("id");
        let mark = Mark { read: 2, read_ordinal: 1, delivered: 2, ..Mark::default() };
        let mut batch = Batch::new([1; 16]);
        put(&mut batch, 0x8001, (&room, &user), &mark);
        sent::put(&mut batch, &room, &user, Sent { seq: 4, ordinal: 3 });
        store.commit(batch).await.expect("commit");
        let snapshot = store.snapshot().await.expect("snapshot");
        let wanted = [(room.clone(), user.clone()), (room.clone(), ann)];
        let found = held(&*snapshot, &wanted).await.expect("read");
        let position = snapshot.read_version().with_order(0x8001);
        assert_eq!(found[0].position, Some(position));
        assert_eq!((found[0].mark.read, found[0].mark.read_ordinal), (4, 3));
        assert_eq!(found[1], Held::default());
        let page = Mark::page(&*snapshot, None).await.expect("page");
        assert_eq!(page, [((room, user), mark.clone())]);
        let [(_, stored)] = &Mark::pairs(&page[0].0, &mark)[..] else { panic!("one row") };
        assert_eq!(decode(stored).expect("read"), (Position::MIN, mark));
        assert!(Mark::page(&*snapshot, Some(&page[0].0)).await.expect("page").is_empty());
        assert!(decode(&stored[..11]).is_err());
    }
}
