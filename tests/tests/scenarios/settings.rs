//! How a user wants rooms to be: on all of their devices, kept, and nobody else's.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use weft_harness::proxy::{Fault, Towards};
use weft_harness::session::{Session, code};
use weft_harness::system::{Options, System, direct, unique};
use weft_harness::wait::{until, within};

/// Within this time after it was lost, a setting is on the socket: edges look every 15 s.
const HEAL_LIMIT: Duration = Duration::from_secs(20);
/// For ever.
const FOR_EVER: u64 = (1 << 53) - 1;

fn request(room: &str, mut fields: Value) -> Value {
    fields["type"] = "setting".into();
    fields["room"] = room.into();
    fields
}

async fn set(session: &mut Session, room: &str, fields: Value) -> Result<()> {
    let answer = session.request(request(room, fields.clone())).await?;
    ensure!(answer["type"] == "done", "{fields} of {room}: {answer}");
    Ok(())
}

fn told(room: &str, muted_until: u64, pinned: bool) -> Value {
    json!({ "type": "setting", "room": room, "muted_until": muted_until, "pinned": pinned })
}

/// Until when the room is muted, and whether it is pinned, as a request says.
async fn now(session: &mut Session, room: &str) -> Result<(u64, bool)> {
    let answer = session.request(json!({ "type": "room", "room": room })).await?;
    ensure!(answer["type"] == "room", "{answer}");
    Ok((answer["muted_until"].as_u64().unwrap_or(0), answer["pinned"] == true))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_devices_of_a_user_know_it_and_nobody_else() -> Result<()> {
    let system = System::split(Options::default()).await?;
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

    set(&mut phone, &group, json!({ "muted_until": FOR_EVER })).await?;
    for session in [&mut phone, &mut tablet] {
        assert_eq!(session.told("setting", &group).await?, told(&group, FOR_EVER, false));
    }
    let path = format!("/v1/rooms/{group}/setting");
    assert_eq!(alice.call(there, "PUT", &path, &json!({ "pinned": true })).await?.status, 204);
    for session in [&mut phone, &mut tablet] {
        assert_eq!(session.told("setting", &group).await?, told(&group, FOR_EVER, true));
    }
    // What a session says of a room is done in its order.
    let mut underway = Vec::new();
    for until in [5, 9, 0, 7, 0] {
        underway.push(phone.begin(request(&room, json!({ "muted_until": until }))).await?);
    }
    for id in underway {
        assert_eq!(phone.answer(id).await?["type"], "done");
    }
    set(&mut tablet, &room, json!({ "pinned": true })).await?;
    for session in [&mut phone, &mut tablet] {
        while session.told("setting", &room).await? != told(&room, 0, true) {}
        assert_eq!(now(session, &room).await?, (0, true));
        assert_eq!(now(session, &group).await?, (FOR_EVER, true));
    }
    let listed = phone.request(json!({ "type": "rooms" })).await?;
    let list = listed["rooms"].as_array().map_or(&[][..], Vec::as_slice);
    assert_eq!((list.len(), list.iter().all(|room| room["pinned"] == true)), (2, true), "{listed}");

    for (of, fields, refused) in [
        (group.as_str(), json!({}), "bad_request"),
        (group.as_str(), json!({ "muted_until": FOR_EVER + 1 }), "bad_request"),
        ("nowhere", json!({ "pinned": true }), "no_such_room"),
        ("a.b", json!({ "pinned": true }), "bad_id"),
    ] {
        assert_eq!(code(&phone.request(request(of, fields)).await?)?, refused);
    }
    let wrong = json!({ "room": room, "pinned": true });
    assert_eq!(alice.call(here, "PUT", &path, &wrong).await?.status, 400);
    for of in [&room, &group] {
        assert_eq!(now(&mut bobs, of).await?, (0, false));
        assert_eq!(bobs.told_so_far("setting", of).await?, Vec::<Value>::new());
    }
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
    let lost = async |phone: &mut Session, muted_until: u64| -> Result<()> {
        let proxy = system.proxy("edge-1");
        let before = proxy.counts().to_client.swallowed;
        let subject_prefix = format!("weft.u.{}", alice.user);
        proxy.set_towards(Towards::Client, Fault::SwallowOne { subject_prefix });
        set(phone, &room, json!({ "muted_until": muted_until })).await?;
        let is_lost = async || (proxy.counts().to_client.swallowed > before).then_some(());
        until("the message is lost", HEAL_LIMIT, is_lost).await;
        Ok(())
    };
    lost(&mut phone, 7).await?;
    let found = within("the setting", HEAL_LIMIT, tablet.told("setting", &room)).await?;
    assert_eq!(found, told(&room, 7, false));
    let cursor = within("a cursor", HEAL_LIMIT, tablet.next_cursor()).await?;
    lost(&mut phone, 9).await?;
    drop(tablet);
    let mut tablet = Session::open(system.edges()[1], &tablet_login, Some(&cursor)).await?;
    assert_eq!(tablet.synced["recovered"], true, "{}", tablet.synced);
    assert_eq!(tablet.told_so_far("setting", &room).await?, [told(&room, 9, false)]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_is_kept_when_core_and_an_edge_are_killed() -> Result<()> {
    let system = System::split(Options::default()).await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let room = direct(&alice, &bob);
    let mut phone = Session::open(system.edges()[0], &alice, None).await?;
    let cursor = phone.cursor();
    phone.acked(&room, json!({ "text": "hello" })).await?;
    set(&mut phone, &room, json!({ "muted_until": 7, "pinned": true })).await?;
    let answered = phone.begin(request(&room, json!({ "muted_until": 8 }))).await?;
    for part in ["core", "edge-0"] {
        system.process(part).kill()?;
    }
    for part in ["core", "edge-0"] {
        system.process(part).restart()?;
    }
    system.ready().await;
    let is_done = phone.answer(answered).await.is_ok_and(|answer| answer["type"] == "done");
    let mut resumed = Session::open(system.edges()[1], &alice, Some(&cursor)).await?;
    assert_eq!(resumed.synced["recovered"], true, "{}", resumed.synced);
    let (until, pinned) = now(&mut resumed, &room).await?;
    assert!(pinned && (until == 8 || until == 7 && !is_done), "{until}, {is_done}");
    // What comes by the log after the sync is heard live.
    while resumed.told("setting", &room).await? != told(&room, until, true) {}
    Ok(())
}

/// The rooms of a list that the test knows, as they come.
async fn listed(session: &mut Session, hidden: bool, known: &[&str]) -> Result<Vec<String>> {
    let answer = session.request(json!({ "type": "rooms", "hidden": hidden })).await?;
    ensure!(answer["type"] == "rooms", "{answer}");
    let rooms = answer["rooms"].as_array().map_or(&[][..], Vec::as_slice);
    let names = rooms.iter().filter_map(|room| room["room"].as_str());
    Ok(names.filter(|name| known.contains(name)).map(str::to_owned).collect())
}

#[tokio::test]
async fn a_hidden_room_is_back_with_something_new() -> Result<()> {
    let system = crate::two_edges().await;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let (here, there) = (system.edges()[0], system.edges()[1]);
    let mut phone = Session::open(here, &alice, None).await?;
    let tablet_login = system.device(&alice.user, "tablet").await?;
    let mut tablet = Session::open(there, &tablet_login, None).await?;
    let mut bobs = Session::open(there, &bob, None).await?;
    let (direct, group) = (direct(&alice, &bob), unique("group"));
    let create = json!({ "kind": "create", "title": "T", "members": [alice.user] });
    bobs.acked(&group, create).await?;
    bobs.acked(&group, json!({ "text": "one" })).await?;
    bobs.acked(&direct, json!({ "text": "hello" })).await?;
    let known = [direct.as_str(), group.as_str()];
    assert_eq!(listed(&mut phone, false, &known).await?, known);

    let at = json!({ "seq": 2, "ordinal": 1 });
    set(&mut phone, &group, json!({ "hidden": at })).await?;
    let mut is_hidden = told(&group, 0, false);
    is_hidden["hidden"] = at.clone();
    for session in [&mut phone, &mut tablet] {
        assert_eq!(session.told("setting", &group).await?, is_hidden);
    }
    set(&mut tablet, &direct, json!({ "hidden": { "seq": 1, "ordinal": 1 } })).await?;
    assert_eq!(listed(&mut tablet, false, &known).await?, [""; 0]);
    assert_eq!(listed(&mut tablet, true, &known).await?, known);
    let room = json!({ "type": "room", "room": group });
    assert_eq!(phone.request(room.clone()).await?["hidden"], at);
    assert_eq!(bobs.request(room.clone()).await?["hidden"], Value::Null, "it is nobody else's");
    let answer = alice.call(there, "GET", "/v1/rooms?hidden=true", &Value::Null).await?;
    assert_eq!(answer.body["rooms"].as_array().map(Vec::len), Some(2), "{answer:?}");

    // What does not count leaves a group where it is; in a direct room everything is new.
    bobs.acked(&group, json!({ "kind": "react", "target": 2, "emoji": "+" })).await?;
    bobs.acked(&group, json!({ "text": "psst", "silent": true })).await?;
    bobs.acked(&direct, json!({ "kind": "react", "target": 1, "emoji": "+" })).await?;
    assert_eq!(listed(&mut phone, false, &known).await?, [direct.as_str()]);
    assert_eq!(listed(&mut phone, true, &known).await?, [group.as_str()]);
    bobs.acked(&group, json!({ "text": "two" })).await?;
    assert_eq!(listed(&mut phone, false, &known).await?, [group.as_str(), direct.as_str()]);
    assert_eq!(phone.request(room.clone()).await?["hidden"], Value::Null);

    // Who is brought in again sees the group, though nobody has said a word.
    set(&mut phone, &group, json!({ "hidden": { "seq": 5, "ordinal": 2 } })).await?;
    assert_eq!(listed(&mut phone, true, &known).await?, [group.as_str()]);
    phone.acked(&group, json!({ "kind": "leave" })).await?;
    bobs.acked(&group, json!({ "kind": "add", "user": alice.user })).await?;
    assert_eq!(listed(&mut phone, false, &known).await?, [group.as_str(), direct.as_str()]);
    // And who takes it back.
    let at = json!({ "seq": 9, "ordinal": 9 });
    set(&mut phone, &group, json!({ "hidden": at })).await?;
    assert_eq!(listed(&mut phone, false, &known).await?, [direct.as_str()]);
    set(&mut phone, &group, json!({ "hidden": { "seq": 0 } })).await?;
    assert_eq!(listed(&mut phone, false, &known).await?, [group.as_str(), direct.as_str()]);
    let wrong = request(&group, json!({ "hidden": true }));
    assert_eq!(code(&phone.request(wrong).await?)?, "bad_request");
    Ok(())
}

#[tokio::test]
async fn all_devices_of_a_user_know_when_they_are_not_to_be_disturbed() -> Result<()> {
    let system = crate::two_edges().await;
    let alice = system.user("alice").await?;
    let (here, there) = (system.edges()[0], system.edges()[1]);
    let notebook = direct(&alice, &alice);
    let mut phone = Session::open(here, &alice, None).await?;
    let tablet_login = system.device(&alice.user, "tablet").await?;
    let mut tablet = Session::open(there, &tablet_login, None).await?;
    let cursor = tablet.cursor();
    let mut frame = json!({ "type": "setting", "room": notebook, "muted_until": 0, "pinned": false,
        "receipts": true, "add_by": "default", "strangers": "default" });
    let rooms = json!({ "type": "rooms" });
    assert_eq!(phone.request(rooms.clone()).await?["setting"], frame, "nothing was said");

    let mut hours = json!({ "from": "22:00", "to": "07:00", "time_zone": "asia/seoul" });
    let answer = phone.request(json!({ "type": "setting", "dnd": hours })).await?;
    assert_eq!(answer["type"], "done", "{answer}");
    hours["time_zone"] = "Asia/Seoul".into();
    hours["days"] = json!(["mon", "tue", "wed", "thu", "fri", "sat", "sun"]);
    frame["dnd"] = hours;
    for session in [&mut phone, &mut tablet] {
        assert_eq!(session.told("setting", &notebook).await?, frame);
    }
    let pause = json!({ "dnd_until": FOR_EVER });
    assert_eq!(alice.call(there, "PUT", "/v1/setting", &pause).await?.status, 204);
    frame["dnd_until"] = FOR_EVER.into();
    for session in [&mut phone, &mut tablet] {
        assert_eq!(session.told("setting", &notebook).await?, frame);
    }
    assert_eq!(phone.request(rooms.clone()).await?["setting"], frame);
    let zone = json!({ "dnd": { "from": "22:00", "to": "07:00", "time_zone": "Mars/Olympus" } });
    let refused = alice.call(here, "PUT", "/v1/setting", &zone).await?;
    assert_eq!((refused.status, refused.code()), (400, "bad_request"), "{refused:?}");

    // A device that was away hears of it, and the pause is over when that is said.
    drop(tablet);
    let mut tablet = Session::open(here, &tablet_login, Some(&cursor)).await?;
    assert_eq!(tablet.told_so_far("setting", &notebook).await?, [frame.clone()]);
    let answer = tablet.request(json!({ "type": "setting", "dnd_until": 0 })).await?;
    assert_eq!(answer["type"], "done", "{answer}");
    frame.as_object_mut().map(|frame| frame.remove("dnd_until"));
    assert_eq!(tablet.told("setting", &notebook).await?, frame);
    assert_eq!(tablet.request(rooms).await?["setting"], frame);
    Ok(())
}
