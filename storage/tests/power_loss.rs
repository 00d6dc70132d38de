//! The power is cut, or the disk changes a byte: what was answered is there, what was left out is
//! told, and what was synced is never left out without somebody's word.
#![cfg(target_os = "linux")]
#![expect(unsafe_code, reason = "the test is between the store and the disk")]

mod power;
mod suite;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;
use weft_storage::embedded::{Damage, Embedded, Options};
use weft_storage::tables::layout::{self, Layout};
use weft_storage::{Batch, Error, Snapshot, Store};

use power::disk;
use power::spoil::{PARTS, spoil};
use power::{copy_folder, data_end};
use suite::{b, batch, commit, get, numbered};

/// Batches on their way at a time.
const WAVE: u32 = 16;
const WAVES: u32 = 30;
const PICTURES: usize = 12;
const VARIANTS_MAX: usize = 10 * VARIANTS;
const VARIANTS: usize = 5;
const FIRST_ID: u64 = 7;

/// Small numbers make everything happen often: flushes, compactions, ranges that are swept.
fn options() -> Options {
    Options { memtable_bytes: 96 * 1024, clear_now_keys_max: 8, ..Options::default() }
}

fn try_open(path: &Path) -> Result<(Store, bool), Error> {
    let embedded = Embedded::open_with(path, options())?;
    let left_out = embedded.left_out().is_some();
    Ok((Store::new(embedded), left_out))
}

fn open(path: &Path) -> (Store, bool) {
    try_open(path).expect("open")
}

/// What batch `number` writes under both of its keys.
fn payload(number: u32) -> Bytes {
    let len = number.wrapping_mul(2_654_435_761) % 5_000 + 1;
    Bytes::from_iter((number | 1).to_be_bytes().into_iter().cycle().take(len as usize))
}

fn both(number: u32) -> Batch {
    let mut both = batch();
    both.set(numbered("a/", number), payload(number));
    both.set(numbered("b/", number), payload(number));
    // Others wait for the sync of a later group.
    both.set_replayable(number.is_multiple_of(2));
    both
}

async fn make_layout(store: &Store) {
    let first = Layout::new(4, FIRST_ID);
    let mut batch = batch();
    batch.set(layout::key(), first.encode());
    commit(store, batch).await;
}

async fn store_id(store: &Store) -> Option<u64> {
    let row = get(store, layout::key()).await?;
    Some(Layout::decode(&row).expect("layout").store_id)
}

async fn numbers(snapshot: &dyn Snapshot, prefix: &str) -> Vec<(u32, Bytes)> {
    let range = b(prefix)..numbered(prefix, u32::MAX);
    let pairs = snapshot.scan(range, usize::MAX, false).await.expect("scan");
    let number = |key: &[u8]| u32::from_be_bytes(key[prefix.len()..].try_into().expect("number"));
    pairs.iter().map(|(key, value)| (number(key), value.clone())).collect()
}

/// What is there, whole.
async fn found(store: &Store) -> BTreeSet<u32> {
    let snapshot = store.snapshot().await.expect("snapshot");
    let found = numbers(&*snapshot, "a/").await;
    assert_eq!(found, numbers(&*snapshot, "b/").await, "half a batch");
    assert!(found.iter().all(|(number, value)| *value == payload(*number)));
    found.into_iter().map(|(number, _)| number).collect()
}

/// The file says that another boot of the machine wrote it.
fn as_after_a_restart(folder: &Path) {
    let path = folder.join("life.json");
    let Ok(bytes) = fs::read(&path) else { return };
    let mut life: serde_json::Value = serde_json::from_slice(&bytes).expect("it is whole");
    life["boot"] = "before".into();
    fs::write(path, life.to_string()).expect("write");
}

