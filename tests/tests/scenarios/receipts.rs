//! Read receipts that a user has turned off: nobody else learns how far they have read, nor do they of others; not live,
//! not by an audit, a sync or a question.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use weft_harness::account::Login;
use weft_harness::session::{Session, code};
use weft_harness::system::{direct, unique};
use weft_harness::wait::within;

use crate::two_edges;

/// Edges look every 15 s for what the wire has lost.
const HEAL_LIMIT: Duration = Duration::from_secs(20);
/// Up to where Bob has read before he turns them off.
const READ_BEFORE: u64 = 2;

async fn done(session: &mut Session, request: Value) -> Result<()> {
    let answer = session.request(request.clone()).await?;
    ensure!(answer["type"] == "done", "{request}: {answer}");
    Ok(())
}

async fn turn(session: &mut Session, receipts: bool) -> Result<()> {
    done(session, json!({ "type": "setting", "receipts": receipts })).await
}

async fn read(session: &mut Session, room: &str, seq: u64) -> Result<()> {
    done(session, json!({ "type": "mark", "room": room, "read": seq })).await
}

/// What a session was told until now of how far others have read in a room, beyond where they had before. An audit may
/// repeat to a group what was told it.
async fn told_of_others(session: &mut Session, room: &str, own: &Login) -> Result<Vec<Value>> {
    let mut told = session.told_so_far("mark", room).await?;
    for mut push in session.told_so_far("marks", room).await? {
        told.extend(push["marks"].as_array_mut().into_iter().flat_map(std::mem::take));
    }
    told.retain(|mark| mark["user"] != own.user && mark["read"].as_u64() > Some(READ_BEFORE));
    Ok(told)
}

/// Waits until an audit was made of what is committed by now: the second cursor from here on speaks of the first entry.
async fn audited(session: &mut Session, login: &Login) -> Result<String> {
    let notebook = direct(login, login);
    let mut cursor = String::new();
    for _ in 0..2 {
        session.acked(&notebook, json!({ "text": "a cursor" })).await?;
        cursor = within("a cursor", HEAL_LIMIT, session.next_cursor()).await?;
    }
    Ok(cursor)
}

/// The next word about it, as far as that: a `mark` of a direct room or the `marks` of a group.
async fn hears(session: &mut Session, room: &str, of: &Login, seq: u64) -> Result<()> {
    let is_direct = room.contains('~');
    loop {
        let push = session.told(if is_direct { "mark" } else { "marks" }, room).await?;
        let mark = json!({ "user": of.user, "read": seq });
        let is_in = push["marks"].as_array().is_some_and(|marks| marks.contains(&mark));
        if is_in || push["user"] == of.user && push["read"] == seq {
            return Ok(());
        }
    }
}

/// Up to where the partner of a direct room has read and got it, as `room` and `rooms` say; and whether the asking user
/// has receipts.
async fn partner(session: &mut Session, room: &str) -> Result<(Value, Value, bool)> {
    let one = session.request(json!({ "type": "room", "room": room })).await?;
    let all = session.request(json!({ "type": "rooms" })).await?;
    let listed = all["rooms"].as_array().into_iter().flatten().find(|it| it["room"] == room);
    let partner = |room: &Value| {
        let partner = &room["partner"];
        (partner["read"].clone(), partner["delivered"].clone())
    };
    let (read, delivered) = partner(&one);
    ensure!(listed.map(partner) == Some((read.clone(), delivered.clone())), "{one}, {all}");
    Ok((read, delivered, all["receipts"] == true))
}

