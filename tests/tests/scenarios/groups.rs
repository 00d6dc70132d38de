//! What groups are, who may be in them, and how they end up there: with real processes, on two edges.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use weft_harness::account::Login;
use weft_harness::session::{LIMIT, Session, code};
use weft_harness::system::{Options, System, unique};
use weft_harness::ulid;
use weft_harness::wait::until;

use crate::two_edges;

/// Each user at an edge of their own, as far as there are some.
async fn users<const N: usize>(system: &System) -> Result<([Login; N], [Session; N])> {
    let (mut logins, mut sessions) = (Vec::new(), Vec::new());
    for number in 0..N {
        let login = system.user(&format!("u{number}")).await?;
        let edge = system.edges()[number % system.edges().len()];
        sessions.push(Session::open(edge, &login, None).await?);
        logins.push(login);
    }
    let logins = logins.try_into().ok().context("as many")?;
    Ok((logins, sessions.try_into().ok().context("as many")?))
}

async fn create(owner: &mut Session, members: &[&Login]) -> Result<String> {
    let group = unique("group");
    let members: Vec<&str> = members.iter().map(|member| member.user.as_str()).collect();
    owner.acked(&group, json!({ "kind": "create", "title": "Tea", "members": members })).await?;
    Ok(group)
}

fn text(text: &str) -> Value {
    json!({ "text": text })
}

/// The room as its list says, and as `GET /v1/rooms/{room}` does.
async fn shown(system: &System, login: &Login, room: &str) -> Result<Value> {
    let path = format!("/v1/rooms/{room}");
    let one = login.call(system.edge(), "GET", &path, &Value::Null).await?.body;
    let page = login.call(system.edge(), "GET", "/v1/rooms", &Value::Null).await?.body;
    let rooms = page["rooms"].as_array().context("rooms")?;
    let listed = rooms.iter().find(|it| it["room"] == room).context("it is listed")?;
    for field in ["topic", "join", "write", "slow_mode_s", "members_max", "archived"] {
        assert_eq!(one[field], listed[field], "{field}");
    }
    Ok(one)
}

#[tokio::test]
async fn a_group_says_what_it_is_to_all_who_are_there() -> Result<()> {
    let system = two_edges().await;
    let ([_, bob], [mut a, mut b]) = users(system).await?;
    let group = create(&mut a, &[&bob]).await?;
    let before = shown(system, &bob, &group).await?;
    assert_eq!((&before["join"], &before["write"]), (&json!("invitation"), &json!("all")));
    assert_eq!(before["members_max"], 10_000);
    for absent in ["topic", "slow_mode_s", "archived"] {
        assert!(before[absent].is_null(), "{before}");
    }
    let update = json!({ "kind": "update", "topic": "Green tea", "write": "admins",
        "members_max": 50, "archived": true });
    assert_eq!(a.acked(&group, update.clone()).await?, 2);
    let entry = b.expect(&group, 2).await?;
    for field in ["kind", "topic", "write", "members_max", "archived"] {
        assert_eq!(entry[field], update[field], "{entry}");
    }
    assert!(entry["join"].is_null(), "{entry}");
    let now = shown(system, &bob, &group).await?;
    for field in ["topic", "write", "members_max", "archived"] {
        assert_eq!(now[field], update[field], "{now}");
    }
    assert_eq!((&now["unread"], &now["join"]), (&json!(0), &json!("invitation")), "{now}");
    assert_eq!(b.refused(&group, text("x")).await?, "archived");
    assert_eq!(a.refused(&group, json!({ "kind": "update", "topic": "" })).await?, "archived");
    a.acked(&group, json!({ "kind": "update", "archived": false })).await?;
    assert_eq!(b.refused(&group, text("x")).await?, "forbidden");
    assert_eq!(b.acked(&group, json!({ "kind": "leave" })).await?, 4);
    Ok(())
}

#[tokio::test]
async fn slow_mode_outlasts_a_core_that_is_killed() -> Result<()> {
    let system = System::split(Options::default()).await?;
    let ([_, bob], [mut a, mut b]) = users(&system).await?;
    let group = create(&mut a, &[&bob]).await?;
    a.acked(&group, json!({ "kind": "update", "slow_mode_s": 600 })).await?;
    b.acked(&group, text("one")).await?;
    let refused = b.entry(&group, text("two")).await?;
    assert_eq!(
        (code(&refused)?, &refused["error"]["temporary"]),
        ("slow_mode".into(), &json!(true))
    );
    let wait_ms = |answer: &Value| answer["error"]["retry_after_ms"].as_u64().context("a time");
    let first_ms = wait_ms(&refused)?;
    system.process("core").kill()?;
    system.process("core").restart()?;
    let refused = until("core is back", LIMIT, async || {
        let answer = b.entry(&group, text("two")).await.ok()?;
        (answer["error"]["code"] == "slow_mode").then_some(answer)
    })
    .await;
    let later_ms = wait_ms(&refused)?;
    assert!(later_ms < first_ms && later_ms > first_ms - 120_000, "{first_ms}, {later_ms}");
    assert_eq!(a.acked(&group, text("an owner")).await?, 4);
    Ok(())
}

