//! Up to where somebody has read: on all of their devices, for those who may know it, and kept.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use weft_harness::account::Login;
use weft_harness::metrics::Metrics;
use weft_harness::proxy::{Fault, Towards};
use weft_harness::session::{Session, code};
use weft_harness::system::{Options, System, direct, unique};
use weft_harness::wait::{until, within};

use crate::two_edges;

/// Within this time after it was lost, a mark is on the socket: edges look every 15 s.
const HEAL_LIMIT: Duration = Duration::from_secs(20);

/// Alice's phone at one edge, her tablet and Bob's phone at the other.
struct Three {
    system: &'static System,
    alice: Login,
    bob: Login,
    phone: Session,
    tablet: Session,
    bobs: Session,
}

impl Three {
    async fn new() -> Result<Self> {
        let system = two_edges().await;
        let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
        let edges = system.edges();
        let phone = Session::open(edges[0], &alice, None).await?;
        let tablet = system.device(&alice.user, "tablet").await?;
        let tablet = Session::open(edges[1], &tablet, None).await?;
        let bobs = Session::open(edges[1], &bob, None).await?;
        Ok(Self { system, alice, bob, phone, tablet, bobs })
    }
}

fn request(room: &str, mut fields: Value) -> Value {
    fields["type"] = "mark".into();
    fields["room"] = room.into();
    fields
}

async fn mark(session: &mut Session, room: &str, fields: Value) -> Result<()> {
    let answer = session.request(request(room, fields.clone())).await?;
    ensure!(answer["type"] == "done", "{fields} in {room}: {answer}");
    Ok(())
}

async fn refused(session: &mut Session, room: &str, fields: Value) -> Result<String> {
    code(&session.request(request(room, fields)).await?)
}

/// The first push that says that the user has read up to here.
async fn read_by(session: &mut Session, room: &str, user: &str, seq: u64) -> Result<Value> {
    loop {
        let push = session.told("mark", room).await?;
        if push["user"] == user && push["read"].as_u64() == Some(seq) {
            return Ok(push);
        }
    }
}

/// Who has read up to where, as a request tells.
async fn receipts(session: &mut Session, room: &str) -> Result<Vec<(String, u64)>> {
    let answer = session.request(json!({ "type": "receipts", "room": room })).await?;
    read_receipts(&answer)
}

fn read_receipts(answer: &Value) -> Result<Vec<(String, u64)>> {
    let receipts = answer["receipts"].as_array().with_context(|| answer.to_string())?;
    let one = |it: &Value| Some((it["user"].as_str()?.to_owned(), it["read"].as_u64()?));
    receipts.iter().map(one).collect::<Option<_>>().with_context(|| answer.to_string())
}

