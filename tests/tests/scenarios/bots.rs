//! Bots come in by tokens that are good for what they say, until they end.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use weft_harness::account::Login;
use weft_harness::http;
use weft_harness::session::{Session, code};
use weft_harness::socket::Socket;
use weft_harness::system::{System, direct, unique};
use weft_harness::wait::until;

use crate::two_edges;

const CLOSE_LIMIT: Duration = Duration::from_secs(20);
/// An edge keeps for 5 s that a login lasts.
const KEPT_LIMIT: Duration = Duration::from_secs(20);

pub async fn make(owner: &Login, system: &System) -> Result<String> {
    let bot = unique("bot");
    let body = json!({ "bot": bot, "display_name": "Builds" });
    let made = owner.call(system.edge(), "POST", "/v1/bots", &body).await?;
    ensure!(made.status == 201 && made.body["owner"] == owner.user, "{made:?}");
    Ok(bot)
}

/// A token of a bot, as a device that is logged in.
pub async fn token(owner: &Login, system: &System, bot: &str, fields: Value) -> Result<Login> {
    let path = format!("/v1/bots/{bot}/tokens");
    let made = owner.call(system.edge(), "POST", &path, &fields).await?;
    ensure!(made.status == 201, "{made:?}");
    ensure!(made.head.contains("cache-control: no-store"), "{made:?}");
    let field = |name: &str| made.body[name].as_str().unwrap_or_default().to_owned();
    Ok(Login {
        user: bot.to_owned(),
        device: field("id"),
        token: field("token"),
        expires_at_ms: made.body["expires_at"].as_u64().unwrap_or_default(),
        refresh_token: String::new(),
    })
}

async fn group(owner: &mut Session, bot: &str) -> Result<String> {
    let group = unique("group");
    owner.acked(&group, json!({ "kind": "create", "title": "T", "members": [bot] })).await?;
    Ok(group)
}

/// An entry over HTTP: the code of the refusal, or "".
async fn post(by: &Login, system: &System, room: &str, body: Value) -> Result<String> {
    let path = format!("/v1/rooms/{room}/entries");
    Ok(by.call(system.edge(), "POST", &path, &body).await?.code().to_owned())
}

async fn get(by: &Login, system: &System, path: &str) -> Result<(u16, String)> {
    let answer = by.call(system.edge(), "GET", path, &Value::Null).await?;
    Ok((answer.status, answer.code().to_owned()))
}