#[tokio::test]
async fn who_is_banned_gets_nothing_more_and_does_not_come_back() -> Result<()> {
    let system = two_edges().await;
    let ([alice, bob, carol], [mut a, mut b, mut c]) = users(system).await?;
    let group = create(&mut a, &[&bob]).await?;
    let cursor = b.cursor();
    let ban = |user: &Login| json!({ "kind": "ban", "user": user.user });
    assert_eq!(b.refused(&group, ban(&carol)).await?, "forbidden");
    b.acked(&group, text("before")).await?;
    // Both say something in the same moment: the room's order decides.
    let (mut said, mut refused) = (0, Value::Null);
    let mut waiting = Vec::new();
    for _ in 0..10 {
        let fields =
            json!({ "type": "send", "room": group, "client_id": ulid::fresh(), "text": "x" });
        waiting.push(b.begin(fields).await?);
    }
    let banned_at = a.acked(&group, ban(&bob)).await?;
    for id in waiting {
        let answer = b.answer(id).await?;
        match answer["seq"].as_u64() {
            Some(seq) => {
                assert!(seq < banned_at, "{answer}");
                said += 1;
            }
            None => refused = answer,
        }
    }
    assert!(said == 10 || code(&refused)? == "not_member", "{refused}");
    assert_eq!(banned_at, 3 + said);
    let last = b.expect(&group, banned_at).await?;
    assert_eq!((&last["kind"], &last["removed"]), (&json!("ban"), &json!(true)), "{last}");
    for number in 0..5 {
        a.acked(&group, text(&format!("without bob {number}"))).await?;
    }
    assert_eq!(b.refused(&group, text("x")).await?, "not_member");
    assert_eq!(a.refused(&group, json!({ "kind": "add", "user": bob.user })).await?, "banned");
    // Something else comes after all that, live and by a sync: nothing of the group is on its way.
    let direct = weft_harness::system::direct(&alice, &bob);
    a.acked(&direct, text("a barrier")).await?;
    let mut resumed = Session::open(system.edges()[0], &bob, Some(&cursor)).await?;
    for session in [&mut b, &mut resumed] {
        session.expect(&direct, 1).await?;
        let pushed = session.pushed_after(&group, banned_at).await?;
        assert!(pushed.is_empty(), "{pushed:?}");
    }
    let read = json!({ "type": "history", "room": group, "after": 0 });
    let read = b.request(read).await?;
    let newest = read["entries"].as_array().and_then(|all| all.last()).context("entries")?;
    assert_eq!(newest["seq"], banned_at, "{newest}");
    // Who was never there is banned without a word.
    a.acked(&group, ban(&carol)).await?;
    let path = format!("/v1/rooms/{group}/banned");
    let listed = alice.call(system.edge(), "GET", &path, &Value::Null).await?.body;
    let mut banned = vec![bob.user.clone(), carol.user.clone()];
    banned.sort();
    let names = listed["banned"].as_array().context("banned")?;
    let names: Vec<&str> = names.iter().filter_map(|it| it["user"].as_str()).collect();
    assert_eq!(names, banned);
    let page = a.request(json!({ "type": "banned", "room": group, "limit": 1 })).await?;
    assert_eq!((page["banned"].as_array().map(Vec::len), &page["more"]), (Some(1), &json!(true)));
    a.acked(&group, json!({ "kind": "unban", "user": bob.user })).await?;
    let added = a.acked(&group, json!({ "kind": "add", "user": bob.user })).await?;
    b.expect(&group, added).await?;
    b.acked(&group, text("back")).await?;
    let asked = b.request(json!({ "type": "banned", "room": group })).await?;
    assert_eq!(code(&asked)?, "forbidden");
    let pushed = c.pushed_after(&group, 0).await?;
    assert!(pushed.is_empty(), "{pushed:?}");
    Ok(())
}

