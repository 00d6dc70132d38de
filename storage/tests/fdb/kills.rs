//! kill -9 of the server while writers commit: nothing answered is lost, nothing happens twice,
//! and an outcome that was unknown is settled by evidence for good.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::RngExt;
use weft_storage::{Batch, Error, Outcome, Store};

use crate::server::Server;
use crate::suite::{b, numbered};
use crate::{Cluster, empty, fresh};

const WRITERS: u32 = 8;
const KILLS: u32 = 8;
/// The server stays away for longer than reads wait, once.
const LONG_PAUSE: Duration = Duration::from_secs(7);
/// Between two looks at a store that is away.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

#[derive(Default)]
struct Tally {
    committed: AtomicU32,
    unavailable: AtomicU32,
    unknown_done: AtomicU32,
    unknown_undone: AtomicU32,
    stop: AtomicBool,
}

fn one_more(count: &AtomicU32) {
    count.fetch_add(1, Ordering::Relaxed);
}

/// The key's value, as soon as the store can tell.
async fn evidence(store: &Store, key: &Bytes) -> Option<Bytes> {
    loop {
        let read = async { store.snapshot().await?.get(key.clone()).await };
        match read.await {
            Ok(value) => return value,
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Commits the batch that turns the row `before` into `after`, exactly once.
async fn settle(
    store: &Store,
    batch: &Batch,
    key: &Bytes,
    (before, after): (&Option<Bytes>, &Option<Bytes>),
    tally: &Tally,
) {
    loop {
        match store.commit(batch.clone()).await {
            Ok(Outcome::Committed(_)) => return one_more(&tally.committed),
            // Nobody else writes this row: an attempt that was said not to have happened did.
            Ok(Outcome::Rejected { .. }) => panic!("an outcome was not final"),
            Err(Error::Unavailable(_)) => {
                one_more(&tally.unavailable);
                assert_eq!(evidence(store, key).await, *before, "unavailable, but committed");
            }
            Err(Error::Unknown(_)) => {
                let row = evidence(store, key).await;
                if row == *after {
                    return one_more(&tally.unknown_done);
                }
                assert_eq!(row, *before);
                one_more(&tally.unknown_undone);
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Counts in a row of its own and writes each number to a log, until it is told to stop.
async fn write(store: Store, writer: u32, tally: Arc<Tally>) -> u32 {
    let (key, log) = (numbered("row/", writer), numbered("log/", writer));
    let (mut count, mut row) = (0_u32, None);
    while !tally.stop.load(Ordering::Relaxed) {
        count += 1;
        let id = rand::random();
        let mut batch = Batch::new(id);
        let after = Some(b([count.to_be_bytes().as_ref(), &id].concat()));
        batch.guard(key.clone(), row.clone());
        batch.set(key.clone(), after.clone().unwrap_or_default());
        batch.set_at_position(log.clone(), 0, b(count.to_be_bytes()));
        settle(&store, &batch, &key, (&row, &after), &tally).await;
        row = after;
    }
    count
}

async fn until_more_are_committed(tally: &Tally, more: u32) {
    let from = tally.committed.load(Ordering::Relaxed);
    let begun = Instant::now();
    while tally.committed.load(Ordering::Relaxed) < from + more {
        assert!(begun.elapsed() < Duration::from_secs(120), "the store did not come back");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub async fn run(cluster: &Cluster, server: &mut Server) {
    let store = cluster.open(&fresh());
    let tally = Arc::new(Tally::default());
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(write(store.clone(), writer, Arc::clone(&tally))))
        .collect();
    for kill in 0..KILLS {
        until_more_are_committed(&tally, rand::rng().random_range(1..200)).await;
        server.kill();
        if kill == KILLS / 2 {
            tokio::time::sleep(LONG_PAUSE).await;
        }
        server.restart();
    }
    until_more_are_committed(&tally, 50).await;
    tally.stop.store(true, Ordering::Relaxed);

    for (writer, task) in (0..).zip(writers) {
        let count = task.await.expect("writer");
        let snapshot = store.snapshot().await.expect("snapshot");
        let (from, to) = (numbered("log/", writer), numbered("log/", writer + 1));
        let log = snapshot.scan(from..to, usize::MAX, false).await.expect("scan");
        let written: Vec<_> = log.into_iter().map(|(_, number)| number).collect();
        let expected: Vec<_> = (1..=count).map(|number| b(number.to_be_bytes())).collect();
        assert_eq!(written, expected, "writer {writer}");
    }
    empty(&store).await;
    println!(
        "{KILLS} kills: {} answered, {} unavailable, unknown: {} done, {} not done",
        tally.committed.load(Ordering::Relaxed),
        tally.unavailable.load(Ordering::Relaxed),
        tally.unknown_done.load(Ordering::Relaxed),
        tally.unknown_undone.load(Ordering::Relaxed),
    );
}
