//! What the store has of it, whatever happens to core: nothing of a deleted text, and all that was
//! acknowledged.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::sleep;
use weft_harness::http;
use weft_harness::session::{Session, code};
use weft_harness::system::{Options, START_LIMIT, System, direct, unique, weft};
use weft_harness::wait::until;
use weft_storage::embedded::Embedded;
use weft_storage::tables;
use weft_storage::tables::layout::{self, Layout};
use weft_storage::{Batch, Store};

use super::{delete, edit, history, react, send};

/// Opens the store of a core that has ended.
async fn store_of(system: &System) -> Result<Store> {
    let core = system.process("core");
    core.signal(Signal::TERM)?;
    let status = core.ended(Duration::from_secs(20)).await;
    ensure!(status.success(), "core: {status}");
    open(system, "store")
}

fn open(system: &System, name: &str) -> Result<Store> {
    Ok(Store::new(Embedded::open(&system.path().join(name))?))
}

/// Starts core again.
async fn restart(system: &System) -> Result<()> {
    system.process("core").restart()?;
    until("core serves", START_LIMIT, async || {
        let path = "/readyz";
        let told = http::call(system.admin("core"), "GET", path, None, &Value::Null).await.ok()?;
        (told.status == 200).then_some(())
    })
    .await;
    system.ready().await;
    Ok(())
}

