//! `weft admin` on a store that no core runs on, and on nodes that run.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::tempdir;
use weft_proto::{FollowerId, UserId};
use weft_storage::embedded::Embedded;
use weft_storage::tables::account::{self, Account};
use weft_storage::tables::dead_letter::{self, DeadLetter};
use weft_storage::tables::follower::{self, Follower};
use weft_storage::tables::layout::{self, Layout};
use weft_storage::{Batch, Store};

use crate::support::{Running, failure_line, wait_until, weft};

/// A store of one account and one partition.
async fn one_account(folder: &Path) {
    let store = Store::new(Embedded::open(folder).expect("open"));
    let mut batch = Batch::new([1; 16]);
    let row = Layout::new(1, 7);
    batch.set(layout::key(), row.encode());
    let alice = UserId::new("alice").expect("id");
    batch.set(account::key(&alice), Account { created_ms: 7, ..Account::default() }.encode());
    store.commit(batch).await.expect("commit");
}

async fn put_aside(folder: &Path, letters: &[(u16, u64, &str)]) {
    let store = Store::new(Embedded::open(folder).expect("open"));
    let mut batch = Batch::new([1; 16]);
    for (partition, stream_seq, text) in letters {
        let letter = DeadLetter {
            sender: "alice".into(),
            room: "alice~bob".into(),
            payload: text.as_bytes().to_vec().into(),
            ..DeadLetter::default()
        };
        dead_letter::put(&mut batch, *partition, *stream_seq, &letter);
    }
    store.commit(batch).await.expect("commit");
}

#[tokio::test]
async fn what_was_put_aside_is_listed() {
    let folder = tempdir().expect("folder");
    let store = folder.path().join("store");
    put_aside(&store, &[(0, 3, "one"), (1, 2, "two")]).await;
    let by_data = ["--data".into(), folder.path().display().to_string()];
    let by_store = ["--store".into(), format!("embedded:{}", store.display())];
    for place in [by_data, by_store] {
        let output = weft(&["admin", "dead-letters"]).args(place).output().expect("run");
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).expect("text");
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("json")).collect();
        let payloads: Vec<&Value> = lines.iter().map(|line| &line["payload"]).collect();
        assert_eq!(payloads, ["one", "two"]);
        assert_eq!(lines[1]["partition"], 1);
    }
}

#[test]
fn a_mistyped_folder_is_no_new_store() {
    let folder = tempdir().expect("folder");
    let path = folder.path().display().to_string();
    for command in [
        &["dead-letters"][..],
        &["accept-loss"],
        &["lower-floor"],
        &["upgrade"],
        &["repair"],
        &["export", "-"],
    ] {
        let refused = |place: [&str; 2]| {
            failure_line({
                let mut weft = weft(&["admin"]);
                weft.args(command).args(place);
                weft
            })
        };
        let line = refused(["--data", &path]);
        assert!(line.contains("is no data folder"), "{line}");
        let line = refused(["--store", &format!("embedded:{path}")]);
        assert!(line.contains("there is no store"), "{line}");
    }
    assert_eq!(folder.path().read_dir().expect("folder").count(), 0, "nothing was made");
}

#[tokio::test]
async fn a_damaged_journal_is_cut_only_when_that_is_said() {
    let folder = tempdir().expect("folder");
    let store = folder.path().join("store");
    one_account(&store).await;
    put_aside(&store, &[(0, 3, "one")]).await;
    let place = format!("embedded:{}", store.display());
    let run = |args: &[&str]| weft(&["admin"]).args(args).args(["--store", &place]).output();
    let whole = run(&["repair"]).expect("run");
    assert!(whole.status.success(), "{whole:?}");
    assert!(String::from_utf8_lossy(&whole.stdout).contains("nothing to do"), "{whole:?}");

    let journal = store.join("db/0.jnl");
    let mut bytes = std::fs::read(&journal).expect("read");
    // In the first commit of somebody: the store's own at its start has 74 bytes.
    bytes[74 + 60] ^= 1;
    std::fs::write(&journal, bytes).expect("write");
    let refused = run(&["dead-letters"]).expect("run");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("`weft admin repair`"), "{said}");
    let looked = run(&["repair"]).expect("run");
    assert_eq!(looked.status.code(), Some(1), "{looked:?}");
    let said = String::from_utf8_lossy(&looked.stdout).into_owned();
    assert!(said.contains("dead_letter: 1 rows"), "{said}");
    assert!(!run(&["dead-letters"]).expect("run").status.success(), "nothing was changed");
    let done = run(&["repair", "--yes"]).expect("run");
    assert!(done.status.success(), "{done:?}");
    let listed = run(&["dead-letters"]).expect("run");
    assert!(listed.status.success() && listed.stdout.is_empty(), "{listed:?}");
}

