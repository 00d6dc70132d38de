//! What the whole store agrees on. Its row is a guard of every partition commit.

use bytes::Bytes;

use super::Tag;
use super::key::Key;
use super::record;
use crate::error::Error;

/// The version of the keyspace that this Weft reads and writes.
pub const KEY_VERSION: u32 = 1;

/// The store's layout.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Layout {
    /// How many partitions there are.
    #[prost(uint32, tag = "1")]
    pub partitions: u32,
    /// Grows with each change of this row.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    /// [`KEY_VERSION`] of the Weft that made the store.
    #[prost(uint32, tag = "3")]
    pub key_version: u32,
    /// See [`weft_proto::StoreId`].
    #[prost(fixed64, tag = "4")]
    pub store_id: u64,
}

/// The row's key.
#[must_use]
pub fn key() -> Bytes {
    Key::new(Tag::Layout).build()
}

impl Layout {
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
        record::decode("layout", bytes).and_then(Self::checked)
    }

    /// As [`decode`](Self::decode), and refuses what this Weft knows only a part of.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn decode_whole(bytes: &[u8]) -> Result<Self, Error> {
        record::decode_whole("layout", bytes).and_then(Self::checked)
    }

    /// Rooms are spread over at least one partition.
    fn checked(self) -> Result<Self, Error> {
        if self.partitions == 0 {
            return Err(Error::Corrupt("layout: no partitions".into()));
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_without_partitions_is_corrupt() {
        let layout = Layout { partitions: 1, epoch: 4, ..Layout::default() };
        assert_eq!(Layout::decode(&layout.encode()).expect("layout"), layout);
        let none = Layout { partitions: 0, ..layout }.encode();
        assert!(Layout::decode(&none).is_err() && Layout::decode_whole(&none).is_err());
    }
}
