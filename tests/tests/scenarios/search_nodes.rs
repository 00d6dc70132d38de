//! Whatever happens to the index, messages don't wait for it and nothing stays unfound.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};
use weft_harness::http;
use weft_harness::session::{Session, code};
use weft_harness::system::{Engine, Options, START_LIMIT, System, direct, weft};
use weft_harness::wait::until;
use weft_storage::embedded::Embedded;
use weft_storage::tables::{applied, journal};
use weft_storage::{Batch, Store};

use crate::search::{FOUND_LIMIT, search};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stays_unfound_whatever_is_killed_and_messages_do_not_wait() -> Result<()> {
    let system = System::split(Options { edges: 1, searches: 1, ..Options::default() }).await?;
    let alice = system.user("alice").await?;
    let room = direct(&alice, &alice);
    let mut session = system.session(&alice).await?;
    let mut number = 0;
    let mut say = async |session: &mut Session, count: u64| -> Result<()> {
        for _ in 0..count {
            number += 1;
            let seq =
                session.acked(&room, json!({ "text": format!("needle n{number} 바늘") })).await?;
            assert_eq!(seq, number);
        }
        Ok(())
    };
    say(&mut session, 30).await?;
    found_count(&mut session, "needle", 30).await;
    system.process("search-0").kill()?;
    say(&mut session, 30).await?;
    let refused = search(&mut session, &json!({ "text": "needle" })).await?;
    assert!(["unavailable", "unknown"].contains(&&*code(&refused)?), "{refused}");
    system.process("search-0").restart()?;
    found_count(&mut session, "바늘", 60).await;
    // Killed in the middle of writing, several times.
    for _ in 0..3 {
        say(&mut session, 10).await?;
        system.process("search-0").kill()?;
        say(&mut session, 10).await?;
        system.process("search-0").restart()?;
        say(&mut session, 10).await?;
    }
    found_count(&mut session, "needle", 150).await;
    let followers = system.operated(&["followers"]).await?;
    ensure!(followers.contains("\"follower\":\"search-search-0\""), "{followers}");
    // Made anew from the store, while the old one answers.
    let operated = system.operated(&["reindex"]).await?;
    ensure!(operated.contains("search-0 has made its index anew: 150 messages"), "{operated}");
    found_count(&mut session, "needle", 150).await;
    // One without anything: from the store, too.
    system.process("search-0").kill()?;
    std::fs::remove_dir_all(system.path().join("search-0"))?;
    system.process("search-0").restart()?;
    found_count(&mut session, "바늘", 150).await;
    Ok(())
}

/// Waits until a word is found in so many messages, and the page is not partial.
async fn found_count(session: &mut Session, text: &str, wanted: u64) {
    let mut last = Value::Null;
    let deadline = Instant::now() + FOUND_LIMIT * 2;
    while Instant::now() < deadline {
        last = search(session, &json!({ "text": text, "limit": 1 })).await.expect("an answer");
        if last["total"] == wanted && last["partial"] == false {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{text} is to be found {wanted} times: {last}");
}

/// Says so many words to oneself.
async fn say(session: &mut Session, room: &str, count: u64) -> Result<()> {
    for _ in 0..count {
        session.acked(room, json!({ "text": "needle" })).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_search_nodes_either_answers_alone() -> Result<()> {
    let system = System::split(Options { edges: 1, searches: 2, ..Options::default() }).await?;
    let alice = system.user("alice").await?;
    let room = direct(&alice, &alice);
    let mut session = system.session(&alice).await?;
    say(&mut session, &room, 5).await?;
    found_count(&mut session, "needle", 5).await;
    for (killed, count) in [("search-0", 10), ("search-1", 15)] {
        let node = system.process(killed);
        node.kill()?;
        say(&mut session, &room, 5).await?;
        // By the other one alone, which was there or is back.
        found_count(&mut session, "needle", count).await;
        assert!(!node.is_running());
        node.restart()?;
        until("it is back", START_LIMIT, async || {
            let ready = http::call(system.admin(killed), "GET", "/readyz", None, &Value::Null);
            (ready.await.ok()?.status == 200).then_some(())
        })
        .await;
    }
    Ok(())
}

/// Deletes the whole journal of a store that nobody uses meanwhile.
async fn delete_journal(system: &System) -> Result<()> {
    let store = Store::new(Embedded::open(&system.path().join("store"))?);
    let snapshot = store.snapshot().await?;
    let mut batch = Batch::new(rand::random());
    for partition in 0..4 {
        let mut row = applied::read(&*snapshot, partition).await?;
        let newest = row.last_commit_no();
        journal::trim(&mut batch, partition, &mut row, newest);
        batch.set(applied::key(partition), row.encode());
    }
    drop(snapshot);
    store.commit(batch).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_is_made_anew_where_the_journal_is_too_short_or_the_store_another_one()
-> Result<()> {
    let store = Engine::Embedded;
    let options = Options { store, edges: 1, searches: 1, ..Options::default() };
    let system = System::split(options).await?;
    let alice = system.user("alice").await?;
    let room = direct(&alice, &alice);
    let mut session = system.session(&alice).await?;
    let (core, node) = (system.process("core"), system.process("search-0"));
    say(&mut session, &room, 5).await?;
    found_count(&mut session, "needle", 5).await;
    // What comes now no journal tells it.
    node.kill()?;
    say(&mut session, &room, 5).await?;
    let stopped = async || -> Result<()> {
        core.signal(Signal::TERM)?;
        core.ended(START_LIMIT).await;
        Ok(())
    };
    stopped().await?;
    delete_journal(&system).await?;
    core.restart()?;
    node.restart()?;
    system.ready().await;
    let mut session = system.session(&alice).await?;
    found_count(&mut session, "needle", 10).await;
    let made = |text: &str| node.output().matches(text).count();
    assert_eq!(made("an index is complete"), 2, "{}", node.output());

    stopped().await?;
    let store = format!("embedded:{}", system.path().join("store").display());
    let mut accept = tokio::process::Command::new(weft().await);
    let accepted =
        accept.args(["admin", "accept-loss", "--yes", "--store", &store]).output().await?;
    ensure!(accepted.status.success(), "{accepted:?}");
    core.restart()?;
    system.ready().await;
    let mut session = system.session(&alice).await?;
    say(&mut session, &room, 5).await?;
    found_count(&mut session, "needle", 15).await;
    assert_eq!(made("the store is another one: the index is made anew"), 1, "{}", node.output());
    Ok(())
}
