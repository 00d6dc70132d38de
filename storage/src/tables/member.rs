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
/// Memberships that have ended and are kept beside the last one. Of more, the oldest are forgotten: what was
/// written then is not shown any more.
const EARLIER_MAX: usize = 31;

/// A user in a group. The row stays after the user left, without a role: it says when the user was a
/// member, and so what they may read.
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
    /// Memberships before the last one, oldest first.
    #[prost(message, repeated, tag = "4")]
    earlier: Vec<Earlier>,
    /// There were no others. False also in rows of before level 3, which had the last one alone.
    #[prost(bool, tag = "5")]
    is_whole: bool,
    /// When the user wrote the last message that slow mode counts, Unix milliseconds; 0: never.
    #[prost(uint64, tag = "6")]
    pub wrote_ms: u64,
}

/// A membership that has ended.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Earlier {
    #[prost(uint64, tag = "1")]
    since_seq: u64,
    #[prost(uint64, tag = "2")]
    until_seq: u64,
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
    /// A row by its parts; without a role: not a member any more. As before level 3: what was before
    /// the last membership is not known.
    #[must_use]
    pub fn new(role: Option<Role>, since_seq: u64, until_seq: u64) -> Self {
        Self { role: role.map_or(0, Into::into), since_seq, until_seq, ..Self::default() }
    }

    /// Who was no member before.
    #[must_use]
    pub fn joined(role: Role, seq: u64) -> Self {
        Self { is_whole: true, ..Self::new(Some(role), seq, 0) }
    }

    /// The same user after leaving by the entry `seq`.
    #[must_use]
    pub fn left(&self, seq: u64) -> Self {
        Self { role: 0, until_seq: seq, ..self.clone() }
    }

    /// The same user, who had left, after joining again by the entry `seq`.
    #[must_use]
    pub fn joined_again(&self, role: Role, seq: u64) -> Self {
        let mut earlier = self.earlier.clone();
        earlier.push(Earlier { since_seq: self.since_seq, until_seq: self.until_seq });
        let too_many = earlier.len().saturating_sub(EARLIER_MAX);
        earlier.drain(..too_many);
        let (is_whole, wrote_ms) = (self.is_whole && too_many == 0, self.wrote_ms);
        Self { earlier, is_whole, wrote_ms, ..Self::new(Some(role), seq, 0) }
    }

    /// The same row as before level 3.
    #[must_use]
    pub fn without_earlier(&self) -> Self {
        Self::new(self.role(), self.since_seq, self.until_seq)
    }

    /// The same member with another role.
    #[must_use]
    pub fn with_role(&self, role: Role) -> Self {
        Self { role: role.into(), ..self.clone() }
    }

    /// The same member after a message.
    #[must_use]
    pub fn with_message_at(&self, time_ms: u64) -> Self {
        Self { wrote_ms: time_ms, ..self.clone() }
    }

    /// The user's role; `None`: not a member any more. A role that this Weft does not know is
    /// refused by [`decode`](Self::decode).
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        Role::try_from(self.role).ok()
    }

    /// The memberships that are known, oldest first: of each the first seq and the last one, the joining and the
    /// leaving included. That of a member ends with [`u64::MAX`].
    pub fn memberships(&self) -> impl DoubleEndedIterator<Item = (u64, u64)> {
        let until = if self.role().is_some() { u64::MAX } else { self.until_seq };
        let earlier = self.earlier.iter().map(|it| (it.since_seq, it.until_seq));
        earlier.chain([(self.since_seq, until)])
    }

    /// True where [`memberships`](Self::memberships) has all that there were from this seq on.
    #[must_use]
    pub fn knows_from(&self, seq: u64) -> bool {
        self.is_whole || self.memberships().next().is_some_and(|(since, _)| since <= seq)
    }

    /// The seqs that the user may read, ascending: of each part first and last.
    #[must_use]
    pub fn visible(&self, history: History) -> Vec<(u64, u64)> {
        match history {
            History::All => {
                self.memberships().last().map(|(_, until)| (1, until)).into_iter().collect()
            }
            History::Joined => self.memberships().collect(),
        }
    }

    /// True where the user may read the entry.
    #[must_use]
    pub fn sees(&self, history: History, seq: u64) -> bool {
        self.visible(history).into_iter().any(|(first, last)| (first..=last).contains(&seq))
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
        let row = Member { role: 9, since_seq: 1, ..Member::default() };
        let error = Member::decode(&row.encode()).expect_err("unknown").to_string();
        assert!(error.contains("a role that this Weft does not know"), "{error}");
        assert!(Member::decode(&Member::new(None, 1, 4).encode()).expect("row").role().is_none());
    }

    #[test]
    fn the_last_32_memberships_are_known_and_no_more_is_shown() {
        let mut row = Member::joined(Role::Member, 10);
        for seq in (20..).step_by(20).take(31) {
            row = row.left(seq).joined_again(Role::Member, seq + 10);
        }
        let all: Vec<(u64, u64)> = row.memberships().collect();
        assert_eq!((all.len(), all[0], all[31]), (32, (10, 20), (630, u64::MAX)));
        assert!(row.knows_from(1));
        let sees = |row: &Member, history| {
            (1..=40).step_by(10).filter(|seq| row.sees(history, *seq + 4)).collect::<Vec<_>>()
        };
        assert_eq!(sees(&row, History::Joined), [11, 31]);
        assert_eq!(sees(&row, History::All), [1, 11, 21, 31]);
        let row = row.left(640).joined_again(Role::Admin, 650);
        assert_eq!((row.memberships().count(), row.memberships().next()), (32, Some((30, 40))));
        assert!(!row.knows_from(29) && row.knows_from(30));
        assert_eq!(sees(&row, History::Joined), [31]);
        let row = row.left(660);
        assert!(row.sees(History::All, 660) && !row.sees(History::All, 661));
        assert!(row.sees(History::Joined, 655) && !row.sees(History::Joined, 645));
        assert_eq!(Member::decode(&row.encode()).expect("row"), row);
        assert!(row.encode().len() < 400, "{}", row.encode().len());
    }

    #[test]
    fn what_was_before_the_last_membership_is_not_known_of_a_row_of_before() {
        let row = Member::new(Some(Role::Member), 10, 0);
        assert!(!row.knows_from(9) && row.knows_from(10));
        let row = row.left(20).joined_again(Role::Member, 30);
        assert_eq!(row.memberships().collect::<Vec<_>>(), [(10, 20), (30, u64::MAX)]);
        assert!(!row.knows_from(9) && row.knows_from(10));
        assert_eq!(row.without_earlier(), Member::new(Some(Role::Member), 30, 0));
        assert!(Member::joined(Role::Member, 10).knows_from(1));
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
