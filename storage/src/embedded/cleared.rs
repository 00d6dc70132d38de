//! Ranges that are cleared but not yet swept.
//!
//! The tree can remove a range only key by key; an hour of resend records may be millions. So a
//! range with many keys is written down as cleared, in the same atomic batch as everything else,
//! and its keys are swept afterwards in small steps between commits. Until then readers skip it:
//! each view holds the ranges of its own moment.
//!
//! Invariants: ranges are disjoint, and no range holds a key that is visible. A key that is set
//! inside one splits it.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::sync::Arc;

use bytes::Bytes;

use super::keys;

/// The cleared ranges of one moment: first key → first key that stays. Cheap to clone.
#[derive(Clone, Default)]
pub struct Cleared {
    ranges: Arc<BTreeMap<Bytes, Bytes>>,
}

/// What has to be written for a change: a range's first key → its end, or `None`: the row goes.
pub type Rows = BTreeMap<Bytes, Option<Bytes>>;

impl Cleared {
    /// Those that were stored.
    pub fn from_ranges(ranges: impl IntoIterator<Item = (Bytes, Bytes)>) -> Self {
        Self { ranges: Arc::new(ranges.into_iter().collect()) }
    }

    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    pub fn first(&self) -> Option<Range<Bytes>> {
        self.ranges.first_key_value().map(|(from, to)| from.clone()..to.clone())
    }

    pub fn contains(&self, key: &[u8]) -> bool {
        self.holding(key).is_some()
    }

    fn holding(&self, key: &[u8]) -> Option<Range<Bytes>> {
        let upto = (Bound::Unbounded, Bound::Included(key));
        let (from, to) = self.ranges.range::<[u8], _>(upto).next_back()?;
        (key < to.as_ref()).then(|| from.clone()..to.clone())
    }

    /// Adds a range; what it overlaps or touches becomes one with it.
    pub fn add(&mut self, range: Range<Bytes>, rows: &mut Rows) {
        let Range { start: mut from, end: mut to } = range;
        while let Some(near) = self.last_upto(&to).filter(|near| near.end >= from) {
            to = to.max(near.end);
            from = from.min(near.start.clone());
            self.remove(near.start, rows);
        }
        self.insert(from, to, rows);
    }

    /// The last range that starts at or before this key.
    fn last_upto(&self, key: &Bytes) -> Option<Range<Bytes>> {
        let (from, to) = self.ranges.range(..=key.clone()).next_back()?;
        Some(from.clone()..to.clone())
    }

    /// Takes one key out, because it is about to be set.
    pub fn split_at(&mut self, key: &Bytes, rows: &mut Rows) {
        let Some(Range { start, end }) = self.holding(key) else { return };
        self.remove(start.clone(), rows);
        self.insert(start, key.clone(), rows);
        self.insert(keys::next(key), end, rows);
    }

    /// Cuts the front off the range that starts at `from`: it is swept up to `upto`.
    pub fn shrink(&mut self, from: Bytes, upto: Bytes, rows: &mut Rows) {
        let Some(to) = self.ranges.get(&from).cloned() else { return };
        self.remove(from, rows);
        self.insert(upto, to, rows);
    }

    /// The parts of a range that no cleared range covers, ascending.
    pub fn visible(&self, range: Range<Bytes>) -> Vec<Range<Bytes>> {
        let Range { start: mut from, end: to } = range;
        if from >= to {
            return Vec::new();
        }
        if let Some(holding) = self.holding(&from) {
            from = holding.end;
        }
        let mut parts = Vec::with_capacity(1);
        if from >= to {
            return parts;
        }
        for (cleared_from, cleared_to) in self.ranges.range(from.clone()..to.clone()) {
            if from < *cleared_from {
                parts.push(from..cleared_from.clone());
            }
            from = cleared_to.clone();
        }
        if from < to {
            parts.push(from..to);
        }
        parts
    }

    fn insert(&mut self, from: Bytes, to: Bytes, rows: &mut Rows) {
        if from < to {
            rows.insert(from.clone(), Some(to.clone()));
            Arc::make_mut(&mut self.ranges).insert(from, to);
        }
    }

    fn remove(&mut self, from: Bytes, rows: &mut Rows) {
        Arc::make_mut(&mut self.ranges).remove(&from);
        rows.insert(from, None);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn key(number: u8) -> Bytes {
        Bytes::from(vec![number])
    }

    proptest! {
        /// Against a set of one-byte keys, where a key's successor is the next number.
        #[test]
        fn ranges_cover_what_was_added_and_not_split_out(
            steps in vec((any::<bool>(), 0..24_u8, 0..24_u8), 1..40),
            (from, to) in (0..24_u8, 0..24_u8),
        ) {
            let (mut cleared, mut model, mut stored) =
                (Cleared::default(), BTreeSet::new(), BTreeMap::new());
            for (is_split, one, other) in steps {
                let mut rows = Rows::new();
                if is_split {
                    cleared.split_at(&key(one), &mut rows);
                    model.remove(&one);
                } else if one < other {
                    cleared.add(key(one)..key(other), &mut rows);
                    model.extend(one..other);
                }
                for (from, to) in rows {
                    match to {
                        Some(to) => stored.insert(from, to),
                        None => stored.remove(&from),
                    };
                }
            }
            prop_assert_eq!(&stored, &*cleared.ranges, "what is stored is what is known");
            let ends: Vec<_> = stored.iter().flat_map(|(from, to)| [from, to]).collect();
            prop_assert!(ends.is_sorted());
            for number in 0..24 {
                prop_assert_eq!(cleared.contains(&[number]), model.contains(&number));
            }
            let parts = cleared.visible(key(from)..key(to));
            for number in 0..24 {
                let is_in_part = parts.iter().any(|part| part.contains(&key(number)));
                let expected = (from..to).contains(&number) && !model.contains(&number);
                prop_assert_eq!(is_in_part, expected);
            }
        }
    }
}
