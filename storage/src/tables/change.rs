//! What changed for a user beside entries, in commit order: for syncs. A row says which key changed, and what
//! it is now is in that key's own row. The commit that changes a key removes the row at the position of its
//! change before: so each key is there once, and nothing has to be trimmed.

use std::ops::Range;

use bytes::Bytes;
use weft_proto::{ApiError, ClientId, Position, RoomId, UserId};

use super::Tag;
use super::key::{Key, KeyReader};
use super::record;
use crate::batch::Batch;
use crate::error::Error;

/// What has changed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Changed {
    /// The mark of this user in the room.
    Mark(RoomId, UserId),
    /// How this user wants the room to be.
    Setting(UserId, RoomId),
    /// What this user has typed for the room and not sent.
    Draft(UserId, RoomId),
    /// What the user, who alone hears of it, has said of the thread of the room that begins with the message at
    /// this seq, and whether they follow it.
    Thread(RoomId, u64),
    /// What another user is to this user.
    Relation(UserId, UserId),
    /// What became of the message that the user, who alone hears of it, has scheduled for the room under this id.
    Scheduled(RoomId, ClientId),
    /// Whether the user, who alone hears of it, is invited to come into the group.
    Invitation(RoomId),
}

/// A row. What else may change comes under tags of its own.
#[derive(Clone, PartialEq, prost::Message)]
struct Row {
    #[prost(message, optional, tag = "1")]
    mark: Option<OfUser>,
    #[prost(message, optional, tag = "2")]
    setting: Option<OfUser>,
    #[prost(message, optional, tag = "3")]
    thread: Option<ThreadOf>,
    #[prost(message, optional, tag = "4")]
    draft: Option<OfUser>,
    #[prost(message, optional, tag = "5")]
    relation: Option<RelationOf>,
    #[prost(message, optional, tag = "6")]
    scheduled: Option<OfCommand>,
    #[prost(message, optional, tag = "7")]
    invitation: Option<OfRoom>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct OfRoom {
    #[prost(string, tag = "1")]
    room: String,
}

/// What was made of a command to a room.
#[derive(Clone, PartialEq, prost::Message)]
struct OfCommand {
    #[prost(string, tag = "1")]
    room: String,
    #[prost(string, tag = "2")]
    id: String,
}

/// What a user has in a room.
#[derive(Clone, PartialEq, prost::Message)]
struct OfUser {
    #[prost(string, tag = "1")]
    room: String,
    #[prost(string, tag = "2")]
    user: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RelationOf {
    #[prost(string, tag = "1")]
    user: String,
    #[prost(string, tag = "2")]
    other: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ThreadOf {
    #[prost(string, tag = "1")]
    room: String,
    #[prost(uint64, tag = "2")]
    root: u64,
}

fn prefix(user: &UserId) -> Key {
    Key::new(Tag::Change).name(user.as_str())
}

/// Says at the commit's position that it has changed, for a user who hears of it.
pub fn put(batch: &mut Batch, hears: &UserId, order: u16, changed: &Changed) {
    let of = |user: &UserId, room: &RoomId| {
        Some(OfUser { room: room.to_string(), user: user.to_string() })
    };
    let row = match changed {
        Changed::Mark(room, user) => Row { mark: of(user, room), ..Row::default() },
        Changed::Setting(user, room) => Row { setting: of(user, room), ..Row::default() },
        Changed::Draft(user, room) => Row { draft: of(user, room), ..Row::default() },
        Changed::Thread(room, root) => {
            let (room, root) = (room.to_string(), *root);
            Row { thread: Some(ThreadOf { room, root }), ..Row::default() }
        }
        Changed::Relation(user, other) => {
            let (user, other) = (user.to_string(), other.to_string());
            Row { relation: Some(RelationOf { user, other }), ..Row::default() }
        }
        Changed::Scheduled(room, id) => {
            let (room, id) = (room.to_string(), id.to_string());
            Row { scheduled: Some(OfCommand { room, id }), ..Row::default() }
        }
        Changed::Invitation(room) => {
            let room = room.to_string();
            Row { invitation: Some(OfRoom { room }), ..Row::default() }
        }
    };
    batch.set_at_position(prefix(hears).build(), order, record::encode(&row));
}

/// The same, instead of what was said at the position of the change before, where there was one.
pub fn put_again(
    batch: &mut Batch,
    hears: &UserId,
    before: Option<Position>,
    order: u16,
    changed: &Changed,
) {
    if let Some(before) = before {
        clear(batch, hears, before);
    }
    put(batch, hears, order, changed);
}

/// Removes what was said at the position of the change before.
pub fn clear(batch: &mut Batch, hears: &UserId, before: Position) {
    batch.clear(prefix(hears).position(before).build());
}

/// The rows of a user with a position in `after..=through`, without `after` itself.
#[must_use]
pub fn range(user: &UserId, after: Position, through: Position) -> Range<Bytes> {
    let at = |position| prefix(user).position(position).u8(0).build();
    at(after)..at(through)
}

/// Reads a row: its position, and what has changed.
///
/// # Errors
/// [`Error::Corrupt`], also where it is what a newer Weft has written.
pub fn decode(key: &[u8], value: &[u8]) -> Result<(Position, Changed), Error> {
    let mut reader = KeyReader::new(Tag::Change, key)?;
    reader.name()?;
    let position = reader.position()?;
    let corrupt = |what: String| Error::Corrupt(format!("change: {what}"));
    let bad = |error: ApiError| corrupt(error.to_string());
    let ids = |OfUser { room, user }: OfUser| {
        RoomId::new(&room).and_then(|room| Ok((room, UserId::new(&user)?))).map_err(bad)
    };
    let changed = match record::decode_whole("change", value)? {
        Row { mark: Some(mark), .. } => ids(mark).map(|(room, user)| Changed::Mark(room, user))?,
        Row { setting: Some(of), .. } => {
            ids(of).map(|(room, user)| Changed::Setting(user, room))?
        }
        Row { draft: Some(of), .. } => ids(of).map(|(room, user)| Changed::Draft(user, room))?,
        Row { thread: Some(ThreadOf { room, root }), .. } => {
            Changed::Thread(RoomId::new(&room).map_err(bad)?, root)
        }
        Row { relation: Some(RelationOf { user, other }), .. } => {
            let ids = UserId::new(&user).and_then(|user| Ok((user, UserId::new(&other)?)));
            ids.map(|(user, other)| Changed::Relation(user, other)).map_err(bad)?
        }
        Row { scheduled: Some(OfCommand { room, id }), .. } => {
            let (room, id) = (RoomId::new(&room), ClientId::parse(&id));
            Changed::Scheduled(room.map_err(bad)?, id.map_err(bad)?)
        }
        Row { invitation: Some(OfRoom { room }), .. } => {
            Changed::Invitation(RoomId::new(&room).map_err(bad)?)
        }
        Row { .. } => return Err(corrupt("it says nothing".into())),
    };
    Ok((position, changed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Store;
    use crate::memory::Memory;

    #[tokio::test]
    async fn a_key_is_there_once_at_its_newest_change() {
        let store = Store::new(Memory::new());
        let user = |name| UserId::new(name).expect("id");
        let (ann, bob) = (user("ann"), user("bob"));
        let mark = |room| Changed::Mark(RoomId::new(room).expect("id"), bob.clone());
        let found = async |who: &UserId, after, through| {
            let snapshot = store.snapshot().await.expect("snapshot");
            let rows = snapshot.scan(range(who, after, through), 9, false).await.expect("scan");
            let rows = rows.iter().map(|(key, value)| decode(key, value).expect("row"));
            (rows.collect::<Vec<_>>(), snapshot.read_version())
        };
        let mut batch = Batch::new([1; 16]);
        for hears in [&ann, &bob] {
            put(&mut batch, hears, 0, &mark("ann~bob"));
        }
        let team = RoomId::new("team").expect("id");
        let of_thread = Changed::Thread(team.clone(), 7);
        let of_team = Changed::Setting(bob.clone(), team.clone());
        let invited = Changed::Invitation(team.clone());
        let typed = Changed::Draft(bob.clone(), team);
        put(&mut batch, &bob, 1, &of_thread);
        put(&mut batch, &bob, 2, &of_team);
        let of_ann = Changed::Relation(bob.clone(), ann.clone());
        put(&mut batch, &bob, 3, &typed);
        put(&mut batch, &bob, 4, &of_ann);
        put(&mut batch, &bob, 5, &invited);
        store.commit(batch).await.expect("commit");
        let (rows, first) = found(&bob, Position::MIN, Position::MAX).await;
        let at = |order| first.with_order(order);
        let others = [(at(1), of_thread), (at(2), of_team), (at(3), typed), (at(4), of_ann)];
        let others = [&others[..], &[(at(5), invited)]].concat();
        assert_eq!(rows, [&[(at(0), mark("ann~bob"))][..], &others].concat());
        let mut batch = Batch::new([2; 16]);
        for hears in [&ann, &bob] {
            put_again(&mut batch, hears, Some(at(0)), 0, &mark("ann~bob"));
        }
        store.commit(batch).await.expect("commit");
        let (rows, second) = found(&bob, Position::MIN, Position::MAX).await;
        let again = (second.with_order(0), mark("ann~bob"));
        assert_eq!(rows, [&others[..], &[again]].concat());
        assert_eq!(found(&ann, Position::MIN, Position::MAX).await.0.len(), 1);
        assert_eq!(found(&bob, at(0), first.with_order(5)).await.0, others);
        assert_eq!(found(&bob, first, second).await.0.len(), 1);
    }
}
