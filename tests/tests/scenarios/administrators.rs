//! Administrators of the installation: who they are, what they do with accounts, and that it is told.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use weft_harness::account::{self, Login, PASSWORD};
use weft_harness::http::{self, Answer};
use weft_harness::metrics::Metrics;
use weft_harness::session::{Session, code};
use weft_harness::socket::Socket;
use weft_harness::system::{BOT, Options, System, direct, unique};
use weft_harness::wait::until;

use crate::two_edges;

const CLOSE_LIMIT: Duration = Duration::from_secs(15);
/// An edge keeps for 5 s that a login lasts.
const KEPT_LIMIT: Duration = Duration::from_secs(20);

/// A new administrator, whom an operator makes one.
async fn administrator(system: &System) -> Result<Login> {
    let root = system.user("root").await?;
    system.operated(&["make-administrator", &root.user]).await?;
    Ok(root)
}

/// Something is done to a user.
async fn act(by: &Login, edge: SocketAddr, user: &str, action: &str) -> Result<Answer> {
    let path = format!("/v1/admin/users/{user}/{action}");
    by.call(edge, "POST", &path, &json!({ "reason": "spam" })).await
}

async fn log_in(edge: SocketAddr, user: &str, fields: Value) -> Result<Answer> {
    let mut body = json!({ "user": user, "device": "phone" });
    for (name, value) in fields.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    http::call(edge, "POST", "/v1/login", None, &body).await
}

/// What the log says of a user: by whom, what, and why. Newest first.
async fn told(by: &Login, edge: SocketAddr, user: &str) -> Result<Vec<(String, String, String)>> {
    let (mut rows, mut before) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/admin/log?limit=2&before={before}");
        let answer = by.call(edge, "GET", &path, &Value::Null).await?;
        ensure!(answer.status == 200, "{answer:?}");
        let page = answer.body["rows"].as_array().cloned().unwrap_or_default();
        let field = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
        for row in &page {
            assert!(row["time"].as_u64().is_some_and(|time| time > 0), "{row}");
            if row["user"] == user {
                rows.push((field(row, "by"), field(row, "action"), field(row, "reason")));
            }
        }
        if answer.body["more"] != true {
            return Ok(rows);
        }
        before = page.last().map(|row| field(row, "id")).unwrap_or_default();
    }
}

fn row(by: &str, action: &str, reason: &str) -> (String, String, String) {
    (by.to_owned(), action.to_owned(), reason.to_owned())
}

