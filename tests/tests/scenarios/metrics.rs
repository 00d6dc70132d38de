//! What parts tell of themselves to whoever looks after them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use weft_harness::http;
use weft_harness::metrics::Metrics;
use weft_harness::session::Session;
use weft_harness::system::{Options, System, direct};
use weft_harness::wait::{PATIENCE, until};

/// Of docs/metrics.md: names and kinds by the part that tells them.
fn documented() -> Result<BTreeMap<String, BTreeMap<String, String>>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
    let (mut parts, mut roles) = (BTreeMap::<String, BTreeMap<_, _>>::new(), Vec::new());
    for line in std::fs::read_to_string(path)?.lines() {
        if let Some(of) = line.strip_prefix("Of: ") {
            roles = of.split(' ').map(str::to_owned).collect();
        } else if let Some(row) = line.strip_prefix("| `weft_").filter(|_| !roles.is_empty()) {
            let mut cells = row.split(" | ");
            let name = cells.next().and_then(|cell| cell.strip_suffix('`')).context("a name")?;
            let kind = cells.next().context("a kind")?;
            for role in &roles {
                let part = parts.entry(role.clone()).or_default();
                part.insert(format!("weft_{name}"), kind.to_owned());
            }
        }
    }
    Ok(parts)
}

/// A talk of two users: one of them comes back by a cursor. Their sessions.
async fn talk(system: &System) -> Result<(Session, Session)> {
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let room = direct(&alice, &bob);
    let mut from = system.session(&alice).await?;
    let mut to = system.session(&bob).await?;
    for seq in 1..=3 {
        assert_eq!(from.acked(&room, json!({ "text": format!("{seq}") })).await?, seq);
        to.expect(&room, seq).await?;
    }
    let body = json!({ "kind": "message", "text": "by HTTP" });
    let path = format!("/v1/rooms/{room}/entries");
    let sent = http::call(system.edge(), "POST", &path, Some(&alice.token), &body).await?;
    assert_eq!(sent.status, 201, "{sent:?}");
    to.expect(&room, 4).await?;
    let cursor = to.cursor();
    drop(to);
    let back = Session::open(system.edge(), &bob, Some(&cursor)).await?;
    Ok((from, back))
}

/// Waits until each of these is so large: some are counted after the answer that the talk waited for.
async fn reaches(admin: SocketAddr, least: &[(&str, f64)]) {
    for (name, least) in least {
        until(&format!("{name} is {least}"), PATIENCE, async || {
            let told = Metrics::of(admin).await.ok()?;
            (told.get(name) >= *least).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_documented_is_told_and_what_is_told_is_documented() -> Result<()> {
    let options = Options { edges: 1, presences: 1, ..Options::default() };
    let system = System::split(options).await?;
    let _sessions = talk(&system).await?;
    let names = [("edge", "edge-0"), ("core", "core"), ("presence", "presence")];
    for (role, name) in names {
        let told = Metrics::of(system.admin(name)).await?.kinds;
        assert_eq!(told, documented()?[role], "{role}");
    }
    let at_least_on_edge = [
        ("weft_edge_sessions", 2.0),
        ("weft_edge_connects_total", 3.0),
        ("weft_edge_closes_total{code=\"gone\"}", 1.0),
        ("weft_edge_received_frames_total", 6.0),
        ("weft_edge_sent_bytes_total", 500.0),
        ("weft_edge_sends_total{via=\"websocket\"}", 3.0),
        ("weft_edge_sends_total{via=\"http\"}", 1.0),
        ("weft_edge_acks_total{result=\"ok\"}", 4.0),
        ("weft_edge_ack_duration_seconds_count", 4.0),
        ("weft_edge_delivery_duration_seconds_count", 4.0),
        ("weft_edge_resumes_total{result=\"recovered\"}", 1.0),
        ("weft_edge_audits_total{result=\"ready\"}", 1.0),
        ("weft_nats_connections", 1.0),
    ];
    reaches(system.admin("edge-0"), &at_least_on_edge).await;
    let at_least_in_core = [
        ("weft_core_partitions", 4.0),
        ("weft_core_partition_takes_total", 4.0),
        ("weft_core_commands_total", 4.0),
        ("weft_core_entries_total{kind=\"message\"}", 4.0),
        ("weft_core_commit_duration_seconds_count", 4.0),
        ("weft_core_command_duration_seconds_count", 4.0),
        ("weft_core_publish_duration_seconds_count", 4.0),
        ("weft_store_sync_duration_seconds_count", 4.0),
    ];
    reaches(system.admin("core"), &at_least_in_core).await;
    // Clients' port tells nothing of it.
    let clients = http::call(system.edge(), "GET", "/metrics", None, &Value::Null).await?;
    assert_eq!(clients.status, 404);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_part_says_whether_it_is_ready_and_why_not() -> Result<()> {
    let options = Options { edges: 1, presences: 1, ..Options::default() };
    let system = System::split(options).await?;
    let parts = ["edge-0", "core", "presence"];
    let ask = async |part: &str, path: &str| {
        http::call(system.admin(part), "GET", path, None, &Value::Null).await
    };
    let limit = Duration::from_secs(30);
    for part in parts {
        until(&format!("{part} is ready"), limit, async || {
            (ask(part, "/readyz").await.ok()?.status == 200).then_some(())
        })
        .await;
    }
    system.process("nats").kill()?;
    for part in parts {
        let reason = until(&format!("{part} is not ready"), limit, async || {
            let answer = ask(part, "/readyz").await.ok()?;
            (answer.status == 503).then(|| answer.body["error"]["message"].clone())
        })
        .await;
        assert!(reason.as_str().is_some_and(|it| it.contains("NATS is away")), "{part}: {reason}");
        assert_eq!(ask(part, "/healthz").await?.status, 200, "{part}");
    }
    system.process("nats").restart()?;
    for part in parts {
        until(&format!("{part} is ready again"), limit, async || {
            (ask(part, "/readyz").await.ok()?.status == 200).then_some(())
        })
        .await;
    }
    Ok(())
}
