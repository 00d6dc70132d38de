//! Guarded commits of 1, 32 and 512 entries: by one partition, and by several at once.

use anyhow::Result;
use serde::Serialize;

use super::rivals::{Measured, Rivals, median_ratio};
use super::work::Partition;
use crate::progress;
use crate::report::{Quantiles, round};

/// Entries of a commit, and commits of one partition in a round: some tenths of a second.
const SCENARIOS: [(usize, usize); 3] = [(1, 100), (32, 30), (512, 4)];

#[derive(Serialize)]
pub struct Commits {
    entries: usize,
    writers: usize,
    #[serde(flatten)]
    store: Speed,
    /// The same rows by the library, without guards.
    #[serde(skip_serializing_if = "Option::is_none")]
    bare: Option<Speed>,
    /// Of the commits per second, to the library's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
}

#[derive(Serialize)]
struct Speed {
    commits_per_s: f64,
    entries_per_s: f64,
    ms: Quantiles,
}

pub async fn measure(
    rivals: &Rivals,
    partitions: &mut [Partition],
    rounds: u32,
) -> Result<Vec<Commits>> {
    let mut measured = Vec::new();
    for (entries, commits) in SCENARIOS {
        for writers in [1, partitions.len()] {
            let owned = &mut partitions[..writers];
            let numbers = scenario(rivals, owned, (entries, commits), rounds).await?;
            progress(&numbers.line());
            measured.push(numbers);
        }
    }
    Ok(measured)
}

async fn scenario(
    rivals: &Rivals,
    partitions: &mut [Partition],
    (entries, commits): (usize, usize),
    rounds: u32,
) -> Result<Commits> {
    let (mut store, mut library) = (Measured::new(), Measured::new());
    let mut ratios = Vec::new();
    for round in 0..rounds {
        let (mut batches, mut pairs) = (Vec::new(), Vec::new());
        for partition in partitions.iter_mut() {
            let own: Vec<_> = (0..commits)
                .map(|_| {
                    let batch = partition.next(entries);
                    let pairs = rivals.bare.as_ref().map(|_| partition.pairs(&batch));
                    (batch, pairs)
                })
                .collect();
            let (own_batches, own_pairs): (Vec<_>, Vec<_>) = own.into_iter().unzip();
            batches.push(own_batches);
            pairs.push(own_pairs.into_iter().flatten().collect());
        }
        // The one is first, then the other: whatever drifts falls on both.
        let Some(bare) = &rivals.bare else {
            store.store_commits(&rivals.store, batches).await?;
            continue;
        };
        let (speed, bare_speed) = if round % 2 == 0 {
            let speed = store.store_commits(&rivals.store, batches).await?;
            (speed, library.bare_commits(bare, pairs)?)
        } else {
            let bare_speed = library.bare_commits(bare, pairs)?;
            (store.store_commits(&rivals.store, batches).await?, bare_speed)
        };
        ratios.push(speed / bare_speed);
    }
    let bare = rivals.bare.as_ref().map(|_| Speed::of(&library, entries));
    let (store, ratio) = (Speed::of(&store, entries), median_ratio(ratios));
    Ok(Commits { entries, writers: partitions.len(), store, bare, ratio })
}

impl Speed {
    fn of(measured: &Measured, entries: usize) -> Self {
        let commits_per_s = measured.per_s();
        let entries_per_s = round(commits_per_s * entries as f64);
        Self { commits_per_s, entries_per_s, ms: measured.latencies.quantiles() }
    }
}

impl Commits {
    fn line(&self) -> String {
        let Self { entries, writers, store, bare, ratio } = self;
        let (per_s, ms) = (store.commits_per_s, store.ms);
        let compared = bare.as_ref().zip(*ratio).map(|(bare, ratio)| {
            format!("; bare {:.0}/s, p50 {} ms: {ratio}", bare.commits_per_s, bare.ms.p50)
        });
        format!(
            "{entries} entries, {writers} at once: {per_s:.0} commits/s, p50 {} ms, p99 {} ms{}",
            ms.p50,
            ms.p99,
            compared.unwrap_or_default()
        )
    }
}
