//! All devices of a user see the same: own sends included, live and after a resume.

use std::collections::VecDeque;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use weft_harness::session::Session;
use weft_harness::system::{Options, System, direct, shared};
use weft_harness::ulid;

#[tokio::test]
async fn own_sends_reach_all_own_devices() -> Result<()> {
    let system = shared().await;
    let (phone, bob) = (system.user("alice").await?, system.user("bob").await?);
    let laptop = system.device(&phone.user, "laptop").await?;
    let room = direct(&phone, &bob);
    let mut p = system.session(&phone).await?;
    let mut l = system.session(&laptop).await?;
    assert_eq!((&p.welcome["user"], &p.welcome["device"]), (&json!(phone.user), &json!("phone")));
    assert_eq!(l.welcome["device"], "laptop");
    let id = ulid::fresh();
    p.acked(&room, json!({ "client_id": id, "text": "from the phone" })).await?;
    l.acked(&room, json!({ "text": "from the laptop" })).await?;
    for session in [&mut p, &mut l] {
        let first = session.expect(&room, 1).await?;
        assert_eq!((&first["client_id"], &first["from"]), (&json!(id), &json!(phone.user)));
        session.expect(&room, 2).await?;
    }
    // HTTP is one more way in.
    let path = format!("/v1/rooms/{room}/entries");
    let ack = phone.call(system.edge(), "POST", &path, &json!({ "text": "by HTTP" })).await?;
    assert_eq!((ack.status, &ack.body["type"], &ack.body["seq"]), (201, &json!("ack"), &json!(3)));
    assert_eq!(ack.body["client_id"].as_str().map(str::len), Some(26), "{ack:?}");
    l.expect(&room, 3).await?;
    Ok(())
}

#[tokio::test]
async fn a_cursor_follows_without_a_sync() -> Result<()> {
    let system = shared().await;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let mut a = system.session(&alice).await?;
    let mut b = system.session(&bob).await?;
    let room = direct(&alice, &bob);
    b.acked(&room, json!({ "text": "1" })).await?;
    a.expect(&room, 1).await?;
    let cursor = a.next_cursor().await?;
    assert!(cursor > a.cursor(), "{cursor} after {}", a.cursor());
    drop(a);
    b.acked(&room, json!({ "text": "2" })).await?;
    let mut a = Session::open(system.edge(), &alice, Some(&cursor)).await?;
    assert_eq!(a.synced["recovered"], true, "{}", a.synced);
    let pushed = a.pushed_after(&room, 0).await?;
    let seqs: Vec<u64> = pushed.iter().filter_map(|entry| entry["seq"].as_u64()).collect();
    assert_eq!(seqs, [2]);
    Ok(())
}

