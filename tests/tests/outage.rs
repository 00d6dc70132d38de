//! NATS is away for longer than a node's life without a heartbeat: no partition moves, no client
//! loses its socket, and what was sent before, meanwhile and after it arrives.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::{Instant, sleep_until};
use weft_proto::Tick;
use weft_tests::load::{Load, LoadOptions};
use weft_tests::proxy::{Fault, Proxy};
use weft_tests::system::{Options, System, Twin};

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