async fn write_waves(path: &Path) {
    let (store, _) = open(path);
    make_layout(&store).await;
    for wave in 0..WAVES {
        let numbers = wave * WAVE..(wave + 1) * WAVE;
        let committing = numbers.map(|number| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut batch = both(number);
                batch.set(numbered("c/", number), "");
                commit(&store, batch).await;
                disk::answered(number);
            })
        });
        for commit in committing.collect::<Vec<_>>() {
            commit.await.expect("task");
        }
        let mut clearing = batch();
        clearing.clear_range(b("c/"), numbered("c/", (wave + 1) * WAVE));
        commit(&store, clearing).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_takes_nothing_that_was_answered() {
    let mut random = SmallRng::seed_from_u64(suite::seed());
    let folder = TempDir::new().expect("folder");
    let root = folder.path().canonicalize().expect("path");
    let (store, pictures) = (root.join("store"), root.join("pictures"));
    fs::create_dir_all(&store).expect("folder");
    fs::create_dir_all(&pictures).expect("folder");
    disk::watch(&store, &pictures, random.random(), PICTURES);
    write_waves(&store).await;
    let pictures = disk::pictures();
    assert_eq!(pictures.len(), PICTURES);

    let (mut opened, mut leaving_out) = (0, 0);
    for variant in 0..VARIANTS_MAX {
        // Few of them hit what is to be left out.
        if variant >= VARIANTS && leaving_out > 0 {
            break;
        }
        for (index, picture) in pictures.iter().enumerate() {
            let which = PARTS[variant % PARTS.len()];
            let path = root.join("after");
            spoil(picture, &path, which, &mut random);
            as_after_a_restart(&path);
            let name = format!("picture {index}, variant {variant}: {which:?}");
            let (store, left_out) = try_open(&path)
                .unwrap_or_else(|error| panic!("{name}, {:?}: {error}", keep(&path)));
            let found = found(&store).await;
            let lost: Vec<_> = picture.answered.difference(&found).collect();
            assert!(lost.is_empty(), "{name}, {:?}: lost {lost:?}", keep(&path));
            let id = store_id(&store).await;
            assert!(id.is_none() || (id != Some(FIRST_ID)) == left_out, "{name}: {id:?}");
            commit(&store, both(1_000_000)).await;
            drop(store);
            let (store, _) = open(&path);
            assert!(self::found(&store).await.contains(&1_000_000), "{name}");
            drop(store);
            fs::remove_dir_all(&path).expect("remove");
            opened += 1;
            leaving_out += usize::from(left_out);
        }
    }
    println!("{opened} power cuts, {leaving_out} of them left something out");
    assert!(leaving_out > 0);
}

fn keep(path: &Path) -> PathBuf {
    let kept = std::env::temp_dir().join(format!("weft-power-loss-{}", std::process::id()));
    copy_folder(path, &kept);
    kept
}

/// A store in which each of these batches is a group of its own, and where each of them ends in the
/// journal. The copy is made while it is open, right after the last answer.
async fn groups(folder: &Path, numbers: &[u32]) -> (PathBuf, Vec<u64>) {
    let (open_folder, copy) = (folder.join("store"), folder.join("copy"));
    let journal = open_folder.join("db/0.jnl");
    let (store, _) = open(&open_folder);
    make_layout(&store).await;
    let mut ends = vec![data_end(&journal, 0)];
    for number in numbers {
        commit(&store, both(*number)).await;
        ends.push(data_end(&journal, 0));
    }
    copy_folder(&open_folder, &copy);
    (copy, ends)
}

/// A copy of the store with one byte changed.
fn changed(copy: &Path, at: u64) -> PathBuf {
    let target = copy.with_extension(at.to_string());
    copy_folder(copy, &target);
    let journal = target.join("db/0.jnl");
    let mut bytes = fs::read(&journal).expect("read");
    bytes[usize::try_from(at).expect("small")] ^= 0x20;
    fs::write(journal, bytes).expect("write");
    target
}

#[tokio::test]
async fn damage_in_the_newest_group_is_left_out_and_told() {
    let folder = TempDir::new().expect("folder");
    let (copy, ends) = groups(folder.path(), &[2, 4, 6]).await;
    let mut random = SmallRng::seed_from_u64(suite::seed());
    let mut places: Vec<u64> = (0..16).map(|_| random.random_range(ends[2]..ends[3])).collect();
    // Its number for the library is not covered by the checksum: no disk changes that alone.
    places.retain(|at| !(5..13).contains(&(at - ends[2])));
    places.extend([ends[2], ends[3] - 1]);
    for at in places {
        let path = changed(&copy, at);
        let (store, left_out) = open(&path);
        assert!(left_out, "byte {at}");
        assert_eq!(found(&store).await, [2, 4].into(), "byte {at}");
        let id = store_id(&store).await.expect("layout");
        assert_ne!(id, FIRST_ID, "byte {at}");
        drop(store);
        let (store, left_out) = open(&path);
        assert!(!left_out, "it is told once");
        assert_eq!(store_id(&store).await, Some(id));
        let kept = fs::read_dir(path.join("left-out")).expect("folder").count();
        assert_eq!(kept, 1, "what was cut off is kept");
    }
}