#[tokio::test]
async fn a_bot_is_a_user_that_comes_in_by_a_token_until_that_is_revoked() -> Result<()> {
    let system = two_edges().await;
    let alice = system.user("alice").await?;
    let mut a = system.session(&alice).await?;
    let bot = make(&alice, system).await?;
    let taken = alice.call(system.edge(), "POST", "/v1/bots", &json!({ "bot": bot })).await?;
    assert_eq!((taken.status, taken.code()), (409, "user_exists"));
    let by_bot = token(&alice, system, &bot, json!({ "name": "on the build machine" })).await?;
    let room = group(&mut a, &bot).await?;
    let mut b = Session::open(system.edges()[1], &by_bot, None).await?;
    assert_eq!(b.welcome["user"], bot.as_str());
    let seq = b.acked(&room, json!({ "text": "built" })).await?;
    assert_eq!(a.expect(&room, seq).await?["from"], bot.as_str());
    let seq = a.acked(&room, json!({ "text": "thank you" })).await?;
    b.expect(&room, seq).await?;
    assert_eq!(post(&by_bot, system, &room, json!({ "text": "by HTTP" })).await?, "");
    let profile =
        alice.call(system.edge(), "GET", &format!("/v1/users/{bot}"), &Value::Null).await?;
    let shown = (&profile.body["is_bot"], &profile.body["display_name"]);
    assert_eq!(shown, (&json!(true), &json!("Builds")));

    // What a bot has not: a password, bots, devices that are notified, and rights over others.
    let login = json!({ "user": bot, "password": "", "device": "d" });
    let login = http::call(system.edge(), "POST", "/v1/login", None, &login).await?;
    assert_eq!(login.status, 401, "{login:?}");
    for path in ["/v1/bots", "/v1/devices", "/v1/admin/users"] {
        assert_eq!(get(&by_bot, system, path).await?, (403, "forbidden".into()), "{path}");
    }
    let bots =
        by_bot.call(system.edge(), "POST", "/v1/bots", &json!({ "bot": unique("b") })).await?;
    assert_eq!(bots.code(), "forbidden");

    // It is listed, by its owner alone, and ends at once, everywhere.
    let path = format!("/v1/bots/{bot}/tokens");
    let listed = alice.call(system.edge(), "GET", &path, &Value::Null).await?.body;
    let shown = &listed["tokens"][0];
    assert_eq!(
        (&shown["id"], &shown["name"]),
        (&json!(by_bot.device), &json!("on the build machine"))
    );
    assert!(shown["token"].is_null() && shown["scope"]["access"] == "write", "{listed}");
    let mallory = system.user("mallory").await?;
    assert_eq!(get(&mallory, system, &path).await?, (404, "no_such_user".into()));
    let other = token(&alice, system, &bot, json!({})).await?;
    let revoke = format!("{path}/{}", by_bot.device);
    let revoked = mallory.call(system.edge(), "DELETE", &revoke, &Value::Null).await?;
    assert_eq!(revoked.status, 404);
    let revoked = alice.call(system.edge(), "DELETE", &revoke, &Value::Null).await?;
    assert_eq!(revoked.status, 204, "{revoked:?}");
    assert_eq!(b.closed_within(CLOSE_LIMIT).await?, 4103);
    assert_eq!(get(&by_bot, system, "/v1/rooms").await?, (401, "unauthorized".into()));
    until("sends are refused", KEPT_LIMIT, async || {
        let refused = post(&by_bot, system, &room, json!({ "text": "late" })).await.ok()?;
        (refused == "unauthorized").then_some(())
    })
    .await;
    assert_eq!(post(&other, system, &room, json!({ "text": "the other one" })).await?, "");

    // With the bot all of them end, and its id is nobody's again.
    let path = format!("/v1/bots/{bot}");
    assert_eq!(alice.call(system.edge(), "DELETE", &path, &Value::Null).await?.status, 204);
    assert_eq!(get(&other, system, "/v1/rooms").await?, (401, "unauthorized".into()));
    let bots = alice.call(system.edge(), "GET", "/v1/bots", &Value::Null).await?.body;
    assert_eq!(bots["bots"], json!([]));
    let again = alice.call(system.edge(), "POST", "/v1/bots", &json!({ "bot": bot })).await?;
    assert_eq!(again.code(), "user_exists");
    Ok(())
}

