//! Time passes for files and for what may be found: addresses end, files are deleted with their bytes when no message has
//! them any more, and the index forgets what a room has let go of.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use weft_harness::files::Files;
use weft_harness::session::Session;
use weft_harness::system::{Engine, Options, START_LIMIT, System, direct};
use weft_harness::wait::until;
use weft_proto::svc::FileState;
use weft_proto::{FileId, RoomId};
use weft_storage::embedded::Embedded;
use weft_storage::tables::file::{self, DYING_MS, File};
use weft_storage::tables::log::{self, At, Logged};
use weft_storage::tables::{file_due, file_reference};
use weft_storage::{Batch, Outcome, Store};

use crate::aging::age;
use crate::files::{found, noise, uploaded};

const DAY_MS: u64 = 86_400_000;
/// Core looks every ten seconds for what has expired in rooms.
const EXPIRED_LIMIT: Duration = Duration::from_secs(90);

fn now_ms() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() as u64)
}

/// Changes the store while nobody uses it.
async fn meanwhile(system: &System, change: impl AsyncFnOnce(&Path) -> Result<()>) -> Result<()> {
    let core = system.process("core");
    core.kill()?;
    change(&system.path().join("store")).await?;
    core.restart()?;
    system.ready().await;
    Ok(())
}

/// Lets messages have a file up to a time; where none has it any more, its bytes are due then.
async fn end_file(path: &Path, file: FileId, at_ms: u64) -> Result<()> {
    let store = Store::new(Embedded::open(path)?);
    let snapshot = store.snapshot().await?;
    let mut batch = Batch::new(rand::random());
    for (reference, _) in file_reference::first(&*snapshot, file, usize::MAX).await? {
        file_reference::put(&mut batch, &reference, at_ms);
        for logged in log::get_many(&*snapshot, &[reference.1]).await?.into_iter().flatten() {
            let Logged { position, mut entry } = logged;
            for facts in entry.body.files_mut().iter_mut().filter_map(|it| it.facts.as_mut()) {
                facts.expires = at_ms;
            }
            log::put_again(&mut batch, At::Position(position), &entry);
        }
    }
    if let Some(row) = snapshot.get(file::key(file)).await? {
        let row = File::decode(&row)?;
        if row.state() == FileState::Dying {
            let row = File { dying_ms: at_ms.saturating_sub(DYING_MS), ..row };
            batch.set(file_due::key(row.due_ms(), file), Vec::new());
            batch.set(file::key(file), row.encode());
        }
    }
    let outcome = store.commit(batch).await?;
    ensure!(matches!(outcome, Outcome::Committed(_)), "{outcome:?}");
    Ok(())
}

/// How many files the backend keeps.
fn kept(system: &System) -> usize {
    let folders = std::fs::read_dir(system.path().join("files/objects")).into_iter().flatten();
    let files = folders.flatten().flat_map(|folder| std::fs::read_dir(folder.path()));
    files.flatten().count()
}

/// How many messages the index has with a word, whatever of them is shown.
async fn total(session: &mut Session, text: &str) -> Result<Value> {
    let page = session.request(json!({ "type": "search", "text": text })).await?;
    Ok(page["total"].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_over_can_not_be_read_or_found_and_its_bytes_are_deleted() -> Result<()> {
    let store = Engine::Embedded;
    let options = Options { store, edges: 1, searches: 1, ..Options::default() };
    let mut system = System::split(options.clone()).await?;
    let address = system.add_files(&options).await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let files = Files::of(address, &alice);
    let (room, own) = (direct(&alice, &bob), direct(&alice, &alice));
    let mut session = system.session(&alice).await?;
    let bytes = noise(1_000);
    let shown = uploaded(&files, "tide.bin", &bytes).await?;
    let file = FileId::new(shown["file"].as_str().unwrap_or_default())?;
    let message =
        json!({ "kind": "file", "text": "the tide", "files": [{ "id": file.to_string() }] });
    assert_eq!(session.acked(&room, message).await?, 1);
    assert_eq!(session.acked(&own, json!({ "text": "the ebb" })).await?, 1);
    found(&mut session, "tide", 1).await?;
    found(&mut session, "ebb", 1).await?;
    ensure!(kept(&system) == 1, "its bytes are kept");

    // The file has some seconds left; the other message is three days old.
    let notebook = RoomId::new(&own)?;
    meanwhile(&system, async |store| {
        age(store, &notebook, 3 * DAY_MS).await?;
        end_file(store, file, now_ms()? + 4_000).await
    })
    .await?;
    let mut session = system.session(&alice).await?;
    session.acked(&own, json!({ "kind": "update", "retention_days": 2 })).await?;
    let place = format!("/v1/files/{file}?room={room}&seq=1");
    let bobs = Files::of(address, &bob);
    let (status, seen) = bobs.look(&place).await?;
    let url = if status == 200 { seen["url"].clone() } else { Value::Null };
    if !url.is_null() {
        until("the address has ended", START_LIMIT, async || {
            let answer = bobs.read(&url, &[]).await.ok()?;
            assert!([200, 410].contains(&answer.status), "{answer:?}");
            (answer.status == 410).then_some(())
        })
        .await;
    }
    assert_eq!(bobs.look(&place).await?.0, 404);
    let history = session.request(json!({ "type": "history", "room": room })).await?;
    let entry = &history["entries"][0];
    assert_eq!((&entry["text"], &entry["files"][0]["expired"]), (&json!("the tide"), &json!(true)));
    // Nobody needs it. An hour later its bytes go.
    until("it is dying", START_LIMIT, async || {
        (files.look(&format!("/v1/files/{file}")).await.ok()?.0 == 404).then_some(())
    })
    .await;
    ensure!(kept(&system) == 1, "its bytes are kept for an hour");
    meanwhile(&system, async |store| end_file(store, file, now_ms()?).await).await?;
    until("its bytes are deleted", START_LIMIT, async || (kept(&system) == 0).then_some(())).await;

    let mut session = system.session(&alice).await?;
    until("the room lets go of it", EXPIRED_LIMIT, async || {
        let told = session.request(json!({ "type": "room", "room": own })).await.ok()?;
        (told["first_seq"] == 2).then_some(())
    })
    .await;
    found(&mut session, "ebb", 0).await?;
    // An index looks every ten minutes where something has expired, and when it begins.
    system.process("search-0").kill()?;
    system.process("search-0").restart()?;
    until("the index has forgotten it", START_LIMIT, async || {
        (total(&mut session, "ebb").await.ok()? == 0).then_some(())
    })
    .await;
    found(&mut session, "tide", 1).await?;
    Ok(())
}