#[tokio::test]
async fn a_device_resumes_where_it_stopped() -> Result<()> {
    let system = shared().await;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let mut b = system.session(&bob).await?;
    let mut a = system.session(&alice).await?;
    let recovered = |session: &Session| session.synced["recovered"].clone();
    assert_eq!((recovered(&a), &a.synced["resync"]), (json!(false), &json!("no_cursor")));
    let (room, notebook) = (direct(&alice, &bob), direct(&alice, &alice));
    b.acked(&room, json!({ "text": "1" })).await?;
    a.expect(&room, 1).await?;
    let before = a.cursor();
    drop(a);
    // More than a page, in two rooms, while it is away; the notebook from another device.
    for seq in 2..=260 {
        b.acked(&room, json!({ "text": format!("{seq}") })).await?;
    }
    let path = format!("/v1/rooms/{notebook}/entries");
    let note = alice.call(system.edge(), "POST", &path, &json!({ "text": "note" })).await?;
    assert_eq!(note.status, 201, "{note:?}");
    let mut a = Session::open(system.edge(), &alice, Some(&before)).await?;
    assert_eq!(recovered(&a), true, "{}", a.synced);
    // All of it before `synced`, and live from there on.
    assert_eq!(a.pushed_after(&notebook, 0).await?.len(), 1);
    let pushed = a.pushed_after(&room, 1).await?;
    let seqs: Vec<u64> = pushed.iter().filter_map(|entry| entry["seq"].as_u64()).collect();
    assert_eq!(seqs, (2..=260).collect::<Vec<_>>());
    b.acked(&room, json!({ "text": "live" })).await?;
    a.expect(&room, 261).await?;
    // The same cursor again gives the same again; the newest one gives nothing old.
    let newest = a.cursor();
    let mut again = Session::open(system.edge(), &alice, Some(&before)).await?;
    again.expect(&room, 2).await?;
    let mut fresh = Session::open(system.edge(), &alice, Some(&newest)).await?;
    assert_eq!(recovered(&fresh), true);
    assert!(fresh.pushed_after(&room, 0).await?.iter().all(|entry| entry["seq"] == 261));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_too_far_behind_is_told() -> Result<()> {
    const ENTRIES: u64 = 10_100;
    let system = System::split(Options { edges: 1, ..Options::default() }).await?;
    let alice = system.user("alice").await?;
    let mut a = system.session(&alice).await?;
    let before = a.cursor();
    let store = before.split_once('.').context("a cursor")?.0;
    // Older than everything, in a store that has dropped nothing yet: good.
    let first = format!("{store}.{:016x}ffff0000", 1);
    let session = Session::open(system.edge(), &alice, Some(&first)).await?;
    assert_eq!(session.synced["recovered"], true, "{}", session.synced);
    drop(session);

    let room = direct(&alice, &alice);
    let mut unanswered = VecDeque::new();
    for number in 1..=ENTRIES {
        let id = ulid::fresh();
        let text = number.to_string();
        let send = json!({ "type": "send", "room": room, "client_id": id, "text": text });
        unanswered.push_back((a.begin(send.clone()).await?, send));
        while unanswered.len() > if number == ENTRIES { 0 } else { 200 } {
            let (request, send) = unanswered.pop_front().context("a request")?;
            let answer = a.answer(request).await?;
            if answer["type"] == "ack" {
                continue;
            }
            assert_eq!(answer["error"]["temporary"], true, "{answer}");
            unanswered.push_back((a.begin(send.clone()).await?, send));
        }
    }
    let late = Session::open(system.edge(), &alice, Some(&before)).await?;
    assert_eq!(late.synced["recovered"], false, "{}", late.synced);
    assert_eq!(late.synced["resync"], "too_far_behind", "{}", late.synced);
    // The cursor that comes with it is good.
    let mut next = Session::open(system.edge(), &alice, Some(&late.cursor())).await?;
    assert_eq!(next.synced["recovered"], true, "{}", next.synced);
    assert_eq!(next.acked(&room, json!({ "text": "x" })).await?, ENTRIES + 1);
    next.expect(&room, ENTRIES + 1).await?;
    Ok(())
}

#[tokio::test]
async fn a_hundred_thousand_korean_characters_go_round() -> Result<()> {
    let system = shared().await;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let room = direct(&alice, &bob);
    let mut a = system.session(&alice).await?;
    let mut b = system.session(&bob).await?;
    // All syllables in turn, so that nothing is saved by repeating one.
    let text: String =
        (0..100_000_u32).filter_map(|n| char::from_u32(0xac00 + n * 7919 % 11_172)).collect();
    assert_eq!((text.chars().count(), text.len()), (100_000, 300_000));
    let cursor = b.cursor();
    assert_eq!(a.acked(&room, json!({ "text": text })).await?, 1);
    assert!(a.expect(&room, 1).await?["text"] == text, "live, to the sender");
    assert!(b.expect(&room, 1).await?["text"] == text, "live");
    let page = b.request(json!({ "type": "history", "room": room })).await?;
    assert!(page["entries"][0]["text"] == text, "history");
    let mut resumed = Session::open(system.edge(), &bob, Some(&cursor)).await?;
    assert!(resumed.expect(&room, 1).await?["text"] == text, "resumed");
    // The same as escapes, two for one character outside of the first plane: 1.2 MB.
    let escapes = "\\ud83d\\ude00".repeat(100_000);
    let id = ulid::fresh();
    let frame = format!(
        r#"{{"id":77,"type":"send","room":"{room}","client_id":"{id}","text":"{escapes}"}}"#
    );
    a.socket().send_text(&frame).await?;
    assert_eq!(a.answer(77).await?["seq"], 2);
    assert!(b.expect(&room, 2).await?["text"] == "😀".repeat(100_000), "escapes");
    // One more is refused.
    let one_more = json!({ "text": format!("{text}가") });
    assert_eq!(a.refused(&room, one_more).await?, "too_long");
    // Pages end early where entries are large, and go on.
    for seq in 3..=5 {
        assert_eq!(a.acked(&room, json!({ "text": text })).await?, seq);
    }
    let (mut after, mut seqs) = (0, Vec::new());
    loop {
        let page = b.request(json!({ "type": "history", "room": room, "after": after })).await?;
        let entries = page["entries"].as_array().context("entries")?;
        seqs.extend(entries.iter().filter_map(|entry| entry["seq"].as_u64()));
        after = page["through"].as_u64().context("through")?;
        if page["more"] != true {
            break;
        }
        assert!(entries.len() < 5, "a page of {} large entries", entries.len());
    }
    assert_eq!(seqs, [1, 2, 3, 4, 5]);
    Ok(())
}

#[tokio::test]
async fn equal_sends_at_once_over_two_devices_stand_once() -> Result<()> {
    let system = shared().await;
    let alice = system.user("alice").await?;
    let laptop = system.device(&alice.user, "laptop").await?;
    let room = direct(&alice, &alice);
    let mut sessions = [system.session(&alice).await?, system.session(&laptop).await?];
    for number in 1..=40 {
        let id = ulid::fresh();
        let send = json!({ "type": "send", "room": room, "client_id": id, "text": "race" });
        let mut requests = Vec::new();
        for (i, session) in sessions.iter_mut().enumerate() {
            for _ in 0..2 {
                requests.push((i, session.begin(send.clone()).await?));
            }
        }
        for (i, request) in requests {
            let answer = sessions[i].answer(request).await?;
            assert_eq!((&answer["type"], &answer["seq"]), (&json!("ack"), &json!(number)));
        }
    }
    Ok(())
}

#[tokio::test]
async fn profiles_and_passwords() -> Result<()> {
    let system = shared().await;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let edge = system.edge();
    let change = json!({ "display_name": "Alice A.", "about": "at sea" });
    let changed = alice.call(edge, "PATCH", "/v1/profile", &change).await?;
    assert_eq!(changed.status, 200, "{changed:?}");
    let path = format!("/v1/users/{}", alice.user);
    let seen = bob.call(edge, "GET", &path, &Value::Null).await?;
    let wanted = json!({
        "user": alice.user, "display_name": "Alice A.", "avatar": "", "is_bot": false, "about": "at sea", "version": 1,
    });
    assert_eq!((seen.status, seen.body), (200, wanted));
    let own = bob.call(edge, "GET", "/v1/profile", &Value::Null).await?;
    assert_eq!(own.body["display_name"], bob.user, "{own:?}");
    Ok(())
}
