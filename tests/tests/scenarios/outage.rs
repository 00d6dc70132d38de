//! NATS is away for longer than a node's life without a heartbeat: no partition moves, no client
//! loses its socket, and what was sent before, meanwhile and after it arrives.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::{Instant, sleep_until};
use weft_harness::load::{Load, LoadOptions};
use weft_harness::proxy::{Fault, Proxy, Towards};
use weft_harness::system::{Options, System, Twin};
use weft_harness::wait::until;
use weft_proto::Tick;

/// All nodes' keys expire at once after 10 s.
const AWAY: Duration = Duration::from_secs(13);
/// The parts find NATS again so late that the expiries come before their first heartbeat: that is
/// when a node could believe the others dead.
const LATE: Duration = Duration::from_secs(3);
/// After its return, an expiry that was believed would have moved partitions within this time.
const AFTERMATH: Duration = Duration::from_secs(15);
const PARTITIONS: usize = 4;

/// The epoch of each partition, as its owner says.
async fn epochs(system: &System) -> Result<BTreeMap<String, u64>> {
    let mut admin = system.nats_as("admin").await?;
    admin.subscribe("weft.sig.tick.*").await?;
    let mut epochs = BTreeMap::new();
    while epochs.len() < PARTITIONS {
        let message = admin.next().await?;
        let tick = Tick::decode(&message.payload).context("not a tick")?;
        epochs.insert(message.subject, tick.epoch);
    }
    Ok(epochs)
}

fn set_all(system: &System, fault: &Fault) {
    let all = ["core", "edge-0", "edge-1"].into_iter().flat_map(|part| system.proxies(part));
    all.for_each(|proxy: &Proxy| {
        proxy.set(fault.clone());
        proxy.cut();
    });
}

/// JetStream does not answer who wants to watch the nodes: that takes 5 s to notice, again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heartbeats_do_not_wait_for_a_watch() -> Result<()> {
    let options = Options { proxied: true, edges: 1, ..Options::default() };
    let system = System::split(options).await?;
    let mut admin = system.nats_as("admin").await?;
    admin.subscribe("$KV.WEFT_NODES.core.*").await?;
    let proxy = system.proxy("core");
    let subject_prefix = "$JS.API.CONSUMER.CREATE.KV_WEFT_NODES".to_owned();
    proxy.set_towards(Towards::Server, Fault::SwallowThose { subject_prefix });
    proxy.cut();
    until("the watch is asked for in vain", Duration::from_secs(30), async || {
        (proxy.counts().to_server.swallowed > 0).then_some(())
    })
    .await;
    admin.next().await?;
    let mut pauses = Vec::new();
    for _ in 0..2 {
        let began = Instant::now();
        admin.next().await?;
        pauses.push(began.elapsed());
    }
    eprintln!("between heartbeats: {pauses:.1?}");
    // They come every 3 s; after the watch it would be 5 s at least. One may be late here.
    assert!(pauses.iter().min() < Some(&Duration::from_millis(4_500)), "{pauses:.1?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nats_is_away_for_longer_than_a_nodes_life() -> Result<()> {
    let options = Options { proxied: true, twin: Some(Twin::Live), ..Options::default() };
    let system = System::split(options).await?;
    let mut load = Load::start(&system, LoadOptions::default()).await?;
    let before = epochs(&system).await?;
    for kills in [true, false] {
        let began = Instant::now();
        set_all(&system, &Fault::Refuse);
        if kills {
            system.process("nats").kill()?;
            sleep_until(began + AWAY).await;
            system.process("nats").restart()?;
            system.server_answers("nats").await;
        }
        sleep_until(began + AWAY + LATE).await;
        set_all(&system, &Fault::None);
        let returned = Instant::now();
        load.progress(200).await;
        eprintln!("200 acks {:.1?} after the return", returned.elapsed());
        sleep_until(returned + AFTERMATH).await;
        load.progress(50).await;
        assert_eq!(epochs(&system).await?, before, "killed: {kills}");
    }
    assert_eq!(load.closes(), [], "sockets that were closed");
    let outcome = load.finish(&system).await?;
    eprintln!("{} acks, {} entries", outcome.acked, outcome.entries);
    assert_eq!(outcome.violations, []);
    Ok(())
}
