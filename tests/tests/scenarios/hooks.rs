//! Incoming webhooks: other systems post into a group, by an address that is a secret.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use weft_harness::account::Login;
use weft_harness::http::{self, Plain};
use weft_harness::session::Session;
use weft_harness::system::{Options, System, unique};
use weft_harness::wait::until;

use crate::two_edges;

const JSON: (&str, &str) = ("content-type", "application/json");

/// A group of alice, with a hook.
pub struct WithHook {
    pub alice: Login,
    pub session: Session,
    pub group: String,
    /// The hook's account.
    pub hook: String,
    pub path: String,
}

impl WithHook {
    pub async fn new(system: &System, hook: Value) -> Result<Self> {
        let alice = system.user("alice").await?;
        let mut session = Session::open(system.edge(), &alice, None).await?;
        let group = unique("alerts");
        session.acked(&group, json!({ "kind": "create", "title": "Alerts" })).await?;
        let made = make(system, &alice, &group, &hook).await?;
        let hook = text(&made, "hook")?;
        let added = session.expect(&group, 2).await?;
        let comes = [("add", "user"), ("join", "from")];
        let has_come =
            comes.iter().any(|(kind, who)| added["kind"] == *kind && added[*who] == hook);
        ensure!(has_come, "{added}");
        Ok(Self { alice, session, group, hook, path: text(&made, "path")? })
    }
}

fn text(value: &Value, field: &str) -> Result<String> {
    Ok(value[field].as_str().with_context(|| format!("{field} of {value}"))?.to_owned())
}

async fn make(system: &System, by: &Login, group: &str, hook: &Value) -> Result<Value> {
    let path = format!("/v1/rooms/{group}/hooks");
    let made = by.call(system.edge(), "POST", &path, hook).await?;
    ensure!(made.status == 201, "{made:?}");
    ensure!(made.head.contains("cache-control: no-store"), "{made:?}");
    Ok(made.body)
}

async fn post(system: &System, path: &str, headers: &[(&str, &str)], body: &str) -> Result<Plain> {
    http::request(system.edge(), "POST", path, headers, body.as_bytes()).await
}

/// Status and text of an answer, which is a line of text as Slack's are.
async fn answer(system: &System, path: &str, body: &Value) -> Result<(u16, String)> {
    let plain = post(system, path, &[JSON], &body.to_string()).await?;
    let kind = plain.header("content-type").unwrap_or_default().to_owned();
    ensure!(kind.starts_with("text/plain"), "{kind}");
    Ok((plain.status, String::from_utf8(plain.body)?))
}

fn ok() -> (u16, String) {
    (200, "ok".to_owned())
}

fn refused(status: u16, word: &str) -> (u16, String) {
    (status, word.to_owned())
}

