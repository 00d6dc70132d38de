//! What the whole store agrees on. Its row is a guard of every partition commit.
//!
//! **The feature level** says what the store may contain. A Weft that knows a lower one does not
//! serve the store; one that knows a higher one serves it as the level says, and writes nothing that
//! belongs to a later level. So versions run side by side until `weft admin upgrade` raises it.

use bytes::Bytes;

use super::Tag;
use super::key::Key;
use super::record;
use crate::error::Error;

/// The version of the keyspace that this Weft reads and writes.
pub const KEY_VERSION: u32 = 2;
/// The newest feature level that this Weft knows, and that of a new store.
///
/// - 0: before there were levels (key version 1). No part of Weft may run while it is raised.
/// - 1: levels, a journal by commit numbers, and inboxes and logs of which a part was removed.
/// - 2: edits, deletions and reactions; what a message has beside its text; and inboxes without pointers to what a whole group gets.
/// - 3: marks: up to where members have read a room; pins; threads; mentions; messages that are silent, or forwarded; earlier memberships in
///   members' rows.
/// - 4: people and groups: what groups are beside their title, who may not come back, links by which one joins, drafts, and what users are
///   to each other. Read receipts are turned off; and marks know where others were told of them.
pub const FEATURE_LEVEL: u32 = 4;

/// The record version of a row with a level: a Weft that knows no levels can't read it, so that it
/// stops wherever it reads it, not only at its start.
const LEVELED: u8 = 2;

#[derive(Clone, PartialEq, prost::Message)]
pub struct Layout {
    #[prost(uint32, tag = "1")]
    pub partitions: u32,
    /// Grows with each change of this row.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    /// [`KEY_VERSION`] of the Weft that made or upgraded the store.
    #[prost(uint32, tag = "3")]
    pub key_version: u32,
    /// See [`weft_proto::StoreId`].
    #[prost(fixed64, tag = "4")]
    pub store_id: u64,
    /// What the store may contain: see [`FEATURE_LEVEL`].
    #[prost(uint32, tag = "5")]
    pub feature_level: u32,
    /// While the level is being raised: the one before, which everybody still writes by. 0: it is not.
    #[prost(uint32, tag = "6")]
    pub level_before: u32,
}

/// Why a Weft does not serve a store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotServed {
    /// It was made before there were levels.
    #[error(
        "this store is of an earlier Weft (feature level 0): stop every core and edge, run \
         `weft admin upgrade`, and start them again"
    )]
    TooOld,
    /// It may contain what this Weft does not know.
    #[error(
        "this store is at feature level {level}, and this Weft knows levels up to {known}: run a \
         newer Weft"
    )]
    TooNew {
        /// The store's.
        level: u32,
        /// The newest that is known.
        known: u32,
    },
    /// Its keys have another form.
    #[error("this store has key version {0}, but this Weft reads {KEY_VERSION}: run a newer Weft")]
    KeyVersion(u32),
}

#[must_use]
pub fn key() -> Bytes {
    Key::new(Tag::Layout).build()
}

impl Layout {
    #[must_use]
    pub fn new(partitions: u32, store_id: u64) -> Self {
        let (key_version, feature_level) = (KEY_VERSION, FEATURE_LEVEL);
        Self { partitions, epoch: 1, key_version, store_id, feature_level, level_before: 0 }
    }

    /// By which level the store is written.
    #[must_use]
    pub fn written_level(&self) -> u32 {
        if self.level_before == 0 { self.feature_level } else { self.level_before }
    }

    /// Whether a Weft that knows the levels up to `known` may serve the store.
    ///
    /// # Errors
    /// Why it may not.
    pub fn check(&self, known: u32) -> Result<(), NotServed> {
        match (self.key_version, self.feature_level) {
            (1, _) => Err(NotServed::TooOld),
            (version, _) if version != KEY_VERSION => Err(NotServed::KeyVersion(version)),
            (_, level) if level > known => Err(NotServed::TooNew { level, known }),
            _ => Ok(()),
        }
    }

    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut bytes = record::encode(self);
        if self.feature_level > 0 {
            bytes[0] = LEVELED;
        }
        bytes.into()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        record::decode("layout", &plain(bytes)).and_then(Self::checked)
    }

    /// As [`decode`](Self::decode), and refuses what this Weft knows only a part of.
    ///
    /// # Errors
    /// [`Error::Corrupt`].
    pub fn decode_whole(bytes: &[u8]) -> Result<Self, Error> {
        record::decode_whole("layout", &plain(bytes)).and_then(Self::checked)
    }

    /// Rooms are spread over at least one partition.
    fn checked(self) -> Result<Self, Error> {
        if self.partitions == 0 {
            return Err(Error::Corrupt("layout: no partitions".into()));
        }
        Ok(self)
    }
}

/// The row as every other record is.
fn plain(bytes: &[u8]) -> Vec<u8> {
    let mut plain = bytes.to_vec();
    if let Some(version) = plain.first_mut().filter(|version| **version == LEVELED) {
        *version = record::VERSION;
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_without_partitions_is_corrupt() {
        let layout = Layout { epoch: 4, ..Layout::new(1, 7) };
        assert_eq!(Layout::decode(&layout.encode()).expect("layout"), layout);
        let none = Layout { partitions: 0, ..layout }.encode();
        assert!(Layout::decode(&none).is_err() && Layout::decode_whole(&none).is_err());
    }

    #[test]
    fn a_level_is_served_by_who_knows_it() {
        let layout = Layout { feature_level: 2, ..Layout::new(1, 7) };
        assert_eq!(layout.check(1), Err(NotServed::TooNew { level: 2, known: 1 }));
        assert_eq!([layout.check(2), layout.check(3)], [Ok(()), Ok(())]);
        let first = Layout { key_version: 1, feature_level: 0, ..layout };
        assert_eq!(first.check(2), Err(NotServed::TooOld));
        assert_eq!(Layout { key_version: 9, ..first }.check(2), Err(NotServed::KeyVersion(9)));
    }

    #[test]
    fn who_knows_no_levels_reads_no_row_that_has_one() {
        let leveled = Layout::new(4, 7);
        assert_eq!(Layout::decode_whole(&leveled.encode()).expect("layout"), leveled);
        // The reader of a Weft without levels is that of every record.
        let refused = record::decode::<Layout>("layout", &leveled.encode()).expect_err("read");
        assert!(refused.to_string().contains("record version 2"), "{refused}");
        let first = Layout { key_version: 1, feature_level: 0, ..leveled };
        assert_eq!(record::decode::<Layout>("layout", &first.encode()).expect("read"), first);
    }
}
