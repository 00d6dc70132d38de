//! What a user has typed and not sent: on all of their devices, kept, and nobody else's. What was sent or dismissed
//! does not come back.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use weft_harness::proxy::{Fault, Towards};
use weft_harness::session::{Session, code};
use weft_harness::system::{Options, System, direct, unique};
use weft_harness::wait::{until, within};

/// Within this time after it was lost, a draft is on the socket: edges look every 15 s.
const HEAL_LIMIT: Duration = Duration::from_secs(20);

fn request(room: &str, version: u64, text: &str) -> Value {
    let mut request = json!({ "type": "draft", "room": room, "version": version });
    if !text.is_empty() {
        request["text"] = text.into();
    }
    request
}

/// Types it; nothing: dismisses the draft. The version that it has then.
async fn typed(session: &mut Session, room: &str, version: u64, text: &str) -> Result<u64> {
    let answer = session.request(request(room, version, text)).await?;
    ensure!(answer["type"] == "done", "{text} for {room}: {answer}");
    answer["version"].as_u64().context("a version")
}

/// The draft as it is, where another version was seen.
async fn refused(session: &mut Session, room: &str, version: u64, text: &str) -> Result<Value> {
    let answer = session.request(request(room, version, text)).await?;
    assert_eq!(code(&answer)?, "conflict", "{answer}");
    Ok(answer["error"]["draft"].clone())
}

/// As a device is told.
fn told(room: &str, version: u64, text: &str) -> Value {
    request(room, version, text)
}

