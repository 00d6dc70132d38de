//! Who is measured: the store, and its library bare where it has one here.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use futures_util::future::try_join_all;
use weft_storage::embedded::bare::{Bare, Pairs};
use weft_storage::{Batch, Outcome, Store};

use crate::report::{Latencies, round};

pub struct Rivals {
    pub store: Store,
    pub bare: Option<Bare>,
}

pub struct Measured {
    pub latencies: Latencies,
    pub count: u64,
    pub took: Duration,
}

impl Measured {
    pub fn new() -> Self {
        Self { latencies: Latencies::default(), count: 0, took: Duration::ZERO }
    }

    pub fn per_s(&self) -> f64 {
        round(self.count as f64 / self.took.as_secs_f64())
    }

    fn add(&mut self, count: usize, took: Duration) -> f64 {
        self.count += count as u64;
        self.took += took;
        count as f64 / took.as_secs_f64()
    }

    /// The store commits what each writer has, one after another, all writers at once. Commits per
    /// second.
    pub async fn store_commits(&mut self, store: &Store, of: Vec<Vec<Batch>>) -> Result<f64> {
        let count = of.iter().map(Vec::len).sum();
        let began = Instant::now();
        let writers = of.into_iter().map(|batches| {
            let (store, latencies) = (store.clone(), self.latencies.clone());
            async move {
                for batch in batches {
                    let began = Instant::now();
                    commit(&store, batch).await?;
                    latencies.record(began.elapsed());
                }
                Ok(())
            }
        });
        try_join_all(writers.map(tokio::spawn)).await?.into_iter().collect::<Result<Vec<()>>>()?;
        Ok(self.add(count, began.elapsed()))
    }

    /// The same by the library: a thread for each writer.
    pub fn bare_commits(&mut self, bare: &Bare, of: Vec<Vec<Pairs>>) -> Result<f64> {
        let count = of.iter().map(Vec::len).sum();
        let began = Instant::now();
        let latencies = &self.latencies;
        std::thread::scope(|scope| {
            let writer = |commits: Vec<Pairs>| {
                scope.spawn(move || {
                    for pairs in commits {
                        let began = Instant::now();
                        bare.commit(&pairs)?;
                        latencies.record(began.elapsed());
                    }
                    Ok(())
                })
            };
            let writers: Vec<_> = of.into_iter().map(writer).collect();
            writers.into_iter().try_for_each(|writer| {
                writer.join().unwrap_or_else(|_| Err(anyhow!("a writer panicked")))
            })
        })?;
        Ok(self.add(count, began.elapsed()))
    }

    /// Reads one after another. Reads per second.
    pub async fn reads<R>(
        &mut self,
        of: &[R],
        read: impl AsyncFn(&R) -> Result<()>,
    ) -> Result<f64> {
        let began = Instant::now();
        for what in of {
            let began = Instant::now();
            read(what).await?;
            self.latencies.record(began.elapsed());
        }
        Ok(self.add(of.len(), began.elapsed()))
    }
}

/// Commits what has to be committed.
pub async fn commit(store: &Store, batch: Batch) -> Result<()> {
    match store.commit(batch).await? {
        Outcome::Committed(_) => Ok(()),
        Outcome::Rejected { guard } => {
            bail!("guard {guard} failed: somebody else uses this store")
        }
    }
}

/// Fails where a read that must find something found nothing.
pub fn found(what: Option<impl Sized>) -> Result<()> {
    what.map(drop).context("what was committed is not there")
}

/// How often the one is as fast as the other: the middle of all rounds.
pub fn median_ratio(mut ratios: Vec<f64>) -> Option<f64> {
    ratios.sort_by(f64::total_cmp);
    ratios.get(ratios.len() / 2).copied().map(round)
}

pub type Keys = Vec<Bytes>;
