//! `weft bench store`: the store's interface alone, and what its library does bare.

mod commits;
mod reads;
mod rivals;
mod work;

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use weft_storage::Store;
use weft_storage::embedded::Embedded;
use weft_storage::embedded::bare::Bare;

use self::commits::Commits;
use self::reads::Reads;
use self::rivals::Rivals;
use self::work::TEXT_BYTES;
use super::send::{block_on_one, progress};
use super::system::temporary_folder;
use crate::error::Error;
use crate::process::say;
use crate::store::{OpenStore, StorePlace, store_place};

/// Partitions that commit at once, in a process that owns several.
const PARTITIONS: usize = 4;

/// One measurement.
#[derive(Args, Clone, Debug)]
pub struct StoreOptions {
    /// `embedded`, in a temporary folder, or `fdb:<cluster file>#<namespace>` with a namespace that
    /// is empty, and will be again.
    #[arg(long, default_value = "embedded", value_parser = subject)]
    store: Subject,
    /// How often each scenario is measured, by the store and by its library in turn.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// Where the temporary folder is made; it should be on the disk that is to be measured.
    #[arg(long)]
    folder: Option<PathBuf>,
}

/// What is measured.
#[derive(Clone, Debug)]
enum Subject {
    Embedded,
    Cluster(StorePlace),
}

fn subject(text: &str) -> Result<Subject, String> {
    match text {
        "embedded" => Ok(Subject::Embedded),
        cluster if cluster.starts_with("fdb:") => store_place(cluster).map(Subject::Cluster),
        _ => Err("what is measured is embedded or fdb:<cluster file>#<namespace>".to_owned()),
    }
}

/// The last line.
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
pub fn run(options: &StoreOptions) -> Result<(), Error> {
    match &options.store {
        Subject::Embedded => {
            let folder = temporary_folder(options.folder.as_deref())?;
            let store = Store::new(Embedded::open(&folder.path().join("store"))?);
            let bare = Bare::open(&folder.path().join("bare"))?;
            block_on_one(measure(Rivals { store, bare: Some(bare) }, "embedded", options.rounds))
        }
        Subject::Cluster(place) => {
            let OpenStore { store, .. } = &place.open()?;
            let rivals = Rivals { store: store.clone(), bare: None };
            block_on_one(async {
                let measured = measure(rivals, "fdb", options.rounds).await;
                work::clear(store).await?;
                measured
            })
        }
    }
}

async fn measure(rivals: Rivals, store: &'static str, rounds: u32) -> Result<(), Error> {
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
    say(&serde_json::to_string(&report).map_err(|error| Error::Failed(error.to_string()))?);
    Ok(())
}
