//! A user deletes their account.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use weft_harness::account::{Login, PASSWORD};
use weft_harness::http;
use weft_harness::session::Session;
use weft_harness::system::{Options, System, direct, unique};
use weft_harness::wait::until;

const CLOSE_LIMIT: Duration = Duration::from_secs(15);
/// Owners look every 10 s, and leave 16 groups with a look; core is killed meanwhile.
const LEFT_LIMIT: Duration = Duration::from_secs(90);
const GROUPS: usize = 10;

async fn delete(system: &System, login: &Login, password: &str) -> Result<(u16, String)> {
    let body = json!({ "password": password });
    let answer = login.call(system.edge(), "POST", "/v1/delete-account", &body).await?;
    Ok((answer.status, answer.code().to_owned()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_owned_ten_groups_is_gone_though_core_is_killed_meanwhile() -> Result<()> {
    let system = System::split(Options::default()).await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let laptop = system.device(&alice.user, "laptop").await?;
    let mut a = Session::open(system.edges()[0], &alice, None).await?;
    let mut on_laptop = Session::open(system.edges()[1], &laptop, None).await?;
    let mut b = Session::open(system.edges()[1], &bob, None).await?;
    let mut groups = Vec::new();
    for _ in 0..GROUPS {
        let group = unique("group");
        let create = json!({ "kind": "create", "title": "Tea", "members": [bob.user] });
        a.acked(&group, create).await?;
        b.expect(&group, 1).await?;
        groups.push(group);
    }
    let room = direct(&alice, &bob);
    a.acked(&room, json!({ "text": "hello" })).await?;
    b.expect(&room, 1).await?;

    let wrong = delete(&system, &alice, "not the password").await?;
    assert_eq!(wrong, (401, "bad_credentials".to_owned()));
    assert_eq!(delete(&system, &alice, PASSWORD).await?.0, 204);
    assert_eq!(a.closed_within(CLOSE_LIMIT).await?, 4103);
    assert_eq!(on_laptop.closed_within(CLOSE_LIMIT).await?, 4103);
    // The id is nobody else's, and nobody logs in with it.
    let signup = json!({ "user": alice.user, "password": PASSWORD });
    let taken = http::call(system.edge(), "POST", "/v1/accounts", None, &signup).await?;
    assert_eq!((taken.status, taken.code()), (409, "user_exists"), "{taken:?}");
    assert!(system.device(&alice.user, "phone").await.is_err());
    let path = format!("/v1/users/{}", alice.user);
    let profile = bob.call(system.edge(), "GET", &path, &Value::Null).await?;
    assert_eq!(profile.body["deleted"], true, "{profile:?}");
    assert_eq!(profile.body["display_name"], "", "{profile:?}");

    let owns = async |group: &str| -> Result<bool> {
        let path = format!("/v1/rooms/{group}/members");
        let members = bob.call(system.edge(), "GET", &path, &Value::Null).await?.body;
        let members = members["members"].as_array().context("members")?.clone();
        Ok(members.len() == 1 && members[0]["user"] == bob.user && members[0]["role"] == "owner")
    };
    let left = async || {
        let mut left = 0;
        for group in &groups {
            left += usize::from(owns(group).await.unwrap_or(false));
        }
        left
    };
    until("some groups are left", LEFT_LIMIT, async || (left().await > 0).then_some(())).await;
    system.process("core").kill()?;
    system.process("core").restart()?;
    system.ready().await;
    until("all groups are left", LEFT_LIMIT, async || (left().await == GROUPS).then_some(())).await;
    // Each entry once, on a socket that was there all the time or resumed.
    for group in &groups {
        let path = format!("/v1/rooms/{group}/entries");
        let log = bob.call(system.edge(), "GET", &path, &Value::Null).await?.body;
        let entries = log["entries"].as_array().context("entries")?.iter();
        let kinds: Vec<_> = entries.map(|entry| entry["kind"].as_str().unwrap_or("")).collect();
        assert_eq!(kinds, ["create", "role", "leave"], "{log}");
    }
    // What she wrote stays, and says who it was of.
    let mut b = Session::open(system.edges()[0], &bob, None).await?;
    let shown = b.request(json!({ "type": "room", "room": room })).await?;
    assert_eq!(shown["partner"]["deleted"], true, "{shown}");
    assert_eq!(shown["last"]["text"], "hello", "{shown}");
    let add = json!({ "kind": "add", "user": alice.user });
    assert_eq!(b.refused(&groups[0], add).await?, "no_such_user");
    Ok(())
}

/// What a room has as somebody else sees it: of each entry its kind and who sent it.
async fn seen(system: &System, by: &Login, room: &str) -> Result<Vec<(String, String)>> {
    let (mut seen, mut after) = (Vec::new(), 0);
    loop {
        let path = format!("/v1/rooms/{room}/entries?after={after}");
        let page = by.call(system.edge(), "GET", &path, &Value::Null).await?.body;
        for entry in page["entries"].as_array().context("entries")? {
            let word = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
            seen.push((word("kind"), word("from")));
        }
        if page["more"] != true {
            return Ok(seen);
        }
        after = page["through"].as_u64().context("through")?;
    }
}

/// In a group that an administrator has closed, and in a direct room, which nobody uses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_they_wrote_goes_with_them_though_core_is_killed_meanwhile() -> Result<()> {
    const TEXTS: usize = 300;
    let system = System::split(Options { edges: 1, searches: 1, ..Options::default() }).await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let root = system.user("root").await?;
    system.operated(&["make-administrator", &root.user]).await?;
    let mut a = system.session(&alice).await?;
    let mut b = system.session(&bob).await?;
    let (room, group) = (direct(&alice, &bob), unique("group"));
    let create = json!({ "kind": "create", "title": "Tea", "members": [bob.user] });
    a.acked(&group, create).await?;
    for to in [&room, &group] {
        for _ in 0..TEXTS / 2 {
            a.acked(to, json!({ "text": "hers" })).await?;
        }
        b.acked(to, json!({ "text": "his" })).await?;
    }
    a.acked(&room, json!({ "kind": "edit", "target": 1, "text": "hers, again" })).await?;
    let close = json!({ "kind": "close", "closed": true, "reason": "a quarrel" });
    let closed =
        root.call(system.edge(), "POST", &format!("/v1/rooms/{group}/entries"), &close).await?;
    assert_eq!(closed.status, 201, "{closed:?}");

    let wrong = json!({ "password": PASSWORD, "messages": "some" });
    let refused = alice.call(system.edge(), "POST", "/v1/delete-account", &wrong).await?;
    assert_eq!((refused.status, refused.code()), (400, "bad_request"), "{refused:?}");
    let body = json!({ "password": PASSWORD, "messages": "empty" });
    let deleted = alice.call(system.edge(), "POST", "/v1/delete-account", &body).await?;
    assert_eq!(deleted.status, 204, "{deleted:?}");
    let hers = async || {
        let mut count = 0;
        for room in [&room, &group] {
            let seen = seen(&system, &bob, room).await.unwrap_or_default();
            let is_hers =
                |(kind, from): &&(String, String)| kind == "message" && *from == alice.user;
            count += if seen.is_empty() { TEXTS } else { seen.iter().filter(is_hers).count() };
        }
        count
    };
    for below in [TEXTS, TEXTS / 2] {
        let what = format!("fewer than {below} of her messages are left");
        until(&what, LEFT_LIMIT, async || (hers().await < below).then_some(())).await;
        system.process("core").kill()?;
        system.process("core").restart()?;
        system.ready().await;
    }
    until("none of her messages is left", LEFT_LIMIT, async || (hers().await == 0).then_some(()))
        .await;
    for room in [&room, &group] {
        let seen = seen(&system, &bob, room).await?;
        let his = seen.iter().filter(|(kind, from)| kind == "message" && *from == bob.user);
        assert_eq!(his.count(), 1, "{room}: {seen:?}");
        let deletes = seen.iter().filter(|(kind, _)| kind == "delete");
        assert_eq!(deletes.count(), TEXTS / 2, "{room}: each once");
    }
    until("the index has his and none of hers", LEFT_LIMIT, async || {
        let mut count = async |text: &str| {
            let page = b.request(json!({ "type": "search", "text": text })).await.ok()?;
            page["total"].as_u64()
        };
        (count("hers").await? == 0 && count("his").await? == 2).then_some(())
    })
    .await;
    Ok(())
}

/// What an installation says of messages nobody asks otherwise, and what is asked for without a word is so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_installation_keeps_or_empties_what_deleted_users_wrote() -> Result<()> {
    let system = System::split(Options { edges: 1, ..Options::default() }).await?;
    let (edge, bob) = (system.edge(), system.user("bob").await?);
    let (root, dan) = (system.user("root").await?, system.user("dan").await?);
    system.operated(&["make-administrator", &root.user]).await?;
    let delete = async |login: &Login, messages: &str| -> Result<String> {
        let mut body = json!({ "password": PASSWORD });
        if !messages.is_empty() {
            body["messages"] = messages.into();
        }
        let answer = login.call(edge, "POST", "/v1/delete-account", &body).await?;
        Ok(if answer.status == 204 { "done".into() } else { answer.code().to_owned() })
    };
    let mut left = Vec::new();
    for (policy, other) in [("keep", "empty"), ("empty", "keep")] {
        system.operated(&["defaults", "--messages", policy]).await?;
        let login = system.user("user").await?;
        let room = direct(&login, &bob);
        system.session(&login).await?.acked(&room, json!({ "text": "hers" })).await?;
        assert_eq!(delete(&login, other).await?, "against_policy", "{policy}");
        let path = format!("/v1/admin/users/{}/delete", login.user);
        let body = json!({ "reason": "spam", "messages": other });
        let refused = root.call(edge, "POST", &path, &body).await?;
        assert_eq!((refused.status, refused.code()), (403, "against_policy"), "{policy}");
        let by_operator = ["delete-user", &login.user, "--reason", "x", "--messages", other];
        assert!(system.operated(&by_operator).await.is_err());
        assert_eq!(delete(&login, "").await?, "done", "{policy}");
        left.push((room, login.user));
    }
    let kind = async |at: usize| -> Result<String> {
        let (room, user) = &left[at];
        let seen = seen(&system, &bob, room).await?;
        let hers = seen.into_iter().find(|(_, from)| from == user);
        Ok(hers.context("an entry of hers")?.0)
    };
    until("it is emptied", LEFT_LIMIT, async || (kind(1).await.ok()? == "deleted").then_some(()))
        .await;
    assert_eq!(kind(0).await?, "message");
    // An administrator lets users say it again.
    let any = json!({ "messages": "any", "reason": "a new law" });
    assert_eq!(root.call(edge, "PUT", "/v1/admin/defaults", &any).await?.status, 204);
    let shown = root.call(edge, "GET", "/v1/admin/defaults", &Value::Null).await?;
    assert_eq!(shown.body["messages"], "any");
    assert_eq!(delete(&dan, "empty").await?, "done");
    let log = root.call(edge, "GET", "/v1/admin/log?limit=20", &Value::Null).await?;
    let rows = log.body["rows"].as_array().context("rows")?;
    for action in ["policy_messages_keep", "policy_messages_empty", "policy_messages_any"] {
        assert!(rows.iter().any(|row| row["action"] == action), "{action}: {rows:?}");
    }
    Ok(())
}

#[tokio::test]
async fn an_administrator_deletes_a_user_and_nobody_brings_them_back() -> Result<()> {
    let system = crate::two_edges().await;
    let edge = system.edge();
    let (root, alice) = (system.user("root").await?, system.user("alice").await?);
    system.operated(&["make-administrator", &root.user]).await?;
    let mut session = system.session(&alice).await?;
    let act = async |action: &str, body: Value| {
        let path = format!("/v1/admin/users/{}/{action}", alice.user);
        root.call(edge, "POST", &path, &body).await
    };
    let no_reason = act("delete", json!({})).await?;
    assert_eq!((no_reason.status, no_reason.code()), (400, "bad_request"), "{no_reason:?}");
    let why = json!({ "reason": "asked us by letter" });
    let done = act("delete", why.clone()).await?;
    assert_eq!(done.status, 204, "{done:?}");
    assert_eq!(session.closed_within(CLOSE_LIMIT).await?, 4103);
    // Else a new password would wake the account.
    for action in ["delete", "reset", "suspend", "unsuspend"] {
        let again = act(action, why.clone()).await?;
        assert_eq!((again.status, again.code()), (404, "no_such_user"), "{action}: {again:?}");
    }
    let make = json!({ "user": alice.user });
    let taken = root.call(edge, "POST", "/v1/admin/users", &make).await?;
    assert_eq!((taken.status, taken.code()), (409, "user_exists"), "{taken:?}");
    let log = root.call(edge, "GET", "/v1/admin/log?limit=20", &Value::Null).await?;
    let rows = log.body["rows"].as_array().context("rows")?;
    let row = rows.iter().find(|row| row["user"] == alice.user).context("it is told")?;
    assert_eq!((&row["action"], &row["by"]), (&json!("delete_user"), &json!(root.user)), "{row}");
    Ok(())
}