#[tokio::test]
async fn a_suspended_user_is_out_with_all_devices_at_once() -> Result<()> {
    let system = two_edges().await;
    let [edge, other_edge] = system.edges() else { panic!("two edges") };
    let root = administrator(system).await?;
    let (phone, friend) = (system.user("alice").await?, system.user("bob").await?);
    let (laptop, tablet) =
        (system.device(&phone.user, "laptop").await?, system.device(&phone.user, "tablet").await?);
    let room = direct(&phone, &friend);
    let mut sessions = Vec::new();
    for (at, device) in [(edge, &phone), (other_edge, &laptop), (other_edge, &tablet)] {
        let mut session = Session::open(*at, device, None).await?;
        session.acked(&room, json!({ "text": "hello" })).await?;
        sessions.push(session);
    }
    let answer = act(&root, *edge, &phone.user, "suspend").await?;
    assert_eq!(answer.status, 204, "{answer:?}");
    for mut session in sessions {
        assert_eq!(session.closed_within(CLOSE_LIMIT).await?, 4104);
    }
    for device in [&phone, &laptop, &tablet] {
        for at in [*edge, *other_edge] {
            let read = device.call(at, "GET", "/v1/profile", &Value::Null).await?;
            assert_eq!((read.status, read.code()), (403, "suspended"));
            let path = format!("/v1/rooms/{room}/entries");
            until("sends by HTTP are refused", KEPT_LIMIT, async || {
                let sent = device.call(at, "POST", &path, &json!({ "text": "x" })).await.ok()?;
                ((sent.status, sent.code()) == (403, "suspended")).then_some(())
            })
            .await;
            let mut socket = Socket::open(at).await?;
            socket.send(&json!({ "id": 1, "type": "hello", "token": device.token })).await?;
            assert_eq!(code(&socket.next().await?)?, "suspended");
            assert_eq!(socket.closed_within(CLOSE_LIMIT).await?, 4104);
        }
        let body = json!({ "refresh_token": device.refresh_token });
        let refreshed = http::call(*edge, "POST", "/v1/refresh", None, &body).await?;
        assert_eq!((refreshed.status, refreshed.code()), (403, "suspended"));
    }
    let right = log_in(*edge, &phone.user, json!({ "password": PASSWORD })).await?;
    assert_eq!((right.status, right.code()), (403, "suspended"));
    let wrong = log_in(*edge, &phone.user, json!({ "password": "wrong horse" })).await?;
    assert_eq!((wrong.status, wrong.code()), (401, "bad_credentials"));
    let again = act(&root, *edge, &phone.user, "suspend").await?;
    assert_eq!((again.status, again.code()), (409, "unchanged"));

    // Nothing comes back by itself: the logins have ended for good.
    let answer = act(&root, *other_edge, &phone.user, "unsuspend").await?;
    assert_eq!(answer.status, 204, "{answer:?}");
    let read = phone.call(*edge, "GET", "/v1/profile", &Value::Null).await?;
    assert_eq!((read.status, read.code()), (401, "unauthorized"));
    let phone = system.device(&phone.user, "phone").await?;
    let mut session = system.session(&phone).await?;
    session.acked(&room, json!({ "text": "back" })).await?;
    let log = told(&root, *edge, &phone.user).await?;
    assert_eq!(log, [row(&root.user, "unsuspend", "spam"), row(&root.user, "suspend", "spam")]);
    Ok(())
}

#[tokio::test]
async fn a_password_that_an_administrator_hands_over_is_good_for_one_login() -> Result<()> {
    let system = two_edges().await;
    let edge = system.edge();
    let root = administrator(system).await?;
    let user = unique("made");
    let made = json!({ "user": user, "display_name": "Made", "reason": "new here" });
    let made = root.call(edge, "POST", "/v1/admin/users", &made).await?;
    assert_eq!((made.status, &made.body["user"]), (201, &json!(user)), "{made:?}");
    assert!(made.head.contains("cache-control: no-store"), "{made:?}");
    let password = made.body["password"].as_str().expect("a password").to_owned();
    let refused = log_in(edge, &user, json!({ "password": password })).await?;
    assert_eq!((refused.status, refused.code()), (403, "new_password_needed"));
    let same = json!({ "password": password, "new_password": password });
    assert_eq!(log_in(edge, &user, same).await?.code(), "bad_request");
    let own = json!({ "password": password, "new_password": PASSWORD });
    let mut login = account::tokens(&log_in(edge, &user, own.clone()).await?)?;
    assert_eq!(log_in(edge, &user, own).await?.code(), "bad_credentials", "it is used up");
    login = account::login(edge, &login.user, "phone").await?;

    let mut session = system.session(&login).await?;
    let reset = act(&root, edge, &user, "reset").await?;
    assert_eq!(reset.status, 200, "{reset:?}");
    assert_eq!(session.closed_within(CLOSE_LIMIT).await?, 4103);
    assert!(account::login(edge, &user, "phone").await.is_err(), "the password of before");
    let password = reset.body["password"].as_str().expect("a password");
    let own = json!({ "password": password, "new_password": "another horse" });
    account::tokens(&log_in(edge, &user, own).await?)?;
    let log = told(&root, edge, &user).await?;
    assert_eq!(log, [row(&root.user, "reset", "spam"), row(&root.user, "make_user", "new here")]);
    let taken = root.call(edge, "POST", "/v1/admin/users", &json!({ "user": user })).await?;
    assert_eq!((taken.status, taken.code()), (409, "user_exists"));
    Ok(())
}

