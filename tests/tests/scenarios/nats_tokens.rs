//! Bots come to NATS by their tokens, while everything runs: what a token allows, and when it ends.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use weft_harness::account::Login;
use weft_harness::nats::{Message, Nats};
use weft_harness::session::{Session, code};
use weft_harness::system::{Bot, Options, System, shared, unique};
use weft_harness::ulid;
use weft_harness::wait::until;

/// Well above what core needs to see that a token has ended, on a busy machine.
const END_LIMIT: Duration = Duration::from_secs(60);

/// A user with a bot that is in a group of theirs.
pub async fn bot_of(system: &System) -> Result<(Login, Session, String, String)> {
    let alice = system.user("alice").await?;
    let mut session = system.session(&alice).await?;
    let (name, group) = (unique("bot"), unique("group"));
    system.make_bot(&alice, &name).await?;
    let create = json!({ "kind": "create", "title": "t", "members": [name] });
    session.acked(&group, create).await?;
    Ok((alice, session, name, group))
}

/// Publishes until JetStream has it, or the server says that it may not.
async fn publish(nats: &mut Nats, bot: &Bot, subject: &str, payload: &str) -> Result<bool> {
    let inbox = format!("{}.{}", bot.inbox(), ulid::fresh());
    nats.subscribe(&inbox).await?;
    nats.publish(subject, Some(&inbox), &[], payload.as_bytes()).await?;
    let errors = nats.flush().await?;
    if errors.iter().any(|error| error.contains("Permissions Violation for Publish")) {
        return Ok(false);
    }
    anyhow::ensure!(errors.is_empty(), "{errors:?}");
    let answer = nats.next().await?.json();
    anyhow::ensure!(answer["seq"].is_u64(), "{answer}");
    Ok(true)
}

/// Waits until the server has closed the connection.
async fn is_closed(nats: &mut Nats) {
    until("the connection ends", END_LIMIT, async || nats.flush().await.is_err().then_some(()))
        .await;
}

