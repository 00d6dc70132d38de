//! An owner's sign of life, once a second per partition (`weft.sig.tick.<partition>`). Ticks may be
//! lost; their numbers tell.

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
}

impl Tick {
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
        let tick =
            Tick { epoch, number, applied, last_seq, read_version, stalled: true, commit_no };
        assert_eq!(Tick::decode(&tick.encode()), Some(tick));
        assert_eq!(Tick::decode(b""), None);
        assert_eq!(Tick::decode(&[9, 8]), None);
        let mut old = Tick::default().encode();
        old[0] = 1;
        assert_eq!(Tick::decode(&old), None);
    }
}