#[tokio::test]
async fn a_token_is_good_for_its_rooms_its_kinds_and_its_access_alone() -> Result<()> {
    let system = two_edges().await;
    let alice = system.user("alice").await?;
    let mut a = system.session(&alice).await?;
    let bot = make(&alice, system).await?;
    let (team, secret) = (group(&mut a, &bot).await?, group(&mut a, &bot).await?);
    let of_secret = a.acked(&secret, json!({ "text": "nothing for it" })).await?;
    a.acked(&team, json!({ "text": "welcome" })).await?;
    let rooms = json!({ "scope": { "rooms": [team] } });
    let of_team = token(&alice, system, &bot, rooms).await?;
    let kinds = json!({ "scope": { "kinds": ["message"] } });
    let of_kind = token(&alice, system, &bot, kinds).await?;
    let reads = token(&alice, system, &bot, json!({ "scope": { "access": "read" } })).await?;

    // What it sends.
    let text = || json!({ "text": "x" });
    assert_eq!(post(&of_team, system, &team, text()).await?, "");
    assert_eq!(post(&of_team, system, &secret, text()).await?, "forbidden");
    let forward = json!({ "text": "x", "forwarded": { "room": secret, "seq": of_secret } });
    assert_eq!(post(&of_team, system, &team, forward.clone()).await?, "forbidden");
    assert_eq!(post(&of_kind, system, &team, forward).await?, "");
    assert_eq!(post(&of_kind, system, &team, json!({ "kind": "leave" })).await?, "forbidden");
    assert_eq!(post(&reads, system, &team, text()).await?, "forbidden");
    let notebook = json!({ "notify": "none" });
    let path = format!("/v1/rooms/{team}/setting");
    let set = of_team.call(system.edge(), "PUT", &path, &notebook).await?;
    assert_eq!(set.code(), "forbidden");
    let typing = format!("/v1/rooms/{secret}/typing");
    assert_eq!(
        of_team.call(system.edge(), "POST", &typing, &Value::Null).await?.code(),
        "forbidden"
    );

    // What it reads.
    let forbidden = (403, "forbidden".to_owned());
    for path in ["", "/entries", "/members", "/pins", "/threads"] {
        assert_eq!(
            get(&of_team, system, &format!("/v1/rooms/{team}{path}")).await?.0,
            200,
            "{path}"
        );
        let secret = format!("/v1/rooms/{secret}{path}");
        assert_eq!(get(&of_team, system, &secret).await?, forbidden, "{path}");
        assert_eq!(get(&reads, system, &secret).await?.0, 200, "{path}");
    }
    for path in ["/v1/drafts", "/v1/relations", "/v1/users?prefix=a", "/v1/scheduled"] {
        assert_eq!(get(&of_team, system, path).await?, forbidden, "{path}");
    }
    let listed = of_team.call(system.edge(), "GET", "/v1/rooms", &Value::Null).await?.body;
    let listed: Vec<&Value> = listed["rooms"].as_array().into_iter().flatten().collect();
    assert!(listed.len() == 1 && listed[0]["room"] == team, "{listed:?}");

    // What a session of it hears, live and since a cursor, and may do.
    let mut live = system.session(&of_team).await?;
    let mut all = system.session(&of_kind).await?;
    a.acked(&secret, text()).await?;
    let last = a.acked(&team, text()).await?;
    live.expect(&team, last).await?;
    all.expect(&team, last).await?;
    assert!(!all.pushed_after(&secret, 0).await?.is_empty());
    assert!(live.pushed_after(&secret, 0).await?.is_empty());
    assert_eq!(live.refused(&secret, text()).await?, "forbidden");
    assert_eq!(live.refused(&direct(&alice, &of_team), text()).await?, "forbidden");
    let history = json!({ "type": "history", "room": secret, "after": 0 });
    assert_eq!(code(&live.request(history).await?)?, "forbidden");
    let mark = |room: &str| json!({ "type": "mark", "room": room, "read": 1 });
    assert_eq!(code(&live.request(mark(&secret)).await?)?, "forbidden");
    assert_eq!(live.request(mark(&team)).await?["type"], "done");
    assert_eq!(code(&all.request(mark(&team)).await?)?, "forbidden");
    let cursor = live.cursor();
    drop(live);
    a.acked(&secret, text()).await?;
    let missed = a.acked(&team, text()).await?;
    let mut live = Session::open(system.edges()[1], &of_team, Some(&cursor)).await?;
    live.expect(&team, missed).await?;
    assert!(live.pushed_after(&secret, 0).await?.is_empty());

    // A scope names what there is.
    let path = format!("/v1/bots/{bot}/tokens");
    for bad in [json!({ "kinds": ["due"] }), json!({ "rooms": [] }), json!({ "hours": [9] })] {
        let made = alice.call(system.edge(), "POST", &path, &json!({ "scope": bad })).await?;
        assert_eq!((made.status, made.code()), (400, "bad_request"), "{bad}");
    }
    Ok(())
}

#[tokio::test]
async fn a_bot_rests_while_its_owner_is_suspended_and_ends_with_them() -> Result<()> {
    let system = two_edges().await;
    let alice = system.user("alice").await?;
    let bot = make(&alice, system).await?;
    let by_bot = token(&alice, system, &bot, json!({})).await?;
    let mut session = system.session(&by_bot).await?;
    system.operated(&["suspend-user", &alice.user, "--reason", "spam"]).await?;
    assert_eq!(session.closed_within(CLOSE_LIMIT).await?, 4104);
    assert_eq!(get(&by_bot, system, "/v1/rooms").await?, (403, "suspended".into()));
    let mut socket = Socket::open(system.edge()).await?;
    socket.send(&json!({ "id": 1, "type": "hello", "token": by_bot.token })).await?;
    assert_eq!(code(&socket.next().await?)?, "suspended");
    system.operated(&["unsuspend-user", &alice.user]).await?;
    assert_eq!(get(&by_bot, system, "/v1/rooms").await?.0, 200);
    // The same token, at the edge that has heard of the suspension.
    let mut session = system.session(&by_bot).await?;
    let alice = system.device(&alice.user, "again").await?;
    let body = json!({ "password": weft_harness::account::PASSWORD });
    let deleted = alice.call(system.edge(), "POST", "/v1/delete-account", &body).await?;
    assert_eq!(deleted.status, 204, "{deleted:?}");
    assert_eq!(session.closed_within(CLOSE_LIMIT).await?, 4103);
    assert_eq!(get(&by_bot, system, "/v1/rooms").await?, (401, "unauthorized".into()));
    Ok(())
}

