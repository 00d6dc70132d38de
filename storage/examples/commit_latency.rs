//! Measures the embedded store under the writes of a running system, and prints one JSON line.
//!
//! ```text
//! cargo run --release -p weft-storage --example commit_latency -- \
//!     [folder] [seconds] [commits per second] [messages per commit] [memtable MB]
//! ```
//! A message is what a direct message writes: log entry (300 B), head, two inbox pointers, resend
//! record. Latencies count from the scheduled moment, so a stall is seen by everybody whom it
//! would have held up. Beside the commits, a reader takes 50 entries and 10 points, 100 times a
//! second. At the end: how fast commits go when nothing limits them, and how long one takes alone:
//! of a partition, which a log has, and of an account, which waits for a second sync.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};
use serde_json::json;
use tokio::time::sleep_until;
use weft_storage::embedded::{Embedded, Options};
use weft_storage::{Batch, Outcome, Store};

const ROOMS: u64 = 10_000;
const UNLIMITED_SECONDS: u64 = 10;
const UNLIMITED_IN_FLIGHT: usize = 64;
const ALONE: u64 = 500;

struct Settings {
    folder: PathBuf,
    seconds: u64,
    commits_per_s: u64,
    messages: u64,
    memtable_mb: u64,
}

fn settings() -> Settings {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |index: usize, default: u64| {
        args.get(index).map_or(default, |text| text.parse().expect("a number"))
    };
    Settings {
        folder: args.first().map_or_else(|| "commit_latency.db".into(), PathBuf::from),
        seconds: number(1, 60),
        commits_per_s: number(2, 500),
        messages: number(3, 4),
        memtable_mb: number(4, 0),
    }
}

fn key(table: u8, parts: &[u64]) -> Bytes {
    let mut key = vec![table];
    parts.iter().for_each(|part| key.extend_from_slice(&part.to_be_bytes()));
    key.into()
}

/// One commit of that many messages, each in a random room.
fn batch(number: u64, messages: u64, random: &mut SmallRng) -> Batch {
    let mut batch = Batch::new(random.random());
    for message in 0..messages {
        let sequence = number * messages + message;
        let room = random.random_range(0..ROOMS);
        let order = u16::try_from(message * 2).expect("few messages");
        let mut body = vec![0; 280];
        random.fill_bytes(&mut body[..100]);
        batch.set_positioned(key(b'l', &[room, sequence]), order, body);
        batch.set_positioned(key(b'h', &[room]), order, sequence.to_be_bytes().to_vec());
        for user in [room, room + 1] {
            batch.set_at_position(key(b'i', &[user]), order, key(0, &[room, sequence]));
        }
        batch.set(key(b'r', &[0, room, random.random(), random.random()]), key(0, &[sequence]));
    }
    batch.set(key(b'a', &[0]), key(0, &[number]));
    batch.set_replayable(true);
    batch
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("bounds")
}

fn record(histogram: &mut Histogram<u64>, since: Instant) {
    let us = u64::try_from(since.elapsed().as_micros()).expect("not for ever");
    histogram.saturating_record(us);
}

fn percentiles(histogram: &Histogram<u64>) -> serde_json::Value {
    let ms = |us: u64| us as f64 / 1_000.0;
    json!({
        "p50": ms(histogram.value_at_quantile(0.5)),
        "p99": ms(histogram.value_at_quantile(0.99)),
        "p999": ms(histogram.value_at_quantile(0.999)),
        "max": ms(histogram.max()),
    })
}

async fn commit(store: &Store, batch: Batch) {
    let outcome = store.commit(batch).await.expect("commit");
    assert!(matches!(outcome, Outcome::Committed(_)));
}

/// Commits at a fixed rate; the latencies of all.
async fn scheduled(store: &Store, settings: &Settings) -> Histogram<u64> {
    let mut random = SmallRng::seed_from_u64(1);
    let start = Instant::now();
    let mut committing = Vec::new();
    for number in 0..settings.seconds * settings.commits_per_s {
        let due = start + Duration::from_nanos(number * 1_000_000_000 / settings.commits_per_s);
        let batch = batch(number, settings.messages, &mut random);
        // The timer's grain is 1 ms.
        sleep_until(due.into()).await;
        let store = store.clone();
        committing.push(tokio::spawn(async move {
            commit(&store, batch).await;
            let done = Instant::now();
            done - due
        }));
    }
    let mut latencies = histogram();
    for commit in committing {
        let latency = commit.await.expect("task");
        latencies.saturating_record(u64::try_from(latency.as_micros()).expect("short"));
    }
    latencies
}