/// Every route of administrators.
fn routes(user: &str) -> Vec<(&'static str, String, Value)> {
    let reason = json!({ "reason": "because" });
    let of = |action: &str| format!("/v1/admin/users/{user}/{action}");
    vec![
        ("GET", "/v1/admin/users".to_owned(), Value::Null),
        ("POST", "/v1/admin/users".to_owned(), json!({ "user": unique("new") })),
        ("POST", of("suspend"), reason.clone()),
        ("POST", of("unsuspend"), reason.clone()),
        ("POST", of("reset"), reason),
        ("GET", "/v1/admin/log".to_owned(), Value::Null),
        ("GET", "/v1/admin/rooms/team".to_owned(), Value::Null),
        ("GET", "/v1/admin/rooms/team/members".to_owned(), Value::Null),
        ("GET", "/v1/admin/rooms/team/entries".to_owned(), Value::Null),
        ("GET", "/v1/admin/reports".to_owned(), Value::Null),
        ("DELETE", "/v1/admin/reports/bob.team.2".to_owned(), Value::Null),
        ("GET", "/v1/admin/sign-up".to_owned(), Value::Null),
        ("PUT", "/v1/admin/sign-up".to_owned(), json!({ "mode": "closed" })),
        ("GET", "/v1/admin/invitations".to_owned(), Value::Null),
        ("POST", "/v1/admin/invitations".to_owned(), json!({})),
        ("DELETE", format!("/v1/admin/invitations/{}", "0".repeat(32)), Value::Null),
    ]
}

async fn is_forbidden_everywhere(edge: SocketAddr, by: &Login, user: &str) -> Result<()> {
    for (method, path, body) in routes(user) {
        let answer = by.call(edge, method, &path, &body).await?;
        assert_eq!((answer.status, answer.code()), (403, "forbidden"), "{method} {path}");
    }
    Ok(())
}

#[tokio::test]
async fn who_is_no_administrator_gets_nowhere() -> Result<()> {
    let system = two_edges().await;
    let edge = system.edge();
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    is_forbidden_everywhere(edge, &alice, &bob.user).await?;
    for (method, path, body) in routes(&bob.user) {
        let answer = http::call(edge, method, &path, None, &body).await?;
        assert_eq!((answer.status, answer.code()), (401, "unauthorized"), "{method} {path}");
    }
    // One administrator does nothing to another, nor to themselves; who is none any more does nothing.
    let (root, other) = (administrator(system).await?, administrator(system).await?);
    for of in [&root, &other] {
        for action in ["suspend", "unsuspend", "reset"] {
            let answer = act(&root, edge, &of.user, action).await?;
            assert_eq!((answer.status, answer.code()), (403, "forbidden"), "{action}");
        }
    }
    let nobody = act(&root, edge, "nobody-at-all", "suspend").await?;
    assert_eq!((nobody.status, nobody.code()), (404, "no_such_user"));
    system.bots().await?;
    let bot = act(&root, edge, BOT, "reset").await?;
    assert_eq!((bot.status, bot.code()), (400, "bad_request"));
    let path = format!("/v1/admin/users/{}/suspend", bob.user);
    let why = root.call(edge, "POST", &path, &json!({ "reason": " " })).await?;
    assert_eq!((why.status, why.code()), (400, "bad_request"));
    system.operated(&["remove-administrator", &root.user, "--reason", "left"]).await?;
    is_forbidden_everywhere(edge, &root, &bob.user).await?;
    let mut session = system.session(&bob).await?;
    session.acked(&direct(&bob, &bob), json!({ "text": "still here" })).await?;
    let log = told(&other, edge, &root.user).await?;
    let by_operator = [row("", "remove_administrator", "left"), row("", "make_administrator", "")];
    assert_eq!(log, by_operator);
    Ok(())
}

