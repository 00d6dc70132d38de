//! Reads at one version of the cluster.

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use foundationdb::options::StreamingMode;
use foundationdb::{KeySelector, RangeOption, Transaction};
use weft_proto::Position;

use super::{Namespace, Network, answered};
use crate::engine::{Pair, Snapshot};
use crate::error::Error;

/// Reads of one `get_many` that are underway together.
const READS_AT_ONCE: usize = 1_000;
/// Scans up to this limit come in one answer; longer ones page by page.
const ONE_PAGE_KEYS_MAX: usize = 200;

/// A transaction that only reads. Without conflict ranges: nothing is held in the cluster.
pub struct View {
    transaction: Transaction,
    version: i64,
    namespace: Namespace,
    _network: Network,
}

impl View {
    pub fn new(
        transaction: Transaction,
        version: i64,
        namespace: Namespace,
        network: Network,
    ) -> Self {
        Self { transaction, version, namespace, _network: network }
    }
}

#[async_trait]
impl Snapshot for View {
    /// The last place of the last commit at this version: a version has up to 65,536 commits.
    fn read_version(&self) -> Position {
        let mut bytes = [0xff; 12];
        bytes[..8].copy_from_slice(&self.version.to_be_bytes());
        Position(bytes)
    }

    async fn get(&self, key: Bytes) -> Result<Option<Bytes>, Error> {
        let value = answered(self.transaction.get(&self.namespace.key(&key), true)).await?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    async fn get_many(&self, keys: Vec<Bytes>) -> Result<Vec<Option<Bytes>>, Error> {
        let mut values = Vec::with_capacity(keys.len());
        for keys in keys.chunks(READS_AT_ONCE) {
            let read = |key: &Bytes| self.transaction.get(&self.namespace.key(key), true);
            // Each is underway from here on, before the first is awaited.
            let reads: Vec<_> = keys.iter().map(read).collect();
            for read in reads {
                let value = answered(read).await?;
                values.push(value.map(|value| Bytes::copy_from_slice(&value)));
            }
        }
        Ok(values)
    }

    async fn scan(
        &self,
        range: Range<Bytes>,
        limit: usize,
        reverse: bool,
    ) -> Result<Vec<Pair>, Error> {
        // The library takes a limit of 0 for none, and an inverted range for an error.
        if limit == 0 || range.is_empty() {
            return Ok(Vec::new());
        }
        let (from, to) = (self.namespace.key(&range.start), self.namespace.key(&range.end));
        let is_one_page = limit <= ONE_PAGE_KEYS_MAX;
        let mut next = Some(RangeOption {
            limit: i32::try_from(limit).is_ok().then_some(limit),
            mode: if is_one_page { StreamingMode::Exact } else { StreamingMode::WantAll },
            reverse,
            ..RangeOption::from((
                KeySelector::first_greater_or_equal(from),
                KeySelector::first_greater_or_equal(to),
            ))
        });
        let mut pairs = Vec::new();
        let mut page_no = 1;
        while let Some(asked) = next {
            let page = answered(self.transaction.get_range(&asked, page_no, true)).await?;
            pairs.extend(page.iter().map(|pair| {
                (self.namespace.user_key(pair.key()), Bytes::copy_from_slice(pair.value()))
            }));
            next = asked.next_range(&page);
            page_no += 1;
        }
        Ok(pairs)
    }
}
