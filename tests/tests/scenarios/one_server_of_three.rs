//! With three nats-servers as one cluster, nothing acknowledged is lost while one of them is killed
//! or is stopped, and work goes on.

use anyhow::Result;
use rustix::process::Signal;
use weft_harness::load::{Load, LoadOptions};
use weft_harness::system::{Options, START_LIMIT, System};
use weft_harness::wait::until;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_server_of_three_may_fail() -> Result<()> {
    let options = Options { nats_servers: 3, proxied: true, ..Options::default() };
    let system = System::split(options).await?;
    let mut load = Load::start(&system, LoadOptions::default()).await?;
    for name in system.server_names() {
        let server = system.process(&name);
        server.kill()?;
        load.progress(200).await;
        server.restart()?;
        system.server_answers(&name).await;
        system.cluster_is_complete().await;
        load.progress(100).await;
    }
    let still = system.process("nats-1");
    still.signal(Signal::STOP)?;
    load.progress(200).await;
    still.signal(Signal::CONT)?;
    load.progress(100).await;
    let outcome = load.finish(&system).await?;
    eprintln!("{} acks, {} entries", outcome.acked, outcome.entries);
    assert_eq!(outcome.violations, []);
    Ok(())
}

/// Two of three servers are not there yet: nobody can lead the streams.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn core_waits_for_a_cluster_that_is_still_starting() -> Result<()> {
    let system = System::split(Options { nats_servers: 3, ..Options::default() }).await?;
    let core = system.process("core");
    core.kill()?;
    for late in ["nats-1", "nats-2"] {
        system.process(late).kill()?;
    }
    let before = core.output().len();
    core.restart()?;
    let says = async |what: &str| {
        let what = what.to_owned();
        until(&format!("core says: {what}"), START_LIMIT, async || {
            assert!(core.is_running(), "core has ended");
            core.output()[before..].contains(&what).then_some(())
        })
        .await;
    };
    says("the start waits").await;
    for late in ["nats-1", "nats-2"] {
        system.process(late).restart()?;
    }
    says("is ready").await;
    Ok(())
}
