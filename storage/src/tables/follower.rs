//! How far others have read a partition's journal: each under a name of its own, so that it goes on
//! there, and the journal is kept for it.

use bytes::Bytes;
use weft_proto::{FollowerId, Partition};

use super::key::Key;
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

/// The lowest place of all who follow the partition; `None`: nobody does.
///
/// # Errors
/// Those of the snapshot, or [`Error::Corrupt`].
pub async fn lowest(snapshot: &dyn Snapshot, partition: Partition) -> Result<Option<u64>, Error> {
    let all = Key::new(Tag::Follower).u16(partition).prefix_range();
    let mut lowest = None;
    for (_, value) in snapshot.scan(all, FOLLOWERS_MAX, false).await? {
        let commit_no = Follower::decode(&value)?.commit_no;
        lowest = Some(lowest.map_or(commit_no, |lowest: u64| lowest.min(commit_no)));
    }
    Ok(lowest)
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