#[tokio::test]
async fn a_store_of_an_earlier_weft_is_upgraded_when_that_is_said() {
    let folder = tempdir().expect("folder");
    let store = folder.path().join("store");
    let earlier = async || {
        let store = Store::new(Embedded::open(&store).expect("open"));
        let row = Layout { key_version: 1, feature_level: 0, ..Layout::new(4, 7) };
        let mut batch = Batch::new(rand::random());
        batch.set(layout::key(), row.encode());
        store.commit(batch).await.expect("commit");
    };
    earlier().await;
    let place = format!("embedded:{}", store.display());
    let run = |args: &[&str]| weft(&["admin"]).args(args).args(["--store", &place]).output();
    let refused = run(&["export", "-"]).expect("run");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("`weft admin upgrade`"), "{said}");
    let looked = run(&["upgrade"]).expect("run");
    assert_eq!(looked.status.code(), Some(1), "{looked:?}");
    let said = String::from_utf8_lossy(&looked.stdout).into_owned();
    assert!(
        said.contains(&format!("from 0 to {}", layout::FEATURE_LEVEL))
            && said.contains("must be stopped"),
        "{said}"
    );
    assert!(!run(&["export", "-"]).expect("run").status.success(), "nothing was changed");
    let done = run(&["upgrade", "--yes"]).expect("run");
    assert!(done.status.success(), "{done:?}");
    assert!(run(&["export", "-"]).expect("run").status.success(), "it is served");
    let again = run(&["upgrade", "--yes"]).expect("run");
    assert!(again.status.success(), "{again:?}");
    assert!(String::from_utf8_lossy(&again.stdout).contains("nothing to do"), "{again:?}");

    // A `weft dev` has its store alone.
    earlier().await;
    let (dev, _) = Running::dev(folder.path());
    drop(dev);
    let done = run(&["upgrade"]).expect("run");
    assert!(String::from_utf8_lossy(&done.stdout).contains("nothing to do"), "{done:?}");
}

#[tokio::test]
async fn a_follower_of_the_journal_is_listed_and_forgotten() {
    let folder = tempdir().expect("folder");
    drop(Running::dev(folder.path()));
    let store = Store::new(Embedded::open(&folder.path().join("store")).expect("open"));
    let mut batch = Batch::new(rand::random());
    for (partition, name) in [(0, "search"), (3, "search"), (3, "billing")] {
        let key = follower::key(partition, &FollowerId::new(name).expect("id"));
        batch.set(key, Follower { commit_no: 0, epoch: 1 }.encode());
    }
    store.commit(batch).await.expect("commit");
    drop(store);
    let (_dev, _) = Running::dev(folder.path());
    let data = folder.path().to_str().expect("a path");
    let list = || {
        let output = weft(&["admin", "followers", "--data", data]).output().expect("run");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = |line: &str| serde_json::from_str::<Value>(line).expect("JSON");
        let of = |line: Value| (line["follower"].clone(), line["partition"].clone());
        let mut all: Vec<_> = text.lines().map(line).map(of).collect();
        // Parts of `weft dev` follow, too.
        let is_own = |name: &str| {
            matches!(name, "push" | "feeds" | "webhooks") || name.starts_with("search-")
        };
        all.retain(|(name, _)| !name.as_str().is_some_and(is_own));
        (output.status.success(), all)
    };
    let place = |name: &str, partition: u32| (json!(name), json!(partition));
    let all = vec![place("search", 0), place("billing", 3), place("search", 3)];
    assert_eq!(list(), (true, all));
    let forget = ["admin", "forget-follower", "search", "--data", data];
    let output = weft(&forget).output().expect("run");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("search is forgotten in 2 partitions"), "{output:?}");
    assert_eq!(list(), (true, vec![place("billing", 3)]));
    let line = failure_line(weft(&forget));
    assert!(line.contains("nobody follows the journal as search"), "{line}");
}

