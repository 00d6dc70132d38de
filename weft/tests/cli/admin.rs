//! `weft admin` on a store that no core runs on.

use std::path::Path;

use serde_json::Value;
use tempfile::tempdir;
use weft_storage::embedded::Embedded;
use weft_storage::tables::dead_letter::{self, DeadLetter};
use weft_storage::{Batch, Store};

use crate::support::{failure_line, weft};

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
    for command in ["dead-letters", "accept-loss"] {
        let line = failure_line(weft(&["admin", command, "--data", &path]));
        assert!(line.contains("is no data folder"), "{line}");
        let place = format!("embedded:{path}");
        let line = failure_line(weft(&["admin", command, "--store", &place]));
        assert!(line.contains("there is no store"), "{line}");
    }
    assert_eq!(folder.path().read_dir().expect("folder").count(), 0, "nothing was made");
}
