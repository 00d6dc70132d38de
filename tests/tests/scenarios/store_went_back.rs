//! A store that was replaced by an older copy is not served in silence: core refuses until somebody
//! has accepted what is lost, and then every device is told to load its rooms anew.

use std::fs;
use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::json;
use weft_harness::process::Process;
use weft_harness::reading::read_room;
use weft_harness::session::{LIMIT, Session};
use weft_harness::system::{Options, START_LIMIT, System, copy_folder, direct, weft};
use weft_harness::wait::until;

const PARTITIONS: u16 = 4;

async fn stop(process: &Process) -> Result<()> {
    process.signal(Signal::TERM)?;
    let status = process.ended(START_LIMIT).await;
    ensure!(status.success(), "{status}");
    Ok(())
}

/// Waits until core has removed everything from the ingest logs.
async fn trimmed(system: &System) -> Result<()> {
    let mut nats = system.nats_as("admin").await?;
    for partition in 0..PARTITIONS {
        let verb = format!("STREAM.INFO.WEFT_IN_{partition}");
        until("the ingest log is trimmed", Duration::from_secs(30), async || {
            let info = nats.jetstream(&verb, &json!({})).await.expect("info");
            (info["state"]["messages"] == 0).then_some(())
        })
        .await;
    }
    Ok(())
}

async fn accept_loss(place: [&str; 2], args: &[&str]) -> Result<Output> {
    let mut command = tokio::process::Command::new(weft().await);
    command.args(["admin", "accept-loss"]).args(place).args(args);
    Ok(command.output().await?)
}

fn refusal(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_store_is_refused_until_its_loss_is_accepted() -> Result<()> {
    let system = System::dev().await?;
    let data = system.path().join("data");
    let (store, copy) = (data.join("store"), system.path().join("copy"));
    let place = data.display().to_string();
    let place = ["--data", place.as_str()];
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let room = direct(&alice, &bob);
    let mut session = system.session(&alice).await?;
    for seq in 1..=5 {
        assert_eq!(session.acked(&room, json!({ "text": "kept" })).await?, seq);
    }
    stop(system.process("dev")).await?;
    copy_folder(&store, &copy)?;
    system.process("dev").restart()?;
    system.ready().await;
    let mut session = system.session(&alice).await?;
    for seq in 6..=15 {
        assert_eq!(session.acked(&room, json!({ "text": "lost" })).await?, seq);
    }
    let cursor = system.session(&alice).await?.cursor();
    trimmed(&system).await?;
    let busy = refusal(&accept_loss(place, &["--yes"]).await?);
    assert!(busy.contains("stop what runs on the store first"), "{busy}");
    stop(system.process("dev")).await?;
    fs::remove_dir_all(&store)?;
    copy_folder(&copy, &store)?;

    let dev = system.process("dev");
    for attempt in 1..=2 {
        dev.restart()?;
        assert_eq!(dev.ended(START_LIMIT).await.code(), Some(1), "attempt {attempt}");
        let said = dev.output();
        let line = said.lines().rfind(|line| line.starts_with("weft: ")).context("a line")?;
        assert!(line.contains("the store went back"), "{line}");
        assert!(line.contains("`weft admin accept-loss`"), "{line}");
        // To look at it is not to accept it.
        let looked = accept_loss(place, &[]).await?;
        assert!(refusal(&looked).contains("--yes"), "{looked:?}");
    }

    let accepted = accept_loss(place, &["--yes"]).await?;
    assert!(accepted.status.success(), "{accepted:?}");
    dev.restart()?;
    system.ready().await;
    let mut session = Session::open(system.edge(), &alice, Some(&cursor)).await?;
    let synced = session.synced.clone();
    assert_eq!((&synced["recovered"], &synced["resync"]), (&json!(false), &json!("other_store")));
    for seq in 6..=7 {
        assert_eq!(session.acked(&room, json!({ "text": "new" })).await?, seq);
    }
    let log = read_room(system.edge(), &bob, &room).await?;
    assert!(log.iter().map(|entry| entry.seq).eq(1..=7), "{log:?}");
    // The new cursor is one of the store as it is now.
    let session = Session::open(system.edge(), &alice, Some(&session.cursor())).await?;
    assert_eq!(session.synced["recovered"], true, "{}", session.synced);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_that_runs_on_tells_its_sessions() -> Result<()> {
    let system = System::split(Options { edges: 1, ..Options::default() }).await?;
    let (store, copy) = (system.path().join("store"), system.path().join("copy"));
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let room = direct(&alice, &bob);
    let mut session = system.session(&alice).await?;
    for seq in 1..=5 {
        assert_eq!(session.acked(&room, json!({ "text": "kept" })).await?, seq);
    }
    let core = system.process("core");
    stop(core).await?;
    copy_folder(&store, &copy)?;
    core.restart()?;
    for seq in 6..=15 {
        assert_eq!(session.acked(&room, json!({ "text": "lost" })).await?, seq);
    }
    session.expect(&room, 15).await?;
    trimmed(&system).await?;
    stop(core).await?;
    fs::remove_dir_all(&store)?;
    copy_folder(&copy, &store)?;
    let place = format!("embedded:{}", store.display());
    let accepted = accept_loss(["--store", &place], &["--yes"]).await?;
    assert!(accepted.status.success(), "{accepted:?}");
    core.restart()?;
    assert_eq!(session.acked(&room, json!({ "text": "while it starts" })).await?, 6);
    // Its edge audits every 15 s.
    until("the live session is told", LIMIT * 2, async || {
        session.request(json!({ "type": "ping" })).await.expect("a live session");
        (session.synced["resync"] == "other_store").then_some(())
    })
    .await;
    // From then on it gets what is new, whatever seqs it has seen before.
    let seq = session.acked(&room, json!({ "text": "new" })).await?;
    assert_eq!((seq, &session.expect(&room, seq).await?["text"]), (7, &json!("new")));
    Ok(())
}
