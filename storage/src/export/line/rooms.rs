//! Rooms, without their entries.

use serde::{Deserialize, Serialize};
use weft_proto::{ClientId, Entry, History, Role, RoomId, UserId};

use super::hex;
use crate::error::Error;
use crate::tables::head::Head;
use crate::tables::member::Member;
use crate::tables::resend::Resend;

/// A room as its last entry left it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoomLine {
    pub room: RoomId,
    /// Seq of the last entry.
    pub seq: u64,
    ordinal: u64,
    time: u64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    title: String,
    history: History,
    member_count: u32,
    owner_count: u32,
    large: bool,
}

impl RoomLine {
    pub fn new(room: RoomId, head: Head) -> Result<Self, Error> {
        let unknown = |_| Error::Corrupt(format!("head: history {} is unknown", head.history));
        let read = History::try_from(head.history).map_err(unknown)?;
        let Head { seq, ordinal, time_ms, title, history: _, member_count, owner_count, large } =
            head;
        let (time, history) = (time_ms, read);
        Ok(Self { room, seq, ordinal, time, title, history, member_count, owner_count, large })
    }

    /// The row.
    pub fn row(&self) -> Head {
        Head {
            seq: self.seq,
            ordinal: self.ordinal,
            time_ms: self.time,
            title: self.title.clone(),
            history: self.history.into(),
            member_count: self.member_count,
            owner_count: self.owner_count,
            large: self.large,
        }
    }
}

/// A present or former member of a group.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberLine {
    pub room: RoomId,
    pub user: UserId,
    /// Not there: a former member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Seq of the entry by which the user joined last.
    since: u64,
    /// Seq of the entry by which the user left; not there: a member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
}

impl MemberLine {
    pub fn new(room: RoomId, user: UserId, row: &Member) -> Self {
        let until = (row.until_seq != 0).then_some(row.until_seq);
        Self { room, user, role: row.role(), since: row.since_seq, until }
    }

    /// The row.
    pub fn row(&self) -> Member {
        Member::new(self.role, self.since, self.until.unwrap_or(0))
    }
}

/// What a client id got: so that a resend gets the same answer.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResendLine {
    pub room: RoomId,
    pub from: UserId,
    pub client_id: String,
    pub seq: u64,
    #[serde(with = "hex::number")]
    content_hash: u64,
}

impl ResendLine {
    pub fn new(entry: &Entry, id: &ClientId, row: &Resend) -> Self {
        Self {
            room: entry.room.clone(),
            from: entry.from.clone(),
            client_id: id.to_string(),
            seq: row.seq,
            content_hash: row.content_hash,
        }
    }

    /// The row.
    pub fn row(&self) -> Resend {
        Resend { seq: self.seq, content_hash: self.content_hash }
    }
}
