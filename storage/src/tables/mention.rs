//! That a message mentions a user, or everyone: what unread mentions are counted by. The message's row
//! says whom it mentions now.

use std::collections::BTreeSet;
use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weft_proto::{RoomId, UserId};

use super::Tag;
use super::key::Key;
use super::message::Message;
use super::record;
use super::table::{Name, Page, Table};
use crate::batch::Batch;
use crate::engine::Snapshot;
use crate::error::Error;

/// In the place of a user: all members. One row, however many they are.
pub const EVERYONE: &str = "";
/// More unread mentions are not counted.
pub const COUNTED_MAX: usize = 1_000;

/// A mention.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mention {
    /// The message's seq. That of the key is another one where an edit mentions.
    #[prost(uint64, tag = "1")]
    pub message: u64,
    /// Who wrote it.
    #[prost(string, tag = "2")]
    pub from: String,
}

impl Table for Mention {
    const TAG: Tag = Tag::Mention;
    const NAME: &str = "mention";
    /// Room, user or [`EVERYONE`], and the seq of the message or edit that mentions.
    type Key = (RoomId, (Name, u64));
    type Row = Self;
}

fn prefix(room: &RoomId, who: &str) -> Key {
    Key::new(Tag::Mention).name(room.as_str()).name(who)
}

fn key(room: &RoomId, who: &str, seq: u64) -> Bytes {
    prefix(room, who).u64(seq).build()
}

/// Writes what changes with a message's row: `before` it and `now`. `from`: who wrote the message.
pub fn change(
    batch: &mut Batch,
    (room, message, from): (&RoomId, u64, &UserId),
    before: &Message,
    now: &Message,
) {
    let counts = |row: &Message| row.mentions.iter().filter(|it| it.seq != 0).cloned().collect();
    let (before, now): (Vec<_>, Vec<_>) = (counts(before), counts(now));
    for gone in before.iter().filter(|it| !now.contains(it)) {
        clear(batch, room, &gone.user, gone.seq);
    }
    for new in now.iter().filter(|it| !before.contains(it)) {
        let row = Mention { message, from: from.to_string() };
        batch.set(key(room, &new.user, new.seq), record::encode(&row));
    }
}

/// Removes the row by which somebody is mentioned.
pub fn clear(batch: &mut Batch, room: &RoomId, who: &str, seq: u64) {
    batch.clear(key(room, who, seq));
}

/// The rows of messages, by the rows of these.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn of_messages(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    messages: impl IntoIterator<Item = &Message>,
) -> Result<Page<Mention>, Error> {
    let counted = messages.into_iter().flat_map(|row| &row.mentions).filter(|it| it.seq != 0);
    let keys: Vec<Bytes> = counted.map(|it| key(room, &it.user, it.seq)).collect();
    let mut all = Vec::new();
    for some in keys.chunks(Mention::ROWS_AT_ONCE) {
        for (key, row) in some.iter().zip(snapshot.get_many(some.to_vec()).await?) {
            let Some(row) = row else { continue };
            all.push((Mention::read_key(key)?, record::decode_whole(Mention::NAME, &row)?));
        }
    }
    Ok(all)
}

/// How many messages that a user has not read mention them: by text or edit after the seq `read`. Those that
/// the user does not see don't count. Counts up to [`COUNTED_MAX`].
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn unread(
    snapshot: &dyn Snapshot,
    (room, user): (&RoomId, &UserId),
    (read, sees): (u64, impl Fn(u64) -> bool),
) -> Result<u64, Error> {
    let after = |who| -> Range<Bytes> {
        key(room, who, read.saturating_add(1))..prefix(room, who).prefix_range().end
    };
    // Who is named beside everyone is mentioned once.
    let mut messages = BTreeSet::new();
    for who in [user.as_str(), EVERYONE] {
        for (_, row) in snapshot.scan(after(who), COUNTED_MAX, false).await? {
            let Mention { message, from } = record::decode(Mention::NAME, &row)?;
            if sees(message) && from != user.as_str() {
                messages.insert(message);
            }
        }
    }
    Ok(messages.len().min(COUNTED_MAX) as u64)
}

#[cfg(test)]
mod tests {
    use super::super::message::Mentioned;
    use super::*;
    use crate::Store;
    use crate::memory::Memory;

    fn row(mentions: &[(&str, u64)]) -> Message {
        let mentioned =
            |(user, seq): &(&str, u64)| Mentioned { user: (*user).to_owned(), seq: *seq };
        Message { mentions: mentions.iter().map(mentioned).collect(), ..Message::default() }
    }

    #[tokio::test]
    async fn unread_mentions_are_those_after_the_mark_each_message_once() {
        let (store, room) = (Store::new(Memory::new()), RoomId::new("team").expect("id"));
        let user = |name: &str| UserId::new(name).expect("id");
        let mut batch = Batch::new([1; 16]);
        let none = Message::default();
        let mut set = |message, from: &str, before: &Message, now: &Message| {
            change(&mut batch, (&room, message, &user(from)), before, now);
        };
        set(2, "ann", &none, &row(&[("bob", 2), ("cem", 0)]));
        set(5, "ann", &none, &row(&[(EVERYONE, 5), ("bob", 5)]));
        set(7, "bob", &none, &row(&[(EVERYONE, 7)]));
        // An edit mentions Bob and no longer everyone; another one leaves all as it is.
        set(1, "ann", &none, &row(&[(EVERYONE, 1), ("cem", 1)]));
        set(1, "ann", &row(&[(EVERYONE, 1), ("cem", 1)]), &row(&[("bob", 9), ("cem", 1)]));
        set(2, "ann", &row(&[("bob", 2), ("cem", 0)]), &row(&[("bob", 2), ("cem", 0)]));
        store.commit(batch).await.expect("commit");
        let snapshot = store.snapshot().await.expect("snapshot");
        for (who, read, seen_from, expected) in [
            ("bob", 0, 1, 3),
            ("bob", 2, 1, 2),
            ("bob", 5, 1, 1),
            ("bob", 5, 2, 0),
            ("bob", 9, 1, 0),
            ("bob", u64::MAX, 1, 0),
            ("ann", 0, 1, 1),
            ("cem", 0, 1, 3),
            ("cem", 6, 1, 1),
            ("bo", 0, 1, 2),
        ] {
            let sees = |seq| seq >= seen_from;
            let count = unread(&*snapshot, (&room, &user(who)), (read, sees)).await;
            assert_eq!(count.expect("counted"), expected, "{who}, {read}, {seen_from}");
        }
        let now = row(&[("bob", 9), ("cem", 1), ("cem", 0)]);
        assert_eq!(of_messages(&*snapshot, &room, [&now]).await.expect("read").len(), 2);
    }
}
