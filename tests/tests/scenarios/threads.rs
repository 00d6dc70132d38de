//! Threads: replies that are entries of the room, and are counted beside the message with which they begin.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use weft_harness::account::{Login, crowd};
use weft_harness::proxy::{Fault, Towards};
use weft_harness::session::Session;
use weft_harness::system::{Options, System, direct, unique};
use weft_harness::wait::{until, within};

use crate::two_edges;

/// Within this time after it was lost, a mark is on the socket: edges look every 15 s.
const HEAL_LIMIT: Duration = Duration::from_secs(20);

/// Alice at one edge, Bob at the other.
async fn two() -> Result<(&'static System, (Login, Session), (Login, Session))> {
    let system = two_edges().await;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let alices = Session::open(system.edges()[0], &alice, None).await?;
    let bobs = Session::open(system.edges()[1], &bob, None).await?;
    Ok((system, (alice, alices), (bob, bobs)))
}

fn reply(root: u64, text: &str) -> Value {
    json!({ "text": text, "thread": root })
}

fn seqs(page: &Value) -> Vec<u64> {
    let entries = page["entries"].as_array().unwrap_or_else(|| panic!("{page}"));
    entries.iter().filter_map(|entry| entry["seq"].as_u64()).collect()
}

/// A page of a room or of a thread.
async fn history(session: &mut Session, room: &str, more: Value) -> Result<Value> {
    let mut request = json!({ "type": "history", "room": room });
    let fields = more.as_object().context("an object")?.clone();
    request.as_object_mut().context("an object")?.extend(fields);
    session.request(request).await
}

