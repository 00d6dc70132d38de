//! A million entries, in bounded memory.

use std::fs::{self, File};
use std::io::{BufWriter, Seek as _};
use std::time::Instant;

use weft_proto::StoreId;
use weft_storage::Store;
use weft_storage::export::{self, Exported};

use super::super::seed;
use super::content::{Content, Size};
use super::lines_hash;

/// Rooms have half of `entries`, about: a million altogether.
const SIZE: Size = Size { users: 500, rooms: 2_000, entries: 1_000, large_one_in: 5_000 };

/// The peak of this process's memory since the last call, in MB (Linux).
fn peak_mb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    let kb: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    // Begins to count anew.
    fs::write("/proc/self/clear_refs", "5").expect("clear_refs");
    kb / 1_000
}

/// From one store into another one, each opened anew; says how long each step takes, and how much
/// memory.
pub async fn a_million_entries_move(
    source: impl AsyncFn() -> Store,
    target: impl AsyncFn() -> Store,
) {
    let mut begun = Instant::now();
    let mut say = |what: &str| {
        println!("{what}: {:.1} s, peak {} MB", begun.elapsed().as_secs_f64(), peak_mb());
        begun = Instant::now();
    };
    drop(Content::fill(&source().await, seed(), SIZE).await);
    say("(made)");
    let store = source().await;
    say("opened");
    let file = tempfile::tempfile().expect("file");
    let exported = export_to(&store, &file).await;
    say("exported");
    drop(store);
    let packed = file.metadata().expect("metadata").len();
    println!("{:?}, {} MB, packed {} MB", exported.counts, exported.bytes >> 20, packed >> 20);
    let verified = export::verify(&file, &mut |_| {}).expect("verify");
    say("verified");
    rewind(&file);
    let store = target().await;
    let id = StoreId(rand::random());
    export::import(&store, &file, &verified, id, &mut |_| {}).await.expect("import");
    say("imported");
    let again = tempfile::tempfile().expect("file");
    let second = export_to(&store, &again).await;
    say("exported again");
    assert!(exported.counts["entry"] > 900_000, "{:?}", exported.counts);
    assert_eq!(second.counts, exported.counts);
    rewind(&file);
    assert_eq!(lines_hash(&again), lines_hash(&file));
}

fn rewind(mut file: &File) {
    file.rewind().expect("seek");
}

async fn export_to(store: &Store, file: &File) -> Exported {
    let mut sink = BufWriter::new(file);
    let exported = export::export(store, &mut sink, 7, &mut |_| {}).await.expect("export");
    drop(sink);
    rewind(file);
    exported
}