#[tokio::test]
async fn a_bot_comes_and_goes_while_everything_runs() -> Result<()> {
    let system = shared().await;
    let (alice, mut session, name, group) = bot_of(system).await?;
    let first = system.bot_token(&alice, &name, json!({})).await?;
    let second = system.bot_token(&alice, &name, json!({})).await?;
    let (mut one, mut two) = (system.nats_by(&first).await?, system.nats_by(&second).await?);
    let subject = format!("weft.in.{name}.{group}");
    assert!(publish(&mut one, &first, &subject, "one").await?);
    assert_eq!(session.expect(&group, 2).await?["from"], name.as_str());
    // Its end closes what was opened by it, and nothing else.
    system.revoke(&alice, &first).await?;
    let revoked = Instant::now();
    assert!(system.nats_by(&first).await.is_err(), "it is good no more");
    is_closed(&mut one).await;
    eprintln!("the connection ended {:?} after its token", revoked.elapsed());
    assert!(publish(&mut two, &second, &subject, "two").await?);
    session.expect(&group, 3).await?;
    let path = format!("/v1/bots/{name}");
    let deleted = alice.call(system.edge(), "DELETE", &path, &Value::Null).await?;
    assert_eq!(deleted.status, 204, "{deleted:?}");
    is_closed(&mut two).await;
    assert!(system.nats_by(&second).await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_token_writes_no_more_than_its_scope_says() -> Result<()> {
    let system = shared().await;
    let (alice, mut session, name, group) = bot_of(system).await?;
    let other = unique("group");
    session.acked(&other, json!({ "kind": "create", "title": "o", "members": [name] })).await?;
    let by = async |scope: Value| system.bot_token(&alice, &name, json!({ "scope": scope })).await;
    let at = |room: &str, kind: &str| format!("weft.in.{name}.{room}{kind}");

    let reads = by(json!({ "access": "read" })).await?;
    let mut nats = system.nats_by(&reads).await?;
    for kind in ["", ".message"] {
        assert!(!publish(&mut nats, &reads, &at(&group, kind), "x").await?, "{kind}");
    }
    let messages = by(json!({ "kinds": ["message"], "rooms": [group] })).await?;
    let mut nats = system.nats_by(&messages).await?;
    for (room, kind) in [(&group, ""), (&group, ".leave"), (&other, ".message"), (&other, "")] {
        assert!(!publish(&mut nats, &messages, &at(room, kind), "x").await?, "{room}{kind}");
    }
    assert!(publish(&mut nats, &messages, &at(&group, ".message"), "told").await?);
    assert_eq!(session.expect(&group, 2).await?["text"], "told");
    // What the subject says is what the body has to be, and nothing comes along from another room.
    nats.subscribe(&format!("weft.ack.u.{name}.*")).await?;
    for body in [
        json!({ "kind": "leave" }),
        json!({ "text": "x", "forwarded": { "room": other, "seq": 1 } }),
        json!({ "kind": "message", "text": "fine" }),
    ] {
        let token = ulid::fresh();
        let headers = [("Content-Type", "application/json"), ("Weft-Reply", &*token)];
        let subject = at(&group, ".message");
        nats.publish(&subject, None, &headers, body.to_string().as_bytes()).await?;
        let answer = nats.next().await?.json();
        match body["text"].as_str() {
            Some("fine") => assert_eq!(answer["type"], "ack", "{answer}"),
            _ => assert_eq!(code(&answer)?, "forbidden", "{body}"),
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_core_is_away_nobody_comes_in_and_who_is_there_stays() -> Result<()> {
    let system = System::split(Options { edges: 1, ..Options::default() }).await?;
    let (alice, _, name, group) = bot_of(&system).await?;
    let bot = system.bot_token(&alice, &name, json!({})).await?;
    let mut nats = system.nats_by(&bot).await?;
    system.process("core").kill()?;
    let subject = format!("weft.in.{name}.{group}");
    assert!(publish(&mut nats, &bot, &subject, "while core is away").await?);
    assert!(system.nats_by(&bot).await.is_err(), "nobody says that it may");
    system.process("core").restart()?;
    system.ready().await;
    until("it comes in again", END_LIMIT, async || system.nats_by(&bot).await.ok()).await;
    let path = format!("/v1/rooms/{group}/entries?after=1");
    let told = async || {
        let page = alice.call(system.edge(), "GET", &path, &Value::Null).await.ok()?.body;
        page["entries"][0]["text"].as_str().filter(|text| *text == "while core is away").map(drop)
    };
    until("it is told", END_LIMIT, told).await;
    assert!(publish(&mut nats, &bot, &subject, "still there").await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_cluster_a_bot_comes_to_any_server_and_ends_at_all_of_them() -> Result<()> {
    let options = Options { edges: 1, nats_servers: 3, ..Options::default() };
    let system = System::split(options).await?;
    let (alice, _, name, group) = bot_of(&system).await?;
    let bot = system.bot_token(&alice, &name, json!({})).await?;
    let mut open = Vec::new();
    for server in system.servers() {
        let mut nats = Nats::connect(*server, &bot.name, &bot.token).await?;
        let subject = format!("weft.in.{name}.{group}");
        assert!(publish(&mut nats, &bot, &subject, "here").await?, "{server}");
        open.push(nats);
    }
    system.revoke(&alice, &bot).await?;
    for nats in &mut open {
        is_closed(nats).await;
    }
    Ok(())
}

/// A bot asks, and is answered on its own inbox.
async fn ask(nats: &mut Nats, bot: &Bot, method: &str, mut fields: Value) -> Result<Value> {
    let inbox = format!("{}.{}", bot.inbox(), ulid::fresh());
    if fields["token"].is_null() {
        fields["token"] = json!(bot.token);
    }
    let subject = format!("weft.api.{}.{method}", bot.name);
    let payload = fields.to_string();
    Ok(nats.request(&subject, &inbox, payload.as_bytes()).await?.json())
}

#[tokio::test]
async fn a_bot_asks_on_nats_what_it_may_ask_over_http() -> Result<()> {
    let system = shared().await;
    let (alice, mut session, name, group) = bot_of(system).await?;
    let bot = system.bot_token(&alice, &name, json!({})).await?;
    let mut nats = system.nats_by(&bot).await?;
    for text in ["one", "two"] {
        session.acked(&group, json!({ "text": text })).await?;
    }
    let page = ask(&mut nats, &bot, "history", json!({ "room": group, "after": 0 })).await?;
    let entries = page["entries"].as_array().context("entries")?;
    assert_eq!((entries.len(), &entries[2]["text"]), (3, &json!("two")), "{page}");
    let device = Login { user: name.clone(), token: bot.token.clone(), ..alice.clone() };
    let path = format!("/v1/rooms/{group}/entries?after=0");
    let over_http = device.call(system.edge(), "GET", &path, &Value::Null).await?.body;
    assert_eq!(page["entries"], over_http["entries"]);
    let rooms = ask(&mut nats, &bot, "rooms", json!({})).await?;
    assert_eq!(rooms["rooms"][0]["room"], group.as_str(), "{rooms}");
    let members = ask(&mut nats, &bot, "members", json!({ "room": group })).await?;
    assert_eq!(members["members"].as_array().map(Vec::len), Some(2), "{members}");
    let profiles = ask(&mut nats, &bot, "profiles", json!({ "users": [alice.user] })).await?;
    assert_eq!(profiles["profiles"][0]["user"], alice.user.as_str(), "{profiles}");

    let foreign = unique("group");
    session.acked(&foreign, json!({ "kind": "create", "title": "f" })).await?;
    let scoped = json!({ "scope": { "rooms": [group] } });
    let scoped = system.bot_token(&alice, &name, scoped).await?;
    for (method, fields, wanted) in [
        ("history", json!({ "room": foreign }), "no_such_room"),
        ("nonsense", json!({}), "unknown_type"),
        ("send", json!({ "room": group, "text": "x", "client_id": ulid::fresh() }), "unknown_type"),
        ("history", json!({ "room": 7 }), "bad_request"),
        ("rooms", json!({ "token": "x.y.z" }), "unauthorized"),
        ("rooms", json!({ "token": alice.token }), "unauthorized"),
        ("history", json!({ "room": foreign, "token": scoped.token }), "forbidden"),
    ] {
        let refused = ask(&mut nats, &bot, method, fields.clone()).await?;
        assert_eq!(code(&refused)?, wanted, "{method} {fields}");
    }
    // As another one it can't ask, whatever it has.
    nats.publish(&format!("weft.api.{}.rooms", unique("bot")), None, &[], b"{}").await?;
    let errors = nats.flush().await?;
    assert!(errors.iter().any(|error| error.contains("Permissions Violation")), "{errors:?}");
    // Header blocks that can't be read are left out on the way.
    let subject = format!("weft.api.{name}.rooms");
    nats.publish_block(subject.as_bytes(), "", b"NATS/1.0\r\nno colon\r\n\r\n", b"{}").await?;
    nats.publish_block(subject.as_bytes(), "", b"NATS/1.0\r\nX: a\rb\r\n\r\n", b"{}").await?;
    let rooms = ask(&mut nats, &bot, "rooms", json!({})).await?;
    assert_eq!(rooms["rooms"][0]["room"], group.as_str(), "{rooms}");
    session.acked(&group, json!({ "text": "people go on" })).await?;
    Ok(())
}

#[tokio::test]
async fn a_token_with_a_key_is_good_with_that_key_alone() -> Result<()> {
    let system = shared().await;
    let (alice, mut session, name, group) = bot_of(system).await?;
    let keys = [[3; 32], [4; 32]].map(|seed| Ed25519KeyPair::from_seed_unchecked(&seed));
    let [own, other] = keys.map(|key| key.expect("a key"));
    let public = weft_nats::callout::user_key(own.public_key().as_ref());
    let bot = system.bot_token(&alice, &name, json!({ "nkey": public })).await?;
    let by = async |key: &Ed25519KeyPair, shown: &str| {
        let sign = |nonce: &str| {
            let sig = URL_SAFE_NO_PAD.encode(key.sign(nonce.as_bytes()));
            json!({ "nkey": shown, "sig": sig })
        };
        Nats::connect_with(system.nats(), &bot.name, &bot.token, sign).await
    };
    let others = weft_nats::callout::user_key(other.public_key().as_ref());
    assert!(system.nats_by(&bot).await.is_err(), "without a key");
    assert!(by(&other, &public).await.is_err(), "signed by another key");
    assert!(by(&other, &others).await.is_err(), "another key");
    let mut nats = by(&own, &public).await?;
    let subject = format!("weft.in.{name}.{group}");
    assert!(publish(&mut nats, &bot, &subject, "by its key").await?);
    assert_eq!(session.expect(&group, 2).await?["text"], "by its key");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_logins_hurt_nobody() -> Result<()> {
    const WRONG: usize = 400;
    let system = shared().await;
    let (alice, mut session, name, group) = bot_of(system).await?;
    let bot = system.bot_token(&alice, &name, json!({})).await?;
    let server = system.nats();
    // Of the right form, so that core has to look at the signature.
    let (head, _) = bot.token.rsplit_once('.').context("a JWT")?;
    let forged = format!("{head}.{}", "A".repeat(86));
    let began = Instant::now();
    let mut wrong = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (name, forged) = (name.clone(), forged.clone());
        wrong.spawn(async move {
            for _ in 0..WRONG / 8 {
                assert!(Nats::connect(server, &name, &forged).await.is_err());
            }
        });
    }
    let mut took = Vec::new();
    while !wrong.is_empty() {
        let sent = Instant::now();
        session.acked(&group, json!({ "text": "people go on" })).await?;
        took.push(sent.elapsed());
        while let Some(done) = wrong.try_join_next() {
            done?;
        }
    }
    took.sort_unstable();
    eprintln!(
        "{WRONG} wrong logins in {:?}; {} sends meanwhile: p50 {:?}, max {:?}",
        began.elapsed(),
        took.len(),
        took[took.len() / 2],
        took.last()
    );
    let mut nats =
        until("the bot comes in", END_LIMIT, async || system.nats_by(&bot).await.ok()).await;
    assert!(publish(&mut nats, &bot, &format!("weft.in.{name}.{group}"), "x").await?);
    Ok(())
}

/// Asks for the next message of a bot's feed; `None`: there is none yet.
pub async fn next_of_feed(nats: &mut Nats, bot: &Bot) -> Result<Option<Message>> {
    let inbox = format!("{}.{}", bot.inbox(), ulid::fresh());
    nats.subscribe(&inbox).await?;
    let next = format!("$JS.WEFT.API.CONSUMER.MSG.NEXT.WEFT_BOTS.{}", bot.name);
    let pull = json!({ "batch": 1, "expires": 2_000_000_000_u64 }).to_string();
    nats.publish(&next, Some(&inbox), &[], pull.as_bytes()).await?;
    let message = nats.next().await?;
    Ok(Some(message).filter(|message| message.subject.starts_with("weft.bot.")))
}

#[tokio::test]
async fn a_bot_reads_its_own_feed_by_its_token_and_no_other() -> Result<()> {
    let system = shared().await;
    let (alice, mut session, name, group) = bot_of(system).await?;
    let bot = system.bot_token(&alice, &name, json!({})).await?;
    session.acked(&group, json!({ "text": "to the bot" })).await?;
    let mut nats = system.nats_by(&bot).await?;
    for seq in 1..=2 {
        // Its consumer is made a moment after the bot.
        let message = until("an entry", END_LIMIT, async || {
            next_of_feed(&mut nats, &bot).await.ok().flatten()
        });
        let message = message.await;
        assert_eq!(message.subject, format!("weft.bot.{name}.{group}"));
        assert_eq!(message.json()["seq"], json!(seq), "{message:?}");
        let reply = message.reply.context("where it is acknowledged")?;
        nats.publish(&reply, None, &[], b"+ACK").await?;
    }
    // Another one's, and that of all rooms for who has some, are not to be had.
    let (_, _, other, _) = bot_of(system).await?;
    let scoped = json!({ "scope": { "rooms": [group] } });
    let scoped = system.bot_token(&alice, &name, scoped).await?;
    let mut by_scoped = system.nats_by(&scoped).await?;
    for (nats, of) in [(&mut nats, &other), (&mut by_scoped, &name)] {
        let next = format!("$JS.WEFT.API.CONSUMER.MSG.NEXT.WEFT_BOTS.{of}");
        nats.publish(&next, None, &[], b"").await?;
        let errors = nats.flush().await?;
        assert!(errors.iter().any(|error| error.contains("Permissions Violation")), "{errors:?}");
    }
    Ok(())
}