#[tokio::test]
async fn an_operator_does_the_same_by_hand() -> Result<()> {
    let system = two_edges().await;
    let edge = system.edge();
    let user = unique("made");
    let password = system.operated(&["make-user", &user]).await?;
    let own = json!({ "password": password.trim(), "new_password": PASSWORD });
    let login = account::tokens(&log_in(edge, &user, own).await?)?;
    let mut session = system.session(&login).await?;
    system.operated(&["suspend-user", &user, "--reason", "spam"]).await?;
    assert_eq!(session.closed_within(CLOSE_LIMIT).await?, 4104);
    let line = |text: String| -> Option<Value> {
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        lines.into_iter().find(|line| line["user"] == user)
    };
    let listed = line(system.operated(&["users"]).await?).expect("it is listed");
    assert!(listed["suspended_ms"].as_u64().is_some_and(|at| at > 0), "{listed}");
    let newest = line(system.operated(&["log"]).await?).expect("it is told");
    assert_eq!((&newest["by"], &newest["action"]), (&json!(""), &json!("suspend")), "{newest}");
    assert!(!system.operate(&["suspend-user", &user, "--reason", "x"]).await?.status.success());
    system.operated(&["unsuspend-user", &user]).await?;
    system.operated(&["reset-user", &user]).await?;
    assert!(account::login(edge, &user, "phone").await.is_err(), "the password of before");
    Ok(())
}

async fn sign_up(edge: SocketAddr, user: &str, invitation: &str) -> Result<Answer> {
    let mut body = json!({ "user": user, "password": PASSWORD });
    if !invitation.is_empty() {
        body["invitation"] = invitation.into();
    }
    http::call(edge, "POST", "/v1/accounts", None, &body).await
}

#[tokio::test]
async fn of_two_who_sign_up_at_an_invitations_last_use_one_gets_in() -> Result<()> {
    // What is set holds for all, so it has a system of its own.
    let system = System::split(Options { edges: 2, ..Options::default() }).await?;
    let [edge, other_edge] = system.edges() else { panic!("two edges") };
    let root = administrator(&system).await?;
    let get = root.call(*edge, "GET", "/v1/admin/sign-up", &Value::Null).await?;
    assert_eq!(get.body["mode"], "open", "{get:?}");
    let mode = json!({ "mode": "invitation", "reason": "spam" });
    let set = root.call(*edge, "PUT", "/v1/admin/sign-up", &mode).await?;
    assert_eq!(set.status, 204, "{set:?}");
    let refused = sign_up(*other_edge, "bob", "").await?;
    assert_eq!((refused.status, refused.code()), (403, "invitation_needed"));
    let wrong = sign_up(*edge, "bob", "0123456789abcdef0123456789abcdef").await?;
    assert_eq!((wrong.status, wrong.code()), (404, "no_such_link"));
    for round in 0..5 {
        let made = root.call(*edge, "POST", "/v1/admin/invitations", &json!({ "uses": 1 })).await?;
        assert_eq!(made.status, 201, "{made:?}");
        let invitation = made.body["invitation"].as_str().expect("a secret");
        let (one, two) = (format!("one-{round}"), format!("two-{round}"));
        let (one, two) =
            tokio::join!(sign_up(*edge, &one, invitation), sign_up(*other_edge, &two, invitation));
        let (one, two) = (one?, two?);
        let mut answers = [(one.status, one.code()), (two.status, two.code())];
        answers.sort_unstable();
        assert_eq!(answers, [(201, ""), (410, "link_used_up")]);
    }
    let made = root.call(*edge, "POST", "/v1/admin/invitations", &json!({ "uses": 2 })).await?;
    let (id, invitation) = (made.body["id"].as_str(), made.body["invitation"].as_str());
    let (id, invitation) = (id.expect("an id"), invitation.expect("a secret"));
    assert_eq!(sign_up(*edge, "carol", invitation).await?.status, 201);
    let list = root.call(*edge, "GET", "/v1/admin/invitations", &Value::Null).await?;
    let listed = &list.body["invitations"];
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{list:?}");
    let wanted = (json!(id), json!(root.user), json!(2), json!(1));
    let [id_of, by, uses, used] = ["id", "by", "uses", "used"].map(|name| listed[0][name].clone());
    assert_eq!((id_of, by, uses, used), wanted, "{list:?}");
    let path = format!("/v1/admin/invitations/{id}?reason=leaked");
    assert_eq!(root.call(*edge, "DELETE", &path, &Value::Null).await?.status, 204);
    assert_eq!(sign_up(*edge, "dave", invitation).await?.code(), "no_such_link");

    system.operated(&["sign-up", "closed"]).await?;
    assert_eq!(system.operated(&["sign-up"]).await?.trim(), "closed");
    let made: Value = serde_json::from_str(&system.operated(&["make-invitation"]).await?)?;
    let closed = sign_up(*edge, "dave", made["invitation"].as_str().expect("a secret")).await?;
    assert_eq!((closed.status, closed.code()), (403, "sign_up_closed"));
    let by_hand = root.call(*edge, "POST", "/v1/admin/users", &json!({ "user": "dave" })).await?;
    assert_eq!(by_hand.status, 201, "an administrator makes accounts in any mode");
    system.operated(&["sign-up", "open"]).await?;
    assert_eq!(sign_up(*edge, "erin", "").await?.status, 201);
    Ok(())
}

