//! The list of rooms, as devices load it: newest first, with what is worth showing of each room and how much of
//! it is unread.

use std::cmp::Reverse;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use weft_harness::account::Login;
use weft_harness::session::{Session, code};
use weft_harness::system::{System, direct, unique};

use crate::two_edges;

/// Alice at one edge, Bob at the other.
async fn two() -> Result<(&'static System, [Login; 2], [Session; 2])> {
    let system = two_edges().await;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let a = Session::open(system.edges()[0], &alice, None).await?;
    let b = Session::open(system.edges()[1], &bob, None).await?;
    Ok((system, [alice, bob], [a, b]))
}

async fn rooms(session: &mut Session) -> Result<Vec<Value>> {
    let page = session.request(json!({ "type": "rooms" })).await?;
    Ok(page["rooms"].as_array().with_context(|| page.to_string())?.clone())
}

async fn names(session: &mut Session) -> Result<Vec<String>> {
    let rooms = rooms(session).await?;
    Ok(rooms.iter().filter_map(|room| room["room"].as_str().map(str::to_owned)).collect())
}

/// Checks that the list is in order, and that this room has the newest entry. Within a millisecond, ids decide.
async fn is_newest(session: &mut Session, room: &str, count: usize) -> Result<()> {
    let rooms = rooms(session).await?;
    let place = |it: &Value| (Reverse(it["time"].as_u64()), it["room"].to_string());
    assert!(rooms.is_sorted_by_key(place), "{rooms:?}");
    assert_eq!(rooms.len(), count, "{rooms:?}");
    let newest = rooms.iter().find(|it| it["room"] == room).context("a room")?;
    assert_eq!(newest["time"], rooms[0]["time"], "{rooms:?}");
    Ok(())
}

/// One of them, as the list has it; `room` says the same.
async fn shown(session: &mut Session, room: &str) -> Result<Value> {
    let listed = rooms(session).await?.into_iter().find(|it| it["room"] == room);
    let listed = listed.with_context(|| format!("{room} is not in the list"))?;
    let mut one = session.request(json!({ "type": "room", "room": room })).await?;
    for field in ["id", "type"] {
        one.as_object_mut().context("an object")?.remove(field);
    }
    assert_eq!(one, listed);
    Ok(listed)
}

async fn mark(session: &mut Session, room: &str, mut fields: Value) -> Result<()> {
    (fields["type"], fields["room"]) = ("mark".into(), room.into());
    let answer = session.request(fields).await?;
    assert_eq!(answer["type"], "done", "{answer}");
    Ok(())
}

