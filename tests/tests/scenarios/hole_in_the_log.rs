//! Messages vanish out of the middle of an ingest log: an operator deletes them, or JetStream loses
//! a block. They can only have been unacknowledged: core goes on, and their senders send them again.

use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;
use serde_json::json;
use weft_harness::nats::Nats;
use weft_harness::process::Process;
use weft_harness::reading::read_room;
use weft_harness::session::Session;
use weft_harness::system::{Options, START_LIMIT, System, direct};
use weft_harness::ulid;
use weft_harness::wait::until;

const WAITING: usize = 8;

/// The last sequence of each partition's log.
async fn last_seqs(admin: &mut Nats) -> Result<Vec<u64>> {
    let mut seqs = Vec::new();
    for partition in 0..4 {
        let verb = format!("STREAM.INFO.WEFT_IN_{partition}");
        let info = admin.jetstream(&verb, &json!({})).await?;
        seqs.push(info["state"]["last_seq"].as_u64().context("last_seq")?);
    }
    Ok(seqs)
}

/// Commands that wait while there is no core; the partition, the sequence of the first of them, and
/// the requests.
async fn waiting(
    core: &Process,
    (session, room): (&mut Session, &str),
    admin: &mut Nats,
) -> Result<(usize, u64, Vec<u64>)> {
    // A row goes into the log at once only where earlier sends to the room were acknowledged.
    for number in 0..WAITING {
        let text = format!("before {number}");
        let send =
            json!({ "type": "send", "room": room, "client_id": ulid::fresh(), "text": text });
        let request = session.begin(send).await?;
        let answer = session.answer(request).await?;
        assert_eq!(answer["type"], "ack", "{answer}");
    }
    core.signal(Signal::TERM)?;
    assert!(core.ended(START_LIMIT).await.success());
    let before = last_seqs(admin).await?;
    let mut requests = Vec::new();
    for number in 0..WAITING {
        let text = format!("{number}");
        let send =
            json!({ "type": "send", "room": room, "client_id": ulid::fresh(), "text": text });
        requests.push(session.begin(send).await?);
    }
    let grown = async || {
        let now = last_seqs(admin).await.expect("info");
        (0..now.len()).find(|n| now[*n] == before[*n] + WAITING as u64)
    };
    let partition = until("the log has them", Duration::from_secs(10), grown).await;
    Ok((partition, before[partition] + 1, requests))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_hole_held_is_sent_again() -> Result<()> {
    let system = System::split(Options { edges: 1, ..Options::default() }).await?;
    let core = system.process("core");
    let alice = system.user("alice").await?;
    let room = direct(&alice, &alice);
    let mut session = system.session(&alice).await?;
    let mut admin = system.nats_as("admin").await?;
    // The first ones; in the middle, one by one; all.
    let holes: [&[u64]; 3] = [&[0, 1], &[2, 4, 5], &[0, 1, 2, 3, 4, 5, 6, 7]];
    for hole in holes {
        let (partition, first, requests) = waiting(core, (&mut session, &room), &mut admin).await?;
        for place in hole {
            let verb = format!("STREAM.MSG.DELETE.WEFT_IN_{partition}");
            admin.jetstream(&verb, &json!({ "seq": first + place })).await?;
        }
        core.restart()?;
        for request in requests {
            let answer = session.answer(request).await?;
            assert_eq!(answer["type"], "ack", "{hole:?}: {answer}");
        }
        let said = core.output();
        let error = said.lines().find(|line| line.contains("has a hole"));
        assert!(error.context("a word to the operator")?.contains("ERROR"), "{said}");
        let anew = said.lines().filter(|line| line.contains("reading the ingest log anew")).count();
        assert!(anew <= 5, "{anew} times: {said}");
    }
    let log = read_room(system.edge(), &alice, &room).await?;
    let count = (holes.len() * 2 * WAITING) as u64;
    assert!(log.iter().map(|entry| entry.seq).eq(1..=count), "{log:?}");
    Ok(())
}
