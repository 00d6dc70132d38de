//! `weft-bench store`: the store's interface alone, and what its library does bare.

mod commits;
mod reads;
mod rivals;
mod work;

use std::path::PathBuf;

use anyhow::{Result, anyhow, ensure};
use clap::Args;
use serde::Serialize;
use weft_storage::embedded::Embedded;
use weft_storage::embedded::bare::Bare;
use weft_storage::{Store, StorePlace};

use self::commits::Commits;
use self::reads::Reads;
use self::rivals::Rivals;
use self::work::TEXT_BYTES;
use crate::progress;
use crate::report::print;
use crate::system::warn_of_memory;

const EMBEDDED: &str = "embedded";

/// Partitions that commit at once, in a process that owns several.
const PARTITIONS: usize = 4;

/// One measurement.
#[derive(Args, Clone, Debug)]
pub struct StoreOptions {
    /// `embedded`, in a temporary folder, or `fdb:<cluster file>#<namespace>` with a namespace that
    /// is empty, and will be again.
    #[arg(long, default_value = EMBEDDED)]
    store: String,
    /// How often each scenario is measured, by the store and by its library in turn.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// Where the temporary folder is made; it should be on the disk that is to be measured.
    #[arg(long)]
    folder: Option<PathBuf>,
}

#[derive(Serialize)]
struct Report {
    scenario: &'static str,
    store: &'static str,
    text_bytes: usize,
    rounds: u32,
    commits: Vec<Commits>,
    reads: Vec<Reads>,
    /// The lowest of the ratios to the library bare.
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio_min: Option<f64>,
}

/// Measures, and prints the report.
pub async fn measure(options: &StoreOptions) -> Result<()> {
    if options.store == EMBEDDED {
        let parent = options.folder.clone().unwrap_or_else(std::env::temp_dir);
        warn_of_memory(&parent);
        let folder = tempfile::Builder::new().prefix("weft-bench-").tempdir_in(parent)?;
        let store = Store::new(Embedded::open(&folder.path().join("store"))?);
        let bare = Bare::open(&folder.path().join("bare"))?;
        return measure_both(Rivals { store, bare: Some(bare) }, EMBEDDED, options.rounds).await;
    }
    let place: StorePlace = options.store.parse().map_err(|error: String| anyhow!(error))?;
    ensure!(matches!(place, StorePlace::Fdb { .. }), "what is measured is embedded or fdb:…");
    let opened = place.open()?;
    let rivals = Rivals { store: opened.store.clone(), bare: None };
    let measured = measure_both(rivals, "fdb", options.rounds).await;
    work::clear(&opened.store).await?;
    measured
}

async fn measure_both(rivals: Rivals, store: &'static str, rounds: u32) -> Result<()> {
    let mut partitions = work::prepare(&rivals, PARTITIONS).await?;
    let commits = commits::measure(&rivals, &mut partitions, rounds).await?;
    let reads = reads::measure(&rivals, &partitions, rounds).await?;
    let ratios = commits.iter().map(|it| it.ratio).chain(reads.iter().map(|it| it.ratio));
    let ratio_min = ratios.flatten().min_by(f64::total_cmp);
    if let Some(ratio) = ratio_min {
        progress(&format!("the lowest ratio to the library bare is {ratio}"));
    }
    let report = Report {
        scenario: "store",
        store,
        text_bytes: TEXT_BYTES,
        rounds,
        commits,
        reads,
        ratio_min,
    };
    print(&report)
}
