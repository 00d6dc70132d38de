//! Cores over one FoundationDB: what a store for several is for. Needs its server and its client
//! library, so a plain `cargo test` shows these as ignored:
//! `WEFT_FDB_BIN=<folder with fdbserver and fdbcli> cargo test -p weft-tests --test scenarios foundationdb::
//! -- --ignored`. `WEFT_KILLS=20` is the long run.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::process::Signal;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};
use weft_harness::load::{Load, LoadOptions};
use weft_harness::system::{Engine, Options, System, Twin};

/// On two cores, one load at a time.
static TURN: Mutex<()> = Mutex::const_new(());

const PARTITIONS: usize = 4;
/// A killed node's key lives for 10 s; then its partitions are taken.
const TAKEOVER_LIMIT: Duration = Duration::from_secs(30);

fn kills() -> usize {
    std::env::var("WEFT_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(3)
}

async fn two_cores() -> Result<System> {
    System::split(Options { store: Engine::Fdb, cores: 2, ..Options::default() }).await
}

/// Waits until every partition has an owner that ticks.
async fn all_are_owned(system: &System) -> Result<()> {
    let mut admin = system.nats_as("admin").await?;
    admin.subscribe("weft.sig.tick.*").await?;
    let mut heard = BTreeSet::new();
    let all = async {
        while heard.len() < PARTITIONS {
            heard.insert(admin.next().await?.subject);
        }
        anyhow::Ok(())
    };
    timeout(TAKEOVER_LIMIT, all).await?
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs FoundationDB: set WEFT_FDB_BIN"]
async fn another_core_takes_over_from_one_that_is_killed() -> Result<()> {
    let _turn = TURN.lock().await;
    let system = two_cores().await?;
    let mut load = Load::start(&system, LoadOptions::default()).await?;
    let mut longest = Duration::ZERO;
    for number in 0..kills() {
        load.progress(100).await;
        let core = system.process(&system.core_names()[number % 2]);
        let killed_at = Instant::now();
        core.kill()?;
        all_are_owned(&system).await?;
        longest = longest.max(killed_at.elapsed());
        load.progress(100).await;
        core.restart()?;
    }
    let what = format!("{} kills, at most {longest:.1?} until all is owned", kills());
    load.judge(&what, &system).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs FoundationDB: set WEFT_FDB_BIN"]
async fn a_core_that_stood_still_for_30_s_comes_back_to_what_others_own() -> Result<()> {
    let _turn = TURN.lock().await;
    let system = two_cores().await?;
    let mut load = Load::start(&system, LoadOptions::default()).await?;
    load.progress(100).await;
    let still = system.process("core-0");
    still.signal(Signal::STOP)?;
    sleep(Duration::from_secs(30)).await;
    all_are_owned(&system).await?;
    load.progress(100).await;
    still.signal(Signal::CONT)?;
    // It may still believe that it owns what it had.
    load.progress(500).await;
    load.judge("30 s without running", &system).await
}

/// Each of two processes believes for a while that it is alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs FoundationDB: set WEFT_FDB_BIN"]
async fn two_processes_fight_for_every_partition() -> Result<()> {
    let _turn = TURN.lock().await;
    let options = Options { store: Engine::Fdb, twin: Some(Twin::Apart), ..Options::default() };
    let system = System::split(options).await?;
    let mut load = Load::start(&system, LoadOptions::default()).await?;
    load.progress(100).await;
    for says in ["duel on", "duel off"] {
        for twin in ["twin-a", "twin-b"] {
            system.process(twin).say(says)?;
        }
        sleep(Duration::from_secs(15)).await;
        load.progress(200).await;
    }
    let lost = ["twin-a", "twin-b"]
        .map(|twin| system.process(twin).output().matches("partition lost").count());
    assert!(lost.iter().sum::<usize>() > 0, "there was no duel");
    load.judge(&format!("a duel, partitions lost by each: {lost:?}"), &system).await
}

/// Shorter than 10 s: senders see late acks and no error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs FoundationDB: set WEFT_FDB_BIN"]
async fn a_store_that_dies_and_comes_back_costs_late_acks_and_no_error() -> Result<()> {
    let _turn = TURN.lock().await;
    let system = two_cores().await?;
    let mut load = Load::start(&system, LoadOptions::default()).await?;
    let mut longest = Duration::ZERO;
    for away in [0, 2, 8] {
        load.progress(100).await;
        let killed_at = Instant::now();
        system.process("fdb").kill()?;
        sleep(Duration::from_secs(away)).await;
        system.process("fdb").restart()?;
        load.progress(100).await;
        longest = longest.max(killed_at.elapsed());
    }
    assert_eq!(load.refused(), 0, "senders were refused");
    load.judge(&format!("3 kills of the store, at most {longest:.1?} without acks"), &system).await
}