#[tokio::test]
async fn damage_before_the_newest_group_is_refused_until_somebody_accepts_it() {
    let folder = TempDir::new().expect("folder");
    let (copy, ends) = groups(folder.path(), &[2, 4, 6]).await;
    for at in [ends[1], ends[1] + 40, (ends[1] + ends[2]) / 2, ends[2] - 1] {
        let path = changed(&copy, at);
        let before = fs::read(path.join("db/0.jnl")).expect("read");
        let error = try_open(&path).map(|_| ()).expect_err("refused");
        let line = error.to_string();
        assert!(matches!(error, Error::Open(_)) && !line.contains('\n'), "{line}");
        assert!(line.contains("`weft admin repair`"), "{line}");
        assert_eq!(fs::read(path.join("db/0.jnl")).expect("read"), before, "nothing is changed");

        let damage = Damage::find(&path).expect("look").expect("damage");
        assert!(damage.is_synced());
        assert!(matches!(try_open(&path), Err(Error::Locked(_))), "while somebody looks");
        let said = damage.describe().expect("describe");
        assert!(said.contains("1 whole commits"), "{said}");
        damage.leave_out().expect("leave out");
        let (store, left_out) = open(&path);
        assert!(left_out);
        assert_eq!(found(&store).await, [2].into());
        assert_ne!(store_id(&store).await, Some(FIRST_ID));
    }
}

#[tokio::test]
async fn what_no_log_has_is_answered_when_no_power_cut_can_take_it() {
    let folder = TempDir::new().expect("folder");
    let (copy, ends) = groups(folder.path(), &[2, 5]).await;
    let mut random = SmallRng::seed_from_u64(suite::seed());
    // Its last 80 bytes and more are of the batch that the answer waited for.
    let first = ends[1] + 13..ends[2] - 200;
    for at in (0..10).map(|_| random.random_range(first.clone())) {
        let error = try_open(&changed(&copy, at)).map(|_| ()).expect_err("refused");
        assert!(error.to_string().contains("weft admin repair"), "byte {at}: {error}");
    }
    for at in [ends[2] - 1, ends[2] - 20] {
        let (store, left_out) = open(&changed(&copy, at));
        assert!(left_out, "byte {at}");
        assert_eq!(found(&store).await, [2, 5].into(), "byte {at}");
    }
}

#[tokio::test]
async fn a_repair_that_is_cut_off_is_finished_by_the_next_start() {
    let folder = TempDir::new().expect("folder");
    let (copy, ends) = groups(folder.path(), &[2, 4]).await;
    let path = changed(&copy, ends[1] + 50);
    let marker = path.join("db/version");
    let content = fs::read(&marker).expect("read");
    fs::write(&marker, "other").expect("write");
    try_open(&path).map(|_| ()).expect_err("it ends after the repair");
    fs::write(&marker, content).expect("write");
    let (store, left_out) = open(&path);
    assert!(left_out);
    assert_eq!(found(&store).await, [2].into());
    assert_ne!(store_id(&store).await, Some(FIRST_ID));
}

#[tokio::test]
async fn a_process_that_was_killed_leaves_half_a_batch_and_nobody_is_bothered() {
    let folder = TempDir::new().expect("folder");
    let (copy, ends) = groups(folder.path(), &[2, 4]).await;
    for end in [ends[1] + 1, ends[1] + 30, ends[2] - 1] {
        for is_cut in [true, false] {
            let path = copy.with_extension(format!("{end}-{is_cut}"));
            copy_folder(&copy, &path);
            let journal = path.join("db/0.jnl");
            let file = fs::File::options().write(true).open(&journal).expect("open");
            file.set_len(end).expect("cut");
            if !is_cut {
                file.set_len(64 * 1024 * 1024).expect("zeros");
            }
            let (store, left_out) = open(&path);
            assert!(!left_out, "up to {end}");
            assert_eq!(found(&store).await, [2].into());
            assert_eq!(store_id(&store).await, Some(FIRST_ID));
        }
    }
}

#[tokio::test]
async fn damage_in_what_the_tables_have_costs_nothing() {
    let folder = TempDir::new().expect("folder");
    let path = folder.path().join("store");
    let (store, _) = open(&path);
    make_layout(&store).await;
    // Many times what a tree in memory holds.
    for number in 0..400 {
        commit(&store, both(number * 2)).await;
    }
    drop(store);
    let journal = path.join("db/0.jnl");
    let mut bytes = fs::read(&journal).expect("read");
    bytes[1_000] ^= 1;
    fs::write(&journal, bytes).expect("write");
    let (store, left_out) = open(&path);
    assert!(!left_out);
    assert_eq!(store_id(&store).await, Some(FIRST_ID));
    assert_eq!(found(&store).await.len(), 400);
    drop(store);
    assert_eq!(found(&open(&path).0).await.len(), 400);
}
