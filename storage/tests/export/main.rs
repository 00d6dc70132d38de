//! What is exported is imported whole, between the engines of this build, and nothing else is.

mod damaged;
mod fuzz;
#[path = "../suite/mod.rs"]
mod suite;

use tempfile::TempDir;
use weft_storage::Store;
use weft_storage::embedded::Embedded;
use weft_storage::memory::Memory;

use suite::moving::{everything_moves, interrupted, large, nothing_moves_too, running};
use suite::seed;

const STORES: u64 = 12;

fn memory() -> Store {
    Store::new(Memory::new())
}

fn disk() -> (Store, TempDir) {
    let folder = TempDir::new().expect("folder");
    (Store::new(Embedded::open(folder.path()).expect("open")), folder)
}

#[tokio::test]
async fn from_memory_to_disk_and_back_nothing_is_lost() {
    let seed = seed();
    for n in 0..STORES {
        let (target, _folder) = disk();
        everything_moves(memory(), target, memory(), seed.wrapping_add(n)).await;
    }
}

#[tokio::test]
async fn from_disk_to_memory_and_back_nothing_is_lost() {
    let seed = seed();
    for n in 0..STORES / 4 {
        let ((source, _one), (back, _two)) = (disk(), disk());
        everything_moves(source, memory(), back, seed.wrapping_add(n)).await;
    }
}

#[tokio::test]
async fn a_store_without_content_moves() {
    let (target, _folder) = disk();
    nothing_moves_too(memory(), target, seed()).await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_in_use_gives_whole_rooms() {
    let seed = seed();
    for n in 0..STORES {
        running::each_room_is_whole(memory(), memory(), seed.wrapping_add(n)).await;
    }
}

#[tokio::test]
async fn an_import_goes_on_where_it_was_interrupted() {
    let open = async || (memory(), ());
    interrupted::goes_on(memory(), open, async |store, ()| store, seed()).await;
}

#[tokio::test]
async fn an_import_goes_on_after_its_process_has_ended() {
    let open = async || disk();
    let reopen = async |store, folder: &TempDir| {
        drop(store);
        Store::new(Embedded::open(folder.path()).expect("open"))
    };
    interrupted::goes_on(memory(), open, reopen, seed()).await;
}

#[tokio::test(start_paused = true)]
async fn unknown_outcomes_are_settled_by_evidence() {
    interrupted::goes_on_where_outcomes_are_unknown(memory(), memory(), seed()).await;
}

#[tokio::test]
async fn a_store_that_is_not_empty_stays_as_it_is() {
    interrupted::only_its_own_is_gone_on_with(memory(), memory(), seed()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: run it with --release, see docs/export.md"]
async fn a_million_entries_move_in_bounded_memory() {
    let (one, two) = (TempDir::new().expect("folder"), TempDir::new().expect("folder"));
    let open = |folder: &TempDir| Store::new(Embedded::open(folder.path()).expect("open"));
    large::a_million_entries_move(async || open(&one), async || open(&two)).await;
}