fn text(text: &str) -> Value {
    json!({ "text": text })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_room_of_the_newest_entry_comes_first_for_everybody() -> Result<()> {
    let (_, [alice, bob], [mut a, mut b]) = two().await?;
    let (team, other, pair) = (unique("team"), unique("other"), direct(&alice, &bob));
    let create = json!({ "kind": "create", "title": "T", "members": [bob.user] });
    a.acked(&team, create.clone()).await?;
    a.acked(&other, create).await?;
    a.acked(&pair, text("hi")).await?;
    for newest in [&team, &pair, &other, &team] {
        b.acked(newest, text("news")).await?;
        for session in [&mut a, &mut b] {
            is_newest(session, newest, 3).await?;
        }
    }
    // Who is removed sees it no more.
    a.acked(&team, json!({ "kind": "remove", "user": bob.user })).await?;
    let mut left = [other, pair];
    left.sort();
    let mut listed = names(&mut b).await?;
    listed.sort();
    assert_eq!(listed, left);
    let answer = b.request(json!({ "type": "rooms", "after": team })).await?;
    assert_eq!(code(&answer)?, "bad_cursor");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_shows_the_newest_message_as_it_is_now_and_the_partner() -> Result<()> {
    let (system, [alice, bob], [mut a, mut b]) = two().await?;
    let room = direct(&alice, &bob);
    let profile = json!({ "display_name": "Bob B" });
    let answer = bob.call(system.edge(), "PATCH", "/v1/profile", &profile).await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    let long = "\u{d55c}".repeat(300);
    b.acked(&room, json!({ "text": long, "ranges": [{"at": 150, "len": 100, "style": "bold"}] }))
        .await?;
    let listed = shown(&mut a, &room).await?;
    assert_eq!(listed["last"]["text"], "\u{d55c}".repeat(200));
    assert_eq!(listed["last"]["ranges"], json!([{"at": 150, "len": 50, "style": "bold"}]));
    assert_eq!(
        (&listed["partner"]["user"], &listed["partner"]["display_name"]),
        (&json!(bob.user), &json!("Bob B"))
    );
    // An edit and a reaction change what is shown, and are not shown themselves.
    b.acked(&room, json!({ "kind": "edit", "target": 1, "text": "short" })).await?;
    a.acked(&room, json!({ "kind": "react", "target": 1, "emoji": "+" })).await?;
    let last = shown(&mut a, &room).await?["last"].clone();
    assert_eq!((&last["seq"], &last["text"]), (&json!(1), &json!("short")));
    assert_eq!(last["reactions"], json!([{"emoji": "+", "count": 1, "own": true}]));
    b.acked(&room, json!({ "kind": "delete", "target": 1 })).await?;
    let listed = shown(&mut a, &room).await?;
    assert_eq!((&listed["last"]["kind"], &listed["seq"]), (&json!("deleted"), &json!(4)));
    let over_http = alice.call(system.edge(), "GET", "/v1/rooms", &Value::Null).await?;
    assert_eq!(over_http.body["rooms"][0], listed);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_is_what_others_have_said_since() -> Result<()> {
    let (system, [alice, bob], [mut a, mut b]) = two().await?;
    let room = direct(&alice, &bob);
    let unread = async |session: &mut Session| {
        let room = shown(session, &room).await?;
        assert!(room["unread_exact"].is_null(), "{room}");
        Ok::<_, anyhow::Error>((room["unread"].clone(), room["read"].clone()))
    };
    let is = |unread: u64, read: u64| (json!(unread), json!(read));
    for _ in 0..5 {
        a.acked(&room, text("x")).await?;
    }
    assert_eq!(unread(&mut a).await?, is(0, 5));
    assert_eq!(unread(&mut b).await?, is(5, 0));
    // What does not count, and what is deleted before it is read.
    a.acked(&room, json!({ "text": "psst", "silent": true })).await?;
    a.acked(&room, json!({ "kind": "edit", "target": 2, "text": "y" })).await?;
    assert_eq!(unread(&mut b).await?, is(5, 0));
    a.acked(&room, json!({ "kind": "delete", "target": 4 })).await?;
    assert_eq!(unread(&mut b).await?, is(4, 0));
    a.acked(&room, json!({ "kind": "delete", "target": 6 })).await?;
    assert_eq!(unread(&mut b).await?, is(4, 0));
    // A device of Bob's reads some, at another edge; the other one's list says so.
    let tablet = system.device(&bob.user, "tablet").await?;
    let mut tablet = Session::open(system.edges()[0], &tablet, None).await?;
    mark(&mut tablet, &room, json!({ "read": 3 })).await?;
    assert_eq!(unread(&mut b).await?, is(1, 3));
    assert_eq!(shown(&mut a, &room).await?["partner"]["read"], 3);
    mark(&mut b, &room, json!({ "unread_from": 2 })).await?;
    assert_eq!(unread(&mut tablet).await?, is(3, 3));
    assert_eq!(shown(&mut tablet, &room).await?["unread_from"], 2);
    // Others see of that nothing.
    assert_eq!(shown(&mut a, &room).await?["partner"]["read"], 3);
    // Who answers has read.
    b.acked(&room, text("z")).await?;
    assert_eq!(unread(&mut b).await?, is(0, 10));
    assert_eq!(unread(&mut a).await?, is(1, 5));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_joins_begins_with_nothing_unread_also_in_a_large_group() -> Result<()> {
    let (system, [_, bob], [mut a, mut b]) = two().await?;
    let crowd = weft_harness::account::crowd(system.edge(), 101).await?;
    let room = unique("large");
    let create = json!({ "kind": "create", "title": "T", "members": crowd[..99] });
    a.acked(&room, create).await?;
    a.acked(&room, text("before")).await?;
    for user in &crowd[99..] {
        a.acked(&room, json!({ "kind": "add", "user": user })).await?;
    }
    a.acked(&room, json!({ "kind": "add", "user": bob.user })).await?;
    let listed = shown(&mut b, &room).await?;
    assert_eq!((&listed["large"], &listed["unread"]), (&json!(true), &json!(0)), "{listed}");
    assert_eq!(listed["last"]["kind"], "add");
    a.acked(&room, text("after")).await?;
    assert_eq!(shown(&mut b, &room).await?["unread"], 1);
    mark(&mut b, &room, json!({ "read": 6 })).await?;
    assert_eq!(shown(&mut b, &room).await?["unread"], 0);
    // It is listed by its own newest entry, too.
    let pair = format!("{0}~{0}", bob.user);
    b.acked(&pair, text("note")).await?;
    is_newest(&mut b, &pair, 2).await?;
    a.acked(&room, text("again")).await?;
    is_newest(&mut b, &room, 2).await?;
    b.acked(&room, json!({ "kind": "leave" })).await?;
    assert_eq!(names(&mut b).await?, [pair]);
    Ok(())
}
