//! Rooms and their members: changes are entries in the room's order, and who is removed gets
//! nothing after exactly that entry.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use weft_harness::account::Login;
use weft_harness::session::{Session, code};
use weft_harness::system::{Options, System, direct, shared, unique};

/// Makes a group over a session; its id.
async fn create(owner: &mut Session, members: &[&Login], history: &str) -> Result<String> {
    let group = unique("group");
    let members: Vec<&str> = members.iter().map(|member| member.user.as_str()).collect();
    let fields =
        json!({ "kind": "create", "title": "Tea", "members": members, "history": history });
    assert_eq!(owner.acked(&group, fields).await?, 1);
    Ok(group)
}

fn add(user: &Login) -> Value {
    json!({ "kind": "add", "user": user.user })
}

fn remove(user: &Login) -> Value {
    json!({ "kind": "remove", "user": user.user })
}

fn role(user: &Login, role: &str) -> Value {
    json!({ "kind": "role", "user": user.user, "role": role })
}

fn text(text: &str) -> Value {
    json!({ "text": text })
}

/// The seqs and what there is at them, as `history` says.
async fn history(session: &mut Session, room: &str) -> Result<Vec<(u64, String)>> {
    let page = session.request(json!({ "type": "history", "room": room, "after": 0 })).await?;
    assert_eq!(page["type"], "history", "{page}");
    let entries = page["entries"].as_array().context("no entries")?;
    Ok(entries
        .iter()
        .map(|entry| {
            let what = entry["text"].as_str().or(entry["kind"].as_str()).unwrap_or_default();
            (entry["seq"].as_u64().unwrap_or_default(), what.to_owned())
        })
        .collect())
}

/// No entry of the room came after this one.
async fn nothing_after(session: &mut Session, room: &str, seq: u64) -> Result<()> {
    let pushed = session.pushed_after(room, seq).await?;
    assert!(pushed.is_empty(), "{pushed:?}");
    Ok(())
}

#[tokio::test]
async fn changes_are_entries_in_order_with_messages() -> Result<()> {
    let system = shared().await;
    let (alice, bob, carol) =
        (system.user("alice").await?, system.user("bob").await?, system.user("carol").await?);
    let mut a = system.session(&alice).await?;
    let mut b = system.session(&bob).await?;
    let mut c = system.session(&carol).await?;
    let group = create(&mut a, &[&bob], "all").await?;
    let steps = [
        text("one"),
        json!({ "kind": "rename", "title": "Coffee" }),
        add(&carol),
        text("two"),
        role(&bob, "admin"),
        remove(&carol),
        text("three"),
    ];
    for (step, seq) in steps.into_iter().zip(2..) {
        assert_eq!(a.acked(&group, step).await?, seq);
    }
    assert_eq!(b.acked(&group, json!({ "kind": "leave" })).await?, 9);
    assert_eq!(a.acked(&group, text("four")).await?, 10);

    let kinds =
        ["create", "message", "rename", "add", "message", "role", "remove", "message", "leave"];
    let mut ordinal = 0;
    for (kind, seq) in kinds.into_iter().zip(1..) {
        let mine = a.expect(&group, seq).await?;
        let theirs = b.expect(&group, seq).await?;
        assert_eq!(mine, theirs);
        ordinal += u64::from(kind == "message");
        assert_eq!((&mine["kind"], &mine["ordinal"]), (&json!(kind), &json!(ordinal)), "{mine}");
        assert_eq!(mine["from"], if kind == "leave" { &*bob.user } else { &*alice.user });
        assert!(mine["client_id"].is_string() && mine["time"].is_u64(), "{mine}");
    }
    a.expect(&group, 10).await?;
    // Carol was online: from her joining to her removal, both included, and nothing else.
    for (kind, seq) in ["add", "message", "role", "remove"].into_iter().zip(4..) {
        assert_eq!(c.expect(&group, seq).await?["kind"], kind);
    }
    // Bob and Carol are told something else after it: nothing of the group is on its way.
    for (session, user, last) in [(&mut b, &bob, 9), (&mut c, &carol, 7)] {
        a.acked(&direct(&alice, user), text("a barrier")).await?;
        session.expect(&direct(&alice, user), 1).await?;
        nothing_after(session, &group, last).await?;
        assert_eq!(session.refused(&group, text("me too")).await?, "not_member");
    }
    Ok(())
}

