//! What a key means, in words for people.

use super::Tag;
use super::key::KeyReader;

/// A key in the words of its table.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Named {
    /// A part of an entry.
    Entry { room: String, seq: u64 },
    /// A row that has one name: table and name.
    Row(&'static str, String),
    /// A row of this table.
    Other(&'static str),
}

/// What this key means.
#[must_use]
pub fn named(key: &[u8]) -> Named {
    let Some(tag) = key.first().and_then(|first| Tag::try_from(i32::from(*first)).ok()) else {
        return Named::Other("unknown");
    };
    let table = tag.name();
    let row = || {
        let mut reader = KeyReader::new(tag, key).ok()?;
        Some(match tag {
            Tag::Log => {
                Named::Entry { room: reader.name().ok()?.to_owned(), seq: reader.u64().ok()? }
            }
            Tag::Account | Tag::PresenceSettings => {
                Named::Row(table, reader.name().ok()?.to_owned())
            }
            Tag::Device => Named::Row(table, format!("of {}", reader.name().ok()?)),
            Tag::Applied => {
                let partition = u16::from_be_bytes(reader.array().ok()?);
                Named::Row(table, format!("of partition {partition}"))
            }
            _ => return None,
        })
    };
    row().unwrap_or(Named::Other(table))
}

#[cfg(test)]
mod tests {
    use weft_proto::{RoomId, UserId};

    use super::*;

    #[test]
    fn entries_and_accounts_are_named() {
        let room = RoomId::new("alice~bob").expect("room");
        let entry = named(&super::super::log::range(&room, 7..8).start);
        assert_eq!(entry, Named::Entry { room: "alice~bob".into(), seq: 7 });
        let alice = UserId::new("alice").expect("user");
        let account = named(&super::super::account::key(&alice));
        assert_eq!(account, Named::Row("account", "alice".into()));
        assert_eq!(
            named(&super::super::applied::key(3)),
            Named::Row("applied", "of partition 3".into())
        );
        assert_eq!(named(&super::super::layout::key()), Named::Other("layout"));
        assert_eq!(named(&[0xfe]), Named::Other("unknown"));
        assert_eq!(named(&[]), Named::Other("unknown"));
    }
}
