//! What one batch does: its operations in order become one write per key.

use std::collections::BTreeMap;

use bytes::Bytes;
use fjall::{Database, Keyspace};
use weft_proto::Position;

use super::cleared::{Cleared, Rows};
use super::keys;
use crate::batch::Op;

/// The newest state, which only the committer may read: it may not be synced yet.
pub struct Newest<'a> {
    pub data: &'a Keyspace,
    pub cleared: &'a Cleared,
}

impl Newest<'_> {
    pub fn get(&self, key: &[u8]) -> fjall::Result<Option<fjall::Slice>> {
        if self.cleared.contains(key) { Ok(None) } else { self.data.get(keys::user(key)) }
    }
}

/// The effect of one batch.
pub struct Writes {
    /// Key → value, or `None`: removed.
    keys: BTreeMap<Bytes, Option<Bytes>>,
    /// The cleared ranges after it.
    pub cleared: Cleared,
    rows: Rows,
}

impl Writes {
    /// Interprets the operations of a batch that gets this position. A range with more than
    /// `clear_now_keys_max` keys is only written down as cleared.
    pub fn of(
        ops: &[Op],
        position: Position,
        newest: &Newest<'_>,
        clear_now_keys_max: usize,
    ) -> fjall::Result<Self> {
        let mut writes =
            Self { keys: BTreeMap::new(), cleared: newest.cleared.clone(), rows: Rows::new() };
        for op in ops {
            match op {
                Op::Set { key, value } => writes.set(key.clone(), value.clone()),
                Op::Clear { key } => {
                    writes.keys.insert(key.clone(), None);
                }
                Op::ClearRange { from, to } => {
                    writes.clear_range(from, to, newest, clear_now_keys_max)?;
                }
                Op::Max { key, value } => {
                    if writes.is_below(key, value, newest)? {
                        writes.set(key.clone(), value.clone());
                    }
                }
                Op::SetPositioned { key, order, value } => {
                    let value = [&position.with_order(*order).0, value.as_ref()].concat();
                    writes.set(key.clone(), value.into());
                }
                Op::SetAtPosition { prefix, order, value } => {
                    let key = [prefix.as_ref(), &position.with_order(*order).0].concat();
                    writes.set(key.into(), value.clone());
                }
            }
        }
        Ok(writes)
    }

    fn set(&mut self, key: Bytes, value: Bytes) {
        self.cleared.split_at(&key, &mut self.rows);
        self.keys.insert(key, Some(value));
    }

    fn is_below(&self, key: &Bytes, value: &Bytes, newest: &Newest<'_>) -> fjall::Result<bool> {
        if let Some(written) = self.keys.get(key) {
            return Ok(written.as_ref().is_none_or(|written| written < value));
        }
        if self.cleared.contains(key) {
            return Ok(true);
        }
        Ok(newest.get(key)?.is_none_or(|stored| stored.as_ref() < value.as_ref()))
    }

    fn clear_range(
        &mut self,
        from: &Bytes,
        to: &Bytes,
        newest: &Newest<'_>,
        clear_now_keys_max: usize,
    ) -> fjall::Result<()> {
        if from >= to {
            return Ok(());
        }
        let mut stored = Vec::new();
        'parts: for part in self.cleared.visible(from.clone()..to.clone()) {
            for pair in newest.data.range(keys::user(&part.start)..keys::user(&part.end)) {
                stored.push(keys::user_key(&pair.key()?));
                if stored.len() > clear_now_keys_max {
                    break 'parts;
                }
            }
        }
        if stored.len() > clear_now_keys_max {
            let written: Vec<Bytes> =
                self.keys.range(from.clone()..to.clone()).map(|(key, _)| key.clone()).collect();
            for key in written {
                self.keys.remove(&key);
            }
            self.cleared.add(from.clone()..to.clone(), &mut self.rows);
        } else {
            for (_, value) in self.keys.range_mut(from.clone()..to.clone()) {
                *value = None;
            }
            self.keys.extend(stored.into_iter().map(|key| (key, None)));
        }
        Ok(())
    }

    /// As one atomic batch of the library, still without the state row.
    pub fn into_batch(self, database: &Database, data: &Keyspace) -> fjall::OwnedWriteBatch {
        let count = self.keys.len() + self.rows.len() + 1;
        let mut batch = fjall::OwnedWriteBatch::with_capacity(database.clone(), count);
        for (key, value) in &self.keys {
            match value {
                Some(value) => batch.insert(data, keys::user(key), value.as_ref()),
                None => batch.remove(data, keys::user(key)),
            }
        }
        insert_rows(&mut batch, data, &self.rows);
        batch
    }
}

/// Writes changes of the cleared ranges.
pub fn insert_rows(batch: &mut fjall::OwnedWriteBatch, data: &Keyspace, rows: &Rows) {
    for (from, to) in rows {
        match to {
            Some(to) => batch.insert(data, keys::cleared(from), to.as_ref()),
            None => batch.remove(data, keys::cleared(from)),
        }
    }
}
