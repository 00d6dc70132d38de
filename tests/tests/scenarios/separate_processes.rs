//! Core and edges as processes of their own against a given nats-server.

use std::time::Duration;

use anyhow::Result;
use rustix::process::Signal;
use serde_json::{Value, json};
use weft_harness::account;
use weft_harness::http;
use weft_harness::system::{Options, System, direct, role_env, weft};
use weft_harness::wait::until;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_core_on_one_store_is_refused() -> Result<()> {
    let mut system = System::split(Options { edges: 1, ..Options::default() }).await?;
    let args = system.core_args("store");
    system.add("second", weft().await, args, role_env("core")).await?;
    let second = system.process("second");
    let status = second.ended(Duration::from_secs(20)).await;
    assert_eq!(status.code(), Some(1), "{status}");
    let output = second.output();
    let lines: Vec<&str> = output.lines().filter(|line| line.starts_with("weft: ")).collect();
    assert_eq!(lines.len(), 1, "one clear line: {output}");
    assert!(lines[0].contains("FoundationDB"), "{}", lines[0]);
    // The first one noticed nothing.
    let alice = system.user("alice").await?;
    let mut session = system.session(&alice).await?;
    session.acked(&direct(&alice, &alice), json!({ "text": "hi" })).await?;
    Ok(())
}

/// Takes as long as one attempt to connect, which was the end of them once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_parts_wait_for_nats_and_say_so() -> Result<()> {
    let options = Options { edges: 1, presences: 1, ..Options::default() };
    let system = System::split(options).await?;
    let alice = system.user("alice").await?;
    let parts = ["core", "presence", "edge-0"].map(|part| system.process(part));
    parts.iter().try_for_each(|part| part.kill())?;
    system.process("nats").kill()?;
    parts.iter().try_for_each(|part| part.restart())?;
    for part in parts {
        let what = format!("{} says that it waits", part.name());
        until(&what, Duration::from_secs(60), async || {
            let said = part.output().contains("no nats-server can be reached");
            (said || !part.is_running()).then_some(())
        })
        .await;
        assert!(part.is_running(), "{} has ended: {}", part.name(), part.output());
    }
    system.process("nats").restart()?;
    system.ready().await;
    let mut session = system.session(&alice).await?;
    session.acked(&direct(&alice, &alice), json!({ "text": "hi" })).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_without_core_says_that_it_can_not_serve() -> Result<()> {
    let system = System::split(Options { edges: 1, ..Options::default() }).await?;
    let alice = system.user("alice").await?;
    let mut session = system.session(&alice).await?;
    let room = direct(&alice, &alice);
    system.process("core").signal(Signal::TERM)?;
    let status = system.process("core").ended(Duration::from_secs(10)).await;
    assert!(status.success(), "{status}");
    // Nobody answers accounts; a text waits in the ingest log.
    let refused = account::login(system.edge(), &alice.user, "tablet").await;
    let text = format!("{:#}", refused.expect_err("core is away"));
    assert!(text.contains("unavailable") || text.contains("unknown"), "{text}");
    let id = weft_harness::ulid::fresh();
    let send = json!({ "type": "send", "room": room, "client_id": id, "text": "patience" });
    let request = session.begin(send).await?;
    // After longer than a take-over takes it says so, and takes nothing new.
    let get = async |path| http::call(system.edge(), "GET", path, None, &Value::Null).await;
    let reason = until("the edge is not ready", Duration::from_secs(60), async || {
        let answer = get("/readyz").await.ok()?;
        (answer.status == 503).then(|| answer.body.to_string())
    })
    .await;
    assert!(reason.contains("core is away"), "{reason}");
    assert_eq!(get("/v1/connect").await?.status, 503);
    let refused = session.text(&room, "new").await?;
    assert_eq!(refused["error"]["code"], "unavailable", "{refused}");
    system.process("core").restart()?;
    let answer = session.answer(request).await?;
    assert_eq!((&answer["type"], &answer["seq"]), (&json!("ack"), &json!(1)), "{answer}");
    system.ready().await;
    assert_eq!(session.acked(&room, json!({ "text": "new" })).await?, 2);
    Ok(())
}
