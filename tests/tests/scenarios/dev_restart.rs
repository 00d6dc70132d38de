//! `weft dev` on one folder: killed at any moment and started again, everything acknowledged is
//! there, numbered 1, 2, 3, … without a hole; and every other start and end is orderly.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::process::Signal;
use serde_json::{Value, json};
use weft_harness::http;
use weft_harness::load::{Load, LoadOptions};
use weft_harness::process::lives;
use weft_harness::reading::read_room;
use weft_harness::session::Session;
use weft_harness::system::{START_LIMIT, System, direct, free_address, weft};
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
    // The password is known, the token of the earlier life still verifies, and its cursor resumes.
    system.device(&alice.user, "tablet").await?;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_of_its_own_joins_it() -> Result<()> {
    let mut system = System::dev().await?;
    let alice = system.user("alice").await?;
    let room = direct(&alice, &alice);
    let listen = free_address()?;
    let password = system.path().join("data/secrets/edge.password").display().to_string();
    let (nats, address) = (system.nats_url(), listen.to_string());
    let args = ["edge", "--nats", &nats, "--listen", &address, "--nats-password-file", &password];
    system.add("edge", weft().await, args.map(str::to_owned).into(), Vec::new()).await?;
    until("the edge serves", START_LIMIT, async || {
        let answer = http::call(listen, "GET", "/readyz", None, &Value::Null).await.ok()?;
        (answer.status == 200).then_some(())
    })
    .await;
    let mut session = Session::open(listen, &alice, None).await?;
    assert_eq!(session.acked(&room, json!({ "text": "over the other edge" })).await?, 1);
    assert_eq!(read_room(system.edge(), &alice, &room).await?.len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_readable_by_their_owner_alone() -> Result<()> {
    let system = System::dev().await?;
    let mode = |path: &str| -> Result<u32> {
        let file = system.path().join("data").join(path);
        Ok(file.metadata()?.permissions().mode() & 0o777)
    };
    assert_eq!(mode("secrets")?, 0o700);
    for user in ["admin", "core", "edge", "files", "integrations", "presence", "push", "search"] {
        assert_eq!(mode(&format!("secrets/{user}.password"))?, 0o600, "{user}");
    }
    assert_eq!(mode("nats/nats.conf")?, 0o600);
    Ok(())
}
