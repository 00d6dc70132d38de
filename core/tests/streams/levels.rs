//! Cores of two versions on one store: they run side by side until the store's feature level is raised,
//! while they run; then the older one serves nothing any more, and says why.

use std::time::{Duration, Instant};

use weft_core::partition::take::read_row;
use weft_core::{Core, CoreOptions, FEATURE_LEVEL, Upgrade};
use weft_proto::svc;

use crate::wire::{Fixture, eventually, soon};

/// A level of the version after this one.
const NEXT_LEVEL: u32 = FEATURE_LEVEL + 1;

async fn start(fixture: &Fixture, name: &str, feature_level: u32) -> Result<Core, String> {
    let options = fixture.core_options(name, fixture.store.clone());
    let core = Core::start(CoreOptions { feature_level, ..options }).await;
    core.map_err(|error| error.to_string())
}

async fn raise(fixture: &Fixture) {
    let upgrade = Upgrade::prepare(&fixture.store, NEXT_LEVEL).await.expect("prepare");
    let pause = Duration::from_secs(2);
    upgrade.expect("something to do").commit(&fixture.store, pause).await.expect("commit");
}

/// Whose the partition is, and how often it was taken.
async fn owner(fixture: &Fixture) -> (String, u64) {
    let row = read_row(&fixture.store, 0).await.expect("row");
    (row.owner, row.epoch)
}

#[tokio::test]
async fn a_core_below_the_level_leaves_its_work_to_others_and_says_so() {
    let mut fixture = Fixture::new().await;
    // The fixture's own core is of this version: it has the partition, and goes on at the old level.
    let newer = start(&fixture, "c2", NEXT_LEVEL).await.expect("served");
    let older = start(&fixture, "c3", FEATURE_LEVEL).await.expect("served");
    let mut sender = fixture.sender().await;
    sender.send(2).await;
    raise(&fixture).await;
    for core in [&older, fixture.core()] {
        let told = soon("it ends", core.failed()).await.to_string();
        assert!(told.contains(&format!("feature level {NEXT_LEVEL}")), "{told}");
        assert_eq!(core.readiness()(), Some(told), "it says so");
    }
    assert!(older.shutdown(Duration::from_secs(5)).await.is_empty());
    fixture.end_core().await;
    sender.send(2).await;
    assert_eq!(owner(&fixture).await.0, "c2");
    // Who has left is asked nothing: with some of the calls at the others, one of these would fail.
    let edge = fixture.bus("edge").await;
    let ask = async || edge.call(&svc::Audit { partition: 0, since: None }).await.is_ok();
    for _ in 0..20 {
        assert!(ask().await, "a call was left without an answer");
    }
    let refused = start(&fixture, "c4", FEATURE_LEVEL).await.err().expect("not served");
    assert!(refused.contains("run a newer Weft"), "{refused}");
    let seqs = fixture.seqs().await;
    assert_eq!(seqs, [1, 2, 3, 4]);
    assert!(newer.shutdown(Duration::from_secs(5)).await.is_empty());
    fixture.end().await;
}

#[tokio::test]
async fn raising_the_level_costs_who_knows_it_two_takings() {
    let mut fixture = Fixture::new().await;
    fixture.end_core().await;
    let core = start(&fixture, "c2", NEXT_LEVEL).await.expect("served");
    soon("the partition", core.ready()).await.expect("ready");
    let mut sender = fixture.sender().await;
    sender.send(2).await;
    let (name, epoch) = owner(&fixture).await;
    let began = Instant::now();
    sender.send(1).await;
    let usual = began.elapsed();
    raise(&fixture).await;
    let began = Instant::now();
    sender.send(1).await;
    println!("a send: {usual:?}; the first one after the level was raised: {:?}", began.elapsed());
    assert_eq!(owner(&fixture).await, (name, epoch + 2));
    eventually("it works", async || core.readiness()().is_none()).await;
    assert_eq!(fixture.seqs().await, [1, 2, 3, 4]);
    assert!(core.shutdown(Duration::from_secs(5)).await.is_empty());
    fixture.end().await;
}