#[tokio::test]
async fn a_store_moves_by_file_and_by_pipe_into_one_that_is_made() {
    let folder = tempdir().expect("folder");
    one_account(&folder.path().join("store")).await;
    let old = format!("embedded:{}", folder.path().join("store").display());
    let file = folder.path().join("house.weft");
    let name = file.display().to_string();
    let run = |args: &[&str]| weft(&["admin"]).args(args).output().expect("run");

    let output = run(&["export", "--store", &old, &name]);
    assert!(output.status.success(), "{output:?}");
    let mode = file.metadata().expect("file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "it holds secrets");
    let said = String::from_utf8(output.stdout).expect("text");
    assert!(said.contains("1 accounts") && said.contains("Nothing was committed"), "{said}");
    let piped = run(&["export", "--store", &old, "-"]);
    assert!(piped.status.success(), "{piped:?}");
    assert!(String::from_utf8_lossy(&piped.stderr).contains("1 accounts"), "{piped:?}");
    let copy = folder.path().join("copy.weft");
    std::fs::write(&copy, &piped.stdout).expect("write");

    let data = folder.path().join("data").display().to_string();
    let store = format!("embedded:{}", folder.path().join("new/store").display());
    let copy = copy.display().to_string();
    for (place, file) in [(["--data", &data], &name), (["--store", &store], &copy)] {
        let output = run(&["import", place[0], place[1], file]);
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stdout).expect("text");
        assert!(said.contains("1 accounts") && said.contains("with 1 partitions"), "{said}");
        let output = run(&["export", place[0], place[1], "-"]);
        assert!(output.status.success(), "{output:?}");
    }
}

#[tokio::test]
async fn what_can_not_be_moved_is_refused_in_a_line_and_nothing_is_made() {
    let folder = tempdir().expect("folder");
    one_account(&folder.path().join("store")).await;
    let old = format!("embedded:{}", folder.path().join("store").display());
    let bad = folder.path().join("bad.weft");
    std::fs::write(&bad, "no export").expect("write");
    let bad = bad.display().to_string();
    let new = folder.path().join("new");
    let place = format!("embedded:{}", new.display());
    for (args, what) in [
        (["export", "--store", &old, &bad], "exists already"),
        (["import", "--store", &place, &bad], "no whole export"),
        (["import", "--store", &place, "-"], "reads its file twice"),
        (["import", "--store", &place, "/no/such/file"], "can't use /no/such/file"),
    ] {
        let line = failure_line({
            let mut weft = weft(&["admin"]);
            weft.args(args);
            weft
        });
        assert!(line.contains(what), "{line}");
    }
    assert!(!new.exists(), "a store was made");
}

#[test]
fn the_nodes_of_a_running_dev_are_listed() {
    let folder = tempdir().expect("folder");
    let (_dev, place) = Running::dev(folder.path());
    let data = folder.path().to_str().expect("a path");
    let mut lines = Vec::new();
    wait_until("all roles are there, and the edge can be found", || {
        let output = weft(&["admin", "nodes", "--data", data]).output().expect("run");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        lines = text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        let has_url = |line: &Value| line["url"] == format!("http://{}", place.http);
        lines.len() == 7 && lines.iter().any(has_url)
    });
    let roles: Vec<_> = lines.iter().map(|line| (&line["role"], &line["safe_to_remove"])).collect();
    let role = |name: &str| (json!(name), json!(false));
    let wanted = ["core", "edge", "files", "integrations", "presence", "push", "search"].map(role);
    assert!(roles.iter().copied().eq(wanted.iter().map(|(role, safe)| (role, safe))), "{roles:?}");
    let seen = weft(&["admin", "presence", "alice", "--data", data]).output().expect("run");
    let seen: Value = serde_json::from_slice(&seen.stdout).expect("JSON");
    let nobody = json!({
        "user": "alice",
        "seen": { "user": "alice", "status": "offline", "version": 0 },
        "chosen": "online",
        "edges": []
    });
    assert_eq!(seen, nobody);
    let line = failure_line(weft(&["admin", "drain", "nobody", "--data", data]));
    let edge = lines[1]["node"].as_str().expect("a name");
    assert!(line.contains("no live edge nobody") && line.contains(edge), "{line}");
}
