//! How far others have read a partition's journal: each under a name of its own, so that it goes on
//! there, and the journal is kept for it.

use bytes::Bytes;
use weft_proto::{FollowerId, Partition};

use super::key::{Key, KeyReader};
use super::{Tag, record};
use crate::engine::Snapshot;
use crate::error::Error;

/// More of one partition do not hold up its trimming.
const FOLLOWERS_MAX: usize = 1_000;

/// A follower's place in one partition.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Follower {
    /// It has done what follows from every commit up to this number.
    #[prost(uint64, tag = "1")]
    pub commit_no: u64,
    /// Grows each time a process begins to follow under the name: one that was replaced moves nothing.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
}

#[must_use]
pub fn key(partition: Partition, follower: &FollowerId) -> Bytes {
    Key::new(Tag::Follower).u16(partition).name(follower.as_str()).build()
}

/// Those who follow the partition, by name.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn list(
    snapshot: &dyn Snapshot,
    partition: Partition,
) -> Result<Vec<(FollowerId, Follower)>, Error> {
    let all = Key::new(Tag::Follower).u16(partition).prefix_range();
    let rows = snapshot.scan(all, FOLLOWERS_MAX, false).await?;
    rows.iter().map(|(key, value)| Ok((name(key)?, Follower::decode(value)?))).collect()
}

fn name(key: &[u8]) -> Result<FollowerId, Error> {
    let mut reader = KeyReader::new(Tag::Follower, key)?;
    reader.array::<2>()?;
    FollowerId::new(reader.name()?).map_err(|error| Error::Corrupt(format!("follower: {error}")))
}

/// The lowest place of all who follow the partition; `None`: nobody does.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn lowest(snapshot: &dyn Snapshot, partition: Partition) -> Result<Option<u64>, Error> {
    let all = list(snapshot, partition).await?;
    Ok(all.iter().map(|(_, follower)| follower.commit_no).min())
}

impl Follower {
    #[must_use]
    pub fn encode(&self) -> Bytes {
        record::encode(self).into()
    }

    /// Reads the stored form; refuses what this Weft knows only a part of, since it is written again.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        record::decode_whole("follower", bytes)
    }
}