#[tokio::test]
async fn a_closed_room_is_closed_for_all_and_a_message_is_deleted_for_all() -> Result<()> {
    let system = two_edges().await;
    let [edge, other_edge] = system.edges() else { panic!("two edges") };
    let root = administrator(system).await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let mut owner = Session::open(*edge, &alice, None).await?;
    let mut member = Session::open(*other_edge, &bob, None).await?;
    let mut anywhere = Session::open(*other_edge, &root, None).await?;
    let room = unique("team");
    let create = json!({ "kind": "create", "title": "T", "members": [bob.user] });
    owner.acked(&room, create).await?;
    let bad = member.acked(&room, json!({ "text": "bad" })).await?;

    // Who is no administrator may do neither, whatever they are in the room.
    let delete = json!({ "kind": "delete", "target": bad, "reason": "against the rules" });
    let close = |closed: bool| json!({ "kind": "close", "closed": closed, "reason": "a flood" });
    for fields in [&delete, &close(true), &close(false)] {
        assert_eq!(owner.refused(&room, fields.clone()).await?, "forbidden");
        assert_eq!(owner.refused("nowhere", fields.clone()).await?, "forbidden");
    }
    // An administrator need not be a member, and reads no more of the room for that.
    let deleted = anywhere.acked(&room, delete).await?;
    for session in [&mut owner, &mut member] {
        let entry = session.expect(&room, deleted).await?;
        assert_eq!((&entry["from"], &entry["kind"]), (&json!(root.user), &json!("delete")));
        assert!(entry.get("reason").is_none(), "{entry}");
    }
    assert_eq!(anywhere.refused(&room, json!({ "text": "hello" })).await?, "no_such_room");
    let path = format!("/v1/rooms/{room}/entries");
    let page = bob.call(*other_edge, "GET", &path, &Value::Null).await?;
    assert_eq!(page.body["entries"][1]["kind"], "deleted", "{page:?}");

    let closed = root.call(*edge, "POST", &path, &close(true)).await?;
    assert_eq!(closed.status, 201, "{closed:?}");
    let at = closed.body["seq"].as_u64().expect("a seq");
    for session in [&mut owner, &mut member] {
        assert_eq!(session.expect(&room, at).await?["closed"], true);
        assert_eq!(session.refused(&room, json!({ "text": "x" })).await?, "closed");
    }
    assert_eq!(owner.refused(&room, json!({ "kind": "rename", "title": "N" })).await?, "closed");
    let shown = alice.call(*edge, "GET", &format!("/v1/rooms/{room}"), &Value::Null).await?;
    assert_eq!(shown.body["closed"], true, "{shown:?}");
    let again = root.call(*edge, "POST", &path, &close(true)).await?;
    assert_eq!((again.status, again.code()), (409, "unchanged"));
    anywhere.acked(&room, close(false)).await?;
    member.acked(&room, json!({ "text": "back" })).await?;

    let log = root.call(*edge, "GET", "/v1/admin/log", &Value::Null).await?;
    let rows = log.body["rows"].as_array().cloned().unwrap_or_default();
    let rows: Vec<&Value> = rows.iter().filter(|row| row["room"] == room).collect();
    let told: Vec<_> =
        rows.iter().map(|row| (&row["action"], &row["seq"], &row["reason"])).collect();
    let (reopen, close, delete) = (json!("reopen"), json!("close"), json!("delete"));
    let (flood, rules) = (json!("a flood"), json!("against the rules"));
    let seqs = [at + 1, at, bad].map(|seq| json!(seq));
    let [last, middle, first] = &seqs;
    assert_eq!(told, [(&reopen, last, &flood), (&close, middle, &flood), (&delete, first, &rules)]);
    Ok(())
}