#[tokio::test]
async fn operators_and_administrators_keep_the_installations_bots() -> Result<()> {
    let system = two_edges().await;
    let bot = unique("ours");
    let made = system.operated(&["bots", "create", &bot, "--display-name", "Ours"]).await?;
    let made: Value = serde_json::from_str(&made)?;
    assert_eq!((&made["bot"], &made["owner"]), (&json!(bot), &json!("")));
    let made = system.operated(&["bots", "token", &bot, "--read-only", "--days", "1"]).await?;
    let made: Value = serde_json::from_str(&made)?;
    let by_bot = made["token"].as_str().unwrap_or_default().to_owned();
    let rooms = http::call(system.edge(), "GET", "/v1/rooms", Some(&by_bot), &Value::Null).await?;
    assert_eq!(rooms.status, 200, "{rooms:?}");
    assert!(system.operated(&["bots", "list"]).await?.contains(&bot));
    let listed: Value = serde_json::from_str(&system.operated(&["bots", "tokens", &bot]).await?)?;
    assert_eq!((&listed["id"], &listed["read_only"]), (&made["id"], &json!(true)));

    // An administrator sees all of them; others do not know of it.
    let root = system.user("root").await?;
    let path = format!("/v1/bots/{bot}/tokens");
    assert_eq!(get(&root, system, &path).await?, (404, "no_such_user".into()));
    assert_eq!(get(&root, system, "/v1/bots?all=true").await?.0, 403);
    system.operated(&["make-administrator", &root.user]).await?;
    assert_eq!(get(&root, system, &path).await?.0, 200);
    let ours = json!({ "bot": unique("ours"), "of_installation": true });
    let made = root.call(system.edge(), "POST", "/v1/bots", &ours).await?;
    assert!(made.status == 201 && made.body["owner"].is_null(), "{made:?}");
    let id = listed["id"].as_str().unwrap_or_default();
    system.operated(&["bots", "revoke", &bot, id]).await?;
    let rooms = http::call(system.edge(), "GET", "/v1/rooms", Some(&by_bot), &Value::Null).await?;
    assert_eq!(rooms.code(), "unauthorized");
    let log = system.operated(&["log"]).await?;
    for action in ["make_bot", "make_bot_token", "revoke_bot_token"] {
        assert!(log.lines().any(|it| it.contains(action) && it.contains(&bot)), "{action}");
    }
    system.operated(&["bots", "delete", &bot]).await?;
    assert!(!system.operated(&["bots", "list"]).await?.contains(&bot));
    Ok(())
}

#[tokio::test]
async fn a_token_is_good_for_its_time_alone() -> Result<()> {
    let system = two_edges().await;
    let alice = system.user("alice").await?;
    let bot = make(&alice, system).await?;
    let by_bot = token(&alice, system, &bot, json!({ "expires_s": 20 })).await?;
    let mut session = system.session(&by_bot).await?;
    assert_eq!(session.closed_within(Duration::from_secs(120)).await?, 4101);
    assert_eq!(get(&by_bot, system, "/v1/rooms").await?, (401, "token_expired".into()));
    // Nothing makes it good again, not even a secret of its form.
    let refresh = format!("{bot}.{}.{}", by_bot.device, "0".repeat(64));
    let refreshed = http::call(
        system.edge(),
        "POST",
        "/v1/refresh",
        None,
        &json!({ "refresh_token": refresh }),
    )
    .await?;
    assert_eq!(refreshed.status, 401);
    Ok(())
}
