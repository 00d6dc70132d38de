//! What becomes of a message: edits, deletions and reactions, as devices and histories see them.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use weft_harness::account::Login;
use weft_harness::session::{Session, code};
use weft_harness::system::{System, direct, unique};
use weft_harness::ulid;

use crate::two_edges;

mod stored;

/// Alice's phone at one edge, her tablet and Bob's phone at the other.
struct Three {
    system: &'static System,
    alice: Login,
    bob: Login,
    room: String,
    phone: Session,
    tablet: Session,
    bobs: Session,
}

impl Three {
    async fn new() -> Result<Self> {
        let system = two_edges().await;
        let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
        let (room, edges) = (direct(&alice, &bob), system.edges());
        let phone = Session::open(edges[0], &alice, None).await?;
        let tablet = system.device(&alice.user, "tablet").await?;
        let tablet = Session::open(edges[1], &tablet, None).await?;
        let bobs = Session::open(edges[1], &bob, None).await?;
        Ok(Self { system, alice, bob, room, phone, tablet, bobs })
    }
}

fn edit(target: u64, text: &str) -> Value {
    json!({ "kind": "edit", "target": target, "text": text })
}

fn delete(target: u64) -> Value {
    json!({ "kind": "delete", "target": target })
}

fn react(target: u64, emoji: &str) -> Value {
    json!({ "kind": "react", "target": target, "emoji": emoji })
}

fn send(room: &str, mut fields: Value) -> Value {
    fields["type"] = "send".into();
    fields["room"] = room.into();
    fields["client_id"] = ulid::fresh().into();
    fields
}

/// All of a room, as `history` shows it.
async fn history(session: &mut Session, room: &str) -> Result<Vec<Value>> {
    let (mut entries, mut after) = (Vec::new(), 0);
    loop {
        let request = json!({ "type": "history", "room": room, "after": after });
        let page = session.request(request).await?;
        entries.extend(page["entries"].as_array().with_context(|| page.to_string())?.clone());
        after = page["through"].as_u64().context("through")?;
        if page["more"] != true {
            return Ok(entries);
        }
    }
}

/// The texts that a message has had, or the code of the refusal.
async fn versions(session: &mut Session, room: &str, target: u64) -> Result<Vec<String>> {
    let request = json!({ "type": "versions", "room": room, "target": target });
    let answer = session.request(request).await?;
    let Some(versions) = answer["versions"].as_array() else { return Ok(vec![code(&answer)?]) };
    Ok(versions.iter().filter_map(|it| it["text"].as_str().map(str::to_owned)).collect())
}

