//! kill -9 at random moments: what was answered is there, and nothing is there by half.

mod suite;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;
use weft_proto::Position;
use weft_storage::embedded::{Embedded, Options};
use weft_storage::{Snapshot, Store};

use suite::{b, batch, commit, numbered};

/// Set in the child: the folder of the store.
const CHILD: &str = "WEFT_KILL_FOLDER";
const ROUNDS: usize = 12;
/// Batches on their way at a time.
const WAVE: u32 = 32;

/// Small numbers make everything happen often: flushes, compactions, ranges that are swept.
fn open(path: &Path) -> Store {
    let options =
        Options { memtable_bytes: 256 * 1024, clear_now_keys_max: 8, ..Options::default() };
    Store::new(Embedded::open_with(path, options).expect("open"))
}

/// What batch `number` writes under both of its keys.
fn payload(number: u32) -> Bytes {
    let len = number.wrapping_mul(2_654_435_761) % 5_000;
    Bytes::from_iter(number.to_be_bytes().into_iter().cycle().take(len as usize))
}

async fn numbers(snapshot: &dyn Snapshot, prefix: &str) -> Vec<(u32, Bytes)> {
    let range = b(prefix)..numbered(prefix, u32::MAX);
    let pairs = snapshot.scan(range, usize::MAX, false).await.expect("scan");
    let number = |key: &[u8]| u32::from_be_bytes(key[prefix.len()..].try_into().expect("number"));
    pairs.iter().map(|(key, value)| (number(key), value.clone())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_commits_until_it_is_killed() {
    let Some(folder) = std::env::var_os(CHILD) else { return };
    let store = open(Path::new(&folder));
    let snapshot = store.snapshot().await.expect("snapshot");
    let last = snapshot.scan(b("a/")..b("a0"), 1, true).await.expect("scan");
    drop(snapshot);
    let mut next = last
        .first()
        .map_or(0, |(key, _)| u32::from_be_bytes(key[2..].try_into().expect("number")) + 1);
    let answered = |number: u32| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "answered {number}").and_then(|()| out.flush()).expect("the parent reads");
    };
    loop {
        let wave: Vec<_> = (next..next + WAVE)
            .map(|number| {
                let mut both = batch();
                both.set(numbered("a/", number), payload(number));
                both.set(numbered("b/", number), payload(number));
                both.set(numbered("c/", number), "");
                let store = store.clone();
                tokio::spawn(async move {
                    commit(&store, both).await;
                    answered(number);
                })
            })
            .collect();
        for commit in wave {
            commit.await.expect("task");
        }
        next += WAVE;
        let mut clearing = batch();
        clearing.clear_range(b("c/"), numbered("c/", next));
        clearing.set(b("floor"), b(next.to_be_bytes()));
        commit(&store, clearing).await;
    }
}

fn start(folder: &Path) -> (Child, Receiver<u32>) {
    let mut child = Command::new(std::env::current_exe().expect("test binary"))
        .args(["--exact", "child_commits_until_it_is_killed", "--nocapture"])
        .env(CHILD, folder)
        .stdout(Stdio::piped())
        .spawn()
        .expect("child");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let (sender, answered) = channel();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            // A line that the kill cut off counts as never printed.
            let number = line.split_once("answered ").and_then(|(_, number)| number.parse().ok());
            if number.is_some_and(|number| sender.send(number).is_err()) {
                return;
            }
        }
    });
    (child, answered)
}

#[tokio::test]
async fn nothing_answered_is_lost_and_nothing_is_half_there() {
    if std::env::var_os(CHILD).is_some() {
        return;
    }
    let mut random = SmallRng::seed_from_u64(suite::seed());
    let folder = TempDir::new().expect("folder");
    let mut answered = BTreeSet::new();
    let mut last = Position::MIN;
    for round in 0..ROUNDS {
        let (mut child, answers) = start(folder.path());
        if round % 4 == 0 {
            // Soon after its start: while it opens the store, or just after.
            let after = Duration::from_micros(random.random_range(0..60_000));
            answered.extend(answers.recv_timeout(after));
        } else {
            let count = random.random_range(1..700);
            answered.extend(answers.iter().take(count));
        }
        child.kill().expect("kill");
        child.wait().expect("wait");
        // Up to the end of what it printed.
        answered.extend(answers.iter());

        let store = open(folder.path());
        let snapshot = store.snapshot().await.expect("snapshot");
        assert!(snapshot.read_version() >= last, "round {round}: positions went back");
        last = snapshot.read_version();
        check(snapshot.as_ref(), &answered, round).await;
    }
    println!("{} answered batches over {ROUNDS} kills", answered.len());
    assert!(answered.len() > 1_000);
}

async fn check(snapshot: &dyn Snapshot, answered: &BTreeSet<u32>, round: usize) {
    let found = numbers(snapshot, "a/").await;
    assert_eq!(found, numbers(snapshot, "b/").await, "round {round}: half a batch");
    for (number, value) in &found {
        assert_eq!(*value, payload(*number), "round {round}: batch {number}");
    }
    let found: BTreeSet<u32> = found.into_iter().map(|(number, _)| number).collect();
    let lost: Vec<_> = answered.difference(&found).collect();
    assert!(lost.is_empty(), "round {round}: answered and lost: {lost:?}");

    let floor = snapshot.get(b("floor")).await.expect("get");
    let floor =
        floor.map_or(0, |floor| u32::from_be_bytes(floor.as_ref().try_into().expect("4 bytes")));
    let left: BTreeSet<u32> =
        numbers(snapshot, "c/").await.into_iter().map(|(number, _)| number).collect();
    let expected: BTreeSet<u32> = found.range(floor..).copied().collect();
    assert_eq!(left, expected, "round {round}: cleared up to {floor}");
}
