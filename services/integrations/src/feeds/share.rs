//! What a bot's feed has, in bytes, and up to where it is too much. Pure.

use std::collections::VecDeque;

/// Subject, headers and the stream's own bytes of a message, about.
pub(crate) const OVERHEAD_BYTES: u64 = 256;
/// In so many pieces a full share is remembered.
const PIECES: u64 = 16;

/// The share of one bot: memory for some pieces, however much there is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Share {
    /// What the feed has carried, from its beginning on.
    carried: u64,
    /// What it has now, oldest first: up to which sequence of the stream, and how many bytes.
    pieces: VecDeque<(u64, u64)>,
    /// What is put and in no piece yet.
    open: u64,
}

impl Share {
    /// Of a feed that has `bytes` up to a sequence.
    pub(crate) fn of_stored(carried: u64, stream_seq: u64, bytes: u64) -> Self {
        Self { carried, pieces: [(stream_seq, bytes)].into(), open: 0 }
    }

    /// Something is put: what the feed has carried then.
    pub(crate) fn add(&mut self, bytes: u64) -> u64 {
        self.carried += bytes;
        self.open += bytes;
        self.carried
    }

    pub(crate) fn carried(&self) -> u64 {
        self.carried
    }

    /// What was put last is in the stream, under this sequence.
    pub(crate) fn kept_at(&mut self, stream_seq: u64, bytes_max: u64) {
        if self.open >= (bytes_max / PIECES).max(1) {
            let newest = self.pieces.back().map_or(0, |(seq, _)| *seq);
            self.pieces.push_back((stream_seq.max(newest), self.open));
            self.open = 0;
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.pieces.iter().map(|(_, bytes)| bytes).sum::<u64>() + self.open
    }

    /// Where it has more than it may: up to which sequence to remove, so that three quarters are left.
    pub(crate) fn take_excess(&mut self, bytes_max: u64) -> Option<u64> {
        if self.bytes() <= bytes_max {
            return None;
        }
        let mut through = None;
        while self.bytes() > bytes_max / 4 * 3
            && let Some((seq, _)) = self.pieces.pop_front()
        {
            through = Some(seq);
        }
        through
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_pieces_are_too_much_and_three_quarters_stay() {
        let mut share = Share::of_stored(500, 40, 100);
        for seq in 41..=140 {
            share.add(10);
            share.kept_at(seq, 1_600);
        }
        assert_eq!((share.carried(), share.bytes()), (1_500, 1_100));
        assert_eq!(share.take_excess(1_600), None);
        for seq in 141..=200 {
            assert_eq!(share.add(10), 1_500 + (seq - 140) * 10);
            share.kept_at(seq, 1_600);
        }
        assert_eq!(share.bytes(), 1_700);
        // What was stored before is one piece, and the first to go; the next ones have 100 bytes each.
        assert_eq!(share.take_excess(1_600), Some(80));
        assert_eq!(share.bytes(), 1_200);
        assert_eq!(share.take_excess(1_600), None);
    }

    #[test]
    fn memory_is_bounded_by_pieces() {
        let mut share = Share::default();
        for seq in 1..100_000 {
            share.add(1);
            share.kept_at(seq, 16_000);
            share.take_excess(16_000);
            assert!(share.pieces.len() <= 18 && share.bytes() <= 16_000);
        }
    }
}
