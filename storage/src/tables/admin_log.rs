//! What administrators and operators of the installation have done, each in the commit that does it.
//!
//! The keys are times and chance, not positions: so a row is found by whoever has to know whether its commit was made, and an export can
//! carry it. What was done at the same moment by two cores may be in the order of their clocks.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Tag;
use super::key::Key;
use super::record;
use super::table::{KeyPart, Page, Table};
use crate::batch::Batch;
use crate::engine::Snapshot;
use crate::error::Error;

#[derive(Clone, PartialEq, Eq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdminLog {
    /// Which administrator; empty: an operator.
    #[prost(string, tag = "1")]
    pub by: String,
    /// What was done, in a word.
    #[prost(string, tag = "2")]
    pub action: String,
    /// To which user; empty: to none.
    #[prost(string, tag = "3")]
    pub user: String,
    /// In which room; empty: in none.
    #[prost(string, tag = "4")]
    pub room: String,
    /// To which entry of the room; 0: to none.
    #[prost(uint64, tag = "5")]
    pub seq: u64,
    /// Why, in the words of who did it.
    #[prost(string, tag = "6")]
    pub reason: String,
    /// With which invitation to make an account, by its id; empty: with none.
    #[prost(string, tag = "7")]
    pub invitation: String,
}

/// When it was done, Unix milliseconds, and a number of chance.
pub type LogKey = (u64, u64);

impl Table for AdminLog {
    const TAG: Tag = Tag::AdminLog;
    const NAME: &str = "admin_log";
    type Key = LogKey;
    type Row = Self;
}

/// Writes a row. Nobody else writes one with its key.
pub fn put(batch: &mut Batch, key: LogKey, row: &AdminLog) {
    batch.set(AdminLog::key(&key), record::encode(row));
}

/// At most `limit` rows before one (`None`: from the newest), newest first.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn page_before(
    snapshot: &dyn Snapshot,
    before: Option<&LogKey>,
    limit: usize,
) -> Result<Page<AdminLog>, Error> {
    let mut range = Key::new(Tag::AdminLog).prefix_range();
    if let Some(key) = before {
        range.end = key.write(Key::new(Tag::AdminLog)).build();
    }
    let rows = snapshot.scan(range, limit, true).await?;
    let read = |(key, row): &(Bytes, Bytes)| {
        // A row of a later Weft is shown as far as it is known.
        Ok((AdminLog::read_key(key)?, record::decode(AdminLog::NAME, row)?))
    };
    rows.iter().map(read).collect()
}