#[tokio::test]
async fn who_joins_an_open_group_goes_on_from_there() -> Result<()> {
    let system = two_edges().await;
    let ([_, bob], [mut a, mut b]) = users(system).await?;
    let group = create(&mut a, &[]).await?;
    let cursor = b.cursor();
    assert_eq!(b.refused(&group, json!({ "kind": "join" })).await?, "no_such_room");
    let nowhere = b.refused(&unique("nowhere"), json!({ "kind": "join" })).await?;
    assert_eq!(nowhere, "no_such_room");
    a.acked(&group, json!({ "kind": "update", "join": "open" })).await?;
    a.acked(&group, text("before")).await?;
    let joined = b.acked(&group, json!({ "kind": "join" })).await?;
    let entry = a.expect(&group, joined).await?;
    assert_eq!((&entry["kind"], &entry["from"]), (&json!("join"), &json!(bob.user)), "{entry}");
    a.acked(&group, text("welcome")).await?;
    let mut resumed = Session::open(system.edges()[0], &bob, Some(&cursor)).await?;
    for session in [&mut b, &mut resumed] {
        for seq in [joined, joined + 1] {
            session.expect(&group, seq).await?;
        }
        let earlier = session.pushed_after(&group, 0).await?;
        assert!(earlier.is_empty(), "{earlier:?}");
    }
    let shown = shown(system, &bob, &group).await?;
    assert_eq!((&shown["role"], &shown["unread"]), (&json!("member"), &json!(1)), "{shown}");
    Ok(())
}

#[tokio::test]
async fn two_come_at_the_last_use_of_a_link_on_two_edges_and_one_is_in() -> Result<()> {
    let system = two_edges().await;
    let ([alice, bob, _], [mut a, mut b, mut c]) = users(system).await?;
    let group = create(&mut a, &[]).await?;
    let path = format!("/v1/rooms/{group}/links");
    let asked = bob.call(system.edge(), "POST", &path, &json!({})).await?;
    assert_eq!(asked.status, 404, "{:?}", asked.body);
    let made = alice.call(system.edge(), "POST", &path, &json!({ "uses": 1 })).await?;
    assert_eq!(made.status, 201, "{:?}", made.body);
    let link = made.body["link"].as_str().context("a token")?.to_owned();
    let join = json!({ "kind": "join", "link": link });
    let send = |client_id: String| {
        let mut fields = join.clone();
        fields["type"] = "send".into();
        fields["room"] = group.clone().into();
        fields["client_id"] = client_id.into();
        fields
    };
    let (bobs, carols) = (b.begin(send(ulid::fresh())).await?, c.begin(send(ulid::fresh())).await?);
    let answers = [b.answer(bobs).await?, c.answer(carols).await?];
    let is_in = answers.iter().filter(|answer| answer["type"] == "ack").count();
    let is_out = answers.iter().filter(|it| it["error"]["code"] == "link_used_up").count();
    assert_eq!((is_in, is_out), (1, 1), "{answers:?}");
    let entry = a.expect(&group, 2).await?;
    assert_eq!(entry["kind"], "join");
    assert!(!entry.to_string().contains(&link), "{entry}");
    let listed = a.request(json!({ "type": "links", "room": group })).await?;
    assert_eq!(listed["links"], json!([]), "what is used up is not listed");
    // Whoever was too late comes by another one, which is taken back then.
    let (late, other) = match answers[0]["type"] == "ack" {
        true => (&mut c, &mut b),
        false => (&mut b, &mut c),
    };
    let own = "own-token-0123456789-abcdef";
    let asked = json!({ "type": "link", "room": group, "link": own });
    let refused = other.request(asked.clone()).await?;
    assert_eq!(code(&refused)?, "forbidden");
    let made = a.request(asked.clone()).await?;
    assert_eq!((&made["type"], &made["link"]), (&json!("link"), &json!(own)), "{made}");
    assert_eq!(a.request(asked).await?["link_id"], made["link_id"], "the same again");
    late.acked(&group, json!({ "kind": "join", "link": own })).await?;
    let listed = alice.call(system.edge(), "GET", &path, &Value::Null).await?.body;
    let shown = &listed["links"][0];
    assert_eq!((&shown["link_id"], &shown["used"]), (&made["link_id"], &json!(1)), "{listed}");
    assert!(!listed.to_string().contains(own) && shown["by"] == alice.user.as_str(), "{listed}");
    let one = format!("{path}/{}", made["link_id"].as_str().context("an id")?);
    let gone = alice.call(system.edge(), "DELETE", &one, &Value::Null).await?;
    assert_eq!(gone.status, 204, "{:?}", gone.body);
    let again = alice.call(system.edge(), "DELETE", &one, &Value::Null).await?;
    assert_eq!(again.body["error"]["code"], "no_such_link", "{:?}", again.body);
    // From the outside a wrong link, a private group and none look alike.
    let dave = system.user("dave").await?;
    let mut d = system.session(&dave).await?;
    for room in [group.clone(), unique("nowhere")] {
        assert_eq!(d.refused(&room, json!({ "kind": "join", "link": own })).await?, "no_such_link");
        assert_eq!(d.refused(&room, json!({ "kind": "join" })).await?, "no_such_room");
    }
    Ok(())
}

