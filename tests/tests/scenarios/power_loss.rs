//! Core's machine loses its power, and the journal has a hole in what was written last: a start
//! goes on by itself, everything that was acknowledged is in the rooms, once, and devices are told to
//! load anew.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use weft_harness::account::Login;
use weft_harness::session::Session;
use weft_harness::system::{Options, START_LIMIT, System, direct};
use weft_harness::wait::until;

/// Ends each batch of the journal.
const BATCH_END: &[u8] = b"FJL\x03";
const ROUNDS: usize = 3;

fn newest_journal(store: &Path) -> Result<PathBuf> {
    let mut journals = Vec::new();
    for entry in fs::read_dir(store.join("db"))? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        if let Some(number) = number.filter(|_| path.extension().is_some_and(|e| e == "jnl")) {
            journals.push((number, path));
        }
    }
    Ok(journals.into_iter().max().context("a journal")?.1)
}

/// Zeroes a piece in the middle of the last batch.
fn damage_last_batch(store: &Path) -> Result<()> {
    let path = newest_journal(store)?;
    let mut bytes = fs::read(&path)?;
    let before = |end: usize, bytes: &[u8]| {
        bytes[..end].windows(BATCH_END.len()).rposition(|window| window == BATCH_END)
    };
    let end = before(bytes.len(), &bytes).context("a batch")?;
    let start = before(end, &bytes).map_or(0, |before| before + BATCH_END.len());
    let middle = start + (end - start) / 2;
    // Bytes that were not zero.
    let hole = bytes[middle..end].iter_mut().take(40);
    hole.for_each(|byte| *byte = 0);
    fs::write(&path, bytes)?;
    Ok(())
}

/// The room's entries, as a stranger reads them.
async fn texts(system: &System, login: &Login, room: &str) -> Result<Vec<(u64, String)>> {
    let path = format!("/v1/rooms/{room}/entries?after=0&limit=100");
    let answer = login.call(system.edge(), "GET", &path, &Value::Null).await?;
    let entries = answer.body["entries"].as_array().context("entries")?.clone();
    let text = |entry: Value| Some((entry["seq"].as_u64()?, entry["text"].as_str()?.to_owned()));
    entries.into_iter().map(|entry| text(entry).context("a text")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_last_is_applied_again() -> Result<()> {
    let system = System::split(Options { edges: 1, ..Options::default() }).await?;
    let store = system.path().join("store");
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let room = direct(&alice, &bob);
    let mut live = system.session(&bob).await?;
    let mut session = system.session(&alice).await?;
    let core = system.process("core");
    let mut seq = 0;
    for round in 1..=ROUNDS {
        for _ in 0..10 {
            seq += 1;
            let text = format!("number {seq}");
            assert_eq!(session.acked(&room, json!({ "text": text })).await?, seq);
        }
        live.expect(&room, seq).await?;
        let cursor = session.cursor();
        core.kill()?;
        damage_last_batch(&store)?;
        core.restart()?;
        // Sockets live on, and go on.
        seq += 1;
        let text = format!("number {seq}");
        assert_eq!(session.acked(&room, json!({ "text": text })).await?, seq);
        assert_eq!(live.expect(&room, seq).await?["text"], text);

        let read = texts(&system, &bob, &room).await?;
        let expected = (1..=seq).map(|seq| (seq, format!("number {seq}")));
        assert!(read.iter().cloned().eq(expected), "{read:?}");
        let said = core.output();
        let told: Vec<_> = said.lines().filter(|line| line.contains("are left out")).collect();
        assert!(told.len() >= round && told.iter().all(|line| line.contains("ERROR")), "{told:?}");
        let resumed = Session::open(system.edge(), &alice, Some(&cursor)).await?;
        assert_eq!(resumed.synced["resync"], "other_store", "{}", resumed.synced);
    }
    assert_eq!(fs::read_dir(store.join("left-out"))?.count(), ROUNDS);
    // Accounts are in no log: they are answered when no power cut can take them.
    let carol = system.user("carol").await?;
    core.kill()?;
    damage_last_batch(&store)?;
    core.restart()?;
    until("the account is there", START_LIMIT, async || {
        system.device(&carol.user, "tablet").await.ok()
    })
    .await;
    Ok(())
}