#[tokio::test]
async fn an_administrator_sees_any_room_and_each_look_is_told() -> Result<()> {
    let system = two_edges().await;
    let edge = system.edge();
    let root = administrator(system).await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let mut session = system.session(&alice).await?;
    let (room, group) = (direct(&alice, &bob), unique("team"));
    session.acked(&room, json!({ "text": "a secret" })).await?;
    session.acked(&group, json!({ "kind": "create", "title": "T" })).await?;
    for (room, kind, members) in [(&room, "direct", 2), (&group, "group", 1)] {
        let path = format!("/v1/admin/rooms/{room}");
        let shown = root.call(edge, "GET", &path, &Value::Null).await?;
        assert_eq!((shown.status, &shown.body["room_kind"]), (200, &json!(kind)), "{shown:?}");
        assert_eq!(shown.body["member_count"], members, "{shown:?}");
        let listed = root.call(edge, "GET", &format!("{path}/members"), &Value::Null).await?;
        assert_eq!(listed.body["members"].as_array().map(Vec::len), Some(members), "{listed:?}");
    }
    let path = format!("/v1/admin/rooms/{room}/entries?reason=a%20report");
    let page = root.call(edge, "GET", &path, &Value::Null).await?;
    assert_eq!(page.body["entries"][0]["text"], "a secret", "{page:?}");
    let exported = system.operated(&["export-room", &room]).await?;
    let entry: Value = serde_json::from_str(exported.trim())?;
    assert_eq!((&entry["seq"], &entry["text"]), (&json!(1), &json!("a secret")), "{entry}");
    // They are no member for that.
    let read = root.call(edge, "GET", &format!("/v1/rooms/{group}/entries"), &Value::Null).await?;
    assert_eq!((read.status, read.code()), (404, "no_such_room"));
    let log = root.call(edge, "GET", "/v1/admin/log?limit=50", &Value::Null).await?;
    let rows = log.body["rows"].as_array().cloned().unwrap_or_default();
    let of_room = rows.iter().filter(|row| row["room"] == room);
    let looks: Vec<_> = of_room.map(|row| (&row["by"], &row["action"], &row["reason"])).collect();
    let (by, none, why) = (json!(root.user), Value::Null, json!("a report"));
    let [entries, members, seen] = ["see_entries", "see_members", "see_room"].map(|it| json!(it));
    let wanted = [
        (&none, &entries, &none),
        (&by, &entries, &why),
        (&by, &members, &none),
        (&by, &seen, &none),
    ];
    assert_eq!(looks, wanted);
    Ok(())
}