/// The seqs of the room that were pushed on a session so far.
async fn pushed(session: &mut Session, room: &str) -> Result<Vec<u64>> {
    let pushed = session.pushed_after(room, 0).await?;
    Ok(pushed.iter().filter_map(|entry| entry["seq"].as_u64()).collect())
}

#[tokio::test]
async fn who_is_added_again_goes_on_at_the_joining_and_finds_the_rest_in_history() -> Result<()> {
    let system = shared().await;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let mut a = system.session(&alice).await?;
    let mut b = system.session(&bob).await?;
    let cursor = b.cursor();
    let all: Vec<u64> = (1..=14).collect();
    let joined = vec![1, 2, 3, 4, 5, 9, 10, 11, 13, 14];
    for (rule, seen) in [("all", all), ("joined", joined)] {
        let group = create(&mut a, &[&bob], rule).await?;
        for fields in [text("2"), text("3"), text("4"), remove(&bob)] {
            a.acked(&group, fields).await?;
        }
        for fields in [text("6"), text("7"), text("8"), add(&bob), text("10")] {
            a.acked(&group, fields).await?;
        }
        let mut resumed = Session::open(system.edge(), &bob, Some(&cursor)).await?;
        assert_eq!(resumed.synced["recovered"], true, "{}", resumed.synced);
        for session in [&mut b, &mut resumed] {
            while pushed(session, &group).await?.last() != Some(&10) {}
            assert_eq!(pushed(session, &group).await?, [1, 2, 3, 4, 5, 9, 10], "{rule}");
        }
        // Gone and back once more, with a device that comes only now.
        for fields in [remove(&bob), text("12"), add(&bob), text("14")] {
            a.acked(&group, fields).await?;
        }
        let mut late = Session::open(system.edge(), &bob, Some(&cursor)).await?;
        for session in [&mut b, &mut resumed, &mut late] {
            while pushed(session, &group).await?.last() != Some(&14) {}
            let live = [1, 2, 3, 4, 5, 9, 10, 11, 13, 14];
            assert_eq!(pushed(session, &group).await?, live, "{rule}");
            let read = history(session, &group).await?.into_iter().map(|(seq, _)| seq);
            assert_eq!(read.collect::<Vec<_>>(), seen, "{rule}");
            let shown = session.request(json!({ "type": "room", "room": group })).await?;
            assert_eq!(shown["history"], rule, "{shown}");
        }
        // What they may read of an earlier membership, they may answer; other things are not there.
        for (seq, is_seen) in [(3, true), (6, rule == "all"), (12, rule == "all")] {
            let react = json!({ "kind": "react", "target": seq, "emoji": "+" });
            let answer = b.entry(&group, react).await?;
            assert_eq!(answer["type"] == "ack", is_seen, "{rule} {seq}: {answer}");
            let versions = json!({ "type": "versions", "room": group, "target": seq });
            let answer = b.request(versions).await?;
            assert_eq!(answer["type"] == "versions", is_seen, "{rule} {seq}: {answer}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn who_is_added_gets_the_joining_alone() -> Result<()> {
    let system = shared().await;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let mut a = system.session(&alice).await?;
    let old = create(&mut a, &[], "all").await?;
    for _ in 0..30 {
        a.acked(&old, text("before the session")).await?;
    }
    let mut b = system.session(&bob).await?;
    let cursor = b.cursor();
    let young = create(&mut a, &[], "all").await?;
    for _ in 0..30 {
        a.acked(&young, text("after the session began")).await?;
    }
    for group in [&old, &young] {
        a.acked(group, add(&bob)).await?;
        a.acked(group, text("welcome")).await?;
    }
    let mut resumed = Session::open(system.edge(), &bob, Some(&cursor)).await?;
    for session in [&mut b, &mut resumed] {
        for group in [&old, &young] {
            while pushed(session, group).await?.last() != Some(&33) {}
            assert_eq!(pushed(session, group).await?, [32, 33]);
            assert_eq!(history(session, group).await?.len(), 33);
        }
    }
    Ok(())
}

#[tokio::test]
async fn roles_say_who_may_do_what() -> Result<()> {
    let system = shared().await;
    let mut logins = Vec::new();
    for name in ["owner", "admin", "admin2", "member", "guest"] {
        logins.push(system.user(name).await?);
    }
    let [owner, admin, admin2, member, guest] = &logins[..] else { unreachable!() };
    let mut o = system.session(owner).await?;
    let mut a = system.session(admin).await?;
    let mut m = system.session(member).await?;
    let group = create(&mut o, &[admin, admin2, member], "all").await?;
    // The last owner stays one, and stays.
    assert_eq!(o.refused(&group, role(owner, "member")).await?, "forbidden");
    assert_eq!(o.refused(&group, json!({ "kind": "leave" })).await?, "forbidden");
    // A member: nothing but messages.
    for fields in [
        add(guest),
        remove(admin),
        role(member, "admin"),
        json!({ "kind": "rename", "title": "x" }),
    ] {
        assert_eq!(m.refused(&group, fields.clone()).await?, "forbidden", "{fields}");
    }
    o.acked(&group, role(admin, "admin")).await?;
    o.acked(&group, role(admin2, "admin")).await?;
    // An admin: not over another admin, no role, none higher than the own.
    assert_eq!(a.refused(&group, remove(admin2)).await?, "forbidden");
    assert_eq!(a.refused(&group, remove(owner)).await?, "forbidden");
    assert_eq!(a.refused(&group, role(member, "admin")).await?, "forbidden");
    let as_owner = json!({ "kind": "add", "user": guest.user, "role": "owner" });
    assert_eq!(a.refused(&group, as_owner).await?, "forbidden");
    a.acked(&group, json!({ "kind": "add", "user": guest.user, "role": "admin" })).await?;
    assert_eq!(a.refused(&group, add(guest)).await?, "already_member");
    a.acked(&group, json!({ "kind": "rename", "title": "by an admin" })).await?;
    a.acked(&group, remove(member)).await?;
    assert_eq!(a.refused(&group, remove(member)).await?, "not_member");
    // Owners: anyone, even another owner.
    o.acked(&group, role(admin, "owner")).await?;
    o.acked(&group, remove(admin)).await?;
    o.acked(&group, role(admin2, "owner")).await?;
    o.acked(&group, json!({ "kind": "leave" })).await?;
    assert_eq!(o.refused(&group, text("x")).await?, "not_member");

    let mut a2 = system.session(admin2).await?;
    let page = a2.request(json!({ "type": "members", "room": group })).await?;
    let mut found: Vec<(String, String)> = Vec::new();
    for member in page["members"].as_array().context("members")? {
        let field = |name: &str| member[name].as_str().unwrap_or_default().to_owned();
        found.push((field("user"), field("role")));
    }
    let mut wanted =
        vec![(admin2.user.clone(), "owner".to_owned()), (guest.user.clone(), "admin".to_owned())];
    wanted.sort();
    assert_eq!(found, wanted);
    // The last owner may leave as the last member.
    a2.acked(&group, remove(guest)).await?;
    a2.acked(&group, json!({ "kind": "leave" })).await?;
    Ok(())
}

#[tokio::test]
async fn direct_rooms_and_the_notebook() -> Result<()> {
    let system = shared().await;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let mut a = system.session(&alice).await?;
    let mut b = system.session(&bob).await?;
    let (room, notebook) = (direct(&alice, &bob), direct(&alice, &alice));
    // Who is written to for the first time gets it live.
    assert_eq!(a.acked(&room, text("hello")).await?, 1);
    let entry = b.expect(&room, 1).await?;
    assert_eq!((&entry["from"], &entry["text"]), (&json!(alice.user), &json!("hello")));
    assert_eq!(b.acked(&room, text("hi")).await?, 2);
    a.expect(&room, 1).await?;
    a.expect(&room, 2).await?;
    assert_eq!(a.acked(&notebook, text("milk")).await?, 1);
    a.expect(&notebook, 1).await?;
    assert_eq!(b.refused(&notebook, text("x")).await?, "not_member");
    for fields in [json!({ "kind": "rename", "title": "x" }), add(&bob), json!({ "kind": "leave" })]
    {
        assert_eq!(a.refused(&room, fields).await?, "bad_request");
    }
    let answer = a.request(json!({ "type": "room", "room": room })).await?;
    assert_eq!((&answer["room_kind"], &answer["seq"]), (&json!("direct"), &json!(2)), "{answer}");
    assert_eq!((&answer["ordinal"], &answer["member_count"]), (&json!(2), &json!(2)), "{answer}");
    let answer = a.request(json!({ "type": "room", "room": notebook })).await?;
    assert_eq!(answer["member_count"], 1, "{answer}");
    let page = a.request(json!({ "type": "members", "room": room })).await?;
    let members = page["members"].as_array().context("members")?;
    let users: Vec<&str> = members.iter().filter_map(|member| member["user"].as_str()).collect();
    assert_eq!(users.join("~"), room);
    Ok(())
}

#[tokio::test]
async fn lists_come_in_pages() -> Result<()> {
    let system = shared().await;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let mut a = system.session(&alice).await?;
    let mut wanted = Vec::new();
    for _ in 0..4 {
        wanted.push(create(&mut a, &[], "all").await?);
    }
    for room in [direct(&alice, &bob), direct(&alice, &alice)] {
        a.acked(&room, text("x")).await?;
        wanted.push(room);
    }
    a.acked(&wanted[1], text("x")).await?;
    let newest = wanted[1].clone();
    // Newest first. What was taken within a millisecond is by id.
    let all = a.request(json!({ "type": "rooms" })).await?;
    let all = all["rooms"].as_array().context("rooms")?;
    let id = |room: &Value| room["room"].as_str().unwrap_or_default().to_owned();
    let times: BTreeMap<String, u64> =
        all.iter().map(|room| (id(room), room["time"].as_u64().unwrap_or_default())).collect();
    assert_eq!(times.values().max(), Some(&times[&newest]));
    wanted.sort_by_key(|room| (Reverse(times[room]), room.clone()));
    assert_eq!(all.iter().map(id).collect::<Vec<_>>(), wanted);
    let (mut found, mut after) = (Vec::new(), Value::Null);
    for page_number in 1.. {
        let page = match page_number {
            2 => {
                let after = after.as_str().context("a cursor")?;
                let path = format!("/v1/rooms?limit=2&after={after}");
                alice.call(system.edge(), "GET", &path, &Value::Null).await?.body
            }
            _ => a.request(json!({ "type": "rooms", "limit": 2, "after": after })).await?,
        };
        let rooms = page["rooms"].as_array().context("rooms")?;
        assert!(rooms.len() <= 2, "{page}");
        found.extend(rooms.iter().map(id));
        if page["more"] != true {
            assert_eq!(page_number, 3);
            break;
        }
        after = page["cursor"].clone();
    }
    assert_eq!(found, wanted);

    // Members, who need no accounts of their own to be counted.
    let group = wanted.iter().find(|room| !room.contains('~') && **room != wanted[0]);
    let group = group.context("a group")?;
    a.acked(group, add(&bob)).await?;
    let first = a.request(json!({ "type": "members", "room": group, "limit": 1 })).await?;
    assert_eq!(
        (first["members"].as_array().map(Vec::len), &first["more"]),
        (Some(1), &json!(true))
    );
    let after = &first["members"][0]["user"];
    let after = after.as_str().context("a user")?;
    let path = format!("/v1/rooms/{group}/members?limit=1&after={after}");
    let second = alice.call(system.edge(), "GET", &path, &Value::Null).await?.body;
    assert_eq!(second["more"], false, "{second}");
    let mut users = [&first["members"][0], &second["members"][0]].map(|member| {
        (member["user"].as_str().unwrap_or_default(), member["since"].as_u64().unwrap_or_default())
    });
    users.sort_unstable();
    let mut wanted_users = [(alice.user.as_str(), 1), (bob.user.as_str(), 2)];
    wanted_users.sort_unstable();
    assert_eq!(users, wanted_users);

    // History, backwards and forwards.
    for seq in 3..=12 {
        assert_eq!(a.acked(group, text("x")).await?, seq);
    }
    let last = a.request(json!({ "type": "history", "room": group, "limit": 4 })).await?;
    let range =
        |page: &Value| (page["from"].as_u64(), page["through"].as_u64(), page["more"].clone());
    assert_eq!(range(&last), (Some(9), Some(12), json!(true)));
    let before =
        a.request(json!({ "type": "history", "room": group, "limit": 20, "before": 9 })).await?;
    assert_eq!(range(&before), (Some(1), Some(8), json!(false)));
    let after =
        a.request(json!({ "type": "history", "room": group, "limit": 5, "after": 2 })).await?;
    assert_eq!(range(&after), (Some(3), Some(7), json!(true)));
    let none = a.request(json!({ "type": "history", "room": group, "after": 12 })).await?;
    assert_eq!((none["entries"].as_array().map(Vec::len), &none["more"]), (Some(0), &json!(false)));
    Ok(())
}

/// On two edges: the removed one sits on the other, sleeps over it, or comes back after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removal_stops_delivery_at_exactly_that_entry_everywhere() -> Result<()> {
    let system = System::split(Options::default()).await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let tablet = system.device(&bob.user, "tablet").await?;
    let mut a = Session::open(system.edges()[0], &alice, None).await?;
    let mut near = Session::open(system.edges()[0], &bob, None).await?;
    let mut far = Session::open(system.edges()[1], &tablet, None).await?;
    let group = create(&mut a, &[&bob], "all").await?;
    let barrier = direct(&alice, &bob);
    for round in 0..5_u64 {
        let base = 1 + round * 5;
        far.expect(&group, base).await?;
        let cursor = {
            // A device that leaves before the removal and comes back after it.
            let watch = system.device(&bob.user, "watch").await?;
            let session = Session::open(system.edges()[1], &watch, None).await?;
            (watch, session.cursor())
        };
        // All at once: the removal in the middle of messages.
        let mut requests = Vec::new();
        for fields in [text("last one"), remove(&bob), text("secret"), text("secret")] {
            let mut fields = fields;
            fields["type"] = "send".into();
            fields["room"] = group.as_str().into();
            fields["client_id"] = weft_harness::ulid::fresh().into();
            requests.push(a.begin(fields).await?);
        }
        for request in requests {
            assert_eq!(a.answer(request).await?["type"], "ack");
        }
        a.acked(&barrier, text("a barrier")).await?;
        let mut back = Session::open(system.edges()[1], &cursor.0, Some(&cursor.1)).await?;
        for session in [&mut near, &mut far, &mut back] {
            session.expect(&group, base + 1).await?;
            assert_eq!(session.expect(&group, base + 2).await?["kind"], "remove");
            session.expect(&barrier, round + 1).await?;
            nothing_after(session, &group, base + 2).await?;
            let after = json!({ "type": "history", "room": group, "after": base });
            let page = session.request(after).await?;
            let seqs: Vec<u64> = page["entries"]
                .as_array()
                .context("entries")?
                .iter()
                .filter_map(|entry| entry["seq"].as_u64())
                .collect();
            assert_eq!(seqs, [base + 1, base + 2], "{page}");
            let refused = session.request(json!({ "type": "room", "room": group })).await?;
            assert_eq!(code(&refused)?, "not_member");
            let rooms = session.request(json!({ "type": "rooms" })).await?;
            assert!(!rooms.to_string().contains(&group), "{rooms}");
        }
        // Back in, for the next round: live again.
        assert_eq!(a.acked(&group, add(&bob)).await?, base + 5);
        near.expect(&group, base + 5).await?;
    }
    Ok(())
}
