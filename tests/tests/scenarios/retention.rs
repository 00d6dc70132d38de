//! A room that keeps its entries for a number of days: what is older is deleted, and everybody goes on with the rest.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};
use weft_harness::session::Session;
use weft_harness::system::{START_LIMIT, System, direct};
use weft_harness::ulid;
use weft_harness::wait::until;
use weft_proto::RoomId;
use weft_storage::Store;
use weft_storage::embedded::Embedded;
use weft_storage::tables::{log, message, pin, reaction, thread};

use crate::aging::age;

const DAYS_3_MS: u64 = 3 * 86_400_000;
/// Within this time what a new rule finds to be old is deleted: core looks every ten seconds.
const EXPIRED_LIMIT: Duration = Duration::from_secs(90);

fn store_path(system: &System) -> PathBuf {
    system.path().join("data/store")
}

async fn stop(system: &System) -> Result<()> {
    let dev = system.process("dev");
    dev.signal(Signal::TERM)?;
    let status = dev.ended(START_LIMIT).await;
    ensure!(status.success(), "{status}");
    Ok(())
}

/// How many rows the store has of messages with a seq below this one.
async fn rows_below(system: &System, room: &RoomId, seq: u64) -> Result<usize> {
    let store = Store::new(Embedded::open(&store_path(system))?);
    let snapshot = store.snapshot().await?;
    let mut count = 0;
    for range in [log::range, message::range, reaction::range_of, thread::range_of, pin::range] {
        let range = range(room, 0..seq);
        count += snapshot.scan(range, usize::MAX, false).await?.len();
    }
    Ok(count)
}

async fn told(session: &mut Session, room: &str) -> Result<Value> {
    session.request(json!({ "type": "room", "room": room })).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_older_than_the_rule_is_deleted_and_everybody_goes_on() -> Result<()> {
    let system = System::dev().await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let (room, id) = (direct(&alice, &bob), RoomId::new(&direct(&alice, &bob))?);
    let cursor = system.session(&bob).await?.cursor();
    let mut session = system.session(&alice).await?;
    let first = json!({ "text": "a root", "client_id": ulid::fresh() });
    for (seq, fields) in [
        (1, first.clone()),
        (2, json!({ "text": "a reply", "thread": 1 })),
        (3, json!({ "kind": "react", "target": 1, "emoji": "+" })),
        (4, json!({ "kind": "pin", "target": 1 })),
        (5, json!({ "kind": "edit", "target": 1, "text": "an edited root" })),
    ] {
        assert_eq!(session.acked(&room, fields).await?, seq);
    }
    stop(&system).await?;
    age(&store_path(&system), &id, DAYS_3_MS).await?;
    system.process("dev").restart()?;
    system.ready().await;

    let mut alices = system.session(&alice).await?;
    assert_eq!(alices.acked(&room, json!({ "text": "a young one" })).await?, 6);
    assert_eq!(told(&mut alices, &room).await?["first_seq"], Value::Null);
    let rule = json!({ "kind": "update", "retention_days": 2 });
    assert_eq!(alices.acked(&room, rule.clone()).await?, 7);
    assert_eq!(alices.refused(&room, rule).await?, "unchanged");
    assert_eq!(alices.refused(&room, json!({ "kind": "expire", "hour": 1 })).await?, "bad_request");
    assert_eq!(told(&mut alices, &room).await?["retention_days"], 2);
    // Nobody uses the room, and core is killed before it comes to it, or in the middle.
    let dev = system.process("dev");
    dev.signal(Signal::KILL)?;
    dev.ended(START_LIMIT).await;
    dev.restart()?;
    system.ready().await;
    let mut alices = system.session(&alice).await?;
    until("old entries are deleted", EXPIRED_LIMIT, async || {
        (told(&mut alices, &room).await.ok()?["first_seq"] == 6).then_some(())
    })
    .await;

    let summary = told(&mut alices, &room).await?;
    assert_eq!((&summary["seq"], &summary["last"]["seq"]), (&json!(7), &json!(7)), "{summary}");
    let history = alices.request(json!({ "type": "history", "room": room })).await?;
    let seqs: Vec<_> = history["entries"].as_array().context("entries")?.iter().collect();
    assert_eq!(seqs.iter().map(|entry| entry["seq"].clone()).collect::<Vec<_>>(), [6, 7]);
    assert_eq!((&history["from"], &history["through"]), (&json!(1), &json!(7)), "{history}");
    for (asked, list) in [("pins", "entries"), ("threads", "threads")] {
        let answer = alices.request(json!({ "type": asked, "room": room })).await?;
        assert_eq!(answer[list], json!([]), "{answer}");
    }
    let page = json!({ "type": "history", "room": room, "thread": 1 });
    assert_eq!(alices.request(page).await?["entries"], json!([]));
    for fields in [
        json!({ "kind": "edit", "target": 1, "text": "x" }),
        json!({ "kind": "react", "target": 1, "emoji": "-" }),
        json!({ "text": "x", "thread": 1 }),
        json!({ "text": "x", "reply_to": 1 }),
    ] {
        assert_eq!(alices.refused(&room, fields.clone()).await?, "not_found", "{fields}");
    }
    // Who sends the first message again hears that it was taken.
    let again = alices.entry(&room, first).await?;
    assert_eq!((&again["type"], &again["seq"]), (&json!("ack"), &json!(1)), "{again}");
    // A device that was away all the time goes on, and has no hole to fill.
    let mut bobs = Session::open(system.edge(), &bob, Some(&cursor)).await?;
    assert_eq!(bobs.synced["recovered"], true, "{}", bobs.synced);
    bobs.expect(&room, 6).await?;
    bobs.expect(&room, 7).await?;
    let summary = told(&mut bobs, &room).await?;
    assert_eq!((&summary["unread"], &summary["unread_threads"]), (&json!(1), &json!(0)));
    let mark = json!({ "type": "mark", "room": room, "read": 3 });
    assert_eq!(bobs.request(mark).await?["type"], "done");
    assert_eq!(told(&mut bobs, &room).await?["unread"], 1);
    assert_eq!(alices.acked(&room, json!({ "text": "eight" })).await?, 8);
    bobs.expect(&room, 8).await?;
    stop(&system).await?;
    assert_eq!(rows_below(&system, &id, 6).await?, 0);
    Ok(())
}
