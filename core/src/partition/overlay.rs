//! What an owner wrote in commits that a lookup may not have seen: it stands in for the store's rows.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use super::state::PlanNo;

/// The newest value of each key, until a lookup has begun after its commit.
pub struct Overlay<K, V> {
    values: HashMap<K, (PlanNo, V)>,
    /// The keys of each commit; one may come again in a later one.
    order: BTreeMap<PlanNo, Vec<K>>,
}

impl<K, V> Default for Overlay<K, V> {
    fn default() -> Self {
        Self { values: HashMap::new(), order: BTreeMap::new() }
    }
}

impl<K: Clone + Eq + Hash, V> Overlay<K, V> {
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        self.values.get(key).map(|(_, value)| value)
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.values.iter().map(|(key, (_, value))| (key, value))
    }

    /// Remembers what this commit writes.
    pub fn remember(&mut self, no: PlanNo, key: K, value: V) {
        self.order.entry(no).or_default().push(key.clone());
        self.values.insert(key, (no, value));
    }

    /// See [`State::forget_settled`](super::state::State::forget_settled).
    pub fn forget_settled(&mut self, settled: PlanNo) {
        let open = self.order.split_off(&(settled + 1));
        for key in std::mem::replace(&mut self.order, open).into_values().flatten() {
            // What a later commit changed again is kept until that is settled.
            if self.values.get(&key).is_some_and(|(no, _)| *no <= settled) {
                self.values.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_kept_until_its_newest_commit_is_settled() {
        let mut overlay = Overlay::default();
        for (no, key, value) in [(1, "a", 1), (1, "b", 1), (2, "a", 2), (2, "a", 3)] {
            overlay.remember(no, key, value);
        }
        overlay.forget_settled(1);
        assert_eq!((overlay.get(&"a"), overlay.get(&"b")), (Some(&3), None));
        overlay.forget_settled(2);
        assert_eq!(overlay.get(&"a"), None);
    }
}