/// Who has put an emoji on a message, or the code of the refusal.
async fn reacted(session: &mut Session, room: &str, target: u64, emoji: &str) -> Result<String> {
    let request = json!({ "type": "reactions", "room": room, "target": target, "emoji": emoji });
    let answer = session.request(request).await?;
    let Some(users) = answer["users"].as_array() else { return code(&answer) };
    Ok(users.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_is_seen_by_all_devices_and_in_history() -> Result<()> {
    let Three { room, mut phone, mut tablet, mut bobs, .. } = Three::new().await?;
    phone.acked(&room, json!({ "text": "one" })).await?;
    tablet.acked(&room, edit(1, "two")).await?;
    for session in [&mut phone, &mut tablet, &mut bobs] {
        assert_eq!(session.expect(&room, 1).await?["text"], "one");
        let edit = session.expect(&room, 2).await?;
        let told = (&edit["kind"], &edit["target"], &edit["text"], &edit["ordinal"]);
        assert_eq!(told, (&json!("edit"), &json!(1), &json!("two"), &json!(1)));
        let shown = history(session, &room).await?;
        assert_eq!((&shown[0]["text"], &shown[0]["edits"]), (&json!("two"), &json!([2])));
        assert_eq!(shown[0]["edited_at"], edit["time"]);
        assert_eq!(versions(session, &room, 1).await?, ["one", "two"]);
        assert_eq!(versions(session, &room, 2).await?, ["not_found"]);
    }
    assert_eq!(bobs.refused(&room, edit(1, "mine")).await?, "forbidden");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_edits_at_once_the_later_in_the_log_counts_everywhere() -> Result<()> {
    let Three { room, mut phone, mut tablet, mut bobs, .. } = Three::new().await?;
    let mut seq = 0;
    for _ in 0..10 {
        let target = phone.acked(&room, json!({ "text": "first" })).await?;
        assert_eq!(target, seq + 1);
        let by_phone = phone.begin(send(&room, edit(target, "by phone"))).await?;
        let by_tablet = tablet.begin(send(&room, edit(target, "by tablet"))).await?;
        let by_phone = phone.answer(by_phone).await?["seq"].as_u64().context("an ack")?;
        let by_tablet = tablet.answer(by_tablet).await?["seq"].as_u64().context("an ack")?;
        assert_eq!([by_phone.min(by_tablet), by_phone.max(by_tablet)], [target + 1, target + 2]);
        let winner = if by_phone > by_tablet { "by phone" } else { "by tablet" };
        seq = target + 2;
        for session in [&mut phone, &mut tablet, &mut bobs] {
            session.expect(&room, target + 1).await?;
            assert_eq!(session.expect(&room, seq).await?["text"], winner, "live");
            let shown = &history(session, &room).await?[target as usize - 1];
            assert_eq!((&shown["text"], &shown["edits"]), (&json!(winner), &json!([seq - 1, seq])));
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_reaction_is_on_a_deleted_message_and_counts_are_right() -> Result<()> {
    let Three { alice, bob, room, mut phone, mut tablet, mut bobs, .. } = Three::new().await?;
    for _ in 0..10 {
        let target = phone.acked(&room, json!({ "text": "here" })).await?;
        let kept = phone.acked(&room, json!({ "text": "kept" })).await?;
        let reacts = bobs.begin(send(&room, react(target, "+"))).await?;
        let deletes = phone.begin(send(&room, delete(target))).await?;
        for session in [&mut tablet, &mut bobs] {
            session.acked(&room, react(kept, "+")).await?;
        }
        let deleted = phone.answer(deletes).await?["seq"].as_u64().context("an ack")?;
        let answer = bobs.answer(reacts).await?;
        match answer["seq"].as_u64() {
            Some(seq) => assert!(seq < deleted, "{answer}"),
            None => assert_eq!(code(&answer)?, "deleted"),
        }
        let shown = history(&mut tablet, &room).await?;
        let [gone, shown] = [target, kept].map(|seq| &shown[seq as usize - 1]);
        let told = (&gone["kind"], &gone["by"], gone.get("reactions"), gone.get("text"));
        assert_eq!(told, (&json!("deleted"), &json!(deleted), None, None));
        assert_eq!(reacted(&mut bobs, &room, target, "+").await?, "deleted");
        assert_eq!(versions(&mut bobs, &room, target).await?, ["deleted"]);
        assert_eq!(shown["reactions"], json!([{ "emoji": "+", "count": 2, "own": true }]));
        let both = format!("{} {}", alice.user, bob.user);
        assert_eq!(reacted(&mut phone, &room, kept, "+").await?, both);
        bobs.acked(&room, json!({ "kind": "unreact", "target": kept, "emoji": "+" })).await?;
        assert_eq!(reacted(&mut phone, &room, kept, "+").await?, alice.user);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_removed_while_an_edit_is_underway_has_made_it_or_not() -> Result<()> {
    let Three { bob, mut phone, mut bobs, .. } = Three::new().await?;
    for _ in 0..10 {
        let group = unique("group");
        let create = json!({ "kind": "create", "title": "T", "members": [bob.user] });
        phone.acked(&group, create).await?;
        bobs.acked(&group, json!({ "text": "one" })).await?;
        let edits = bobs.begin(send(&group, edit(2, "two"))).await?;
        let removes = json!({ "kind": "remove", "user": bob.user });
        let removed = phone.acked(&group, removes).await?;
        let answer = bobs.answer(edits).await?;
        let texts: &[&str] = match answer["seq"].as_u64() {
            Some(seq) => {
                assert!(seq < removed, "{answer}");
                &["one", "two"]
            }
            None => {
                assert_eq!(code(&answer)?, "not_member");
                &["one"]
            }
        };
        assert_eq!(history(&mut phone, &group).await?[1]["text"], *texts.last().context("one")?);
        // What came of it later is not for who has left.
        for session in [&mut phone, &mut bobs] {
            assert_eq!(versions(session, &group, 2).await?, texts);
        }
        assert_eq!(history(&mut bobs, &group).await?[1]["text"], "one");
        phone.acked(&group, delete(2)).await?;
        assert_eq!(history(&mut bobs, &group).await?[1]["kind"], "deleted");
        assert_eq!(reacted(&mut bobs, &group, 2, "+").await?, "not_member");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admins_delete_what_others_say_and_members_do_not() -> Result<()> {
    let Three { system, alice, bob, mut phone, mut bobs, .. } = Three::new().await?;
    let (group, carol) = (unique("group"), system.user("carol").await?);
    let create = json!({ "kind": "create", "title": "T", "members": [bob.user, carol.user] });
    phone.acked(&group, create).await?;
    let mut carols = system.session(&carol).await?;
    let says = async |session: &mut Session| session.acked(&group, json!({ "text": "x" })).await;
    let (of_alice, of_bob) = (says(&mut phone).await?, says(&mut bobs).await?);
    let of_carol = says(&mut carols).await?;
    assert_eq!(bobs.refused(&group, delete(of_carol)).await?, "forbidden");
    let admin = json!({ "kind": "role", "user": bob.user, "role": "admin" });
    phone.acked(&group, admin).await?;
    bobs.acked(&group, delete(of_carol)).await?;
    bobs.acked(&group, delete(of_alice)).await?;
    phone.acked(&group, delete(of_bob)).await?;
    assert_eq!(phone.refused(&group, edit(of_alice, "again")).await?, "deleted");
    let shown = history(&mut carols, &group).await?;
    let from: Vec<_> = shown
        .iter()
        .filter(|entry| entry["kind"] == "deleted")
        .map(|entry| entry["from"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(from, [&alice.user, &bob.user, &carol.user]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_of_it_is_possible_by_http() -> Result<()> {
    let Three { system, alice, bob, room, .. } = Three::new().await?;
    let entries = format!("/v1/rooms/{room}/entries");
    let post = async |login: &Login, body: Value| {
        let answer = login.call(system.edge(), "POST", &entries, &body).await?;
        anyhow::Ok((answer.status, answer.body["seq"].clone(), answer.code().to_owned()))
    };
    let get = async |login: &Login, path: &str| {
        login.call(system.edge(), "GET", &format!("{entries}{path}"), &Value::Null).await
    };
    let none = Value::Null;
    let ranges = json!([{ "at": 0, "len": 3, "style": "bold" }]);
    let bold = json!({ "kind": "edit", "target": 1, "text": "two", "ranges": ranges });
    for (login, body, expected) in [
        (&alice, json!({ "text": "one" }), (201, json!(1), "")),
        (&alice, bold, (201, json!(2), "")),
        (&bob, react(1, "👍"), (201, json!(3), "")),
        (&bob, react(1, "👍"), (409, none.clone(), "unchanged")),
        (&bob, react(1, "a b"), (400, none.clone(), "bad_request")),
        (&bob, edit(1, "mine"), (403, none.clone(), "forbidden")),
        (&bob, delete(1), (403, none.clone(), "forbidden")),
        (&alice, edit(2, "of an edit"), (404, none.clone(), "not_found")),
        (&alice, json!({ "kind": "edit", "text": "x" }), (400, none.clone(), "bad_request")),
        (&alice, json!({ "text": "other" }), (201, json!(4), "")),
    ] {
        let (status, seq, code) = post(login, body.clone()).await?;
        assert_eq!((status, seq, &*code), expected, "{body}");
    }
    let versions = get(&bob, "/1/versions").await?;
    let [first, second] = [0, 1].map(|at| &versions.body["versions"][at]);
    assert_eq!(
        (versions.status, &second["text"], &second["ranges"]),
        (200, &json!("two"), &ranges)
    );
    assert_eq!((&first["text"], first.get("ranges")), (&json!("one"), None));
    assert_eq!(get(&bob, "/1/versions?after=1").await?.body["versions"][0]["seq"], 2);
    let reactions = get(&alice, "/1/reactions?emoji=%F0%9F%91%8D").await?;
    let users = json!({ "type": "reactions", "room": room, "target": 1, "emoji": "👍",
        "users": [bob.user], "more": false });
    assert_eq!((reactions.status, reactions.body), (200, users));
    for (path, status, code) in [
        ("/2/versions", 404, "not_found"),
        ("/0/versions", 400, "bad_request"),
        ("/x/versions", 400, "bad_request"),
        ("/1/reactions", 400, "bad_request"),
        ("?around=1&before=2", 400, "bad_request"),
    ] {
        let answer = get(&alice, path).await?;
        assert_eq!((answer.status, answer.code()), (status, code), "{path}");
    }
    assert_eq!(post(&alice, delete(1)).await?, (201, json!(5), String::new()));
    assert_eq!(post(&bob, react(1, "+")).await?, (410, none, "deleted".into()));
    let answer = get(&alice, "/1/versions").await?;
    assert_eq!((answer.status, answer.code()), (410, "deleted"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_begins_around_an_entry_or_at_a_time() -> Result<()> {
    let Three { system, alice, room, mut phone, mut bobs, .. } = Three::new().await?;
    for number in 1..=20 {
        phone.acked(&room, json!({ "text": number.to_string() })).await?;
    }
    phone.acked(&room, edit(10, "ten")).await?;
    let request = json!({ "type": "history", "room": room, "around": 10, "limit": 4 });
    let page = bobs.request(request).await?;
    let seqs = |page: &Value| {
        let entries = page["entries"].as_array().cloned().unwrap_or_default();
        entries.iter().filter_map(|entry| entry["seq"].as_u64()).collect::<Vec<_>>()
    };
    assert_eq!(seqs(&page), [8, 9, 10, 11], "{page}");
    assert_eq!((&page["more_before"], &page["more_after"]), (&json!(true), &json!(true)));
    assert_eq!((&page["entries"][2]["text"], page.get("more")), (&json!("ten"), None));
    let mut before = json!({ "type": "history", "room": room, "limit": 2 });
    let mut after = before.clone();
    (before["before"], after["after"]) = (page["from"].clone(), page["through"].clone());
    assert_eq!(seqs(&bobs.request(before).await?), [6, 7]);
    assert_eq!(seqs(&bobs.request(after).await?), [12, 13]);

    let all = history(&mut bobs, &room).await?;
    let time = all[11]["time"].as_u64().context("time")?;
    let first = all.iter().find(|entry| entry["time"].as_u64() >= Some(time)).context("first")?;
    let path = format!("/v1/rooms/{room}/entries?at={time}&limit=3");
    let page = alice.call(system.edge(), "GET", &path, &Value::Null).await?.body;
    assert_eq!((&page["entries"][0], seqs(&page).len()), (first, 3), "{page}");
    let late = json!({ "type": "history", "room": room, "at": time + 3_600_000 });
    let late = bobs.request(late).await?;
    assert_eq!((seqs(&late), &late["from"], &late["through"]), (vec![], &json!(22), &json!(21)));
    assert_eq!((&late["more_before"], &late["more_after"]), (&json!(true), &json!(false)));
    Ok(())
}
