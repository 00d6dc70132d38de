//! Rows of users that are no entries, as the checker knows them: of each what it was at each of its commits, from the first
//! one on.

use std::collections::BTreeMap;

use weft_proto::Position;

pub struct Rows<K, R>(BTreeMap<K, Vec<(Position, R)>>);

impl<K, R> Default for Rows<K, R> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord, R: PartialEq> Rows<K, R> {
    pub fn write(&mut self, key: K, position: Position, row: R) {
        self.0.entry(key).or_default().push((position, row));
    }

    pub fn newest(&self, key: &K) -> Option<&R> {
        Some(&self.0.get(key)?.last()?.1)
    }

    /// True where some commit has made the row so.
    pub fn was(&self, key: &K, is_it: impl Fn(&R) -> bool) -> bool {
        self.0.get(key).into_iter().flatten().any(|(_, row)| is_it(row))
    }

    /// The newest of each, and where it was written.
    pub fn all(&self) -> impl Iterator<Item = (&K, &Position, &R)> {
        self.0.iter().filter_map(|(key, versions)| {
            let (position, row) = versions.last()?;
            Some((key, position, row))
        })
    }

    /// One that changed up to there, and of which a device that hears of it since `began` knows neither how it was then, nor
    /// anything later.
    pub fn unheard<'a>(
        &'a self,
        known: impl Fn(&K) -> Option<&'a R>,
        began: Position,
        up_to: Position,
    ) -> impl Iterator<Item = &'a K> {
        self.0.iter().filter_map(move |(key, versions)| {
            let count = versions.partition_point(|(position, _)| *position <= up_to);
            let newest = count.checked_sub(1).filter(|last| versions[*last].0 > began)?;
            let told = known(key);
            let is_known = versions[newest..].iter().any(|(_, row)| Some(row) == told);
            (!is_known).then_some(key)
        })
    }
}