/// Says texts in a room, until it has so many entries.
async fn say_until(session: &mut Session, room: &str, seq: u64) -> Result<()> {
    while session.acked(room, json!({ "text": "hello" })).await? < seq {}
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_sent_then_delivered_then_read() -> Result<()> {
    let Three { alice, bob, mut phone, mut tablet, mut bobs, .. } = Three::new().await?;
    let room = direct(&alice, &bob);
    say_until(&mut phone, &room, 3).await?;
    bobs.expect(&room, 3).await?;
    mark(&mut bobs, &room, json!({ "delivered": 3 })).await?;
    for session in [&mut phone, &mut tablet] {
        let push = session.told("mark", &room).await?;
        assert_eq!((&push["user"], &push["delivered"]), (&json!(bob.user), &json!(3)), "{push}");
        assert_eq!(push["read"].as_u64().unwrap_or(0), 0, "{push}");
    }
    mark(&mut bobs, &room, json!({ "read": 2 })).await?;
    for session in [&mut phone, &mut tablet] {
        let push = read_by(session, &room, &bob.user, 2).await?;
        assert_eq!(push["delivered"], 3, "{push}");
        // What others see is no count, and says nothing of what is unread again.
        let own = ["read_ordinal", "unread_from"].map(|field| push.get(field));
        assert_eq!(own, [None, None], "{push}");
    }
    // Bob's own devices count by it.
    let push = read_by(&mut bobs, &room, &bob.user, 2).await?;
    assert_eq!((&push["read_ordinal"], &push["delivered"]), (&json!(2), &json!(3)), "{push}");
    let told = receipts(&mut phone, &room).await?;
    assert_eq!(told, [(alice.user.clone(), 3), (bob.user.clone(), 2)]);
    // Who is no member is told nothing, and marks nothing.
    let system = two_edges().await;
    let mut carol = system.session(&system.user("carol").await?).await?;
    assert_eq!(refused(&mut carol, &room, json!({ "read": 1 })).await?, "not_member");
    let asked = carol.request(json!({ "type": "receipts", "room": room })).await?;
    assert_eq!(code(&asked)?, "not_member");
    for (fields, code) in [
        (json!({ "read": 4 }), "not_found"),
        (json!({ "delivered": 4 }), "not_found"),
        (json!({ "unread_from": 4 }), "not_found"),
        (json!({ "read": 0 }), "bad_request"),
        (json!({ "read": 1, "unread_from": 1 }), "bad_request"),
        (json!({}), "bad_request"),
    ] {
        assert_eq!(refused(&mut bobs, &room, fields).await?, code);
    }
    assert_eq!(receipts(&mut phone, &room).await?, told);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn marks_out_of_order_and_from_two_devices_only_grow() -> Result<()> {
    let Three { system, alice, bob, mut phone, mut tablet, mut bobs } = Three::new().await?;
    let room = direct(&alice, &bob);
    say_until(&mut bobs, &room, 20).await?;
    let mut underway = Vec::new();
    for seq in [7, 3, 12, 5] {
        underway.push((true, phone.begin(request(&room, json!({ "read": seq }))).await?));
        underway.push((false, tablet.begin(request(&room, json!({ "read": 15 - seq }))).await?));
    }
    for (is_phone, id) in underway {
        let session = if is_phone { &mut phone } else { &mut tablet };
        assert_eq!(session.answer(id).await?["type"], "done");
    }
    for session in [&mut phone, &mut tablet, &mut bobs] {
        let mut last = 0;
        while last < 12 {
            let push = session.told("mark", &room).await?;
            if push["user"] == alice.user {
                let read = push["read"].as_u64().context("read")?;
                assert!(read > last, "{read} after {last}");
                last = read;
            }
        }
        assert_eq!(last, 12);
        assert_eq!(receipts(session, &room).await?[0], (alice.user.clone(), 12));
    }
    // A mark that is not greater says nothing to anybody.
    mark(&mut tablet, &room, json!({ "read": 1 })).await?;
    let by_http = json!({ "read": 13, "room": room });
    let path = format!("/v1/rooms/{room}/mark");
    let answer = alice.call(system.edges()[0], "POST", &path, &by_http).await?;
    assert_eq!(answer.status, 204, "{answer:?}");
    for session in [&mut phone, &mut tablet, &mut bobs] {
        assert_eq!(session.told("mark", &room).await?["read"], 13);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn marks_that_come_together_are_one_command() -> Result<()> {
    let Three { system, alice, bob, mut phone, mut bobs, .. } = Three::new().await?;
    let room = direct(&alice, &bob);
    say_until(&mut bobs, &room, 100).await?;
    let commands = async || {
        let metrics = Metrics::of(system.admin("edge-0")).await?;
        anyhow::Ok(metrics.get("weft_edge_mark_commands_total"))
    };
    let before = commands().await?;
    let mut underway = Vec::new();
    for seq in 1..=100 {
        underway.push(phone.begin(request(&room, json!({ "read": seq }))).await?);
    }
    for id in underway {
        assert_eq!(phone.answer(id).await?["type"], "done");
    }
    // Other tests mark at this edge, too.
    let sent = commands().await? - before;
    assert!((2.0..50.0).contains(&sent), "{sent} commands for 100 marks");
    read_by(&mut bobs, &room, &alice.user, 100).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_from_here_is_for_the_own_devices_until_the_next_read() -> Result<()> {
    let Three { system, alice, bob, mut phone, mut tablet, mut bobs } = Three::new().await?;
    let room = direct(&alice, &bob);
    say_until(&mut bobs, &room, 5).await?;
    mark(&mut phone, &room, json!({ "read": 5 })).await?;
    for session in [&mut phone, &mut tablet, &mut bobs] {
        read_by(session, &room, &alice.user, 5).await?;
    }
    // A cursor of Bob's that covers the receipt.
    let cursor = Session::open(system.edges()[0], &bob, Some(&bobs.cursor())).await?.cursor();
    mark(&mut phone, &room, json!({ "unread_from": 3 })).await?;
    for session in [&mut phone, &mut tablet] {
        let push = session.told("mark", &room).await?;
        let told = (&push["read"], &push["unread_from"], &push["read_ordinal"]);
        assert_eq!(told, (&json!(5), &json!(3), &json!(2)), "{push}");
    }
    // The receipt stays, and so it is for who asks.
    assert_eq!(receipts(&mut bobs, &room).await?[0], (alice.user.clone(), 5));
    mark(&mut tablet, &room, json!({ "read": 5 })).await?;
    for session in [&mut phone, &mut tablet] {
        let push = session.told("mark", &room).await?;
        let told = (&push["read"], push.get("unread_from"), &push["read_ordinal"]);
        assert_eq!(told, (&json!(5), None, &json!(5)), "{push}");
    }
    // Bob is told nothing of all that, not even that there was something: live, and by a sync.
    mark(&mut phone, &room, json!({ "unread_from": 2 })).await?;
    say_until(&mut phone, &room, 6).await?;
    bobs.expect(&room, 6).await?;
    assert_eq!(bobs.told_so_far("mark", &room).await?, Vec::<Value>::new());
    let mut again = Session::open(system.edges()[0], &bob, Some(&cursor)).await?;
    assert_eq!(again.synced["recovered"], true, "{}", again.synced);
    assert_eq!(again.told_so_far("mark", &room).await?, Vec::<Value>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_hears_of_marks_and_tells_who_has_read_an_entry() -> Result<()> {
    let Three { system, alice, bob, mut phone, mut tablet, mut bobs } = Three::new().await?;
    let carol = system.user("carol").await?;
    let mut carols = Session::open(system.edges()[0], &carol, None).await?;
    let group = unique("group");
    let create = json!({ "kind": "create", "title": "T", "members": [bob.user, carol.user] });
    phone.acked(&group, create).await?;
    say_until(&mut phone, &group, 5).await?;
    for session in [&mut phone, &mut tablet, &mut bobs, &mut carols] {
        session.expect(&group, 5).await?;
    }
    assert_eq!(refused(&mut bobs, &group, json!({ "delivered": 5 })).await?, "bad_request");
    mark(&mut bobs, &group, json!({ "read": 4 })).await?;
    let own = read_by(&mut bobs, &group, &bob.user, 4).await?;
    // The creating entry does not count as unread.
    assert_eq!(own["read_ordinal"], 3, "{own}");
    for session in [&mut phone, &mut tablet, &mut carols] {
        until("the group is told", HEAL_LIMIT, async || {
            let push = session.told("marks", &group).await.ok()?;
            let marks = push["marks"].as_array()?;
            marks.contains(&json!({ "user": bob.user, "read": 4 })).then_some(())
        })
        .await;
    }
    let ask = |fields: Value| {
        let mut request = json!({ "type": "receipts", "room": group });
        for (name, value) in fields.as_object().into_iter().flatten() {
            request[name] = value.clone();
        }
        request
    };
    // Carol joined at the first entry, and has read nothing since.
    let all = receipts(&mut carols, &group).await?;
    let joined = |login: &Login, read: u64| (login.user.clone(), read);
    assert_eq!(all, [joined(&alice, 5), joined(&bob, 4), joined(&carol, 1)]);
    let seen = carols.request(ask(json!({ "seq": 4 }))).await?;
    assert_eq!(read_receipts(&seen)?, [joined(&alice, 5), joined(&bob, 4)]);
    assert_eq!((&seen["read_count"], &seen["more"]), (&json!(2), &json!(false)), "{seen}");
    let page = carols.request(ask(json!({ "limit": 1, "after": alice.user }))).await?;
    assert_eq!(read_receipts(&page)?, [joined(&bob, 4)]);
    assert_eq!(page["more"], true, "{page}");
    let path = format!("/v1/rooms/{group}/receipts?seq=4");
    let answer = carol.call(system.edges()[1], "GET", &path, &Value::Null).await?;
    assert_eq!((answer.status, read_receipts(&answer.body)?.len()), (200, 2), "{answer:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_away_gets_the_newest_mark_with_the_sync() -> Result<()> {
    let Three { system, alice, bob, mut phone, tablet, mut bobs } = Three::new().await?;
    let room = direct(&alice, &bob);
    say_until(&mut phone, &room, 8).await?;
    bobs.expect(&room, 8).await?;
    let cursor = tablet.cursor();
    drop(tablet);
    for seq in [2, 5, 6] {
        mark(&mut bobs, &room, json!({ "read": seq })).await?;
    }
    let tablet = system.device(&alice.user, "tablet").await?;
    let mut tablet = Session::open(system.edges()[0], &tablet, Some(&cursor)).await?;
    assert_eq!(tablet.synced["recovered"], true, "{}", tablet.synced);
    // Before `synced`, once, and the newest.
    let told = tablet.told_so_far("mark", &room).await?;
    let of_bob: Vec<_> = told.iter().filter(|push| push["user"] == bob.user).collect();
    assert_eq!(of_bob.iter().map(|push| &push["read"]).collect::<Vec<_>>(), [6], "{told:?}");
    let watch = system.device(&alice.user, "watch").await?;
    let mut again = Session::open(system.edges()[1], &watch, Some(&tablet.cursor())).await?;
    assert_eq!(again.told_so_far("mark", &room).await?, Vec::<Value>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mark_that_the_wire_loses_is_found() -> Result<()> {
    let system = System::split(Options { proxied: true, ..Options::default() }).await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let room = direct(&alice, &bob);
    let mut at_0 = Session::open(system.edges()[0], &alice, None).await?;
    let mut at_1 = Session::open(system.edges()[1], &bob, None).await?;
    say_until(&mut at_1, &room, 5).await?;
    mark(&mut at_0, &room, json!({ "read": 2 })).await?;
    read_by(&mut at_1, &room, &alice.user, 2).await?;
    let proxy = system.proxy("edge-1");
    let subject_prefix = format!("weft.u.{}", bob.user);
    proxy.set_towards(Towards::Client, Fault::SwallowOne { subject_prefix });
    mark(&mut at_0, &room, json!({ "read": 5 })).await?;
    until("it is lost", HEAL_LIMIT, async || {
        (proxy.counts().to_client.swallowed > 0).then_some(())
    })
    .await;
    let found = read_by(&mut at_1, &room, &alice.user, 5);
    within("the lost mark", HEAL_LIMIT, found).await?;
    let by_audit = Metrics::of(system.admin("edge-1")).await?;
    assert!(by_audit.get("weft_edge_changes_total{from=\"audit\"}") >= 1.0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answered_mark_is_kept_when_core_and_edge_are_killed() -> Result<()> {
    let system = System::split(Options::default()).await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let room = direct(&alice, &bob);
    let mut bobs = Session::open(system.edges()[1], &bob, None).await?;
    say_until(&mut bobs, &room, 60).await?;
    let mut phone = Session::open(system.edges()[0], &alice, None).await?;
    let (mut seq, mut answered) = (0, 0);
    for part in ["core", "edge-0", "core"] {
        // Some are answered, and the last ones are underway when it dies.
        for _ in 0..5 {
            seq += 1;
            mark(&mut phone, &room, json!({ "read": seq })).await?;
            answered = seq;
        }
        for _ in 0..5 {
            seq += 1;
            phone.begin(request(&room, json!({ "read": seq }))).await?;
        }
        system.process(part).kill()?;
        system.process(part).restart()?;
        system.ready().await;
        if part == "edge-0" {
            phone = Session::open(system.edges()[0], &alice, None).await?;
        }
        let kept =
            until("receipts are told", HEAL_LIMIT, async || receipts(&mut bobs, &room).await.ok())
                .await;
        assert_eq!(kept[0].0, alice.user);
        assert!((answered..=seq).contains(&kept[0].1), "{kept:?}, {answered} was answered");
    }
    mark(&mut phone, &room, json!({ "read": seq })).await?;
    read_by(&mut bobs, &room, &alice.user, seq).await?;
    Ok(())
}