#[tokio::test]
async fn what_is_posted_is_a_message_of_the_group() -> Result<()> {
    let system = two_edges().await;
    let mut with = WithHook::new(system, json!({ "name": "Build" })).await?;
    let slack = json!({ "text": "*done* in <https://ci.example/1|build 1> &amp; <!here>", "channel": "#x", "username": "ci" });
    assert_eq!(answer(system, &with.path, &slack).await?, ok());
    let entry = with.session.expect(&with.group, 3).await?;
    assert_eq!((&entry["from"], &entry["kind"]), (&json!(with.hook), &json!("message")));
    assert_eq!(entry["text"], "done in build 1 & @here");
    let ranges = json!([
        { "at": 0, "len": 4, "style": "bold" },
        { "at": 8, "len": 7, "style": "link", "url": "https://ci.example/1" },
    ]);
    assert_eq!(entry["ranges"], ranges);
    let form = "payload=%7B%22text%22%3A%22by+form%22%7D";
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    assert_eq!(post(system, &with.path, &headers, form).await?.body, b"ok");
    assert_eq!(with.session.expect(&with.group, 4).await?["text"], "by form");
    let plain = [("content-type", "text/plain; charset=utf-8")];
    assert_eq!(post(system, &with.path, &plain, "*as* it is\n").await?.status, 200);
    assert_eq!(with.session.expect(&with.group, 5).await?["text"], "*as* it is");
    let of_hook = format!("/v1/users/{}", with.hook);
    let profile = with.alice.call(system.edge(), "GET", &of_hook, &Value::Null).await?.body;
    assert_eq!((&profile["display_name"], &profile["is_bot"]), (&json!("Build"), &json!(true)));
    // By any edge.
    let other = http::request(system.edges()[1], "POST", &with.path, &[JSON], br#"{"text":"x"}"#);
    assert_eq!(other.await?.status, 200);
    assert_eq!(with.session.expect(&with.group, 6).await?["text"], "x");
    Ok(())
}

#[tokio::test]
async fn the_same_post_again_is_not_a_second_message() -> Result<()> {
    let system = two_edges().await;
    let mut with = WithHook::new(system, json!({ "name": "Once" })).await?;
    let headers = [JSON, ("idempotency-key", "deploy 7")];
    for edge in [0, 1, 0] {
        let body = br#"{"text":"deployed"}"#;
        let sent = http::request(system.edges()[edge], "POST", &with.path, &headers, body).await?;
        assert_eq!((sent.status, &*sent.body), (200, &b"ok"[..]));
    }
    let other = post(system, &with.path, &headers, r#"{"text":"another"}"#).await?;
    assert_eq!((other.status, &*other.body), (422, &b"idempotency_key_reused"[..]));
    let long = "x".repeat(256);
    let headers = [JSON, ("idempotency-key", &*long)];
    assert_eq!(post(system, &with.path, &headers, r#"{"text":"x"}"#).await?.status, 400);
    // Without a name each one is another message.
    for _ in 0..2 {
        assert_eq!(answer(system, &with.path, &json!({ "text": "end" })).await?, ok());
    }
    let mut seen = Vec::new();
    for seq in 3..6 {
        seen.push(text(&with.session.expect(&with.group, seq).await?, "text")?);
    }
    assert_eq!(seen, ["deployed", "end", "end"]);
    Ok(())
}

#[tokio::test]
async fn a_text_from_outside_notifies_whom_its_sender_lists_and_nobody_else() -> Result<()> {
    let system = two_edges().await;
    let mut with = WithHook::new(system, json!({ "name": "Alerts", "role": "admin" })).await?;
    let (bob, carol) = (system.user("bob").await?, system.user("carol").await?);
    with.session.acked(&with.group, json!({ "kind": "add", "user": bob.user })).await?;
    let said = format!("<!channel> @all <!here> <@{0}> @{0}", bob.user);
    let mentions = async |with: &mut WithHook, seq: u64, payload: &Value| -> Result<Vec<Value>> {
        assert_eq!(answer(system, &with.path, payload).await?, ok());
        let entry = with.session.expect(&with.group, seq).await?;
        let ranges = entry["ranges"].as_array().cloned().unwrap_or_default();
        let named = |range: &Value| {
            [&range["user"], &range["everyone"]].into_iter().find(|it| !it.is_null()).cloned()
        };
        Ok(ranges.iter().filter_map(named).collect())
    };
    let nobody = json!({ "text": said });
    assert_eq!(mentions(&mut with, 4, &nobody).await?, Vec::<Value>::new());
    let one = json!({ "text": said, "allowed_mentions": { "users": [bob.user] } });
    assert_eq!(mentions(&mut with, 5, &one).await?, [json!(bob.user), json!(bob.user)]);
    let all = json!({ "text": said, "allowed_mentions": { "all": true } });
    assert_eq!(mentions(&mut with, 6, &all).await?, [json!("all"), json!("all"), json!("here")]);
    // What is counted for bob: one mention of his own, and one of everybody.
    until("bob's unread mentions are counted", Duration::from_secs(30), async || {
        let path = format!("/v1/rooms/{}", with.group);
        let room = bob.call(system.edge(), "GET", &path, &Value::Null).await.ok()?.body;
        (room["mentions"] == 2).then_some(())
    })
    .await;
    // Who is no member can't be listed.
    let stranger = json!({ "text": format!("@{}", carol.user), "allowed_mentions": { "users": [carol.user] } });
    assert_eq!(answer(system, &with.path, &stranger).await?, refused(404, "user_not_found"));
    // Who may not mention everyone in the group can't by a hook either.
    let mut member = WithHook::new(system, json!({ "name": "Member" })).await?;
    assert_eq!(answer(system, &member.path, &all).await?, refused(403, "action_prohibited"));
    assert_eq!(mentions(&mut member, 3, &nobody).await?, Vec::<Value>::new());
    Ok(())
}

#[tokio::test]
async fn those_who_may_change_a_group_have_its_hooks() -> Result<()> {
    let system = two_edges().await;
    let mut with = WithHook::new(system, json!({ "name": "One" })).await?;
    let (bob, edge) = (system.user("bob").await?, system.edge());
    with.session.acked(&with.group, json!({ "kind": "add", "user": bob.user })).await?;
    let hooks = format!("/v1/rooms/{}/hooks", with.group);
    let one = format!("{hooks}/{}", with.hook);
    let secret = format!("{one}/secret");
    for (method, path) in [("POST", &hooks), ("GET", &hooks), ("POST", &secret), ("DELETE", &one)] {
        let body = json!({ "name": "x" });
        let no = bob.call(edge, method, path, if method == "POST" { &body } else { &Value::Null });
        assert_eq!(no.await?.code(), "forbidden", "{method} {path}");
    }
    let bad =
        with.alice.call(edge, "POST", &hooks, &json!({ "name": "x", "role": "owner" })).await?;
    assert_eq!(bad.code(), "bad_request");
    let listed = with.alice.call(edge, "GET", &hooks, &Value::Null).await?.body;
    let shown = &listed["hooks"][0];
    assert_eq!((&shown["hook"], &shown["by"]), (&json!(with.hook), &json!(with.alice.user)));
    assert_eq!((&shown["name"], shown.get("path")), (&json!("One"), None));

    // Another secret: the one before is good for nothing.
    let renewed = with.alice.call(edge, "POST", &secret, &Value::Null).await?;
    assert_eq!(renewed.status, 200, "{renewed:?}");
    let path = text(&renewed.body, "path")?;
    let hello = json!({ "text": "hello" });
    assert_eq!(answer(system, &with.path, &hello).await?, refused(404, "no_service"));
    assert_eq!(answer(system, &path, &hello).await?, ok());

    // Who made it goes, and it stays.
    let owner = json!({ "kind": "role", "user": bob.user, "role": "owner" });
    with.session.acked(&with.group, owner).await?;
    with.session.acked(&with.group, json!({ "kind": "leave" })).await?;
    assert_eq!(answer(system, &path, &hello).await?, ok());
    let removed = bob.call(edge, "DELETE", &one, &Value::Null).await?;
    assert_eq!(removed.status, 204, "{removed:?}");
    assert_eq!(answer(system, &path, &hello).await?, refused(404, "no_service"));
    let of_group = format!("/v1/rooms/{}/members", with.group);
    let members = bob.call(edge, "GET", &of_group, &Value::Null).await?.body;
    let users: Vec<_> =
        members["members"].as_array().context("members")?.iter().map(|it| &it["user"]).collect();
    assert_eq!(users, [&json!(bob.user)]);
    assert_eq!(bob.call(edge, "DELETE", &one, &Value::Null).await?.code(), "not_found");
    Ok(())
}

#[tokio::test]
async fn what_can_not_be_posted_is_refused_in_slacks_words() -> Result<()> {
    let system = two_edges().await;
    let mut with = WithHook::new(system, json!({ "name": "Bad" })).await?;
    let hello = json!({ "text": "hello" });
    let forged = format!("{}0", &with.path[..with.path.len() - 1]);
    let other = format!("{}1", &with.path[..with.path.len() - 1]);
    let unknown = if with.path == forged { other } else { forged };
    for path in
        [&*unknown, "/hooks/x", "/hooks/%ff", &with.path.to_uppercase().replace("/HOOKS", "/hooks")]
    {
        // One without a letter is the same in upper case.
        if path != with.path {
            assert_eq!(answer(system, path, &hello).await?, refused(404, "no_service"), "{path}");
        }
    }
    for (body, word) in
        [("{", "invalid_payload"), ("{}", "no_text"), (r#"{"text":" "}"#, "no_text")]
    {
        let no = post(system, &with.path, &[JSON], body).await?;
        assert_eq!((no.status, &*String::from_utf8(no.body)?), (400, word));
    }
    let many = json!({ "attachments": vec![json!({ "text": "x" }); 101] });
    assert_eq!(answer(system, &with.path, &many).await?, refused(400, "too_many_attachments"));
    let large = json!({ "text": "x".repeat(100_000) });
    assert_eq!(answer(system, &with.path, &large).await?, refused(413, "too_large"));
    let get = http::request(system.edge(), "GET", &with.path, &[], b"").await?;
    assert_eq!(get.status, 405);
    // An archived group takes nothing.
    with.session.acked(&with.group, json!({ "kind": "update", "archived": true })).await?;
    assert_eq!(answer(system, &with.path, &hello).await?, refused(410, "channel_is_archived"));
    with.session.acked(&with.group, json!({ "kind": "update", "archived": false })).await?;
    assert_eq!(answer(system, &with.path, &hello).await?, ok());
    // Who may not write there can't by a hook.
    with.session.acked(&with.group, json!({ "kind": "update", "write": "admins" })).await?;
    assert_eq!(answer(system, &with.path, &hello).await?, refused(403, "action_prohibited"));
    with.session.acked(&with.group, json!({ "kind": "remove", "user": with.hook })).await?;
    assert_eq!(answer(system, &with.path, &hello).await?, refused(404, "channel_not_found"));
    Ok(())
}

#[tokio::test]
async fn a_flood_is_told_to_come_later_and_what_was_taken_stays() -> Result<()> {
    let options = Options { edges: 1, presences: 1, log: "trace".to_owned(), ..Options::default() };
    let system = System::split(options).await?;
    let with = WithHook::new(&system, json!({ "name": "Flood" })).await?;
    let (mut taken, mut late) = (0, 0);
    // More at once than one hook may.
    for round in 0..16 {
        let body = json!({ "text": format!("{round}") });
        let posts = (0..16).map(|_| answer(&system, &with.path, &body));
        for answer in futures_util::future::join_all(posts).await {
            match answer? {
                (200, _) => taken += 1,
                (429, word) => {
                    assert_eq!(word, "rate_limited");
                    late += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        if late > 0 {
            break;
        }
    }
    assert!(taken >= 16, "{taken} were taken, and {late} not");
    let path = format!("/v1/rooms/{}/entries?limit=200", with.group);
    let history = with.alice.call(system.edge(), "GET", &path, &Value::Null).await?.body;
    let of_hook = |entry: &&Value| entry["kind"] == "message";
    let kept = history["entries"].as_array().context("entries")?.iter().filter(of_hook).count();
    // A page has no more.
    assert!(kept == taken || taken > 190, "{kept} of {taken}");

    // Guessing is slow, and those whose hook is known do not notice.
    let guess = |n: u32| format!("/hooks/{n:048x}");
    let mut slowed = false;
    for n in 0..400 {
        let (status, _) = answer(&system, &guess(n), &json!({ "text": "x" })).await?;
        ensure!(status == 404 || status == 429, "{status}");
        slowed |= status == 429;
    }
    assert!(slowed);
    until("the hook posts on", Duration::from_secs(30), async || {
        let (status, word) = answer(&system, &with.path, &json!({ "text": "on" })).await.ok()?;
        assert!(status == 200 || word == "rate_limited", "{status} {word}");
        (status == 200).then_some(())
    })
    .await;

    // Nobody learns the secret from a log.
    let secret = with.path.trim_start_matches("/hooks/");
    for name in ["core", "edge-0", "presence"] {
        let log = system.process(name).output();
        assert!(log.contains("DEBUG"), "{name} says more than by default");
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{name} logs the secret");
    }
    Ok(())
}

/// Acknowledged means kept, by hooks, too.
#[tokio::test]
async fn what_was_answered_with_ok_is_there_after_a_kill() -> Result<()> {
    let system = System::split(Options::default()).await?;
    // Where nobody is added without being asked, a hook comes in by itself.
    system.operated(&["defaults", "--add-by", "none"]).await?;
    let with = WithHook::new(&system, json!({ "name": "Kept" })).await?;
    for n in 0..5 {
        assert_eq!(answer(&system, &with.path, &json!({ "text": format!("{n}") })).await?, ok());
    }
    system.process("core").kill()?;
    // Nobody says ok for what is not kept.
    let headers = [JSON, ("idempotency-key", "during")];
    let lost = post(&system, &with.path, &headers, r#"{"text":"during"}"#).await?;
    assert_eq!((lost.status, &*lost.body), (503, &b"rollup_error"[..]));
    assert!(lost.header("retry-after").is_some());
    system.process("core").restart()?;
    until("hooks post again", Duration::from_secs(120), async || {
        let again = post(&system, &with.path, &headers, r#"{"text":"during"}"#).await.ok()?;
        (again.status == 200).then_some(())
    })
    .await;
    let path = format!("/v1/rooms/{}/entries", with.group);
    let history = with.alice.call(system.edge(), "GET", &path, &Value::Null).await?.body;
    let entries = history["entries"].as_array().context("entries")?;
    let texts = entries.iter().filter_map(|entry| entry["text"].as_str());
    let mut texts: Vec<_> = texts.collect();
    texts.sort_unstable();
    assert_eq!(texts, ["0", "1", "2", "3", "4", "during"]);
    Ok(())
}