/// What a message says of its thread.
async fn replies(session: &mut Session, room: &str, root: u64) -> Result<Value> {
    let page = history(session, room, json!({ "around": root, "limit": 1 })).await?;
    Ok(page["entries"][0]["replies"].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thread_is_read_and_counted_and_its_replies_reach_everybody() -> Result<()> {
    let (system, (alice, mut alices), (bob, mut bobs)) = two().await?;
    let room = direct(&alice, &bob);
    alices.acked(&room, json!({ "text": "root" })).await?;
    for (seq, text) in [(2, "one"), (3, "two")] {
        let answer = bobs.entry(&room, reply(1, text)).await?;
        assert_eq!((&answer["seq"], &answer["ordinal"]), (&json!(seq), &json!(1)), "{answer}");
        for session in [&mut alices, &mut bobs] {
            let entry = session.expect(&room, seq).await?;
            assert_eq!((&entry["thread"], &entry["ordinal"]), (&json!(1), &json!(1)));
        }
    }
    assert_eq!(alices.entry(&room, json!({ "text": "main" })).await?["ordinal"], 2);
    for (root, code) in [(2, "bad_request"), (99, "not_found")] {
        assert_eq!(bobs.refused(&room, reply(root, "x")).await?, code);
    }
    alices.acked(&room, reply(1, "three")).await?;
    assert_eq!(replies(&mut bobs, &room, 1).await?, json!({ "count": 3, "last": 5 }));
    let page = history(&mut bobs, &room, json!({ "thread": 1, "limit": 2 })).await?;
    assert_eq!(
        (&page["thread"], seqs(&page), &page["more"]),
        (&json!(1), vec![3, 5], &json!(true))
    );
    let page = history(&mut bobs, &room, json!({ "thread": 1, "before": 3 })).await?;
    assert_eq!((seqs(&page), &page["more"]), (vec![2], &json!(false)));
    // The room's own history has them as entries among the others.
    assert_eq!(seqs(&history(&mut bobs, &room, json!({})).await?), [1, 2, 3, 4, 5]);
    // What is edited shows its newest text, what is deleted is counted no more, wherever it is asked.
    bobs.acked(&room, json!({ "kind": "edit", "target": 2, "text": "one again" })).await?;
    bobs.acked(&room, json!({ "kind": "delete", "target": 3 })).await?;
    assert_eq!(replies(&mut alices, &room, 1).await?, json!({ "count": 2, "last": 5 }));
    let path = format!("/v1/rooms/{room}/entries?thread=1&after=0");
    let page = alice.call(system.edge(), "GET", &path, &Value::Null).await?;
    assert_eq!((page.status, seqs(&page.body)), (200, vec![2, 3, 5]));
    let entries = &page.body["entries"];
    assert_eq!(entries[0]["text"], "one again");
    let left = (&entries[1]["kind"], &entries[1]["thread"]);
    assert_eq!(left, (&json!("deleted"), &json!(1)));
    // The thread of a deleted message stays, and nobody goes on with it.
    alices.acked(&room, json!({ "kind": "delete", "target": 1 })).await?;
    assert_eq!(replies(&mut bobs, &room, 1).await?, json!({ "count": 2, "last": 5 }));
    assert_eq!(bobs.refused(&room, reply(1, "x")).await?, "deleted");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_group_has_threads() -> Result<()> {
    let (system, (_, mut alices), (bob, mut bobs)) = two().await?;
    let group = unique("group");
    let mut members = crowd(system.edge(), 98).await?;
    members.push(bob.user.clone());
    let create = json!({ "kind": "create", "title": "everybody", "members": members });
    alices.acked(&group, create).await?;
    let last = crowd(system.edge(), 1).await?;
    alices.acked(&group, json!({ "kind": "add", "user": last[0] })).await?;
    let room = alices.request(json!({ "type": "room", "room": group })).await?;
    assert_eq!((&room["large"], &room["member_count"]), (&json!(true), &json!(101)));
    let root = alices.acked(&group, json!({ "text": "root" })).await?;
    let first = bobs.acked(&group, reply(root, "one")).await?;
    assert_eq!(alices.expect(&group, first).await?["thread"], root);
    let second = alices.acked(&group, reply(root, "two")).await?;
    bobs.expect(&group, second).await?;
    let thread = json!({ "count": 2, "last": second });
    assert_eq!(replies(&mut bobs, &group, root).await?, thread);
    let page = history(&mut bobs, &group, json!({ "thread": root })).await?;
    assert_eq!(seqs(&page), [first, second]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thread_without_a_reply_that_is_left_is_told_alike_by_history_and_by_threads()
-> Result<()> {
    let (_, (alice, mut alices), (bob, mut bobs)) = two().await?;
    let room = direct(&alice, &bob);
    bobs.acked(&room, json!({ "text": "root" })).await?;
    alices.acked(&room, reply(1, "one")).await?;
    alices.acked(&room, json!({ "kind": "delete", "target": 2 })).await?;
    let none_left = json!({ "count": 0, "last": 2 });
    let answer = bobs.request(json!({ "type": "threads", "room": room })).await?;
    assert_eq!(answer["threads"][0]["replies"], none_left, "{answer}");
    assert_eq!(replies(&mut bobs, &room, 1).await?, none_left);
    Ok(())
}

/// The followed threads of a room: root, and how many replies are unread.
async fn unread(session: &mut Session, room: &str) -> Result<Vec<(u64, u64)>> {
    let answer = session.request(json!({ "type": "threads", "room": room })).await?;
    let threads = answer["threads"].as_array().with_context(|| answer.to_string())?;
    let number = |thread: &Value, field: &str| thread[field].as_u64().context("a number");
    let told = threads.iter().map(|it| Ok((number(it, "thread")?, number(it, "unread")?)));
    let told = told.collect::<Result<Vec<_>>>()?;
    // The lists of rooms say in how many.
    let room = session.request(json!({ "type": "room", "room": room })).await?;
    let of_list = (&room["unread_threads"], &room["unread_threads_exact"]);
    let count = told.iter().filter(|(_, unread)| *unread > 0).count();
    assert_eq!(of_list, (&json!(count), &Value::Null), "{told:?}");
    Ok(told)
}

async fn done(session: &mut Session, room: &str, fields: Value) -> Result<()> {
    let mut request = json!({ "type": "mark", "room": room });
    let fields = fields.as_object().context("an object")?.clone();
    request.as_object_mut().context("an object")?.extend(fields);
    let answer = session.request(request).await?;
    assert_eq!(answer["type"], "done", "{answer}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_follows_a_thread_is_told_what_is_unread_in_it_on_every_device() -> Result<()> {
    let (system, (_, mut alices), (bob, mut bobs)) = two().await?;
    let tablet = system.device(&bob.user, "tablet").await?;
    let mut tablet = Session::open(system.edges()[0], &tablet, None).await?;
    let (group, carol) = (unique("group"), system.user("carol").await?);
    let mut carols = system.session(&carol).await?;
    let members = json!([bob.user, carol.user]);
    alices.acked(&group, json!({ "kind": "create", "title": "T", "members": members })).await?;
    bobs.acked(&group, json!({ "text": "root" })).await?;
    for text in ["one", "two", "three"] {
        alices.acked(&group, reply(2, text)).await?;
    }
    // Bob began it, Alice writes there, Carol has nothing to do with it.
    for session in [&mut bobs, &mut tablet] {
        assert_eq!(unread(session, &group).await?, [(2, 3)]);
    }
    assert_eq!(unread(&mut alices, &group).await?, [(2, 0)]);
    assert_eq!(unread(&mut carols, &group).await?, []);
    done(&mut carols, &group, json!({ "thread": 2, "follow": true })).await?;
    done(&mut bobs, &group, json!({ "thread": 2, "read": 4 })).await?;
    assert_eq!(unread(&mut tablet, &group).await?, [(2, 1)]);
    alices.acked(&group, json!({ "kind": "delete", "target": 5 })).await?;
    assert_eq!(unread(&mut tablet, &group).await?, [(2, 0)]);
    let last = alices.acked(&group, reply(2, "four")).await?;
    assert_eq!(unread(&mut bobs, &group).await?, [(2, 1)]);
    assert_eq!(unread(&mut carols, &group).await?, [(2, 1)]);
    // Who has read the room has read its threads; who writes there has read it; who does not want it has none.
    done(&mut bobs, &group, json!({ "read": last })).await?;
    assert_eq!(unread(&mut tablet, &group).await?, [(2, 0)]);
    carols.acked(&group, reply(2, "five")).await?;
    assert_eq!(unread(&mut carols, &group).await?, [(2, 0)]);
    done(&mut carols, &group, json!({ "thread": 2, "follow": false })).await?;
    assert_eq!(unread(&mut carols, &group).await?, []);
    let path = format!("/v1/rooms/{group}/threads?limit=1");
    let page = bob.call(system.edge(), "GET", &path, &Value::Null).await?;
    let thread = &page.body["threads"][0];
    assert_eq!(
        (page.status, &thread["unread"], &thread["replies"]["count"]),
        (200, &json!(1), &json!(4))
    );
    let path = format!("/v1/rooms/{group}/mark");
    let fields = json!({ "thread": 2, "read": last + 1 });
    assert_eq!(bob.call(system.edge(), "POST", &path, &fields).await?.status, 204);
    assert_eq!(unread(&mut tablet, &group).await?, [(2, 0)]);
    Ok(())
}

/// What the next push says of a thread: how it begins, up to where it is read, and whether it is followed.
async fn of_thread(session: &mut Session, room: &str) -> Result<(u64, u64, bool)> {
    loop {
        let push = session.told("mark", room).await?;
        if push.get("thread").is_some() {
            return said(&push);
        }
    }
}

fn said(push: &Value) -> Result<(u64, u64, bool)> {
    let fields = (push["thread"].as_u64(), push["read"].as_u64(), push["following"].as_bool());
    let (Some(thread), Some(read), Some(following)) = fields else { bail!("{push}") };
    Ok((thread, read, following))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thread_is_read_and_followed_on_all_devices_whatever_the_wire_loses() -> Result<()> {
    let system = System::split(Options { proxied: true, ..Options::default() }).await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let tablet_login = system.device(&alice.user, "tablet").await?;
    let (here, there) = (system.edges()[0], system.edges()[1]);
    let mut phone = Session::open(here, &alice, None).await?;
    let mut tablet = Session::open(there, &tablet_login, None).await?;
    let mut bobs = Session::open(there, &bob, None).await?;
    let room = direct(&alice, &bob);
    phone.acked(&room, json!({ "text": "root" })).await?;
    for text in ["one", "two", "three"] {
        bobs.acked(&room, reply(1, text)).await?;
    }
    for session in [&mut phone, &mut tablet, &mut bobs] {
        assert_eq!(of_thread(session, &room).await?, (1, 1, true));
    }
    done(&mut phone, &room, json!({ "thread": 1, "read": 2 })).await?;
    for session in [&mut phone, &mut tablet] {
        assert_eq!(of_thread(session, &room).await?, (1, 2, true));
    }
    let proxy = system.proxy("edge-1");
    let lose = async |phone: &mut Session, fields: Value| -> Result<()> {
        let before = proxy.counts().to_client.swallowed;
        let subject_prefix = format!("weft.u.{}", alice.user);
        proxy.set_towards(Towards::Client, Fault::SwallowOne { subject_prefix });
        done(phone, &room, fields).await?;
        let is_lost = async || (proxy.counts().to_client.swallowed > before).then_some(());
        until("the message is lost", HEAL_LIMIT, is_lost).await;
        Ok(())
    };
    lose(&mut phone, json!({ "thread": 1, "read": 3 })).await?;
    let found = within("the mark", HEAL_LIMIT, of_thread(&mut tablet, &room)).await?;
    assert_eq!(found, (1, 3, true));
    let cursor = within("a cursor", HEAL_LIMIT, tablet.next_cursor()).await?;
    lose(&mut phone, json!({ "thread": 1, "follow": false })).await?;
    drop(tablet);
    let mut tablet = Session::open(there, &tablet_login, Some(&cursor)).await?;
    assert_eq!(tablet.synced["recovered"], true, "{}", tablet.synced);
    let told = tablet.told_so_far("mark", &room).await?;
    let told = told.iter().filter(|push| push.get("thread").is_some()).map(said);
    assert_eq!(told.collect::<Result<Vec<_>>>()?.last(), Some(&(1, 3, false)));
    // It is nobody else's.
    assert_eq!(bobs.told_so_far("mark", &room).await?, Vec::<Value>::new());
    Ok(())
}
