//! What this engine promises beside the suite.

use std::time::{Duration, Instant};

use tempfile::NamedTempFile;
use weft_storage::fdb::{Fdb, Namespace, Network};
use weft_storage::limits::KEY_BYTES_MAX;
use weft_storage::{Batch, Error, Store};

use crate::suite::{b, batch, commit, get, numbered};
use crate::{Cluster, Promise, empty, fresh};

pub const ALL: [(&str, Promise); 5] = [
    ("a_snapshot_ends_with_its_window_and_a_new_one_helps", |cluster| {
        Box::pin(a_snapshot_ends_with_its_window_and_a_new_one_helps(cluster))
    }),
    ("namespaces_do_not_see_each_other", |cluster| {
        Box::pin(namespaces_do_not_see_each_other(cluster))
    }),
    ("the_largest_batches_are_taken", |cluster| Box::pin(the_largest_batches_are_taken(cluster))),
    ("a_cluster_that_is_away_is_unavailable", |cluster| {
        Box::pin(a_cluster_that_is_away_is_unavailable(cluster))
    }),
    ("what_cannot_be_opened_is_said", |cluster| Box::pin(what_cannot_be_opened_is_said(cluster))),
];

async fn a_snapshot_ends_with_its_window_and_a_new_one_helps(cluster: &Cluster) {
    let store = cluster.open(&fresh());
    let mut first = batch();
    first.set(b("a"), "1");
    commit(&store, first).await;
    let old = store.snapshot().await.expect("snapshot");
    let begun = Instant::now();
    let error = loop {
        // The window moves with commits.
        let mut next = batch();
        next.set(b("a"), "2");
        commit(&store, next).await;
        match old.get(b("a")).await {
            Ok(seen) => assert_eq!(seen, Some(b("1"))),
            Err(error) => break error,
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "still readable");
    };
    assert!(matches!(error, Error::Unavailable(_)), "{error}");
    assert_eq!(get(&store, "a").await, Some(b("2")));
    empty(&store).await;
}

async fn namespaces_do_not_see_each_other(cluster: &Cluster) {
    let (one, other) = (cluster.open(&fresh()), cluster.open(&fresh()));
    for (store, value) in [(&one, "one"), (&other, "other")] {
        let mut filling = batch();
        filling.guard(b("key"), None);
        filling.set(b("key"), value);
        filling.set(b([0xff; 40]), value);
        commit(store, filling).await;
    }
    empty(&one).await;
    let left = other.snapshot().await.expect("snapshot");
    let left = left.scan(b("")..b([0xff; 41]), 10, false).await.expect("scan");
    assert_eq!(left, [(b("key"), b("other")), (b([0xff; 40]), b("other"))]);
    assert_eq!(get(&one, "key").await, None);
    empty(&other).await;
}

/// Adds operations while they fit.
fn filled(mut add: impl FnMut(&mut Batch, u32)) -> Batch {
    let mut full = batch();
    for number in 0.. {
        let mut larger = full.clone();
        // In steps, because each is checked whole.
        for step in 0..50 {
            add(&mut larger, number * 50 + step);
        }
        if larger.check().is_err() {
            break;
        }
        full = larger;
    }
    full
}

async fn the_largest_batches_are_taken(cluster: &Cluster) {
    let longest = "x".repeat(weft_storage::fdb::NAMESPACE_BYTES_MAX - 8);
    let name = format!("{longest}{:08x}", rand::random::<u32>());
    let store = cluster.open(&Namespace::new(&name).expect("name"));
    let long = |number: u32| {
        let mut key = vec![b'k'; KEY_BYTES_MAX - 12];
        key[..4].copy_from_slice(&number.to_be_bytes());
        b(key)
    };
    for largest in [
        filled(|batch, number| batch.set(numbered("", number), "")),
        filled(|batch, number| batch.set(numbered("", number), vec![1; 1_000])),
        filled(|batch, number| batch.set(long(number), "")),
        filled(|batch, number| batch.clear(long(number))),
        filled(|batch, number| batch.guard(long(number), None)),
        filled(|batch, number| batch.max(long(number), "1")),
        filled(|batch, number| batch.set_positioned(long(number), 0, "")),
        filled(|batch, number| batch.set_at_position(long(number), 0, "")),
        filled(|batch, number| batch.clear_range(long(number), long(number + 1))),
    ] {
        // What is guarded must not be there.
        empty(&store).await;
        commit(&store, largest).await;
    }
    empty(&store).await;
}

async fn a_cluster_that_is_away_is_unavailable(cluster: &Cluster) {
    let file = NamedTempFile::new().expect("file");
    // The discard port: nobody listens.
    std::fs::write(file.path(), "away:away@127.0.0.1:9\n").expect("write");
    let engine = Fdb::open(&cluster.network, file.path(), Namespace::default()).expect("open");
    let store = Store::new(engine);
    let reading = store.snapshot().await.map(|_| ());
    assert!(matches!(reading, Err(Error::Unavailable(_))), "{reading:?}");
    let mut blind = batch();
    blind.set(b("a"), "1");
    let committing = store.commit(blind).await;
    assert!(matches!(committing, Err(Error::Unavailable(_))), "{committing:?}");
}

async fn what_cannot_be_opened_is_said(cluster: &Cluster) {
    let missing = std::path::Path::new("/nowhere/fdb.cluster");
    let opened = Fdb::open(&cluster.network, missing, Namespace::default()).map(|_| ());
    assert!(matches!(&opened, Err(Error::Open(place)) if place.contains("/nowhere")), "{opened:?}");
    let again = Network::start().map(|_| ());
    assert!(matches!(again, Err(Error::Open(_))), "{again:?}");
}
