//! What users are to each other: contacts, and whom they block.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use weft_harness::account::Login;
use weft_harness::onlooker::Onlooker;
use weft_harness::proxy::{Fault, Towards};
use weft_harness::session::{LIMIT, Session, code};
use weft_harness::system::{Options, System, direct, unique};
use weft_harness::wait::{until, within};

/// Within this time after it was lost, a change is on the socket: edges look every 15 s.
const HEAL_LIMIT: Duration = Duration::from_secs(20);

async fn relate(session: &mut Session, other: &Login, mut fields: Value) -> Result<()> {
    fields["type"] = "relation".into();
    fields["user"] = other.user.as_str().into();
    let answer = session.request(fields.clone()).await?;
    ensure!(answer["type"] == "done", "{fields}: {answer}");
    Ok(())
}

fn told(other: &Login, contact: bool, blocked: bool) -> Value {
    json!({ "type": "relation", "user": other.user, "contact": contact, "blocked": blocked })
}

/// Whom the user knows and blocks, as a request says.
async fn relations(session: &mut Session) -> Result<Value> {
    let answer = session.request(json!({ "type": "relations" })).await?;
    ensure!(answer["type"] == "relations" && answer["more"] == false, "{answer}");
    Ok(answer["relations"].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_devices_of_a_user_know_what_others_are_to_them_and_nobody_else() -> Result<()> {
    let system = System::split(Options::default()).await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let (here, there) = (system.edges()[0], system.edges()[1]);
    let mut phone = Session::open(here, &alice, None).await?;
    let tablet_login = system.device(&alice.user, "tablet").await?;
    let mut tablet = Session::open(there, &tablet_login, None).await?;
    let mut bobs = Session::open(there, &bob, None).await?;

    relate(&mut phone, &bob, json!({ "contact": true })).await?;
    for session in [&mut phone, &mut tablet] {
        assert_eq!(session.told("relation", &bob.user).await?, told(&bob, true, false));
    }
    let path = format!("/v1/relations/{}", bob.user);
    let blocked = json!({ "blocked": true });
    assert_eq!(alice.call(there, "PUT", &path, &blocked).await?.status, 204);
    let expected = json!([{ "user": bob.user, "contact": true, "blocked": true }]);
    for session in [&mut phone, &mut tablet] {
        assert_eq!(session.told("relation", &bob.user).await?, told(&bob, true, true));
        assert_eq!(relations(session).await?, expected);
    }
    let listed = alice.call(here, "GET", "/v1/relations?limit=1", &Value::Null).await?;
    assert_eq!((listed.status, &listed.body["relations"]), (200, &expected));
    // What a session says is done in its order.
    let mut underway = Vec::new();
    for blocked in [false, true, false] {
        let fields = json!({ "type": "relation", "user": bob.user, "blocked": blocked });
        underway.push(phone.begin(fields).await?);
    }
    for id in underway {
        assert_eq!(phone.answer(id).await?["type"], "done");
    }
    assert_eq!(relations(&mut tablet).await?[0]["blocked"], false);
    relate(&mut tablet, &bob, json!({ "contact": false })).await?;
    assert_eq!(relations(&mut phone).await?, json!([]));

    for (other, fields, refused) in [
        (bob.user.as_str(), json!({}), "bad_request"),
        (alice.user.as_str(), json!({ "contact": true }), "bad_request"),
        ("nobody", json!({ "contact": true }), "no_such_user"),
        ("a.b", json!({ "contact": true }), "bad_id"),
    ] {
        let mut request = fields;
        request["type"] = "relation".into();
        request["user"] = other.into();
        assert_eq!(code(&phone.request(request).await?)?, refused);
    }
    let wrong = json!({ "user": alice.user, "contact": true });
    assert_eq!(alice.call(here, "PUT", &path, &wrong).await?.status, 400);
    assert_eq!(relations(&mut bobs).await?, json!([]));
    for of in [&alice.user, &bob.user] {
        assert_eq!(bobs.told_so_far("relation", of).await?, Vec::<Value>::new());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_wire_loses_is_found_by_an_audit_and_by_a_sync() -> Result<()> {
    let system = System::split(Options { proxied: true, ..Options::default() }).await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let tablet_login = system.device(&alice.user, "tablet").await?;
    let mut phone = Session::open(system.edges()[0], &alice, None).await?;
    let mut tablet = Session::open(system.edges()[1], &tablet_login, None).await?;
    let lost = async |phone: &mut Session, fields: Value| -> Result<()> {
        let proxy = system.proxy("edge-1");
        let before = proxy.counts().to_client.swallowed;
        let subject_prefix = format!("weft.u.{}", alice.user);
        proxy.set_towards(Towards::Client, Fault::SwallowOne { subject_prefix });
        relate(phone, &bob, fields).await?;
        let is_lost = async || (proxy.counts().to_client.swallowed > before).then_some(());
        until("the message is lost", HEAL_LIMIT, is_lost).await;
        Ok(())
    };
    lost(&mut phone, json!({ "contact": true })).await?;
    let found = within("the relation", HEAL_LIMIT, tablet.told("relation", &bob.user)).await?;
    assert_eq!(found, told(&bob, true, false));
    let cursor = within("a cursor", HEAL_LIMIT, tablet.next_cursor()).await?;
    lost(&mut phone, json!({ "contact": false })).await?;
    drop(tablet);
    let mut tablet = Session::open(system.edges()[1], &tablet_login, Some(&cursor)).await?;
    assert_eq!(tablet.synced["recovered"], true, "{}", tablet.synced);
    assert_eq!(tablet.told_so_far("relation", &bob.user).await?, [told(&bob, false, false)]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_is_kept_when_core_and_an_edge_are_killed() -> Result<()> {
    let system = System::split(Options::default()).await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let mut phone = Session::open(system.edges()[0], &alice, None).await?;
    let cursor = phone.cursor();
    relate(&mut phone, &bob, json!({ "blocked": true })).await?;
    for part in ["core", "edge-0"] {
        system.process(part).kill()?;
    }
    for part in ["core", "edge-0"] {
        system.process(part).restart()?;
    }
    system.ready().await;
    let mut resumed = Session::open(system.edges()[1], &alice, Some(&cursor)).await?;
    assert_eq!(resumed.synced["recovered"], true, "{}", resumed.synced);
    assert_eq!(resumed.told("relation", &bob.user).await?, told(&bob, false, true));
    assert_eq!(relations(&mut resumed).await?[0]["blocked"], true);
    Ok(())
}

/// Two users who talk, each with a session and somebody who looks, at edges of their own; and a third one, who shares a group
/// with both.
struct Talk {
    system: System,
    alice: Login,
    bob: Login,
    room: String,
    group: String,
    alices: Session,
    bobs: Session,
    alice_looks: Onlooker,
    bob_looks: Onlooker,
    carol_looks: Onlooker,
}

impl Talk {
    async fn begin(options: Options) -> Result<Self> {
        let system = System::split(Options { presences: 1, ..options }).await?;
        let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
        let carol = system.user("carol").await?;
        let (here, there) = (system.edges()[0], system.edges()[1]);
        let (room, group) = (direct(&alice, &bob), unique("group"));
        let mut alices = Session::open(here, &alice, None).await?;
        let mut bobs = Session::open(there, &bob, None).await?;
        let members = [&bob.user, &carol.user];
        let create = json!({ "kind": "create", "title": "T", "members": members });
        alices.acked(&group, create).await?;
        alices.acked(&room, json!({ "text": "hello" })).await?;
        bobs.acked(&room, json!({ "text": "hi" })).await?;
        let alice_looks = system.device(&alice.user, "looks").await?;
        let alice_looks = Onlooker::open(here, &alice_looks).await?;
        let bob_looks = system.device(&bob.user, "looks").await?;
        let bob_looks = Onlooker::open(there, &bob_looks).await?;
        let carol_looks = Onlooker::open(here, &carol).await?;
        Ok(Self {
            system,
            alice,
            bob,
            room,
            group,
            alices,
            bobs,
            alice_looks,
            bob_looks,
            carol_looks,
        })
    }

    /// What both see of each other: presence, marks and typing.
    async fn see_each_other(&mut self) -> Result<()> {
        self.alice_looks.sees(&self.bob.user, "online", LIMIT).await;
        self.bob_looks.sees(&self.alice.user, "online", LIMIT).await;
        let (newest, room) = (self.newest().await?, self.room.clone());
        for turn in 0..2 {
            let (from, to) = self.turn(turn);
            say(from, "mark", &room, json!({ "read": newest })).await?;
            while to.told("mark", &room).await?["read"] != newest {}
            say(from, "typing", &room, json!({})).await?;
            to.told("typing", &room).await?;
        }
        Ok(())
    }

    /// Who does something, and who may hear of it.
    fn turn(&mut self, turn: u8) -> (&mut Session, &mut Session) {
        let (alices, bobs) = (&mut self.alices, &mut self.bobs);
        if turn == 0 { (alices, bobs) } else { (bobs, alices) }
    }

    async fn newest(&mut self) -> Result<u64> {
        let room = self.alices.request(json!({ "type": "room", "room": self.room })).await?;
        room["seq"].as_u64().with_context(|| format!("{room}"))
    }

    async fn block(&mut self, blocked: bool) -> Result<()> {
        relate(&mut self.alices, &self.bob, json!({ "blocked": blocked })).await
    }
}

async fn say(session: &mut Session, word: &str, room: &str, mut fields: Value) -> Result<()> {
    fields["type"] = word.into();
    fields["room"] = room.into();
    let answer = session.request(fields.clone()).await?;
    ensure!(answer["type"] == "done", "{fields}: {answer}");
    Ok(())
}

/// Whom a device may see of these users.
async fn seen(onlooker: &Onlooker, users: &[&Login]) -> Result<Vec<String>> {
    let users: Vec<&str> = users.iter().map(|login| login.user.as_str()).collect();
    let answer = onlooker.done(json!({ "type": "presence.get", "users": users })).await?;
    let users = answer["users"].as_array().cloned().unwrap_or_default();
    Ok(users.iter().filter_map(|it| it["user"].as_str().map(str::to_owned)).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_blocked_user_nothing_comes_either_way_until_they_are_unblocked() -> Result<()> {
    let mut talk = Talk::begin(Options::default()).await?;
    talk.see_each_other().await?;
    talk.block(true).await?;
    // Every message that is sent after the answer is refused, at both edges and by HTTP.
    let room = talk.room.clone();
    for session in [&mut talk.bobs, &mut talk.alices] {
        for fields in [
            json!({ "text": "late" }),
            json!({ "kind": "edit", "target": 2, "text": "late" }),
            json!({ "kind": "react", "target": 1, "emoji": "+" }),
        ] {
            assert_eq!(session.refused(&room, fields).await?, "not_allowed");
        }
    }
    let path = format!("/v1/rooms/{room}/entries");
    let (edge, late) = (talk.system.edges()[0], json!({ "text": "late" }));
    let by_http = talk.bob.call(edge, "POST", &path, &late).await?;
    assert_eq!((by_http.status, by_http.code()), (403, "not_allowed"));
    // Live sessions see no more of each other; a third one sees both.
    let (before_alice, before_bob) = (
        talk.alice_looks.words(&talk.bob.user).len(),
        talk.bob_looks.words(&talk.alice.user).len(),
    );
    for (device, user) in [(&talk.alice_looks, &talk.alice), (&talk.bob_looks, &talk.bob)] {
        device.done(json!({ "type": "presence.set", "status": "dnd" })).await?;
        talk.carol_looks.sees(&user.user, "dnd", LIMIT).await;
        device.sees(&user.user, "dnd", LIMIT).await;
    }
    assert!(seen(&talk.alice_looks, &[&talk.bob]).await?.is_empty());
    assert!(seen(&talk.bob_looks, &[&talk.alice]).await?.is_empty());
    assert_eq!(talk.alice_looks.words(&talk.bob.user).len(), before_alice);
    assert_eq!(talk.bob_looks.words(&talk.alice.user).len(), before_bob);
    // Nor do they hear who types, or up to where the other one has read.
    let newest = talk.newest().await?;
    let group = talk.group.clone();
    for turn in 0..2 {
        let (from, to) = talk.turn(turn);
        to.told_so_far("mark", &room).await?;
        to.told_so_far("typing", &room).await?;
        say(from, "typing", &room, json!({})).await?;
        say(from, "mark", &room, json!({ "unread_from": 1 })).await?;
        say(from, "mark", &room, json!({ "read": newest })).await?;
        // What edges say of typing comes in its order.
        say(from, "typing", &group, json!({})).await?;
        to.told("typing", &group).await?;
        assert_eq!(to.told_so_far("typing", &room).await?, Vec::<Value>::new());
    }
    // Up to the second cursor after that, at the latest, everything is on the sockets.
    for text in ["one", "two"] {
        for turn in 0..2 {
            let (from, to) = talk.turn(turn);
            let seq = from.acked(&group, json!({ "text": text })).await?;
            to.expect(&group, seq).await?;
            // Who only waits is taken to be away.
            for session in [from, &mut *to] {
                session.told_so_far("mark", &group).await?;
            }
            within("a cursor", HEAL_LIMIT, to.next_cursor()).await?;
        }
    }
    for session in [&mut talk.alices, &mut talk.bobs] {
        let marks = session.told_so_far("mark", &room).await?;
        assert!(marks.iter().all(|mark| !mark["read_ordinal"].is_null()), "{marks:?}");
    }
    // In a common group their messages come as ever; a group of their own is another thing.
    let fresh = unique("group");
    let create = json!({ "kind": "create", "title": "T", "members": [talk.alice.user] });
    assert_eq!(talk.bobs.refused(&fresh, create).await?, "not_allowed");
    talk.bobs.acked(&fresh, json!({ "kind": "create", "title": "T" })).await?;
    let add = json!({ "kind": "add", "user": talk.alice.user });
    assert_eq!(talk.bobs.refused(&fresh, add).await?, "not_allowed");
    // The lists show the room, without what the other one has read.
    for session in [&mut talk.alices, &mut talk.bobs] {
        let shown = session.request(json!({ "type": "room", "room": room })).await?;
        let partner = &shown["partner"];
        assert!(partner["display_name"].is_string() && partner["read"].is_null(), "{shown}");
    }
    talk.block(false).await?;
    let seq = talk.bobs.acked(&room, json!({ "text": "again" })).await?;
    talk.alices.expect(&room, seq).await?;
    for (device, user) in [(&talk.alice_looks, &talk.alice), (&talk.bob_looks, &talk.bob)] {
        device.done(json!({ "type": "presence.set", "status": "online" })).await?;
        device.sees(&user.user, "online", LIMIT).await;
    }
    talk.see_each_other().await
}

/// What is taken in the moment of a block, the log of their room says; and both sides' devices have exactly that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_write_while_one_blocks_the_other() -> Result<()> {
    let mut talk = Talk::begin(Options::default()).await?;
    let room = talk.room.clone();
    let tablet = talk.system.device(&talk.alice.user, "tablet").await?;
    let mut tablet = Session::open(talk.system.edges()[1], &tablet, None).await?;
    let (mut taken, mut refused) = (Vec::new(), 0);
    let mut writing = Vec::new();
    for number in 0..40 {
        let text = |who: &str| json!({ "type": "send", "room": room, "client_id": weft_harness::ulid::fresh(), "text": format!("{who} {number}") });
        writing
            .push((talk.bobs.begin(text("bob")).await?, talk.alices.begin(text("alice")).await?));
        if number == 20 {
            talk.block(true).await?;
        }
    }
    for (number, (bobs, alices)) in writing.into_iter().enumerate() {
        for answer in [talk.bobs.answer(bobs).await?, talk.alices.answer(alices).await?] {
            match answer["seq"].as_u64() {
                Some(seq) => {
                    ensure!(number <= 20, "{answer} was sent after the block was answered");
                    taken.push(seq);
                }
                None => {
                    assert_eq!(code(&answer)?, "not_allowed");
                    refused += 1;
                }
            }
        }
    }
    taken.sort_unstable();
    assert!(refused >= 38, "{refused} of 80 were refused");
    assert_eq!(taken, (3..3 + u64::try_from(taken.len())?).collect::<Vec<_>>(), "no hole");
    let newest = talk.newest().await?;
    assert_eq!(newest, taken.last().copied().unwrap_or(2));
    for session in [&mut talk.bobs, &mut talk.alices, &mut tablet] {
        if newest > 2 {
            session.expect(&room, newest).await?;
        }
        assert!(session.pushed_after(&room, newest).await?.is_empty());
    }
    Ok(())
}