#[tokio::test]
async fn a_create_without_a_name_makes_one_group_at_whichever_edge() -> Result<()> {
    let system = two_edges().await;
    let ([alice, bob], [mut a, mut b]) = users(system).await?;
    let tablet = system.device(&alice.user, "tablet").await?;
    let mut t = Session::open(system.edges()[1], &tablet, None).await?;
    let client_id = ulid::fresh();
    let create = json!({ "type": "send", "kind": "create", "title": "T", "client_id": client_id });
    let first = a.request(create.clone()).await?;
    let group = first["room"].as_str().context("a room")?.to_owned();
    assert!(group.starts_with("g-") && group.len() == 28, "{first}");
    let again = t.request(create.clone()).await?;
    let fields = json!({ "title": "T", "client_id": client_id });
    let by_http = alice.call(system.edges()[1], "POST", "/v1/rooms", &fields).await?;
    assert_eq!(by_http.status, 201, "{:?}", by_http.body);
    for field in ["type", "room", "seq", "time"] {
        assert_eq!((&again[field], &by_http.body[field]), (&first[field], &first[field]));
    }
    // The same id of somebody else is another group, and what is no create has a room.
    let other = b.request(create).await?;
    assert!(other["type"] == "ack" && other["room"] != group.as_str(), "{other}");
    let text = json!({ "type": "send", "text": "x", "client_id": ulid::fresh() });
    assert_eq!(code(&a.request(text).await?)?, "bad_request");
    let chosen = unique("chosen");
    let fields = json!({ "title": "T", "room": chosen });
    let made = bob.call(system.edge(), "POST", "/v1/rooms", &fields).await?;
    assert_eq!((made.status, &made.body["room"]), (201, &json!(chosen)), "{:?}", made.body);
    let taken = alice.call(system.edge(), "POST", "/v1/rooms", &fields).await?;
    assert_eq!((taken.status, taken.code()), (409, "room_exists"));
    // Who never was there can't tell it from one that is not there.
    for room in [&group, &unique("nowhere")] {
        for word in ["room", "members", "history", "pins", "threads", "banned", "links", "typing"] {
            let answer = b.request(json!({ "type": word, "room": room })).await?;
            assert_eq!(code(&answer)?, "no_such_room", "{word}");
        }
        assert_eq!(b.refused(room, json!({ "text": "x" })).await?, "no_such_room");
        assert_eq!(b.refused(room, json!({ "kind": "leave" })).await?, "no_such_room");
        let mark = b.request(json!({ "type": "mark", "room": room, "read": 1 })).await?;
        assert_eq!(code(&mark)?, "no_such_room");
    }
    Ok(())
}

#[tokio::test]
async fn two_owners_who_remove_each_other_at_once_are_one_owner() -> Result<()> {
    let system = two_edges().await;
    let ([alice, bob], [mut a, mut b]) = users(system).await?;
    let group = create(&mut a, &[&bob]).await?;
    let remove = |user: &Login| json!({ "kind": "remove", "user": user.user });
    assert_eq!(a.refused(&group, remove(&alice)).await?, "bad_request");
    assert_eq!(a.refused(&group, json!({ "kind": "leave" })).await?, "forbidden");
    // Of two admins neither may.
    a.acked(&group, json!({ "kind": "role", "user": bob.user, "role": "admin" })).await?;
    assert_eq!(b.refused(&group, remove(&alice)).await?, "forbidden");
    a.acked(&group, json!({ "kind": "role", "user": bob.user, "role": "owner" })).await?;
    let send = |user: &Login| {
        json!({ "type": "send", "room": group, "client_id": ulid::fresh(), "kind": "remove",
            "user": user.user })
    };
    let (bobs, alices) = (a.begin(send(&bob)).await?, b.begin(send(&alice)).await?);
    let answers = [a.answer(bobs).await?, b.answer(alices).await?];
    let is_done = answers.iter().filter(|answer| answer["type"] == "ack").count();
    let is_out = answers.iter().filter(|it| it["error"]["code"] == "not_member").count();
    assert_eq!((is_done, is_out), (1, 1), "{answers:?}");
    let left = if answers[0]["type"] == "ack" { &mut a } else { &mut b };
    let page = left.request(json!({ "type": "members", "room": group })).await?;
    let members = page["members"].as_array().context("members")?;
    assert_eq!((members.len(), &members[0]["role"]), (1, &json!("owner")), "{page}");
    left.acked(&group, json!({ "kind": "leave" })).await?;
    Ok(())
}
