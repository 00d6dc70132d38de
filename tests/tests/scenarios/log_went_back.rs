//! nats-server loses the end of its streams (an older copy of its files is put back) under load:
//! nothing acknowledged is lost or doubled, and senders get acks again.

use std::time::{Duration, Instant};

use anyhow::Result;
use weft_harness::load::{Load, LoadOptions};
use weft_harness::system::{Options, System};

/// A talker waits for its ack before it goes on, so this is how long nobody may be stuck.
const STUCK_LIMIT: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_the_log_is_lost_again_and_again() -> Result<()> {
    let system = System::split(Options::default()).await?;
    let mut load = Load::start(&system, LoadOptions::default()).await?;
    // From a log that lags a little to one that lags far.
    for acks in [5, 50, 500, 2_000] {
        let copy = system.copy_streams("nats")?;
        load.progress(acks).await;
        let began = Instant::now();
        system.put_back(&copy).await?;
        load.progress(200).await;
        let stuck = began.elapsed();
        eprintln!("{acks} acks back: 200 further ones after {stuck:.1?}");
        assert!(stuck < STUCK_LIMIT, "{stuck:?}");
    }
    let outcome = load.finish(&system).await?;
    eprintln!("{} acks, {} entries", outcome.acked, outcome.entries);
    assert_eq!(outcome.violations, []);
    Ok(())
}
