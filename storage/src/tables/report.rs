//! What users have reported to the administrators, until these have dealt with it.

use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weft_proto::{RoomId, UserId};

use super::Tag;
use super::key::{Key, next_key};
use super::record;
use super::table::{Page, Table};
use crate::engine::Snapshot;
use crate::error::Error;

#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Report {
    /// When, Unix milliseconds.
    #[prost(uint64, tag = "1")]
    pub time_ms: u64,
    /// Why, in the words of who reported it.
    #[prost(string, tag = "2")]
    pub reason: String,
    /// Who has written the message.
    #[prost(string, tag = "3")]
    pub from: String,
}

/// Who reported it, and which message: room and seq.
pub type ReportKey = (UserId, (RoomId, u64));

impl Table for Report {
    const TAG: Tag = Tag::Report;
    const NAME: &str = "report";
    type Key = ReportKey;
    type Row = Self;
}

impl Report {
    #[must_use]
    pub fn encode(&self) -> Bytes {
        record::encode(self).into()
    }
}

#[must_use]
pub fn key(key: &ReportKey) -> Bytes {
    Report::key(key)
}

/// All of a user.
#[must_use]
pub fn of_user(user: &UserId) -> Range<Bytes> {
    Key::new(Tag::Report).name(user.as_str()).prefix_range()
}

/// At most `limit` after one (`None`: from the first), by who reported them.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn page_after(
    snapshot: &dyn Snapshot,
    after: Option<&ReportKey>,
    limit: usize,
) -> Result<Page<Report>, Error> {
    let mut range = Key::new(Tag::Report).prefix_range();
    if let Some(after) = after {
        range.start = next_key(&key(after));
    }
    let rows = snapshot.scan(range, limit, false).await?;
    let read = |(key, row): &(Bytes, Bytes)| {
        Ok((Report::read_key(key)?, record::decode(Report::NAME, row)?))
    };
    rows.iter().map(read).collect()
}
