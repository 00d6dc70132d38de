//! A user's role in a group.

use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weft_proto::{History, Role, RoomId, UserId, word};

use super::Tag;
use super::key::{Key, KeyReader};
use super::record;
use crate::engine::Snapshot;
use crate::error::Error;

/// Rows read at once by [`all`].
const ROWS_PER_SCAN: usize = 1_000;

/// A user in a group. The row stays after the user left, without a role: it says up to where the
/// user may read.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Member {
    /// 0: not a member any more.
    #[prost(int32, tag = "1")]
    #[serde(serialize_with = "word::write::<Role, _>")]
    #[serde(deserialize_with = "word::read::<Role, _>")]
    role: i32,
    /// Seq of the entry by which the user joined last.
    #[prost(uint64, tag = "2")]
    pub since_seq: u64,
    /// Seq of the entry by which the user left; 0 while a member.
    #[prost(uint64, tag = "3")]
    pub until_seq: u64,
}

#[must_use]
pub fn key(room: &RoomId, user: &UserId) -> Bytes {
    Key::new(Tag::Member).name(room.as_str()).name(user.as_str()).build()
}

/// All rows of a group after a user (empty: from the first).
#[must_use]
pub fn range_after(room: &RoomId, user: &str) -> Range<Bytes> {
    let all = Key::new(Tag::Member).name(room.as_str()).prefix_range();
    if user.is_empty() {
        return all;
    }
    let after = Key::new(Tag::Member).name(room.as_str()).name(user).u8(0).build();
    after..all.end
}

/// The user in a row's key.
///
/// # Errors
/// [`Error::Corrupt`].
pub fn user(key: &[u8]) -> Result<UserId, Error> {
    let mut reader = KeyReader::new(Tag::Member, key)?;
    reader.name()?;
    UserId::new(reader.name()?).map_err(|error| Error::Corrupt(format!("member: {error}")))
}

/// All rows of a group, former members' too, by user.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn all(snapshot: &dyn Snapshot, room: &RoomId) -> Result<Vec<(UserId, Member)>, Error> {
    let mut members: Vec<(UserId, Member)> = Vec::new();
    loop {
        let after = members.last().map_or("", |(user, _)| user.as_str());
        let rows = snapshot.scan(range_after(room, after), ROWS_PER_SCAN, false).await?;
        let is_last = rows.len() < ROWS_PER_SCAN;
        for (key, value) in rows {
            members.push((user(&key)?, Member::decode(&value)?));
        }
        if is_last {
            return Ok(members);
        }
    }
}

impl Member {
    /// A row by its parts; without a role: not a member any more.
    #[must_use]
    pub fn new(role: Option<Role>, since_seq: u64, until_seq: u64) -> Self {
        Self { role: role.map_or(0, Into::into), since_seq, until_seq }
    }

    #[must_use]
    pub fn joined(role: Role, seq: u64) -> Self {
        Self { role: role.into(), since_seq: seq, until_seq: 0 }
    }

    /// The same user after leaving by the entry `seq`.
    #[must_use]
    pub fn left(&self, seq: u64) -> Self {
        Self { role: 0, since_seq: self.since_seq, until_seq: seq }
    }

    /// The same member with another role.
    #[must_use]
    pub fn with_role(&self, role: Role) -> Self {
        Self { role: role.into(), ..self.clone() }
    }

    /// The user's role; `None`: not a member any more. A role that this Weft does not know is
    /// refused by [`decode`](Self::decode).
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        Role::try_from(self.role).ok()
    }

    /// The seqs that the user may read: first and last.
    #[must_use]
    pub fn visible(&self, history: History) -> (u64, u64) {
        let from = match history {
            History::All => 1,
            History::Joined => self.since_seq,
        };
        (from, if self.role().is_some() { u64::MAX } else { self.until_seq })
    }

    #[must_use]
    pub fn encode(&self) -> Bytes {
        record::encode(self).into()
    }

    /// Reads the stored form, and nothing less than all of it: an unknown role is not "no member".
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let member: Self = record::decode_whole("member", bytes)?;
        if member.role != 0 && member.role().is_none() {
            return Err(Error::Corrupt("member: a role that this Weft does not know".into()));
        }
        Ok(member)
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::super::head::{self, Head};
    use super::*;
    use crate::batch::POSITION_BYTES;
    use crate::tables::account::Account;
    use crate::tables::applied::Applied;
    use crate::tables::device::Device;

    /// A record of the version after this one: field 99, a text.
    fn newer(row: &[u8]) -> Vec<u8> {
        [row, &[0x9a, 0x06, 0x01, b'x']].concat()
    }

    #[test]
    fn an_unknown_role_is_not_no_member() {
        let row = Member { role: 9, since_seq: 1, until_seq: 0 };
        let error = Member::decode(&row.encode()).expect_err("unknown").to_string();
        assert!(error.contains("a role that this Weft does not know"), "{error}");
        assert!(Member::decode(&Member::new(None, 1, 4).encode()).expect("row").role().is_none());
    }

    #[test]
    fn who_rewrites_a_row_reads_all_of_it_or_nothing() {
        let member = Member::joined(Role::Owner, 1).encode();
        assert!(Member::decode(&member).is_ok() && Member::decode(&newer(&member)).is_err());
        let account = Account { display_name: "A".into(), ..Account::default() }.encode();
        assert!(Account::decode(&account).is_ok() && Account::decode(&newer(&account)).is_err());
        let device = Device::default().encode();
        assert!(Device::decode(&device).is_ok() && Device::decode(&newer(&device)).is_err());
        let applied = Applied { epoch: 4, ..Applied::default() }.encode();
        assert!(Applied::decode(&applied).is_ok() && Applied::decode(&newer(&applied)).is_err());
        let head = Head { seq: 7, ..Head::default() }.encode_to_vec();
        let head = [&[0; POSITION_BYTES][..], &[1], &head].concat();
        assert!(head::decode(&head).is_ok() && head::decode(&newer(&head)).is_err());
    }
}
