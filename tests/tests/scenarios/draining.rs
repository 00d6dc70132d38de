//! An edge that is to end is named to nobody any more, and its sessions leave one after the other;
//! all parts are restarted in turn, and nobody loses a word.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tokio_tungstenite::tungstenite::Error as WsError;
use weft_harness::http;
use weft_harness::load::{Load, LoadOptions};
use weft_harness::onlooker::Onlooker;
use weft_harness::session::{LIMIT, Session};
use weft_harness::socket::{Closed, Socket};
use weft_harness::system::{Engine, Options, System};
use weft_harness::wait::until;

/// What a busy machine may add to a time.
const SLACK: Duration = Duration::from_secs(5);

fn url(edge: SocketAddr) -> String {
    format!("http://{edge}")
}

/// The edges that an edge names for a user, best first; none: it says that there are none.
async fn connect(edge: SocketAddr, user: &str) -> Result<Vec<String>> {
    let path = format!("/v1/connect?user={user}");
    let answer = http::call(edge, "GET", &path, None, &Value::Null).await?;
    if answer.status == 503 {
        return Ok(Vec::new());
    }
    ensure!(answer.status == 200, "{answer:?}");
    let edges: Vec<String> = serde_json::from_value(answer.body["edges"].clone())?;
    ensure!(answer.body["url"] == edges[0], "{answer:?}");
    Ok(edges)
}

/// Waits until this edge names all of these, and no others.
async fn names(edge: SocketAddr, wanted: &[SocketAddr]) {
    let mut wanted: Vec<String> = wanted.iter().copied().map(url).collect();
    wanted.sort_unstable();
    until(&format!("{edge} names {wanted:?}"), LIMIT, async || {
        // Slowly: whoever asks is counted for a while as on the way.
        sleep(Duration::from_millis(200)).await;
        let mut named = connect(edge, "anybody").await.ok()?;
        named.sort_unstable();
        (named == wanted).then_some(())
    })
    .await;
}

/// The edge refuses the socket, and says when to come back, in 1 to 5 s.
fn refused_with(opened: Result<Socket>, status: u16) {
    let error = opened.expect_err("no socket");
    let Some(WsError::Http(answer)) = error.downcast_ref() else { panic!("{error:#}") };
    assert_eq!(answer.status().as_u16(), status);
    let after = answer.headers().get("retry-after").and_then(|after| after.to_str().ok());
    let after: u64 = after.and_then(|after| after.parse().ok()).expect("Retry-After");
    assert!((1..=5).contains(&after), "{after}");
}

/// Runs `weft admin …` against the system's NATS: exit code, lines of JSON, and what it says on
/// standard error.
async fn admin(system: &System, args: &[&str]) -> Result<(Option<i32>, Vec<Value>, String)> {
    let output = system.operate(args).await?;
    let text = String::from_utf8(output.stdout)?;
    let lines = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    Ok((output.status.code(), lines, String::from_utf8(output.stderr)?))
}