/// Reads until it is aborted: latencies of scans and of points.
async fn reads(store: Store, histograms: Arc<std::sync::Mutex<[Histogram<u64>; 2]>>) {
    let mut random = SmallRng::seed_from_u64(2);
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    loop {
        ticks.tick().await;
        let snapshot = store.snapshot().await.expect("snapshot");
        let room = random.random_range(0..ROOMS);
        let began = Instant::now();
        let range = key(b'l', &[room])..key(b'l', &[room + 1]);
        snapshot.scan(range, 50, true).await.expect("scan");
        let scanned = began.elapsed();
        let heads = (0..10).map(|_| key(b'h', &[random.random_range(0..ROOMS)])).collect();
        let began = Instant::now();
        snapshot.get_many(heads).await.expect("get_many");
        let mut histograms = histograms.lock().expect("lock");
        histograms[0].saturating_record(u64::try_from(scanned.as_micros()).expect("short"));
        record(&mut histograms[1], began);
    }
}

/// Latencies of commits of one key, one after the other.
async fn alone(store: &Store, is_replayable: bool) -> Histogram<u64> {
    let mut latencies = histogram();
    for number in 0..ALONE {
        let mut batch = Batch::new(rand::random());
        batch.set(key(b'u', &[number]), vec![7; 100]);
        batch.set_replayable(is_replayable);
        let began = Instant::now();
        commit(store, batch).await;
        record(&mut latencies, began);
    }
    latencies
}

/// Commits as fast as they go; commits per second.
async fn unlimited(store: &Store, settings: &Settings) -> u64 {
    let start = Instant::now();
    let tasks: Vec<_> = (0..UNLIMITED_IN_FLIGHT as u64)
        .map(|task| {
            let (store, messages) = (store.clone(), settings.messages);
            tokio::spawn(async move {
                let mut random = SmallRng::seed_from_u64(task);
                let mut count = 0;
                while start.elapsed() < Duration::from_secs(UNLIMITED_SECONDS) {
                    let number = (task + 1) * 1_000_000_000 + count;
                    commit(&store, batch(number, messages, &mut random)).await;
                    count += 1;
                }
                count
            })
        })
        .collect();
    let mut commits = 0;
    for task in tasks {
        commits += task.await.expect("task");
    }
    commits / UNLIMITED_SECONDS
}

#[tokio::main]
async fn main() {
    let settings = settings();
    let mut options = Options::default();
    if settings.memtable_mb > 0 {
        options.memtable_bytes = settings.memtable_mb * 1024 * 1024;
    }
    let opening = Instant::now();
    let embedded = Embedded::open_with(&settings.folder, options).expect("open");
    let open_ms = opening.elapsed().as_millis();
    let store = Store::new(embedded);

    let histograms = Arc::new(std::sync::Mutex::new([histogram(), histogram()]));
    let reader = tokio::spawn(reads(store.clone(), Arc::clone(&histograms)));
    let latencies = scheduled(&store, &settings).await;
    reader.abort();
    let unlimited = unlimited(&store, &settings).await;
    let (of_log, of_account) = (alone(&store, true).await, alone(&store, false).await);
    let reading = histograms.lock().expect("lock");
    let line = json!({
        "scenario": "commit_latency",
        "seconds": settings.seconds,
        "commits_per_s": settings.commits_per_s,
        "keys_per_commit": settings.messages * 5 + 1,
        "commit_ms": percentiles(&latencies),
        "scan_50_ms": percentiles(&reading[0]),
        "get_10_ms": percentiles(&reading[1]),
        "unlimited_commits_per_s": unlimited,
        "alone_ms": percentiles(&of_log),
        "alone_of_no_log_ms": percentiles(&of_account),
        "open_ms": open_ms,
    });
    println!("{line}");
}
