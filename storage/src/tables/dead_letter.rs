//! Commands that could not be applied, put aside for a person to look at.

use bytes::Bytes;
use weft_proto::Partition;

use super::key::{Key, Tag};
use super::record;
use crate::error::Error;

/// Most bytes of the payload that are kept.
pub const PAYLOAD_BYTES_MAX: usize = 90_000;

/// A command that could not be applied.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DeadLetter {
    /// Who sent it.
    #[prost(string, tag = "1")]
    pub sender: String,
    /// To which room.
    #[prost(string, tag = "2")]
    pub room: String,
    /// Its first [`PAYLOAD_BYTES_MAX`] bytes.
    #[prost(bytes = "bytes", tag = "3")]
    pub payload: Bytes,
    /// Why it could not be applied.
    #[prost(string, tag = "4")]
    pub reason: String,
    /// When, Unix milliseconds.
    #[prost(uint64, tag = "5")]
    pub time_ms: u64,
}

/// The row's key.
#[must_use]
pub fn key(partition: Partition, stream_seq: u64) -> Bytes {
    Key::new(Tag::DeadLetter).u16(partition).u64(stream_seq).build()
}

impl DeadLetter {
    /// The stored form.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        record::encode(self).into()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        record::decode("dead letter", bytes)
    }
}
