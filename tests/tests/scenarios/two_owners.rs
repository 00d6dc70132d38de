//! Two cores that both believe that they own everything break no promise, and keep each other from
//! working no longer than it takes to see it. `WEFT_DUEL_SECONDS=60` is the long run.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::time::sleep;
use weft_harness::load::{Load, LoadOptions};
use weft_harness::system::{Options, System, Twin};

fn duel() -> Duration {
    let seconds = std::env::var("WEFT_DUEL_SECONDS").ok().and_then(|s| s.parse().ok());
    Duration::from_secs(seconds.unwrap_or(15))
}

async fn rate(load: &Load, time: Duration) -> f64 {
    let (began, before) = (Instant::now(), load.acked());
    sleep(time).await;
    (load.acked() - before) as f64 / began.elapsed().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_both_own_everything_break_no_promise() -> Result<()> {
    let system = System::split(Options { twin: Some(Twin::Told), ..Options::default() }).await?;
    let mut load = Load::start(&system, LoadOptions::default()).await?;
    let normal = rate(&load, duel() / 3).await;
    system.process("twin").say("duel on")?;
    let duelling = rate(&load, duel()).await;
    system.process("twin").say("duel off")?;
    load.progress(200).await;
    let outcome = load.finish(&system).await?;
    let lost = system.process("twin").output().matches("partition lost").count();
    eprintln!("{normal:.0} acks/s, {duelling:.0} in the duel of {lost} lost partitions");
    assert!(lost > 0, "there was no duel");
    assert_eq!(outcome.violations, []);
    assert!(duelling > normal / 4.0, "{duelling:.0} of {normal:.0} acks/s");
    Ok(())
}
