//! Reads, each at a snapshot of its own: 50 entries of a room's log, one point, 32 points.

use std::ops::Range;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use serde::Serialize;
use weft_storage::Store;
use weft_storage::embedded::bare::Bare;
use weft_storage::tables::{head, log};

use super::rivals::{Keys, Measured, Rivals, found, median_ratio};
use super::work::Partition;
use crate::progress;
use crate::report::Quantiles;

const SCAN_ENTRIES: usize = 50;
/// Keys of one `get_many`.
const MANY: usize = 32;
/// Reads of each kind in a round.
const READS: usize = 1_000;

/// The numbers of a kind of read.
#[derive(Serialize)]
pub struct Reads {
    read: &'static str,
    per_s: f64,
    us: Quantiles,
    #[serde(skip_serializing_if = "Option::is_none")]
    bare_per_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bare_us: Option<Quantiles>,
    /// Of the reads per second, to the library's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
}

enum Read {
    Scan(Range<Bytes>),
    Point(Bytes),
    Many(Keys),
}

pub async fn measure(rivals: &Rivals, partitions: &[Partition], rounds: u32) -> Result<Vec<Reads>> {
    let mut random = SmallRng::seed_from_u64(1);
    let mut at = 0;
    let mut room = || {
        at = (at + 1) % partitions.len();
        partitions[at].room(&mut random)
    };
    let scans = (0..READS).map(|_| {
        let room = room();
        Read::Scan(log::range(&room.id, 1..room.head.seq + 1))
    });
    let scans: Vec<_> = scans.collect();
    let points: Vec<_> = (0..READS).map(|_| Read::Point(head::key(&room().id))).collect();
    let many = |_| Read::Many((0..MANY).map(|_| head::key(&room().id)).collect());
    let many: Vec<_> = (0..READS).map(many).collect();
    let mut measured = Vec::new();
    for (name, reads) in [("scan_50", scans), ("get", points), ("get_many_32", many)] {
        let numbers = scenario(rivals, name, &reads, rounds).await?;
        progress(&numbers.line());
        measured.push(numbers);
    }
    Ok(measured)
}

async fn scenario(
    rivals: &Rivals,
    name: &'static str,
    reads: &[Read],
    rounds: u32,
) -> Result<Reads> {
    let (mut store, mut library) = (Measured::new(), Measured::new());
    let mut ratios = Vec::new();
    for _ in 0..rounds {
        let speed = store.reads(reads, async |read| by_store(&rivals.store, read).await).await?;
        if let Some(bare) = &rivals.bare {
            let bare_speed = library.reads(reads, async |read| by_library(bare, read)).await?;
            ratios.push(speed / bare_speed);
        }
    }
    let us = |measured: &Measured| measured.latencies.quantiles_in(Duration::from_micros(1));
    Ok(Reads {
        read: name,
        per_s: store.per_s(),
        us: us(&store),
        bare_per_s: rivals.bare.as_ref().map(|_| library.per_s()),
        bare_us: rivals.bare.as_ref().map(|_| us(&library)),
        ratio: median_ratio(ratios),
    })
}

async fn by_store(store: &Store, read: &Read) -> Result<()> {
    let snapshot = store.snapshot().await?;
    match read {
        Read::Scan(range) => {
            let pairs = snapshot.scan(range.clone(), SCAN_ENTRIES, true).await?;
            found((pairs.len() == SCAN_ENTRIES).then_some(pairs))
        }
        Read::Point(key) => found(snapshot.get(key.clone()).await?),
        Read::Many(keys) => found(snapshot.get_many(keys.clone()).await?.pop().flatten()),
    }
}

fn by_library(bare: &Bare, read: &Read) -> Result<()> {
    match read {
        Read::Scan(range) => {
            let count = bare.scan_back(&range.start, &range.end, SCAN_ENTRIES)?;
            found((count == SCAN_ENTRIES).then_some(count))
        }
        Read::Point(key) => found(bare.get(key)?),
        Read::Many(keys) => keys.iter().try_for_each(|key| found(bare.get(key)?)),
    }
}

impl Reads {
    fn line(&self) -> String {
        let Self { read, per_s, us, ratio, .. } = self;
        let compared = self.bare_per_s.zip(*ratio);
        let compared = compared.map(|(bare, ratio)| format!("; bare {bare:.0}/s: {ratio}"));
        let compared = compared.unwrap_or_default();
        format!("{read}: {per_s:.0}/s, p50 {} µs, p99 {} µs{compared}", us.p50, us.p99)
    }
}
