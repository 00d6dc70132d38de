//! Overload is refused, never dropped: the one who causes it is told, and nobody else notices.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::Signal;
use serde_json::{Value, json};
use weft_harness::session::{Session, code};
use weft_harness::socket::{Closed, Socket};
use weft_harness::system::{BOT, Options, System, direct, unique};
use weft_harness::ulid;
use weft_harness::wait::until;

/// 100 kB.
fn large_text() -> String {
    "x".repeat(100_000)
}

fn send(room: &str, text: &str) -> Value {
    json!({ "type": "send", "room": room, "client_id": ulid::fresh(), "text": text })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stops_is_closed_and_resumes_without_a_hole() -> Result<()> {
    // 12 MB: more than the kernel's buffers and the edge's mailbox take.
    const MESSAGES: u64 = 120;
    const IN_FLIGHT: usize = 4;
    let system = System::split(Options { edges: 1, ..Options::default() }).await?;
    let (alice, bob, carol) =
        (system.user("alice").await?, system.user("bob").await?, system.user("carol").await?);
    let mut a = system.session(&alice).await?;
    let mut b = system.session(&bob).await?;
    let group = unique("group");
    let create = json!({ "kind": "create", "title": "t", "members": [bob.user, carol.user] });
    a.acked(&group, create).await?;
    b.expect(&group, 1).await?;
    // Carol's window is small, and she stops reading after her `synced`.
    let socket = Socket::open_with(system.edge(), Some(8_192)).await?;
    let mut c = Session::over(socket, &carol.token, None).await?;
    let cursor = c.cursor();

    // Several on their way, so that Carol reads again soon enough to be told.
    let text = large_text();
    let mut slowest = Duration::ZERO;
    let mut unanswered = VecDeque::new();
    for seq in 2..2 + MESSAGES {
        unanswered.push_back((seq, Instant::now(), a.begin(send(&group, &text)).await?));
        while unanswered.len() > if seq == 1 + MESSAGES { 0 } else { IN_FLIGHT } {
            let (seq, began, request) = unanswered.pop_front().context("a request")?;
            assert_eq!(a.answer(request).await?["seq"], seq);
            a.expect(&group, seq).await?;
            b.expect(&group, seq).await?;
            slowest = slowest.max(began.elapsed());
        }
    }
    eprintln!("{MESSAGES} texts of 100 kB beside a stopped reader: the slowest took {slowest:?}");
    assert!(slowest < Duration::from_secs(3), "the others noticed: {slowest:?}");

    // What was on its way comes in order, then the end with its own code.
    let mut last = 0;
    let ended = loop {
        match c.socket().next().await {
            Ok(frame) if frame["type"] == "entry" => {
                let seq = frame["seq"].as_u64().context("seq")?;
                assert!(last == 0 || seq == last + 1, "{seq} after {last}");
                last = seq;
            }
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(Closed::code_in(&ended), Some(4001), "{ended:#}");
    assert!(last < 1 + MESSAGES, "everything fitted into buffers: the test is too small");
    let mut c = Session::open(system.edge(), &carol, Some(&cursor)).await?;
    assert_eq!(c.synced["recovered"], true, "{}", c.synced);
    for seq in last + 1..2 + MESSAGES {
        c.expect(&group, seq).await?;
    }
    Ok(())
}

/// Makes the ingest streams small, as their operator could.
async fn shrink_ingest(system: &System, bytes_max: u64) -> Result<()> {
    let mut nats = system.nats_as("admin").await?;
    for partition in 0..4 {
        let stream = format!("WEFT_IN_{partition}");
        let info = nats.jetstream(&format!("STREAM.INFO.{stream}"), &json!({})).await?;
        let mut config = info["config"].clone();
        config["max_bytes"] = bytes_max.into();
        let updated = nats.jetstream(&format!("STREAM.UPDATE.{stream}"), &config).await?;
        assert_eq!(updated["config"]["max_bytes"], bytes_max, "{updated}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_ingest_log_refuses_and_loses_nothing() -> Result<()> {
    let system = System::split(Options { edges: 1, ..Options::default() }).await?;
    let alice = system.user("alice").await?;
    let room = direct(&alice, &alice);
    let mut a = system.session(&alice).await?;
    // So many that as many may be underway at once afterwards.
    for seq in 1..=20 {
        assert_eq!(a.acked(&room, json!({ "text": "before" })).await?, seq);
    }
    shrink_ingest(&system, 1_000_000).await?;

    // Nobody reads the log now; ten texts fit.
    system.process("core").signal(Signal::STOP)?;
    let text = large_text();
    let sends: Vec<Value> = (0..20).map(|_| send(&room, &text)).collect();
    let mut requests = Vec::new();
    for send in &sends {
        requests.push(a.begin(send.clone()).await?);
    }
    let refused = a.answer(*requests.last().context("requests")?).await;
    system.process("core").signal(Signal::CONT)?;
    let refused = refused?;
    assert_eq!(code(&refused)?, "overloaded", "{refused}");
    assert_eq!(refused["error"]["temporary"], true, "{refused}");
    assert!(refused["error"]["retry_after_ms"].as_u64() > Some(0), "{refused}");

    // What was taken is acknowledged now; what was refused is sent again: each is there once.
    let mut seqs = Vec::new();
    let mut again = vec![sends.len() - 1];
    for (i, request) in requests.iter().enumerate().take(sends.len() - 1) {
        let answer = a.answer(*request).await?;
        match answer["type"].as_str() {
            Some("ack") => seqs.extend(answer["seq"].as_u64()),
            _ => again.push(i),
        }
    }
    assert!(!seqs.is_empty(), "nothing fitted");
    eprintln!("{} of {} texts were refused as overloaded", again.len(), sends.len());
    for i in again {
        let acked = async || {
            let answer = a.request(sends[i].clone()).await.expect("an answer");
            let is_temporary = answer["error"]["temporary"] == true;
            assert!(is_temporary || answer["type"] == "ack", "{answer}");
            answer["seq"].as_u64()
        };
        seqs.push(until("the log has room again", Duration::from_secs(20), acked).await);
    }
    seqs.sort_unstable();
    assert_eq!(seqs, (21..=40).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_unanswered_request_too_many_is_refused() -> Result<()> {
    let system = System::split(Options { edges: 1, ..Options::default() }).await?;
    let alice = system.user("alice").await?;
    let room = direct(&alice, &alice);
    let mut a = system.session(&alice).await?;
    let in_flight_max = a.welcome["in_flight_max"].as_u64().context("in_flight_max")?;
    system.process("core").signal(Signal::STOP)?;
    let mut requests = Vec::new();
    for number in 0..in_flight_max {
        requests.push(a.begin(send(&room, &format!("{number}"))).await?);
    }
    let one_more = a.begin(send(&room, "one more")).await?;
    let refused = a.answer(one_more).await;
    system.process("core").signal(Signal::CONT)?;
    let refused = refused?;
    assert_eq!(code(&refused)?, "rate_limited", "{refused}");
    assert_eq!(refused["error"]["temporary"], true, "{refused}");
    for (request, seq) in requests.into_iter().zip(1..) {
        let answer = a.answer(request).await?;
        assert_eq!((&answer["type"], &answer["seq"]), (&json!("ack"), &json!(seq)), "{answer}");
    }
    assert_eq!(a.acked(&room, json!({ "text": "afterwards" })).await?, in_flight_max + 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_refused_and_others_go_on() -> Result<()> {
    const FLOOD: usize = 2_000;
    let system = System::dev().await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let mut a = system.session(&alice).await?;
    let group = unique("group");
    system.bots().await?;
    let create = json!({ "kind": "create", "title": "t", "members": [BOT, bob.user] });
    a.acked(&group, create).await?;
    let mut nats = system.nats_as(BOT).await?;
    nats.subscribe(&format!("weft.ack.u.{BOT}.*")).await?;
    for number in 0..FLOOD {
        let token = format!("t{number}");
        let subject = format!("weft.in.{BOT}.{group}");
        nats.publish(&subject, None, &[("Weft-Reply", &token)], b"spam").await?;
    }
    nats.flush().await?;
    // Somebody else in the same room, at the same time.
    let began = Instant::now();
    a.acked(&group, json!({ "text": "excuse me" })).await?;
    let waited = began.elapsed();
    let (mut acked, mut refused) = (0, 0);
    for _ in 0..FLOOD {
        let answer = nats.next().await?.json();
        if answer["type"] == "ack" {
            acked += 1;
            continue;
        }
        assert_eq!(code(&answer)?, "rate_limited", "{answer}");
        assert!(answer["error"]["retry_after_ms"].as_u64() > Some(0), "{answer}");
        refused += 1;
    }
    eprintln!(
        "a flood of {FLOOD}: {acked} taken, {refused} refused; another sender waited {waited:?}"
    );
    assert!(refused > FLOOD / 2, "{refused} refused");
    assert!(waited < Duration::from_secs(3), "{waited:?}");
    Ok(())
}
