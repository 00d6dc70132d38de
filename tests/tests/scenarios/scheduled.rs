//! Messages that are sent later: on all devices of their user, once, and by the rights of that moment.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};
use weft_harness::session::Session;
use weft_harness::socket::now_ms;
use weft_harness::system::{Options, System, direct, unique};
use weft_harness::ulid;
use weft_harness::wait::until;

/// Within this time after its time a message is there: core looks every second.
const SENT_LIMIT: Duration = Duration::from_secs(60);

/// A message for this time; the id of what is scheduled.
async fn schedule(session: &mut Session, room: &str, text: &str, at: u64) -> Result<String> {
    let id = ulid::fresh();
    let fields = json!({ "kind": "schedule", "at": at, "text": text, "client_id": id });
    let answer = session.entry(room, fields).await?;
    ensure!(answer["type"] == "done", "{text}: {answer}");
    Ok(id)
}

/// What is scheduled, as a request says.
async fn all(session: &mut Session) -> Result<Vec<Value>> {
    let answer = session.request(json!({ "type": "scheduled" })).await?;
    ensure!(answer["type"] == "scheduled" && answer["more"] == false, "{answer}");
    Ok(answer["scheduled"].as_array().context("a list")?.clone())
}

fn told(room: &str, id: &str, at: u64, state: &str) -> Value {
    json!({ "type": "schedule", "room": room, "schedule": id, "at": at, "state": state })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_devices_hear_what_becomes_of_it_and_everybody_gets_the_message() -> Result<()> {
    let system = crate::two_edges().await;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let (here, there) = (system.edges()[0], system.edges()[1]);
    let mut phone = Session::open(here, &alice, None).await?;
    let tablet_login = system.device(&alice.user, "tablet").await?;
    let mut tablet = Session::open(there, &tablet_login, None).await?;
    let mut bobs = Session::open(there, &bob, None).await?;
    let (room, group) = (direct(&alice, &bob), unique("group"));
    let create = json!({ "kind": "create", "title": "T", "members": [alice.user] });
    bobs.acked(&group, create).await?;

    let (soon, later) = (now_ms() + 8_000, now_ms() + 3_600_000);
    let sent = schedule(&mut phone, &room, "happy birthday", soon).await?;
    let refused = schedule(&mut phone, &group, "not any more", soon).await?;
    let waits = schedule(&mut phone, &room, "see you", later).await?;
    for session in [&mut phone, &mut tablet] {
        assert_eq!(session.told("schedule", &room).await?, told(&room, &sent, soon, "waiting"));
        assert_eq!(
            session.told("schedule", &group).await?,
            told(&group, &refused, soon, "waiting")
        );
        assert_eq!(session.told("schedule", &room).await?, told(&room, &waits, later, "waiting"));
    }
    let listed = all(&mut tablet).await?;
    assert_eq!(listed.len(), 3, "{listed:?}");
    let mut item = told(&room, &waits, later, "waiting");
    item["message"] = json!({ "kind": "message", "text": "see you" });
    assert!(listed.contains(&item), "{listed:?}");
    let page = alice.call(there, "GET", "/v1/scheduled", &Value::Null).await?;
    assert_eq!((page.status, &page.body["scheduled"]), (200, &json!(listed)));
    // One is taken back on another device, one can't be sent when its time has come.
    let back = json!({ "kind": "unschedule", "schedule": waits });
    assert_eq!(tablet.entry(&room, back.clone()).await?["type"], "done");
    bobs.acked(&group, json!({ "kind": "remove", "user": alice.user })).await?;
    assert_eq!(phone.told("schedule", &room).await?, told(&room, &waits, later, "cancelled"));
    let entry = bobs.expect(&room, 1).await?;
    assert_eq!((&entry["from"], &entry["text"]), (&json!(alice.user), &json!("happy birthday")));
    ensure!(entry["time"].as_u64() >= Some(soon), "{entry} before {soon}");
    for session in [&mut phone, &mut tablet] {
        session.expect(&room, 1).await?;
        let mut is_sent = told(&room, &sent, soon, "sent");
        is_sent["seq"] = 1.into();
        while session.told("schedule", &room).await? != is_sent {}
        let mut failed = told(&group, &refused, soon, "failed");
        failed["code"] = "not_member".into();
        assert_eq!(session.told("schedule", &group).await?, failed);
    }
    let left = all(&mut phone).await?;
    assert_eq!((left.len(), &left[0]["state"]), (1, &json!("failed")), "{left:?}");
    assert_eq!(left[0]["message"]["text"], "not any more");
    let seen = json!({ "kind": "unschedule", "schedule": refused });
    assert_eq!(phone.entry(&group, seen).await?["type"], "done");
    assert_eq!(all(&mut phone).await?, [Value::Null; 0]);
    assert!(bobs.told_so_far("schedule", &room).await?.is_empty(), "it is nobody else's");
    for fields in [
        json!({ "kind": "schedule", "at": 1, "text": "x" }),
        json!({ "kind": "schedule", "text": "x" }),
        json!({ "kind": "schedule", "at": later, "text": "" }),
        json!({ "kind": "due", "schedule": waits, "at": later }),
    ] {
        assert_eq!(phone.refused(&room, fields.clone()).await?, "bad_request", "{fields}");
    }
    assert_eq!(
        phone.refused(&room, json!({ "kind": "unschedule", "schedule": sent })).await?,
        "not_found"
    );
    Ok(())
}

/// Core is killed again and again while many messages are due, and a device was away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_is_sent_once_whatever_is_killed_when_its_time_comes() -> Result<()> {
    const MESSAGES: usize = 60;
    let system = System::split(Options { edges: 1, ..Options::default() }).await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let room = direct(&alice, &bob);
    let mut session = system.session(&alice).await?;
    let cursor = session.newest_cursor();
    let first = now_ms() + 5_000;
    let mut ids = Vec::new();
    for number in 0..MESSAGES {
        // In all moments of some seconds.
        let at = first + 100 * number as u64;
        ids.push(schedule(&mut session, &room, &format!("{number}"), at).await?);
    }
    drop(session);
    let core = system.process("core");
    let mut bobs = system.session(&bob).await?;
    for sent in [3, 20, 35, 50] {
        bobs.expect(&room, sent).await?;
        core.signal(Signal::KILL)?;
        core.ended(Duration::from_secs(20)).await;
        core.restart()?;
    }
    system.ready().await;
    let mut session = Session::open(system.edge(), &alice, Some(&cursor)).await?;
    until("all are sent", SENT_LIMIT, async || {
        all(&mut session).await.ok().filter(Vec::is_empty).map(drop)
    })
    .await;
    let path = format!("/v1/rooms/{room}/entries?after=0&limit=200");
    let page = bob.call(system.edge(), "GET", &path, &Value::Null).await?.body;
    let entries = page["entries"].as_array().context("entries")?;
    let mut texts: Vec<usize> =
        entries.iter().filter_map(|entry| entry["text"].as_str()?.parse().ok()).collect();
    texts.sort_unstable();
    assert_eq!(texts, (0..MESSAGES).collect::<Vec<_>>());
    // A device that was away hears of each.
    let mut session = Session::open(system.edge(), &alice, Some(&cursor)).await?;
    let told = session.told_so_far("schedule", &room).await?;
    let sent: Vec<_> = told.iter().filter(|told| told["state"] == "sent").collect();
    assert_eq!(sent.len(), MESSAGES, "{told:?}");
    for id in ids {
        assert!(sent.iter().any(|told| told["schedule"] == id), "{id}");
    }
    Ok(())
}
