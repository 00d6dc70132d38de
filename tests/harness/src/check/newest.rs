//! What a device knows of that of which the newest frame counts.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::history::{Cursor, Event};

/// By key; and what it knew when each cursor came, to which it goes back where it lost what came afterwards.
pub(super) struct Newest<'a, K, V> {
    now: BTreeMap<K, V>,
    at_cursor: HashMap<&'a Cursor, BTreeMap<K, V>>,
    /// Of these a frame came since it began to load: that is at least as new as what it loads.
    told: BTreeSet<K>,
}

impl<K, V> Default for Newest<'_, K, V> {
    fn default() -> Self {
        Self { now: BTreeMap::new(), at_cursor: HashMap::new(), told: BTreeSet::new() }
    }
}

impl<'a, K: Copy + Ord, V: Copy> Newest<'a, K, V> {
    pub(super) fn get(&self, key: &K) -> Option<V> {
        self.now.get(key).copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (K, V)> {
        self.now.iter().map(|(key, value)| (*key, *value))
    }

    /// A frame.
    pub(super) fn tell(&mut self, key: K, value: V) {
        self.now.insert(key, value);
        self.told.insert(key);
    }

    /// What is answered to who loads: all of these keys.
    pub(super) fn load(&mut self, is_of: impl Fn(&K) -> bool, loaded: BTreeMap<K, V>) {
        self.now.retain(|key, _| !is_of(key) || self.told.contains(key));
        let old = |key: &K| !self.told.contains(key);
        self.now.extend(loaded.into_iter().filter(|(key, _)| old(key)));
    }

    /// What else happens to the device.
    pub(super) fn step(&mut self, event: &'a Event) {
        match event {
            Event::Opened { cursor, .. } => {
                self.told.clear();
                if let Some(then) = cursor.as_ref().and_then(|cursor| self.at_cursor.get(cursor)) {
                    self.now.clone_from(then);
                }
            }
            Event::Synced { recovered: false, .. } => self.told.clear(),
            Event::Synced { recovered: true, cursor, .. } | Event::Cursor { cursor, .. } => {
                self.at_cursor.entry(cursor).or_insert_with(|| self.now.clone());
            }
            Event::LoadedAll { cursor, .. } => {
                self.at_cursor.insert(cursor, self.now.clone());
            }
            _ => {}
        }
    }
}