/// The user's drafts as a request says.
async fn all(session: &mut Session) -> Result<Vec<Value>> {
    let answer = session.request(json!({ "type": "drafts" })).await?;
    ensure!(answer["type"] == "drafts" && answer["more"] == false, "{answer}");
    Ok(answer["drafts"].as_array().context("a list")?.clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_devices_of_a_user_have_it_and_nobody_else() -> Result<()> {
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
    bobs.acked(&room, json!({ "text": "hello" })).await?;

    let version = typed(&mut phone, &group, 0, "hi al").await?;
    for session in [&mut phone, &mut tablet] {
        assert_eq!(session.told("draft", &group).await?, told(&group, version, "hi al"));
    }
    // The tablet goes on where the phone was, by HTTP.
    let path = format!("/v1/rooms/{group}/draft");
    let ranges = json!([{ "at": 0, "len": 2, "style": "bold" }]);
    let body = json!({ "version": version, "text": "hi all", "ranges": ranges, "reply_to": 1 });
    let answer = alice.call(there, "PUT", &path, &body).await?;
    assert_eq!((answer.status, &answer.body["type"]), (200, &json!("done")));
    let newest = answer.body["version"].as_u64().context("a version")?;
    let mut whole = told(&group, newest, "hi all");
    (whole["ranges"], whole["reply_to"]) = (ranges, 1.into());
    for session in [&mut phone, &mut tablet] {
        assert_eq!(session.told("draft", &group).await?, whole);
        assert_eq!(all(session).await?, [whole.clone()]);
    }
    let listed = alice.call(there, "GET", "/v1/drafts?limit=1", &Value::Null).await?;
    assert_eq!((listed.status, &listed.body["drafts"]), (200, &json!([whole])));

    // Two devices at once: the second one is told what there is, and may choose.
    let mut now = whole.clone();
    now.as_object_mut().context("an object")?.remove("type");
    assert_eq!(refused(&mut phone, &group, version, "hi alice").await?, now);
    let late = json!({ "version": version, "text": "hi alice" });
    let answer = alice.call(here, "PUT", &path, &late).await?;
    assert_eq!((answer.status, &answer.body["error"]["draft"]), (409, &now));
    let (a, b) = tokio::join!(
        phone.request(request(&group, newest, "a")),
        tablet.request(request(&group, newest, "b"))
    );
    let (a, b) = (a?, b?);
    let (won, lost) = if a["type"] == "done" { (a, b) } else { (b, a) };
    assert_eq!(
        (&won["type"], code(&lost)?),
        (&json!("done"), "conflict".to_owned()),
        "{won} {lost}"
    );
    assert_eq!(won["version"], lost["error"]["draft"]["version"]);
    // It is sent, and dismissed with the version that is known; what was underway is too late.
    let version = won["version"].as_u64().context("a version")?;
    phone.acked(&group, json!({ "text": "hi all" })).await?;
    let sent = typed(&mut phone, &group, version, "").await?;
    let nothing = json!({ "room": group, "version": sent });
    assert_eq!(refused(&mut tablet, &group, version, "hi all!").await?, nothing);
    for session in [&mut phone, &mut tablet] {
        while session.told("draft", &group).await? != told(&group, sent, "") {}
        assert_eq!(all(session).await?, Vec::<Value>::new());
    }

    for (of, version, text, refused) in [
        ("nowhere", 0, "x", "no_such_room"),
        ("a.b", 0, "x", "bad_id"),
        (group.as_str(), sent, &"x".repeat(100_001), "too_long"),
    ] {
        assert_eq!(code(&phone.request(request(of, version, text)).await?)?, refused);
    }
    let wrong = json!({ "room": room, "version": 0 });
    assert_eq!(alice.call(here, "PUT", &path, &wrong).await?.status, 400);
    for of in [&room, &group] {
        assert_eq!(bobs.told_so_far("draft", of).await?, Vec::<Value>::new());
    }
    assert_eq!(all(&mut bobs).await?, Vec::<Value>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_wire_loses_is_found_by_an_audit_and_by_a_sync() -> Result<()> {
    let system = System::split(Options { proxied: true, ..Options::default() }).await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let tablet_login = system.device(&alice.user, "tablet").await?;
    let room = direct(&alice, &bob);
    let mut phone = Session::open(system.edges()[0], &alice, None).await?;
    let mut tablet = Session::open(system.edges()[1], &tablet_login, None).await?;
    let lost = async |phone: &mut Session, version: u64, text: &str| -> Result<u64> {
        let proxy = system.proxy("edge-1");
        let before = proxy.counts().to_client.swallowed;
        let subject_prefix = format!("weft.u.{}", alice.user);
        proxy.set_towards(Towards::Client, Fault::SwallowOne { subject_prefix });
        let version = typed(phone, &room, version, text).await?;
        let is_lost = async || (proxy.counts().to_client.swallowed > before).then_some(());
        until("the message is lost", HEAL_LIMIT, is_lost).await;
        Ok(version)
    };
    let version = lost(&mut phone, 0, "hel").await?;
    let found = within("the draft", HEAL_LIMIT, tablet.told("draft", &room)).await?;
    assert_eq!(found, told(&room, version, "hel"));
    let cursor = within("a cursor", HEAL_LIMIT, tablet.next_cursor()).await?;
    let version = lost(&mut phone, version, "hello").await?;
    drop(tablet);
    let mut tablet = Session::open(system.edges()[1], &tablet_login, Some(&cursor)).await?;
    assert_eq!(tablet.synced["recovered"], true, "{}", tablet.synced);
    assert_eq!(tablet.told_so_far("draft", &room).await?, [told(&room, version, "hello")]);
    // That it was dismissed is told as well.
    let cursor = tablet.cursor();
    let version = lost(&mut phone, version, "").await?;
    drop(tablet);
    let mut tablet = Session::open(system.edges()[1], &tablet_login, Some(&cursor)).await?;
    assert_eq!(tablet.told_so_far("draft", &room).await?, [told(&room, version, "")]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_is_kept_when_core_and_an_edge_are_killed() -> Result<()> {
    let system = System::split(Options::default()).await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let room = direct(&alice, &bob);
    let mut phone = Session::open(system.edges()[0], &alice, None).await?;
    let cursor = phone.cursor();
    let first = typed(&mut phone, &room, 0, "hel").await?;
    let underway = phone.begin(request(&room, first, "hello")).await?;
    for part in ["core", "edge-0"] {
        system.process(part).kill()?;
    }
    for part in ["core", "edge-0"] {
        system.process(part).restart()?;
    }
    system.ready().await;
    let is_done = phone.answer(underway).await.is_ok_and(|answer| answer["type"] == "done");
    let mut resumed = Session::open(system.edges()[1], &alice, Some(&cursor)).await?;
    assert_eq!(resumed.synced["recovered"], true, "{}", resumed.synced);
    let now = all(&mut resumed).await?.pop().context("a draft")?;
    let is = (now["text"].as_str().context("a text")?, now["version"].as_u64());
    ensure!(is.0 == "hello" || is == ("hel", Some(first)) && !is_done, "{now}, {is_done}");
    // Said again after no answer came: it is so then, once, whether it was done or not.
    let again = typed(&mut resumed, &room, first, "hello").await?;
    assert!(is.0 != "hello" || is.1 == Some(again), "{now}, {again}");
    let dismissed = typed(&mut resumed, &room, again, "").await?;
    let late = refused(&mut resumed, &room, first, "hello").await?;
    assert_eq!(late, json!({ "room": room, "version": dismissed }));
    while resumed.told("draft", &room).await? != told(&room, dismissed, "") {}
    Ok(())
}
