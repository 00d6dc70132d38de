//! What the engine on disk promises beyond the suite: one owner, order over restarts, an orderly
//! close, and clear words when the disk doesn't let it work.

mod suite;

use std::path::Path;
use std::pin::pin;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;
use weft_proto::Position;
use weft_storage::embedded::{Embedded, Options};
use weft_storage::{Error, Outcome, Store};

use suite::{b, batch, commit, everything, get, numbered};

/// Set in the child process of a test: the folder of the store.
const CHILD: &str = "WEFT_TEST_FOLDER";

fn open(path: &Path) -> Store {
    Store::new(Embedded::open(path).expect("open"))
}

fn open_error(path: &Path) -> Error {
    Embedded::open(path).err().expect("it must not open")
}

async fn put(store: &Store, key: &str) -> Position {
    let mut putting = batch();
    putting.set(b(key), "value");
    commit(store, putting).await
}

/// Runs one test of this file in a process of its own.
fn child(test: &str, folder: &Path) -> Command {
    // Writing beyond a limit of the file's size is then an error instead of a signal.
    let mut command = Command::new("sh");
    command
        .args(["-c", r#"trap "" XFSZ; exec "$0" "$@""#])
        .arg(std::env::current_exe().expect("test binary"))
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, folder)
        .stderr(Stdio::inherit());
    command
}

#[tokio::test]
async fn positions_grow_over_restarts_and_clocks_that_go_back() {
    let folder = TempDir::new().expect("folder");
    let clock = Arc::new(AtomicU64::new(1_000_000));
    let mut last = Position::MIN;
    for now in [1_000_000, 5_000_000, 10, 0, 4_999_999] {
        clock.store(now, Ordering::Relaxed);
        let hands = Arc::clone(&clock);
        let clock_us = Arc::new(move || hands.load(Ordering::Relaxed));
        let options = Options { clock_us, ..Options::default() };
        let store = Store::new(Embedded::open_with(folder.path(), options).expect("open"));
        let found = store.snapshot().await.expect("snapshot").read_version();
        assert!(last.commit_end() == found || last == Position::MIN);
        for _ in 0..3 {
            let position = put(&store, "key").await;
            assert!(position > last.commit_end());
            assert!(position >= Position::new(now, 0));
            last = position;
        }
    }
    assert_eq!(last, Position::new(5_000_011, 0), "three restarts with an earlier clock");
}

/// The violation is planted by a clock at the end of all time: nothing is after that.
#[tokio::test]
async fn a_commit_whose_version_would_not_grow_ends_the_store() {
    let folder = TempDir::new().expect("folder");
    let options = Options { clock_us: Arc::new(|| u64::MAX), ..Options::default() };
    let store = Store::new(Embedded::open_with(folder.path(), options).expect("open"));
    put(&store, "first").await;
    let mut second = batch();
    second.set(b("second"), "");
    let error = store.commit(second).await.expect_err("no version is left");
    assert!(!error.is_retryable(), "{error}");
    // Who waited is told a moment before everybody else.
    while store.snapshot().await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_store_that_is_open_is_refused_in_one_line() {
    let folder = TempDir::new().expect("folder");
    let store = open(folder.path());
    put(&store, "key").await;
    let error = open_error(folder.path());
    assert!(matches!(error, Error::Locked(_)), "{error}");
    let line = error.to_string();
    assert!(!line.contains('\n') && line.contains("FoundationDB"), "{line}");

    let child = child("child_finds_the_store_locked", folder.path()).status().expect("child");
    assert!(child.success());

    // A reader keeps it as well.
    let snapshot = store.snapshot().await.expect("snapshot");
    drop(store);
    assert!(matches!(open_error(folder.path()), Error::Locked(_)));
    assert_eq!(snapshot.get(b("key")).await.expect("get"), Some(b("value")));
    drop(snapshot);
    assert_eq!(get(&open(folder.path()), "key").await, Some(b("value")));
}

#[test]
fn child_finds_the_store_locked() {
    let Some(folder) = std::env::var_os(CHILD) else { return };
    assert!(matches!(open_error(Path::new(&folder)), Error::Locked(_)));
}

#[tokio::test]
async fn what_was_queued_is_committed_before_the_store_closes() {
    let folder = TempDir::new().expect("folder");
    let store = open(folder.path());
    for number in 0..500 {
        let mut putting = batch();
        putting.set(numbered("k", number), "value");
        let committing = store.commit(putting);
        let mut committing = pin!(committing);
        // Queued by the first poll; then nobody waits for it any more.
        std::future::poll_fn(|context| {
            let _ = committing.as_mut().poll(context);
            Poll::Ready(())
        })
        .await;
    }
    drop(store);
    let snapshot = open(folder.path()).snapshot().await.expect("snapshot");
    let pairs = snapshot.scan(everything(), usize::MAX, false).await.expect("scan");
    assert_eq!(pairs.len(), 500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_the_queue_holds_waits_and_is_committed() {
    let folder = TempDir::new().expect("folder");
    let store = open(folder.path());
    let value = Bytes::from(vec![7; 90_000]);
    let commits: Vec<_> = (0..40)
        .map(|number| {
            let mut large = batch();
            for part in 0..50 {
                large.set(numbered("k", number * 100 + part), value.clone());
            }
            let store = store.clone();
            tokio::spawn(async move { commit(&store, large).await })
        })
        .collect();
    for commit in commits {
        commit.await.expect("task");
    }
    let snapshot = store.snapshot().await.expect("snapshot");
    let asked = (0..40).map(|number| numbered("k", number * 100 + 49)).collect();
    let kept = snapshot.get_many(asked).await.expect("get_many");
    assert!(kept.iter().all(|kept| kept.as_ref() == Some(&value)));
}

#[tokio::test]
async fn a_range_that_was_cleared_stays_so_over_a_restart() {
    let folder = TempDir::new().expect("folder");
    for round in 0..5_u32 {
        let store = open(folder.path());
        let snapshot = store.snapshot().await.expect("snapshot");
        let found = snapshot.scan(everything(), usize::MAX, false).await.expect("scan");
        assert_eq!(found.len(), usize::from(round > 0));
        drop(snapshot);
        let mut filling = batch();
        for number in 0..20_000 {
            filling.set(numbered("k", number), "value");
        }
        commit(&store, filling).await;
        let mut clearing = batch();
        clearing.clear_range(b(""), b("z"));
        clearing.set(numbered("k", round * 1_000), "kept");
        commit(&store, clearing).await;
        // Closed in the middle of sweeping it.
    }
}

#[test]
fn a_first_creation_that_was_cut_off_is_made_again() {
    let folder = TempDir::new().expect("folder");
    let path = folder.path().join("store");
    drop(Embedded::open(&path).expect("open"));
    // What is written last: the library's marker, then our own file.
    std::fs::remove_file(path.join("life.json")).expect("file");
    std::fs::remove_file(path.join("db/version")).expect("marker");
    drop(Embedded::open(&path).expect("open"));
}

#[test]
fn a_folder_that_cannot_be_used_is_one_clear_line() {
    let folder = TempDir::new().expect("folder");
    let file = folder.path().join("file");
    std::fs::write(&file, "not a folder").expect("write");
    for path in [file.clone(), file.join("below"), "/proc/weft".into()] {
        let error = open_error(&path);
        assert!(matches!(error, Error::Open(_)), "{error}");
        let line = error.to_string();
        assert!(line.contains(&path.display().to_string()) && !line.contains('\n'), "{line}");
    }
}

#[tokio::test]
async fn a_nearly_full_disk_refuses_commits_and_still_reads() {
    let folder = TempDir::new().expect("folder");
    put(&open(folder.path()), "key").await;
    let options = Options { disk_reserve_bytes: u64::MAX, ..Options::default() };
    let store = Store::new(Embedded::open_with(folder.path(), options).expect("open"));
    let mut putting = batch();
    putting.set(b("key"), "other");
    let error = store.commit(putting).await.expect_err("refused");
    assert!(matches!(error, Error::Full(_)) && error.is_retryable(), "{error}");
    assert_eq!(get(&store, "key").await, Some(b("value")));
}

#[test]
fn a_failed_write_is_told_and_harms_nothing_that_was_answered() {
    let folder = TempDir::new().expect("folder");
    let child = child("child_meets_a_failing_disk", folder.path()).status().expect("child");
    assert!(child.success());
}

/// A limit on the size of files makes the journal's writes fail, as a full disk does.
#[tokio::test]
async fn child_meets_a_failing_disk() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let Some(folder) = std::env::var_os(CHILD) else { return };
    let options = Options { memtable_bytes: 512 * 1024 * 1024, ..Options::default() };
    let folder = Path::new(&folder);
    let store = Store::new(Embedded::open_with(folder, options).expect("open"));
    let limits = getrlimit(Resource::Fsize);
    let file_bytes_max = 64 * 1024 * 1024 + 12_345;
    setrlimit(Resource::Fsize, Rlimit { current: Some(file_bytes_max), ..limits }).expect("limit");

    let mut random = SmallRng::seed_from_u64(suite::seed());
    let mut answered = 0;
    let failure = loop {
        let mut large = batch();
        for part in 0..10 {
            // The journal compresses what it can.
            let mut value = vec![0; 100_000];
            random.fill_bytes(&mut value);
            large.set(numbered("k", answered * 10 + part), value);
        }
        match store.commit(large).await {
            Ok(Outcome::Committed(_)) => answered += 1,
            Ok(Outcome::Rejected { .. }) => panic!("nothing was guarded"),
            Err(error) => break error,
        }
        assert!(answered < 1_000, "the limit has no effect");
    };
    assert!(answered > 10);
    assert!(matches!(failure, Error::Failed(_)), "{failure}");
    assert!(matches!(store.commit(batch()).await, Err(Error::Failed(_))));
    assert!(matches!(store.snapshot().await, Err(Error::Failed(_))));

    setrlimit(Resource::Fsize, limits).expect("limit");
    drop(store);
    let store = open(folder);
    let snapshot = store.snapshot().await.expect("snapshot");
    let pairs = snapshot.scan(everything(), usize::MAX, false).await.expect("scan");
    // The batch that failed may be there, but whole.
    let found = u32::try_from(pairs.len()).expect("few");
    assert!(found == answered * 10 || found == answered * 10 + 10, "{found} of {answered} × 10");
    put(&store, "again").await;
}
