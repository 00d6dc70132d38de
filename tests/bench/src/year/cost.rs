//! What is written, and what it costs.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use weft_runtime::lock;
use weft_storage::tables::Tag;
use weft_storage::{Batch, Engine, Error, Op, Outcome, Snapshot, Store};

use crate::report::round;

/// The table that a key is of.
pub fn table(key: &[u8]) -> Option<&'static str> {
    let tag = Tag::try_from(i32::from(*key.first()?)).ok()?;
    Some(tag.name())
}

/// What commits wrote.
#[derive(Clone, Default)]
pub struct Counts {
    pub commits: u64,
    /// Keys and values, guards too.
    pub bytes: u64,
    /// By table: rows that were set.
    pub written: BTreeMap<&'static str, u64>,
    /// By table: ranges that were cleared.
    pub ranges: BTreeMap<&'static str, u64>,
}

impl Counts {
    fn note(&mut self, batch: &Batch) {
        self.commits += 1;
        self.bytes += batch.size_bytes() as u64;
        let mut cleared: Vec<&str> = Vec::new();
        for op in batch.ops() {
            let (rows, key) = match op {
                Op::ClearRange { from, .. } => {
                    cleared.extend(table(from));
                    continue;
                }
                Op::Clear { .. } => continue,
                Op::Set { key, .. } | Op::Max { key, .. } | Op::SetPositioned { key, .. } => {
                    (&mut self.written, key)
                }
                Op::SetAtPosition { prefix, .. } => (&mut self.written, prefix),
            };
            *rows.entry(table(key).unwrap_or("unknown")).or_default() += 1;
        }
        // Several ranges of a table are one piece of work.
        cleared.dedup();
        for table in cleared {
            if let Some(tag) = Tag::all().find(|tag| tag.name() == table) {
                *self.ranges.entry(tag.name()).or_default() += 1;
            }
        }
    }

    /// Commits and their bytes after an earlier moment.
    pub fn since(&self, before: &Self) -> Self {
        let (commits, bytes) = (self.commits - before.commits, self.bytes - before.bytes);
        Self { commits, bytes, ..Self::default() }
    }

    pub fn cost(&self, cpu: Duration) -> Cost {
        let Self { commits, bytes, .. } = *self;
        Cost { commits, bytes, cpu_s: round(cpu.as_secs_f64()) }
    }
}

/// What something cost.
#[derive(Serialize)]
pub struct Cost {
    commits: u64,
    bytes: u64,
    cpu_s: f64,
}

/// A store whose commits are counted, and during which the runtime's clock stands still.
#[derive(Clone)]
pub struct Counted {
    inner: Store,
    counts: Arc<Mutex<Counts>>,
}

impl Counted {
    pub fn new(inner: Store) -> Self {
        Self { inner, counts: Arc::default() }
    }

    pub fn store(&self) -> Store {
        Store::new(self.clone())
    }

    pub fn counts(&self) -> Counts {
        lock(&self.counts).clone()
    }
}

#[async_trait]
impl Engine for Counted {
    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, Error> {
        self.inner.snapshot().await
    }

    async fn commit(&self, batch: Batch) -> Result<Outcome, Error> {
        lock(&self.counts).note(&batch);
        let (inner, runtime) = (self.inner.clone(), Handle::current());
        // A paused clock moves on while all tasks wait, but not while a blocking one is at work.
        let commit = spawn_blocking(move || runtime.block_on(inner.commit(batch)));
        commit.await.unwrap_or_else(|error| Err(Error::Unknown(error.to_string())))
    }
}

/// Processor time of this process, parted into what it was used for.
pub struct Meter {
    began: Instant,
    sending: Duration,
    walks: Duration,
}

impl Default for Meter {
    fn default() -> Self {
        Self { began: Instant::now(), sending: Duration::ZERO, walks: Duration::ZERO }
    }
}

impl Meter {
    pub fn begin(&self) -> Result<Duration> {
        cpu_time()
    }

    pub fn end_sending(&mut self, began: Duration) -> Result<()> {
        self.sending += cpu_time()? - began;
        Ok(())
    }

    pub fn end_walk(&mut self, began: Duration) -> Result<()> {
        self.walks += cpu_time()? - began;
        Ok(())
    }

    pub fn sending(&self) -> Duration {
        self.sending
    }

    pub fn walks(&self) -> Duration {
        self.walks
    }

    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}

fn cpu_time() -> Result<Duration> {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(used).context("a time before the process began")
}

/// What the files of a folder take.
pub fn disk_bytes(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in folder.read_dir()? {
        let entry = entry?;
        let about = entry.metadata()?;
        bytes += if about.is_dir() { disk_bytes(&entry.path())? } else { about.len() };
    }
    Ok(bytes)
}

/// Keys after this one.
pub fn range_after(key: &Bytes, end: &Bytes) -> Range<Bytes> {
    Bytes::from([key, &[0][..]].concat())..end.clone()
}
