//! Entries that a damaged store lacks are hidden: devices resume, read and repair past them.

use anyhow::{Result, ensure};
use rustix::process::Signal;
use serde_json::json;
use weft_harness::session::Session;
use weft_harness::system::{START_LIMIT, System, direct};
use weft_proto::RoomId;
use weft_storage::embedded::Embedded;
use weft_storage::tables::log;
use weft_storage::{Batch, Outcome, Store};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_resumes_past_entries_that_are_missing() -> Result<()> {
    let system = System::dev().await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let room = direct(&alice, &bob);
    let cursor = system.session(&bob).await?.cursor();
    let mut session = system.session(&alice).await?;
    for seq in 1..=6 {
        assert_eq!(session.acked(&room, json!({ "text": "x" })).await?, seq);
    }
    let dev = system.process("dev");
    dev.signal(Signal::TERM)?;
    let status = dev.ended(START_LIMIT).await;
    ensure!(status.success(), "{status}");
    {
        let store = Store::new(Embedded::open(&system.path().join("data/store"))?);
        let mut batch = Batch::new([1; 16]);
        for seqs in [1..3, 4..6] {
            let range = log::range(&RoomId::new(&room)?, seqs);
            batch.clear_range(range.start, range.end);
        }
        let outcome = store.commit(batch).await?;
        assert!(matches!(outcome, Outcome::Committed(_)));
    }
    dev.restart()?;
    system.ready().await;

    let mut session = Session::open(system.edge(), &bob, Some(&cursor)).await?;
    assert_eq!(session.synced["recovered"], true, "{}", session.synced);
    session.expect(&room, 3).await?;
    session.expect(&room, 6).await?;
    // It goes on live, and again from its cursor.
    assert_eq!(session.acked(&room, json!({ "text": "seven" })).await?, 7);
    session.expect(&room, 7).await?;
    let again = Session::open(system.edge(), &bob, Some(&session.newest_cursor())).await?;
    assert_eq!(again.synced["recovered"], true, "{}", again.synced);
    let history = session.request(json!({ "type": "history", "room": room })).await?;
    let seqs: Vec<u64> = history["entries"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|entry| entry["seq"].as_u64())
        .collect();
    assert_eq!(seqs, [3, 6, 7], "{history}");
    assert_eq!((&history["from"], &history["through"]), (&json!(1), &json!(7)));
    Ok(())
}
