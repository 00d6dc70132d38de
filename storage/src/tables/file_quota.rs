//! How much users have begun to upload on a day: one row of a user at the most.

use std::ops::Range;

use bytes::Bytes;
use weft_proto::UserId;

use super::Tag;
use super::key::Key;
use super::record;
use crate::error::Error;

#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct FileQuota {
    #[prost(uint64, tag = "1")]
    pub bytes: u64,
    #[prost(uint64, tag = "2")]
    pub files: u64,
}

/// `day`: since the Unix epoch.
#[must_use]
pub fn key(user: &UserId, day: u32) -> Bytes {
    Key::new(Tag::FileQuota).name(user.as_str()).u32(day).build()
}

/// The rows of the days before.
#[must_use]
pub fn range_before(user: &UserId, day: u32) -> Range<Bytes> {
    key(user, 0)..key(user, day)
}

impl FileQuota {
    #[must_use]
    pub fn encode(&self) -> Bytes {
        record::encode(self).into()
    }

    /// # Errors
    /// [`Error::Corrupt`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        record::decode_whole("file_quota", bytes)
    }
}
