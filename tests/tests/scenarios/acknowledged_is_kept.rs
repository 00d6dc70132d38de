//! Nothing acknowledged is lost, doubled or reordered, and every device ends with the same log,
//! while parts are being killed. `WEFT_KILLS=20` is the long run.

use std::time::{Duration, Instant};

use anyhow::Result;
use rand::RngExt;
use rustix::process::Signal;
use tokio::sync::Mutex;
use weft_harness::load::{Load, LoadOptions};
use weft_harness::process::send_signal;
use weft_harness::system::{Options, System};
use weft_harness::wait::until;

/// On two cores, one load at a time.
static TURN: Mutex<()> = Mutex::const_new(());

fn kills() -> u32 {
    std::env::var("WEFT_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(3)
}

/// So many acks before the next fault: another one each time, so that it hits another moment.
fn some_acks() -> u64 {
    rand::rng().random_range(30..300)
}

/// What a test did, in its own words.
fn kills_of(what: &str, longest: Duration) -> String {
    format!("{} kills of {what}, at most {longest:.1?} from a kill to the next acks", kills())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_core_is_killed() -> Result<()> {
    let _turn = TURN.lock().await;
    let system = System::split(Options::default()).await?;
    let mut load = Load::start(&system, LoadOptions::default()).await?;
    let mut longest = Duration::ZERO;
    for _ in 0..kills() {
        load.progress(some_acks()).await;
        let killed_at = Instant::now();
        system.process("core").kill()?;
        system.process("core").restart()?;
        load.progress(20).await;
        longest = longest.max(killed_at.elapsed());
    }
    load.judge(&kills_of("core", longest), &system).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_an_edge_is_killed() -> Result<()> {
    let _turn = TURN.lock().await;
    let system = System::split(Options::default()).await?;
    let mut load = Load::start(&system, LoadOptions::default()).await?;
    let mut longest = Duration::ZERO;
    for number in 0..kills() {
        load.progress(some_acks()).await;
        let edge = system.process(["edge-0", "edge-1"][number as usize % 2]);
        let killed_at = Instant::now();
        edge.kill()?;
        // It stays away: its clients resume on the other one.
        load.progress(200).await;
        longest = longest.max(killed_at.elapsed());
        edge.restart()?;
        system.ready().await;
    }
    load.judge(&kills_of("an edge", longest), &system).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_nats_server_is_killed_under_weft_dev() -> Result<()> {
    let _turn = TURN.lock().await;
    let system = System::dev().await?;
    let mut load = Load::start(&system, LoadOptions::default()).await?;
    let mut longest = Duration::ZERO;
    for _ in 0..kills() {
        load.progress(some_acks()).await;
        let (killed_at, before) = (Instant::now(), system.nats_pid()?);
        send_signal(before, Signal::KILL)?;
        until("weft dev starts nats-server again", Duration::from_secs(20), async || {
            system.nats_pid().ok().filter(|pid| *pid != before)
        })
        .await;
        load.progress(20).await;
        longest = longest.max(killed_at.elapsed());
    }
    load.judge(&kills_of("nats-server", longest), &system).await
}
