//! `weft-bench expiry`: what it costs to delete what is older than its room's rule says.
//!
//! The owners of all partitions work on an embedded store in a folder, as in `year`. Their clock is as fast as ever, and skips
//! three days after everything was said: then all rooms get the rule to keep an entry for one day.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use serde::Serialize;
use tokio::time::sleep;
use weft_core::FEATURE_LEVEL;
use weft_core::partition::retention::Retention;
use weft_core::services::layout;
use weft_runtime::Clock as _;
use weft_storage::embedded::Embedded;
use weft_storage::tables::expiry;
use weft_storage::{Engine as _, Store};

use crate::progress;
use crate::report::{print, round};
use crate::system::warn_of_memory;
use crate::year::PARTITIONS;
use crate::year::cost::{Cost, Counted, Meter, disk_bytes};
use crate::year::owners::Owners;
use crate::year::ports::FastClock;
use crate::year::tables::read_tables;
use crate::year::town::Town;

/// Messages that are sent before the owners are waited for.
const AT_ONCE: u64 = 5_000;
const OLD: Duration = Duration::from_secs(3 * 86_400);
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[derive(Args, Clone, Debug)]
pub struct ExpiryOptions {
    /// How many messages there are, of 100 characters.
    #[arg(long, default_value_t = 1_000_000)]
    messages: u64,
    /// Users, each in ten direct rooms and one to three groups.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(10..=1_000))]
    users: u32,
    /// Where the temporary folder is made; it should be on the disk that is to be measured.
    #[arg(long)]
    folder: Option<PathBuf>,
}

#[derive(Serialize)]
struct Report {
    scenario: &'static str,
    messages: u64,
    rooms: usize,
    /// Sending all of it, one batch after the other.
    sending: Cost,
    /// From the rules on, until nothing is left that has expired. The first ten seconds, in which an owner does not look, are
    /// in it.
    expiry_s: f64,
    expiry: Cost,
    rows_before: u64,
    rows_after: u64,
    disk_bytes_before: u64,
    disk_bytes_after: u64,
}

pub async fn measure(options: &ExpiryOptions) -> Result<()> {
    let parent = options.folder.clone().unwrap_or_else(std::env::temp_dir);
    warn_of_memory(&parent);
    let folder = tempfile::Builder::new().prefix("weft-bench-").tempdir_in(parent)?;
    let store = Store::new(Embedded::open(folder.path())?);
    let clock = Arc::new(FastClock::start_slow());
    let (owned, beside) = (Counted::new(store.clone()), Counted::new(store));
    layout::open(&beside.store(), PARTITIONS, FEATURE_LEVEL).await?;
    let mut owners = Owners::start(&owned.store(), &clock, Retention::default().journal)?;
    let random = SmallRng::seed_from_u64(1);
    let ports = (owners.logs.clone(), Arc::clone(&owners.bus));
    let mut town = Town::found(&beside, &clock, ports, options.users, random).await?;
    let (mut meter, before) = (Meter::default(), owned.counts());
    let begun = meter.begin()?;
    while town.messages() < options.messages {
        town.talk(AT_ONCE.min(options.messages - town.messages())).await?;
    }
    meter.end_sending(begun)?;
    let sending = owned.counts().since(&before).cost(meter.sending());
    let rows_before = read_tables(&beside.store()).await?.rows_of("entry");
    let disk_bytes_before = disk_bytes(folder.path())?;
    progress(&format!(
        "{} messages are there; three days pass, which the owners complain of",
        town.messages()
    ));

    clock.skip(OLD);
    let (before, began, begun) = (owned.counts(), Instant::now(), meter.begin()?);
    let rooms = town.keep_for(1).await?;
    while is_due(&beside, &clock).await? {
        owners.workers.check()?;
        sleep(LOOK_EVERY).await;
    }
    let expiry_s = round(began.elapsed().as_secs_f64());
    meter.end_walk(begun)?;
    owners.workers.end().await?;
    let rows_after = read_tables(&beside.store()).await?.rows_of("entry");
    ensure!(rows_after == rooms as u64, "{rows_after} entries are left, and {rooms} rules");
    print(&Report {
        scenario: "expiry",
        messages: town.messages(),
        rooms,
        sending,
        expiry_s,
        expiry: owned.counts().since(&before).cost(meter.walks()),
        rows_before,
        rows_after,
        disk_bytes_before,
        disk_bytes_after: disk_bytes(folder.path())?,
    })
}

/// True while a room has entries that have expired.
async fn is_due(store: &Counted, clock: &FastClock) -> Result<bool> {
    let snapshot = store.snapshot().await?;
    let hour = expiry::hour_of(clock.now_ms());
    for partition in 0..PARTITIONS {
        if !expiry::due(&*snapshot, partition, (None, hour), 1).await?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}
