//! How far a partition's ingest log is applied, by whom. The whole row is the guard of every
//! commit of the partition: whoever holds an older one commits nothing.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weft_proto::Partition;

use super::key::Key;
use super::table::Table;
use super::{Tag, hex, record};
use crate::engine::Snapshot;
use crate::error::Error;

#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Applied {
    /// Every command up to this stream sequence is applied.
    #[prost(uint64, tag = "1")]
    pub stream_seq: u64,
    #[prost(string, tag = "2")]
    pub owner: String,
    /// Grows each time somebody takes the partition.
    #[prost(uint64, tag = "3")]
    pub epoch: u64,
    /// The id of the batch that wrote the row: evidence for an unknown outcome.
    #[prost(bytes = "vec", tag = "4")]
    #[serde(with = "hex")]
    pub batch_id: Vec<u8>,
    /// The events of every journal row up to this commit number are published.
    #[prost(uint64, tag = "5")]
    pub published_up_to: u64,
    /// Client ids of an earlier hour (since the Unix epoch) are refused: their resend records are
    /// gone.
    #[prost(uint32, tag = "6")]
    pub floor_hour: u32,
    /// An operator has accepted that the store lacks what its ingest log has trimmed: the next
    /// owner goes on after it.
    #[prost(bool, tag = "7")]
    pub loss_accepted: bool,
    /// See [`last_commit_no`](Self::last_commit_no). None before a Weft that numbers commits has
    /// taken the partition.
    #[prost(uint64, optional, tag = "8")]
    pub commit_no: Option<u64>,
    /// Journal rows up to this commit number are deleted: who has read less can't be told what it
    /// misses.
    #[prost(uint64, tag = "9")]
    pub trimmed_up_to: u64,
}

/// The partition's row in a snapshot; where nobody has taken it yet, an empty one.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn read(snapshot: &dyn Snapshot, partition: Partition) -> Result<Applied, Error> {
    let row = snapshot.get(key(partition)).await?;
    row.as_deref().map(Applied::decode).transpose().map(Option::unwrap_or_default)
}

#[must_use]
pub fn key(partition: Partition) -> Bytes {
    Key::new(Tag::Applied).u16(partition).build()
}

impl Table for Applied {
    const TAG: Tag = Tag::Applied;
    const NAME: &str = "applied";
    type Key = Partition;
    type Row = Self;

    fn partition(partition: &Partition) -> Option<Partition> {
        Some(*partition)
    }
}

impl Applied {
    /// The number of the partition's newest commit that has a journal row. Numbers begin after the
    /// stream sequence that was applied then, since rows had that as their key before.
    #[must_use]
    pub fn last_commit_no(&self) -> u64 {
        self.commit_no.unwrap_or(self.stream_seq)
    }

    #[must_use]
    pub fn encode(&self) -> Bytes {
        record::encode(self).into()
    }

    /// Reads the stored form, and nothing less than all of it: owners rewrite it.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        record::decode_whole("applied", bytes)
    }
}