async fn nodes(system: &System) -> Result<Vec<Value>> {
    let (code, lines, error) = admin(system, &["nodes"]).await?;
    ensure!(code == Some(0), "{error}");
    Ok(lines)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_an_edge_at_once() -> Result<()> {
    let options = Options { edges: 1, ..Options::default() }.edge(&["--drain-s", "600"]);
    let system = System::split(options).await?;
    let alice = system.user("alice").await?;
    let mut sessions = Vec::new();
    for _ in 0..3 {
        sessions.push(system.session(&alice).await?);
    }
    let edge = system.process("edge-0");
    edge.signal(Signal::INT)?;
    for session in &mut sessions {
        while session.draining.is_null() {
            session.request(json!({ "type": "ping" })).await?;
        }
    }
    edge.signal(Signal::TERM)?;
    for session in &mut sessions {
        assert_eq!(session.closed_within(LIMIT).await?, 4000);
    }
    assert!(edge.ended(LIMIT).await.success());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_drains_an_edge() -> Result<()> {
    let options = Options::default().edge(&["--drain-s", "8", "--region", "eu"]);
    let system = System::split(options).await?;
    let alice = system.user("alice").await?;
    let mut sessions = Vec::new();
    for _ in 0..5 {
        sessions.push(system.session(&alice).await?);
    }
    let listed = until("the sessions are told", LIMIT, async || {
        let nodes = nodes(&system).await.expect("nodes");
        nodes.iter().any(|node| node["sessions"] == 5).then_some(nodes)
    })
    .await;
    let of = |name: &str| listed.iter().find(|node| node["node"] == name).expect("listed");
    let edge = of("edge-0");
    assert_eq!((&edge["role"], &edge["region"]), (&json!("edge"), &json!("eu")));
    assert_eq!(edge["url"], url(system.edge()));
    assert_eq!((&edge["draining"], &edge["safe_to_remove"]), (&json!(false), &json!(false)));
    let roles: Vec<&Value> = listed.iter().map(|node| &node["role"]).collect();
    assert_eq!(roles, ["core", "edge", "edge"]);

    // While it drains, it is ready for nobody, and the other edge does not name it.
    let others = async {
        names(system.edges()[1], &system.edges()[1..]).await;
        let answer = http::call(system.edge(), "GET", "/readyz", None, &Value::Null).await?;
        assert!(answer.body.to_string().contains("draining: "), "{answer:?}");
        refused_with(Socket::open(system.edge()).await, 503);
        anyhow::Ok(())
    };
    let (drained, others) = tokio::join!(admin(&system, &["drain", "edge-0"]), others);
    others?;
    let (code, lines, error) = drained?;
    assert_eq!(code, Some(0), "{error}");
    let (first, last) = (&lines[0], lines.last().context("a line")?);
    assert_eq!((&first["sessions"], &first["draining"]), (&json!(5), &json!(false)));
    assert_eq!((&last["sessions"], &last["safe_to_remove"]), (&json!(0), &json!(true)));
    assert!(lines.len() > 2, "nothing was told on the way: {lines:?}");
    let told: Vec<u64> = lines.iter().filter_map(|line| line["sessions"].as_u64()).collect();
    assert!(told.is_sorted_by(|before, after| before >= after), "{told:?}");
    for session in &mut sessions {
        let ended = loop {
            if let Err(error) = session.next_push().await {
                break error;
            }
        };
        assert_eq!(Closed::code_in(&ended), Some(4000), "{ended:#}");
        assert!(session.draining["close_in_ms"].is_u64(), "it was not told");
    }
    assert!(system.process("edge-0").ended(LIMIT).await.success());
    let left: Vec<Value> =
        nodes(&system).await?.into_iter().map(|node| node["node"].clone()).collect();
    assert!(left.contains(&json!("edge-1")) && !left.contains(&json!("edge-0")), "{left:?}");

    let (code, lines, error) = admin(&system, &["drain", "edge-0"]).await?;
    assert_eq!((code, lines.len()), (Some(1), 0));
    assert!(error.contains("no live edge edge-0") && error.contains("edge-1"), "{error}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_user_meets_at_one_edge_until_it_is_full() -> Result<()> {
    const PLACES: usize = 40;
    let system = System::split(Options::default().edge(&["--sessions-max", "40"])).await?;
    for edge in system.edges() {
        names(*edge, system.edges()).await;
    }
    let alice = system.user("alice").await?;
    let home = connect(system.edge(), &alice.user).await?[0].clone();
    for _ in 0..5 {
        for edge in system.edges() {
            assert_eq!(connect(*edge, &alice.user).await?[0], home);
        }
    }
    let edges = system.edges().iter().copied();
    let (at_home, elsewhere): (Vec<_>, Vec<_>) = edges.partition(|edge| url(*edge) == home);
    let mut sessions = Vec::new();
    for _ in 0..PLACES {
        sessions.push(Session::open(at_home[0], &alice, None).await?);
    }
    refused_with(Socket::open(at_home[0]).await, 503);
    for edge in system.edges() {
        names(*edge, &elsewhere).await;
        assert_eq!(connect(*edge, &alice.user).await?, [url(elsewhere[0])]);
    }
    sessions.clear();
    names(elsewhere[0], system.edges()).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_parts_are_restarted_in_turn_under_load() -> Result<()> {
    const WINDOW: Duration = Duration::from_secs(5);
    let options = Options { presences: 2, ..Options::default() };
    // An embedded store belongs to one core.
    let cores = if options.store == Engine::Fdb { 2 } else { 1 };
    let options = Options { cores, ..options };
    let system = System::split(options.edge(&["--drain-s", "5"])).await?;
    let mut load = Load::start(&system, LoadOptions::default()).await?;
    let users: BTreeSet<String> = load.logins().iter().map(|it| it.user.clone()).collect();
    let name = load.logins()[0].user.clone();
    let parts = ["edge-0", "edge-1", "presence-0", "presence-1"].map(str::to_owned);
    let mut words = 0;
    for part in parts.iter().chain(system.core_names()) {
        // Somebody who sees all of them, at the edge that stays.
        let stays = if part == "edge-1" { system.edge() } else { system.edges()[1] };
        let login = system.device(&name, &format!("at-{part}")).await?;
        let onlooker = Onlooker::open(stays, &login).await?;
        for user in &users {
            onlooker.sees(user, "online", LIMIT).await;
        }
        let (process, began) = (system.process(part), Instant::now());
        process.signal(Signal::TERM)?;
        let status = process.ended(WINDOW + SLACK + SLACK).await;
        assert!(status.success(), "{part}: {status}");
        let ended = began.elapsed();
        process.restart()?;
        load.progress(100).await;
        system.ready().await;
        eprintln!("{part} ended after {ended:.1?}, all is well after {:.1?}", began.elapsed());
        load.progress(100).await;
        // Longer than the grace, which an edge's restart begins.
        sleep(Duration::from_secs(12)).await;
        let (said, offline) = onlooker.counts();
        assert!(onlooker.is_open());
        assert_eq!(offline, 0, "{part}: somebody was shown offline: {:?}", onlooker.newest());
        words += said;
    }
    eprintln!("{words} words about presence, none of them that somebody is offline");
    let (closes, away) = (load.closes(), load.longest_away());
    assert!(closes.iter().all(|code| *code == Some(4000)), "{closes:?}");
    // At one edge each at the beginning, at the other one after its drain, and back.
    assert!(closes.len() >= 6, "{closes:?}");
    assert!(away <= WINDOW, "somebody was away for {away:?}");
    let outcome = load.finish(&system).await?;
    eprintln!(
        "{} acks, {} entries, {} sockets were closed, nobody was away for more than {away:.1?}",
        outcome.acked,
        outcome.entries,
        closes.len()
    );
    assert_eq!(outcome.violations, []);
    Ok(())
}