async fn admin(system: &System, command: &str, store: &str, more: &[&str]) -> Result<()> {
    let store = format!("embedded:{}", system.path().join(store).display());
    let mut weft = tokio::process::Command::new(weft().await);
    let output = weft.args(["admin", command, "--store", &store]).args(more).output().await?;
    ensure!(output.status.success(), "{command}: {output:?}");
    Ok(())
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// How many rows of the store, of whatever table, have a text in them.
async fn rows_with(store: &Store, text: &str) -> Result<usize> {
    let rows = store.snapshot().await?.scan(tables::all(), usize::MAX, false).await?;
    Ok(rows.iter().filter(|(key, row)| contains(key, text) || contains(row, text)).count())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_text_is_nowhere() -> Result<()> {
    let system = System::split(Options { edges: 1, ..Options::default() }).await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let room = direct(&alice, &bob);
    let mut a = system.session(&alice).await?;
    let cursor = system.session(&bob).await?.cursor();
    for fields in
        [json!({ "text": "secret one" }), edit(1, "secret two"), json!({ "text": "kept text" })]
    {
        a.acked(&room, fields).await?;
    }
    a.acked(&room, delete(1)).await?;
    let mut b = Session::open(system.edge(), &bob, Some(&cursor)).await?;
    let synced = b.pushed_after(&room, 0).await?;
    let shown = history(&mut b, &room).await?;
    for entries in [&synced, &shown] {
        let kinds: Vec<_> = entries.iter().filter_map(|entry| entry["kind"].as_str()).collect();
        assert_eq!(kinds, ["deleted", "deleted", "message", "delete"]);
        let all = json!(entries).to_string();
        assert!(!all.contains("secret") && all.contains("kept text"), "{all}");
    }
    // Every row of every table, that of the journal too: and it would be found.
    drop(store_of(&system).await?);
    let file = system.path().join("house.weft").display().to_string();
    admin(&system, "export", "store", &[&file]).await?;
    admin(&system, "import", "exported", &[&file]).await?;
    for name in ["store", "exported"] {
        let store = open(&system, name)?;
        let found = (rows_with(&store, "secret").await?, rows_with(&store, "kept text").await?);
        assert_eq!(found, (0, 1), "{name}");
    }
    Ok(())
}

/// What became of the messages of all entries, as their reader `user` is to be shown it.
fn computed(entries: &[Value], user: &str) -> Vec<Value> {
    let mut shown: BTreeMap<u64, Value> = BTreeMap::new();
    let mut reactions: BTreeMap<u64, Vec<(String, Vec<String>)>> = BTreeMap::new();
    for entry in entries {
        let seq = entry["seq"].as_u64().unwrap_or_default();
        shown.insert(seq, entry.clone());
        let Some(target) = entry["target"].as_u64() else { continue };
        let word = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
        let (emoji, from, on) = (word("emoji"), word("from"), reactions.entry(target).or_default());
        let message = shown.entry(target).or_default();
        match &*word("kind") {
            "edit" => {
                message["text"] = entry["text"].clone();
                message["edited_at"] = entry["time"].clone();
                let mut edits = message["edits"].as_array().cloned().unwrap_or_default();
                edits.push(seq.into());
                message["edits"] = edits.into();
            }
            "react" => match on.iter_mut().find(|(it, _)| *it == emoji) {
                Some((_, users)) => users.push(from),
                None => on.push((emoji, vec![from])),
            },
            "unreact" => {
                on.iter_mut().for_each(|(it, users)| users.retain(|u| *it != emoji || *u != from));
                on.retain(|(_, users)| !users.is_empty());
            }
            _ => on.clear(),
        }
    }
    for (target, on) in reactions.into_iter().filter(|(_, on)| !on.is_empty()) {
        let all = on.iter().map(|(emoji, users)| {
            let own = users.iter().any(|it| it == user);
            json!({ "emoji": emoji, "count": users.len(), "own": own })
        });
        shown.entry(target).or_default()["reactions"] = all.collect();
    }
    shown.into_values().collect()
}

/// One of a random kind, about one of the first messages.
fn something() -> Value {
    let target = rand::random_range(1..=12_u64);
    let emoji = ["+", "-", "😀"][rand::random_range(0..3)];
    match rand::random_range(0..8) {
        0 | 1 => edit(target, &format!("text {:x}", rand::random::<u32>())),
        2 => delete(target),
        3..=5 => react(target, emoji),
        _ => json!({ "kind": "unreact", "target": target, "emoji": emoji }),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_the_middle_core_has_what_was_acknowledged() -> Result<()> {
    let system = System::split(Options::default()).await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let room = direct(&alice, &bob);
    let mut sessions = [system.session(&alice).await?, system.session(&bob).await?];
    let cursors = [&sessions[0], &sessions[1]].map(Session::cursor);
    for number in 1..=12 {
        sessions[number % 2].acked(&room, json!({ "text": "first" })).await?;
    }
    let mut acked = Vec::new();
    for _ in 0..3 {
        let mut begun = Vec::new();
        for number in 0..60 {
            if number == 30 {
                system.process("core").kill()?;
                system.process("core").restart()?;
            }
            let fields = send(&room, something());
            begun.push((number % 2, sessions[number % 2].begin(fields.clone()).await?, fields));
        }
        for (who, id, fields) in begun {
            let mut answer = sessions[who].answer(id).await?;
            while answer["error"]["temporary"] == true {
                sleep(Duration::from_millis(100)).await;
                answer = sessions[who].request(fields.clone()).await?;
            }
            if let Some(seq) = answer["seq"].as_u64() {
                acked.push((seq, fields));
            } else {
                let code = code(&answer)?;
                let is_decided = ["deleted", "unchanged", "forbidden"].contains(&&*code);
                assert!(is_decided, "{fields}: {answer}");
            }
        }
    }
    assert!(acked.len() > 20, "{} of 180", acked.len());
    for (login, cursor) in [&alice, &bob].into_iter().zip(&cursors) {
        let fresh = system.device(&login.user, "fresh").await?;
        let mut fresh = Session::open(system.edges()[1], &fresh, Some(cursor)).await?;
        let entries = fresh.pushed_after(&room, 0).await?;
        for (seq, fields) in &acked {
            let entry = &entries[*seq as usize - 1];
            assert_eq!((&entry["seq"], &entry["client_id"]), (&json!(seq), &fields["client_id"]));
        }
        assert_eq!(history(&mut fresh, &room).await?, computed(&entries, &login.user));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn until_the_store_is_upgraded_nothing_is_edited_and_nothing_is_lost_by_it() -> Result<()> {
    let system = System::split(Options { edges: 1, ..Options::default() }).await?;
    let store = store_of(&system).await?;
    let row = store.snapshot().await?.get(layout::key()).await?.context("a layout")?;
    let before = Layout::decode(&row)?;
    let after = Layout { epoch: before.epoch + 1, feature_level: 1, ..before };
    let mut batch = Batch::new([1; 16]);
    batch.set(layout::key(), after.encode());
    store.commit(batch).await?;
    drop(store);
    restart(&system).await?;

    let (alice, bob, group) =
        (system.user("alice").await?, system.user("bob").await?, unique("group"));
    let mut a = system.session(&alice).await?;
    let create = json!({ "kind": "create", "title": "T", "members": [bob.user] });
    a.acked(&group, create).await?;
    let cursor = system.session(&bob).await?.cursor();
    a.acked(&group, json!({ "text": "with a pointer" })).await?;
    for fields in [edit(2, "x"), delete(2), react(2, "+")] {
        assert_eq!(a.refused(&group, fields).await?, "unknown_type");
    }
    let between = system.session(&bob).await?.cursor();
    a.acked(&group, json!({ "text": "with one too" })).await?;
    drop(store_of(&system).await?);
    admin(&system, "upgrade", "store", &["--yes"]).await?;
    restart(&system).await?;

    for fields in [json!({ "text": "without one" }), edit(2, "edited"), react(3, "+"), delete(4)] {
        a.acked(&group, fields).await?;
    }
    for (cursor, first) in [(cursor, 2), (between, 3)] {
        let mut b = Session::open(system.edge(), &bob, Some(&cursor)).await?;
        assert_eq!(b.synced["recovered"], true, "{}", b.synced);
        let pushed = b.pushed_after(&group, 0).await?;
        let seqs: Vec<_> = pushed.iter().filter_map(|entry| entry["seq"].as_u64()).collect();
        assert_eq!(seqs, (first..=7).collect::<Vec<_>>());
        a.expect(&group, first).await?;
    }
    Ok(())
}