#[tokio::test]
async fn a_report_lands_in_the_administrators_list_until_it_is_dealt_with() -> Result<()> {
    let system = two_edges().await;
    let [edge, other_edge] = system.edges() else { panic!("two edges") };
    let root = administrator(system).await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let outsider = system.user("carol").await?;
    let mut session = system.session(&alice).await?;
    let room = direct(&alice, &bob);
    let seq = session.acked(&room, json!({ "text": "bad" })).await?;
    let path = format!("/v1/rooms/{room}/entries/{seq}/report");
    let reason = json!({ "reason": "spam" });
    for _ in 0..2 {
        let reported = bob.call(*other_edge, "POST", &path, &reason).await?;
        assert_eq!(reported.status, 204, "{reported:?}");
    }
    // On a session it is the same.
    let report = json!({ "type": "report", "room": room, "target": seq, "reason": "spam" });
    let mut bobs = Session::open(*other_edge, &bob, None).await?;
    let reported = bobs.request(report.clone()).await?;
    assert_eq!(reported["type"], "done", "{reported}");
    let refused = system.session(&outsider).await?.request(report.clone()).await?;
    assert_eq!(code(&refused)?, "not_member");
    let wrong = [("target", json!(7), "not_found"), ("reason", json!(" "), "bad_request")];
    for (field, value, refused) in wrong {
        let mut report = report.clone();
        report[field] = value;
        assert_eq!(code(&bobs.request(report).await?)?, refused, "{field}");
    }
    let refused = outsider.call(*edge, "POST", &path, &reason).await?;
    assert_eq!((refused.status, refused.code()), (403, "not_member"));
    let blank = bob.call(*edge, "POST", &path, &json!({ "reason": " " })).await?;
    assert_eq!((blank.status, blank.code()), (400, "bad_request"));
    let nothing = bob.call(*edge, "POST", &path.replace("/1/", "/7/"), &reason).await?;
    assert_eq!((nothing.status, nothing.code()), (404, "not_found"));

    let own = async || -> Result<Vec<Value>> {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let path = format!("/v1/admin/reports?limit=1&after={after}");
            let page = root.call(*edge, "GET", &path, &Value::Null).await?;
            ensure!(page.status == 200, "{page:?}");
            all.extend(page.body["reports"].as_array().cloned().unwrap_or_default());
            if page.body["more"] != true {
                all.retain(|it| it["room"] == room);
                return Ok(all);
            }
            after = all.last().and_then(|it| it["id"].as_str()).unwrap_or_default().to_owned();
        }
    };
    let reports = own().await?;
    assert_eq!(reports.len(), 1, "{reports:?}");
    let [by, from, target, why] = ["by", "from", "target", "reason"].map(|it| &reports[0][it]);
    let wanted = (&json!(bob.user), &json!(alice.user), &json!(seq), &json!("spam"));
    assert_eq!((by, from, target, why), wanted);
    let id = reports[0]["id"].as_str().expect("an id");
    let resolve = format!("/v1/admin/reports/{id}?reason=warned");
    let resolved = root.call(*edge, "DELETE", &resolve, &Value::Null).await?;
    assert_eq!(resolved.status, 204, "{resolved:?}");
    assert!(own().await?.is_empty());
    let again = root.call(*edge, "DELETE", &resolve, &Value::Null).await?;
    assert_eq!((again.status, again.code()), (404, "not_found"));
    // Other tests are at it, too: it counts what they do.
    let counted = Metrics::of(system.admin("core")).await?;
    let name = |action| format!("weft_core_admin_actions_total{{action=\"{action}\"}}");
    for action in ["make_administrator", "resolve_report"] {
        assert!(counted.get(&name(action)) >= 1.0, "{action}: {counted:?}");
    }
    let log = told(&root, *edge, &bob.user).await?;
    assert_eq!(log, [row(&root.user, "resolve_report", "warned")]);
    // An operator sees them, too, and deals with one.
    assert_eq!(bobs.request(report).await?["type"], "done");
    let listed = system.operated(&["reports"]).await?;
    let line = listed.lines().find(|line| line.contains(&room)).expect("it is listed");
    let line: Value = serde_json::from_str(line)?;
    assert_eq!((&line["by"], &line["target"]), (&json!(bob.user), &json!(seq)), "{line}");
    let id = line["id"].as_str().expect("an id");
    system.operated(&["resolve-report", id, "--reason", "once more"]).await?;
    assert!(own().await?.is_empty());
    Ok(())
}
