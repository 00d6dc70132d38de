//! What is in a store, table by table.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;
use weft_storage::Store;
use weft_storage::tables::all;

use super::cost::{range_after, table};

/// Rows that are read at once.
const ROWS_AT_ONCE: usize = 4_096;

/// By table.
#[derive(Serialize, Default)]
pub struct Tables {
    rows: BTreeMap<&'static str, u64>,
    /// Of keys and values.
    bytes: BTreeMap<&'static str, u64>,
}

impl Tables {
    pub fn rows_of(&self, table: &str) -> u64 {
        self.rows.get(table).copied().unwrap_or_default()
    }
}

/// Reads all of it.
pub async fn read_tables(store: &Store) -> Result<Tables> {
    let snapshot = store.snapshot().await?;
    let (mut range, mut tables) = (all(), Tables::default());
    loop {
        let pairs = snapshot.scan(range.clone(), ROWS_AT_ONCE, false).await?;
        let Some((last, _)) = pairs.last() else { return Ok(tables) };
        range = range_after(last, &range.end);
        for (key, value) in pairs {
            let table = table(&key).unwrap_or("unknown");
            *tables.rows.entry(table).or_default() += 1;
            *tables.bytes.entry(table).or_default() += (key.len() + value.len()) as u64;
        }
    }
}