/// Who is in the list of those who have read a room.
async fn listed(session: &mut Session, room: &str) -> Result<Vec<String>> {
    let answer = session.request(json!({ "type": "receipts", "room": room })).await?;
    let receipts = answer["receipts"].as_array().into_iter().flatten();
    Ok(receipts.filter_map(|it| it["user"].as_str().map(Into::into)).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn turned_off_nobody_hears_and_turned_on_again_they_do() -> Result<()> {
    let system = two_edges().await;
    let (here, there) = (system.edges()[0], system.edges()[1]);
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let tablet_login = system.device(&bob.user, "tablet").await?;
    let mut alices = Session::open(here, &alice, None).await?;
    let mut phone = Session::open(here, &bob, None).await?;
    let mut tablet = Session::open(there, &tablet_login, None).await?;
    let (room, group) = (direct(&alice, &bob), unique("group"));
    let create = json!({ "kind": "create", "title": "T", "members": [bob.user] });
    alices.acked(&group, create).await?;
    for of in [&room, &group] {
        while alices.acked(of, json!({ "text": "hello" })).await? < 9 {}
        for session in [&mut alices, &mut phone, &mut tablet] {
            session.expect(of, 9).await?;
        }
        read(&mut phone, of, READ_BEFORE).await?;
        hears(&mut alices, of, &bob, READ_BEFORE).await?;
    }
    let all = [alice.user.clone(), bob.user.clone()];
    assert_eq!(listed(&mut alices, &group).await?, all);

    // All of Bob's devices know it.
    turn(&mut phone, false).await?;
    let notebook = direct(&bob, &bob);
    for session in [&mut phone, &mut tablet] {
        assert_eq!(session.told("setting", &notebook).await?["receipts"], false);
    }
    read(&mut phone, &room, 5).await?;
    read(&mut tablet, &group, 6).await?;
    done(&mut tablet, json!({ "type": "mark", "room": room, "delivered": 9 })).await?;
    done(&mut phone, json!({ "type": "mark", "room": room, "unread_from": 2 })).await?;
    // Bob's own devices hear of his marks.
    for seq in [READ_BEFORE, 6] {
        assert_eq!(phone.told("mark", &group).await?["read"], seq);
    }
    // So that Alice has something to read, too.
    for of in [&room, &group] {
        let react = json!({ "kind": "react", "target": 2, "emoji": "+" });
        assert_eq!(phone.acked(of, react).await?, 10);
        alices.expect(of, 10).await?;
        read(&mut alices, of, 10).await?;
    }
    let (covered, ..) = tokio::try_join!(
        audited(&mut alices, &alice),
        audited(&mut phone, &bob),
        audited(&mut tablet, &tablet_login),
    )?;
    for of in [&room, &group] {
        assert_eq!(told_of_others(&mut alices, of, &alice).await?, Vec::<Value>::new());
        for session in [&mut phone, &mut tablet] {
            assert_eq!(told_of_others(session, of, &bob).await?, Vec::<Value>::new());
        }
        assert_eq!(listed(&mut alices, of).await?, all[..1]);
        let asked = phone.request(json!({ "type": "receipts", "room": of })).await?;
        assert_eq!(code(&asked)?, "forbidden");
        let path = format!("/v1/rooms/{of}/receipts");
        assert_eq!(bob.call(there, "GET", &path, &Value::Null).await?.status, 403);
    }
    let nothing = |receipts| (Value::Null, Value::Null, receipts);
    assert_eq!(partner(&mut alices, &room).await?, nothing(true));
    assert_eq!(partner(&mut tablet, &room).await?, nothing(false));
    // By a sync neither, from before the mark that was told.
    let mut again = Session::open(there, &alice, Some(&alices.cursor())).await?;
    let mut bobs_again = Session::open(there, &bob, Some(&phone.cursor())).await?;
    for session in [&again, &bobs_again] {
        assert_eq!(session.synced["recovered"], true, "{}", session.synced);
    }
    for of in [&room, &group] {
        let of_bob = again.told_so_far("mark", of).await?;
        assert!(of_bob.iter().all(|push| push["user"] == alice.user), "{of_bob:?}");
        assert_eq!(told_of_others(&mut bobs_again, of, &bob).await?, Vec::<Value>::new());
    }

    // On again, by HTTP: the next mark is told.
    let on = json!({ "receipts": true });
    assert_eq!(bob.call(here, "PUT", "/v1/setting", &on).await?.status, 204);
    for session in [&mut bobs_again, &mut tablet] {
        while session.told("setting", &notebook).await?["receipts"] != true {}
    }
    assert_eq!(partner(&mut again, &room).await?, (json!(5), json!(9), true));
    assert_eq!(told_of_others(&mut again, &room, &alice).await?, Vec::<Value>::new());
    let mut last = BTreeMap::new();
    for of in [&room, &group] {
        assert_eq!(listed(&mut again, of).await?, all);
        read(&mut tablet, of, 9).await?;
        hears(&mut again, of, &bob, 9).await?;
        let seq = tablet.acked(of, json!({ "text": "hello" })).await?;
        last.insert(of, seq);
        again.expect(of, seq).await?;
        read(&mut again, of, seq).await?;
        for session in [&mut bobs_again, &mut tablet] {
            hears(session, of, &alice, seq).await?;
        }
    }
    // By a sync, too: Bob has read what he has written.
    let mut anew = Session::open(here, &alice, Some(&covered)).await?;
    hears(&mut anew, &room, &bob, last[&room]).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_are_of_all_rooms_and_no_room() -> Result<()> {
    let system = two_edges().await;
    let alice = system.user("alice").await?;
    let edge = system.edges()[0];
    let mut phone = Session::open(edge, &alice, None).await?;
    for wrong in [
        json!({ "type": "setting", "receipts": "off" }),
        json!({ "type": "setting", "receipts": false, "pinned": true }),
        json!({ "type": "setting", "receipts": false, "room": direct(&alice, &alice) }),
        json!({ "type": "setting", "pinned": true }),
    ] {
        assert_eq!(code(&phone.request(wrong).await?)?, "bad_request");
    }
    let path = format!("/v1/rooms/{}/setting", direct(&alice, &alice));
    let off = json!({ "receipts": false });
    assert_eq!(alice.call(edge, "PUT", &path, &off).await?.status, 400);
    let pinned = json!({ "room": direct(&alice, &alice), "pinned": true });
    assert_eq!(alice.call(edge, "PUT", "/v1/setting", &pinned).await?.status, 400);
    assert_eq!(alice.call(edge, "PUT", "/v1/setting", &off).await?.status, 204);
    let rooms = alice.call(edge, "GET", "/v1/rooms", &Value::Null).await?;
    assert_eq!(rooms.body["receipts"], false, "{rooms:?}");
    Ok(())
}
