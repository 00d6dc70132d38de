//! A store that is being filled from an export: from which one, and how far. Each commit of the
//! import moves the row, and the last one, which writes the layout, removes it. While it is there
//! nobody gives the store a layout, so no core opens what is half there.

use bytes::Bytes;

use super::Tag;
use super::key::Key;
use super::record;
use crate::error::Error;

#[derive(Clone, PartialEq, prost::Message)]
pub struct Import {
    /// SHA-256 of the export's lines, 32 bytes: another export can't go on here.
    #[prost(bytes = "vec", tag = "1")]
    pub checksum: Vec<u8>,
    /// So many lines of it are in the store.
    #[prost(uint64, tag = "2")]
    pub lines: u64,
    /// The id of the batch that wrote the row: evidence for an unknown outcome.
    #[prost(bytes = "vec", tag = "3")]
    pub batch_id: Vec<u8>,
}

#[must_use]
pub fn key() -> Bytes {
    Key::new(Tag::Import).build()
}

impl Import {
    #[must_use]
    pub fn encode(&self) -> Bytes {
        record::encode(self).into()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        record::decode("import", bytes)
    }
}
