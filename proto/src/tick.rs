//! An owner's sign of life, once a second per partition (`weft.sig.tick.<partition>`). Ticks may be
//! lost; their numbers tell. A store that lost commits gives numbers again, so a tick says of which
//! store it is.

use prost::Message;

/// The version of the encoding. A reader refuses any other. 2: audits speak of commit numbers; whoever
/// knows version 1 alone would compare these with stream sequences.
const VERSION: u8 = 2;

/// What an owner says of its partition. It is made from one snapshot of the store in which the
/// partition's `applied` row was the owner's own. Where the owner's store is in trouble there is
/// none: then `applied` and `commit_no` are 0 and `read_version` is empty, so that it proves nothing to anybody.
#[derive(Clone, PartialEq, Message)]
pub struct Tick {
    /// Grows with each taking of the partition. Ticks of a lower one are of an owner that was
    /// replaced.
    #[prost(uint64, tag = "1")]
    pub epoch: u64,
    /// From 1 in each epoch, without a gap.
    #[prost(uint64, tag = "2")]
    pub number: u64,
    /// Every command up to this stream sequence is applied: evidence for who sends again.
    #[prost(uint64, tag = "3")]
    pub applied: u64,
    /// The ingest log's last sequence, looked at before the snapshot was opened.
    #[prost(uint64, tag = "4")]
    pub last_seq: u64,
    /// The snapshot's read version, 12 bytes: nothing of the partition at or before it is after
    /// `commit_no`.
    #[prost(bytes = "vec", tag = "5")]
    pub read_version: Vec<u8>,
    /// The owner has been without its store for so long that new commands are to be refused. Then
    /// there is no `applied`: who does not know this field learns nothing from such a tick.
    #[prost(bool, tag = "6")]
    pub stalled: bool,
    /// The number of the partition's newest commit: what audits ask after.
    #[prost(uint64, tag = "7")]
    pub commit_no: u64,
    /// The [`StoreId`](crate::StoreId) of the store that all of this is of. `None`: the owner is of an
    /// earlier version, which does not say it.
    #[prost(fixed64, optional, tag = "8")]
    pub store_id: Option<u64>,
}

/// Which tick of its partition it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TickName {
    store_id: Option<u64>,
    epoch: u64,
    number: u64,
}

impl TickName {
    /// True where this tick is newer. What another store numbers says nothing of this one's order:
    /// whatever comes from there is newer.
    #[must_use]
    pub fn is_after(&self, seen: &Self) -> bool {
        self.is_of_another_store(seen) || (self.epoch, self.number) > (seen.epoch, seen.number)
    }

    /// True where no tick is missing between the two.
    #[must_use]
    pub fn is_next_after(&self, seen: &Self) -> bool {
        let is_next = seen.number.checked_add(1) == Some(self.number);
        is_next && self.epoch == seen.epoch && !self.is_of_another_store(seen)
    }

    fn is_of_another_store(&self, seen: &Self) -> bool {
        self.store_id.zip(seen.store_id).is_some_and(|(own, others)| own != others)
    }
}

impl Tick {
    /// Which one it is.
    #[must_use]
    pub fn name(&self) -> TickName {
        let Self { store_id, epoch, number, .. } = *self;
        TickName { store_id, epoch, number }
    }

    /// The form on the wire.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + self.encoded_len());
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.encode_to_vec());
        bytes
    }

    /// Reads the form on the wire; `None` for anything else.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first() {
            Some((&VERSION, rest)) => <Self as Message>::decode(rest).ok(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_round_trips() {
        let read_version = vec![1; 12];
        let (epoch, number, applied, last_seq, commit_no) = (3, 1, 7, 9, 5);
        let (stalled, store_id) = (true, Some(7));
        let tick =
            Tick { epoch, number, applied, last_seq, read_version, stalled, commit_no, store_id };
        assert_eq!(Tick::decode(&tick.encode()), Some(tick));
        assert_eq!(Tick::decode(b""), None);
        assert_eq!(Tick::decode(&[9, 8]), None);
        let mut old = Tick::default().encode();
        old[0] = 1;
        assert_eq!(Tick::decode(&old), None);
    }

    #[test]
    fn a_tick_of_a_core_that_names_no_store_is_read() {
        let tick = Tick { epoch: 3, number: 1, ..Tick::default() };
        assert_eq!(tick.encode(), [2, 8, 3, 16, 1], "as it was before stores were named");
        assert_eq!(Tick::decode(&[2, 8, 3, 16, 1]), Some(tick));
    }

    #[test]
    fn numbers_are_of_a_store() {
        let name = |store_id, epoch, number| TickName { store_id, epoch, number };
        let seen = name(Some(1), 5, 9);
        for (newer, is_next) in [
            (name(Some(1), 5, 10), true),
            (name(Some(1), 5, 11), false),
            (name(Some(1), 6, 1), false),
            (name(None, 5, 10), true),
            (name(Some(2), 1, 1), false),
            (name(Some(2), 5, 10), false),
        ] {
            assert!(newer.is_after(&seen), "{newer:?}");
            assert_eq!(newer.is_next_after(&seen), is_next, "{newer:?}");
        }
        for older in [seen, name(Some(1), 5, 8), name(Some(1), 4, 99), name(None, 5, 9)] {
            assert!(!older.is_after(&seen) && !older.is_next_after(&seen), "{older:?}");
        }
        let last = name(Some(1), 5, u64::MAX);
        assert!(!seen.is_next_after(&last) && !last.is_next_after(&last));
    }
}
