//! A set of seqs: long runs, few holes.

use std::collections::BTreeMap;

/// Runs of seqs, by their first ones.
#[derive(Clone, Default, Debug)]
pub(super) struct Seqs {
    runs: BTreeMap<u64, u64>,
}

impl Seqs {
    pub(super) fn insert(&mut self, seq: u64) {
        if self.contains(seq) {
            return;
        }
        let after = self.runs.remove(&(seq + 1));
        let end = after.unwrap_or(seq);
        match self.runs.range_mut(..seq).next_back() {
            Some((_, before)) if *before + 1 == seq => *before = end,
            _ => {
                self.runs.insert(seq, end);
            }
        }
    }

    pub(super) fn contains(&self, seq: u64) -> bool {
        self.runs.range(..=seq).next_back().is_some_and(|(_, end)| *end >= seq)
    }

    pub(super) fn last(&self) -> Option<u64> {
        self.runs.last_key_value().map(|(_, end)| *end)
    }

    /// What is missing between the first and the last one.
    pub(super) fn holes(&self) -> impl Iterator<Item = u64> {
        let ends = self.runs.values();
        let starts = self.runs.keys().skip(1);
        ends.zip(starts).flat_map(|(end, start)| end + 1..*start)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::seq::SliceRandom;

    use super::*;

    #[test]
    fn runs_grow_together_in_any_order() {
        for _ in 0..200 {
            let mut wanted: Vec<u64> = (1..40).filter(|_| rand::random()).collect();
            wanted.shuffle(&mut rand::rng());
            let mut seqs = Seqs::default();
            let mut model = BTreeSet::new();
            for seq in wanted {
                seqs.insert(seq);
                seqs.insert(seq);
                model.insert(seq);
                assert_eq!(seqs.last(), model.last().copied());
                assert!((0..41).all(|seq| seqs.contains(seq) == model.contains(&seq)), "{model:?}");
                let (first, last) = (model.first(), model.last());
                let range = first.copied().unwrap_or(1)..=last.copied().unwrap_or(0);
                let holes: Vec<u64> = range.filter(|seq| !model.contains(seq)).collect();
                assert_eq!(seqs.holes().collect::<Vec<_>>(), holes);
            }
        }
    }
}
