//! `weft dev` on one folder: killed at any moment and started again, everything acknowledged is
//! there, numbered 1, 2, 3, … without a hole; and every other start and end is orderly.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::Signal;
use serde_json::json;
use weft_harness::load::{Load, LoadOptions, read_room};
use weft_harness::process::lives;
use weft_harness::session::Session;
use weft_harness::system::{System, direct, free_address, weft};
use weft_harness::wait::until;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_and_started_again_it_has_everything() -> Result<()> {
    let system = System::dev().await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let room = direct(&alice, &bob);
    let mut session = system.session(&alice).await?;
    for number in 1..=50 {
        assert_eq!(session.acked(&room, json!({ "text": format!("{number}") })).await?, number);
    }
    let cursor = session.cursor();
    // Some more that may or may not get their acks before the kill.
    for number in 51..=60 {
        let id = weft_harness::ulid::fresh();
        let text = format!("{number}");
        let send = json!({ "type": "send", "room": room, "client_id": id, "text": text });
        session.begin(send).await?;
    }
    let nats = system.nats_pid()?;
    system.process("dev").kill()?;
    until("nats-server has ended with it", Duration::from_secs(5), async || {
        (!lives(nats)).then_some(())
    })
    .await;
    system.process("dev").restart()?;
    system.ready().await;

    let log = read_room(system.edge(), &alice, &room).await?;
    assert!(log.len() >= 50, "{} of 50 acknowledged entries", log.len());
    assert!(log.iter().map(|entry| entry.seq).eq(1..=log.len() as u64), "holes: {log:?}");
    // The token of the earlier life still verifies, and its cursor resumes.
    let mut session = Session::open(system.edge(), &alice, Some(&cursor)).await?;
    assert_eq!(session.synced["recovered"], true, "{}", session.synced);
    let next = session.acked(&room, json!({ "text": "after" })).await?;
    assert!(next > log.len() as u64);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_under_load_it_has_everything() -> Result<()> {
    let system = System::dev().await?;
    let mut load = Load::start(&system, LoadOptions { users: 2, devices: 2 }).await?;
    for _ in 0..2 {
        load.progress(100).await;
        system.process("dev").kill()?;
        system.process("dev").restart()?;
        load.progress(20).await;
    }
    let outcome = load.finish(&system).await?;
    assert!(outcome.violations.is_empty(), "{:#?}", outcome.violations);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_ends_in_order_within_five_seconds() -> Result<()> {
    let system = System::dev().await?;
    let alice = system.user("alice").await?;
    let mut session = system.session(&alice).await?;
    let room = direct(&alice, &alice);
    session.acked(&room, json!({ "text": "before" })).await?;
    let nats = system.nats_pid()?;
    for signal in [Signal::INT, Signal::TERM] {
        let asked_at = Instant::now();
        let dev = system.process("dev");
        dev.signal(signal)?;
        let code = session.closed_within(Duration::from_secs(5)).await?;
        assert_eq!(code, 4000, "clients are told to come again");
        let status = dev.ended(Duration::from_secs(10)).await;
        assert!(asked_at.elapsed() < Duration::from_secs(5), "{:?}", asked_at.elapsed());
        assert!(status.success(), "{status}");
        assert!(!lives(nats), "nats-server runs on");
        dev.restart()?;
        system.ready().await;
        session = system.session(&alice).await?;
    }
    let log = read_room(system.edge(), &alice, &room).await?;
    assert_eq!(log.len(), 1);
    Ok(())
}

/// Runs a second `weft dev` and returns what it says; it must fail, fast.
async fn refused_start(args: &[&str]) -> Result<String> {
    let mut command = tokio::process::Command::new(weft().await);
    command.arg("dev").args(args).kill_on_drop(true);
    command.env("WEFT_NATS_SERVER", weft_harness::system::nats_server().await);
    let output = tokio::time::timeout(Duration::from_secs(20), command.output());
    let output = output.await.context("it neither runs nor ends")??;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(output.stderr)?;
    let said: Vec<&str> = text.lines().filter(|line| line.starts_with("weft: ")).collect();
    assert_eq!(said.len(), 1, "one clear line: {text}");
    Ok(said[0].to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_can_not_be_says_why_in_one_line() -> Result<()> {
    let system = System::dev().await?;
    let data = system.path().join("data").display().to_string();
    let other = system.path().join("other").display().to_string();
    let (free, nats) = (free_address()?.to_string(), free_address()?.port().to_string());
    let taken = system.edge().to_string();
    let taken_nats = system.nats().port().to_string();

    let line = refused_start(&["--data", &data, "--listen", &free, "--nats-port", &nats]).await?;
    assert!(line.contains("in use") && line.contains(&data), "{line}");
    let line = refused_start(&["--data", &other, "--listen", &taken, "--nats-port", &nats]).await?;
    assert!(line.contains(&taken), "{line}");
    let line =
        refused_start(&["--data", &other, "--listen", &free, "--nats-port", &taken_nats]).await?;
    assert!(line.contains(&taken_nats), "{line}");
    system.ready().await;
    Ok(())
}
