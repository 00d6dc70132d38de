//! Checks what arrives at one end of a room: each of the sender's messages once, in order.

use std::collections::BTreeSet;

/// What one end has seen of a room's log, of which the first seq is 1.
#[derive(Default)]
pub struct LogCheck {
    /// The highest seq seen.
    seq_last: u64,
    /// Below it, but not seen.
    missing: BTreeSet<u64>,
    duplicated: u64,
    reordered: u64,
}

impl LogCheck {
    /// An entry came; `number` is the sender's own count, from 0. True where it had not come before.
    pub fn saw(&mut self, seq: u64, number: u64) -> bool {
        // The room has one sender, so its count and the log's must agree.
        if number + 1 != seq {
            self.reordered += 1;
        }
        if seq == self.seq_last + 1 {
            self.seq_last = seq;
        } else if seq > self.seq_last {
            self.missing.extend(self.seq_last + 1..seq);
            self.seq_last = seq;
        } else if self.missing.remove(&seq) {
            self.reordered += 1;
        } else {
            self.duplicated += 1;
            return false;
        }
        true
    }

    /// How many different entries came.
    pub fn seen(&self) -> u64 {
        self.seq_last - self.missing.len() as u64
    }

    /// How many of `sent` did not come.
    pub fn lost(&self, sent: u64) -> u64 {
        sent.saturating_sub(self.seen())
    }

    pub fn duplicated(&self) -> u64 {
        self.duplicated
    }

    pub fn reordered(&self) -> u64 {
        self.reordered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(seqs: &[u64]) -> (u64, u64, u64) {
        let mut check = LogCheck::default();
        for seq in seqs {
            check.saw(*seq, seq - 1);
        }
        (check.lost(4), check.duplicated(), check.reordered())
    }

    #[test]
    fn every_fault_is_counted() {
        assert_eq!(check(&[1, 2, 3, 4]), (0, 0, 0));
        assert_eq!(check(&[1, 2, 4]), (1, 0, 0));
        assert_eq!(check(&[1, 2, 3]), (1, 0, 0));
        assert_eq!(check(&[1, 2, 2, 3, 4]), (0, 1, 0));
        assert_eq!(check(&[1, 3, 2, 4]), (0, 0, 1));
        assert_eq!(check(&[]), (4, 0, 0));
        let mut swapped = LogCheck::default();
        swapped.saw(1, 1);
        assert_eq!(swapped.reordered(), 1);
    }
}
