//! Devices are notified of what their users have not seen: once, of nothing else, and whatever happens on the way.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::agreement::{ECDH_P256, EphemeralPrivateKey};
use ring::rand::SystemRandom;
use serde_json::{Value, json};
use weft_harness::account::Login;
use weft_harness::gateway::{Gateway, Got, LIMIT};
use weft_harness::system::{Options, System, direct};
use weft_push::webhook;

const SECRET: [u8; 32] = [7; 32];

/// What a webhook says, signed as it has to be.
trait Signed {
    fn signed(&self) -> Value;
}

impl Signed for Got {
    fn signed(&self) -> Value {
        let header = |name: &str| self.headers[name].clone();
        let time_s = header(webhook::TIMESTAMP).parse().expect("a time");
        let expected = webhook::signature(&SECRET, &header(webhook::ID), time_s, &self.body);
        assert_eq!(header(webhook::SIGNATURE), expected);
        serde_json::from_slice(&self.body).expect("json")
    }
}

async fn system(pushes: usize) -> Result<System> {
    let args = ["--push-delay-ms", "1000", "--push-allow", "127.0.0.0/8"].map(str::to_owned);
    let push_args = args.to_vec();
    System::split(Options { edges: 1, pushes, push_args, ..Options::default() }).await
}

async fn register(system: &System, login: &Login, push: &Value) -> Result<()> {
    let path = format!("/v1/devices/{}/push", login.device);
    let done = login.call(system.edge(), "PUT", &path, push).await?;
    ensure!(done.status == 204, "{done:?}");
    Ok(())
}

fn hook(gateway: SocketAddr, path: &str) -> Value {
    let secret = format!("whsec_{}", STANDARD.encode(SECRET));
    json!({ "kind": "webhook", "url": format!("http://{gateway}{path}"), "secret": secret })
}

#[tokio::test]
async fn a_device_is_notified_of_what_its_user_has_not_seen_and_of_nothing_else() -> Result<()> {
    let system = system(1).await?;
    let (at, gateway) = Gateway::start().await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let room = direct(&alice, &bob);
    register(&system, &bob, &hook(at, "/bob")).await?;
    register(&system, &alice, &hook(at, "/alice")).await?;
    let (mut a, mut b) = (system.session(&alice).await?, system.session(&bob).await?);
    let began = Instant::now();
    let seq = a.acked(&room, json!({ "text": "hello" })).await?;
    let got = gateway.until("/bob", 1).await;
    let told = got[0].signed();
    assert_eq!(
        (&told["body"], &told["room"], &told["seq"]),
        (&json!("hello"), &json!(room), &json!(seq))
    );
    assert_eq!(told["badge"], 1, "{told}");
    assert!(got[0].at - began >= Duration::from_secs(1), "bob could have seen it by himself");
    // Read within the time, deleted, or wanted by nobody: of these bob hears nothing.
    let read = a.acked(&room, json!({ "text": "read at once" })).await?;
    let marked = b.request(json!({ "type": "mark", "room": room, "read": read })).await?;
    assert_eq!(marked["type"], "done", "{marked}");
    let deleted = a.acked(&room, json!({ "text": "a slip" })).await?;
    a.acked(&room, json!({ "kind": "delete", "target": deleted })).await?;
    let set = json!({ "type": "setting", "room": room, "notify": "none" });
    a.acked(&room, json!({ "text": "skipped", "skip_push": true })).await?;
    let last = a.acked(&room, json!({ "text": "the last one" })).await?;
    let got = gateway.until("/bob", 2).await;
    assert_eq!(got[1].signed()["seq"], last);
    assert_eq!(b.request(set).await?["type"], "done");
    a.acked(&room, json!({ "text": "of no interest" })).await?;
    let of_bob = b.acked(&room, json!({ "text": "an answer" })).await?;
    let of_alice = gateway.until("/alice", 1).await;
    assert_eq!(of_alice[0].signed()["seq"], of_bob);
    assert_eq!((gateway.at("/bob").len(), of_alice.len()), (2, 1), "nobody hears of their own");
    // Web Push: what only the browser reads, and a name by which the service replaces it.
    let key = EphemeralPrivateKey::generate(&ECDH_P256, &SystemRandom::new()).expect("key");
    let key = key.compute_public_key().expect("public key");
    let (p256dh, auth) = (URL_SAFE_NO_PAD.encode(&key), URL_SAFE_NO_PAD.encode([3; 16]));
    let endpoint = format!("http://{at}/browser");
    let keys = json!({ "p256dh": p256dh, "auth": auth });
    register(&system, &alice, &json!({ "kind": "webpush", "endpoint": endpoint, "keys": keys }))
        .await?;
    b.acked(&room, json!({ "text": "geheim" })).await?;
    let got = gateway.until("/browser", 1).await.remove(0);
    let own_key = alice.call(system.edge(), "GET", "/v1/push", &Value::Null).await?.body;
    let own_key = own_key["webpush"]["key"].as_str().context("a key")?.to_owned();
    assert!(got.headers["authorization"].ends_with(&format!("k={own_key}")), "{got:?}");
    let header = |name: &str| got.headers[name].as_str();
    assert_eq!((header("content-encoding"), header("ttl")), ("aes128gcm", "86400"));
    assert_eq!((header("urgency"), header("topic").len()), ("high", 32));
    assert!(!got.body.windows(6).any(|it| it == b"geheim"), "nobody else reads it");
    Ok(())
}

#[tokio::test]
async fn a_gateway_is_asked_again_when_it_says_so_and_never_after_it_knows_nobody() -> Result<()> {
    let system = system(1).await?;
    let (at, gateway) = Gateway::start().await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let room = direct(&alice, &bob);
    gateway.answer("/bob", &["429 Too Many Requests\r\nretry-after: 2", "503 Unavailable"]);
    register(&system, &bob, &hook(at, "/bob")).await?;
    let mut a = system.session(&alice).await?;
    let seq = a.acked(&room, json!({ "text": "again and again" })).await?;
    let got = gateway.until("/bob", 3).await;
    assert!(got[1].at - got[0].at >= Duration::from_secs(2), "retry-after is honoured");
    let ids: BTreeSet<&str> = got.iter().map(|got| got.headers[webhook::ID].as_str()).collect();
    assert_eq!((ids.len(), &got[2].signed()["seq"]), (1, &json!(seq)), "one notification");
    gateway.answer("/bob", &["410 Gone"]);
    a.acked(&room, json!({ "text": "nobody is there" })).await?;
    gateway.until("/bob", 4).await;
    let path = format!("/v1/devices/{}/push", bob.device);
    let deadline = Instant::now() + LIMIT;
    while bob.call(system.edge(), "GET", &path, &Value::Null).await?.status != 404 {
        ensure!(Instant::now() < deadline, "it is registered still");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // One that takes it for wrong is not asked again: an operator sees it, and may have it sent once more.
    register(&system, &bob, &hook(at, "/wrong")).await?;
    gateway.answer("/wrong", &["400 Bad Request"]);
    let wrong = a.acked(&room, json!({ "text": "wrong" })).await?;
    gateway.until("/wrong", 1).await;
    let deadline = Instant::now() + LIMIT;
    let listed = loop {
        let listed = system.operated(&["push", "list"]).await?;
        if listed.contains("status 400") {
            break listed;
        }
        ensure!(Instant::now() < deadline, "{listed}");
    };
    assert!(listed.contains(&format!(r#""room":"{room}","seq":{wrong}"#)), "{listed}");
    system.operated(&["push", "replay"]).await?;
    assert_eq!(gateway.until("/wrong", 2).await[1].signed()["seq"], wrong);
    assert!(!system.operated(&["push", "list"]).await?.contains("status 400"));
    Ok(())
}

#[tokio::test]
async fn a_push_node_that_is_killed_forgets_nothing() -> Result<()> {
    const MESSAGES: usize = 60;
    let system = system(1).await?;
    let (at, gateway) = Gateway::start().await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let room = direct(&alice, &bob);
    register(&system, &bob, &hook(at, "/bob")).await?;
    let mut a = system.session(&alice).await?;
    for n in 0..MESSAGES {
        a.acked(&room, json!({ "text": format!("message {n}") })).await?;
        // In all stages: jobs are made, wait, and are sent.
        if n % 20 == 10 {
            system.process("push-0").kill()?;
            system.process("push-0").restart()?;
        }
    }
    let deadline = Instant::now() + LIMIT;
    let seqs = loop {
        let got = gateway.at("/bob");
        let seqs: BTreeSet<u64> =
            got.iter().filter_map(|got| got.signed()["seq"].as_u64()).collect();
        if seqs.len() == MESSAGES {
            break got.len();
        }
        ensure!(Instant::now() < deadline, "{} of {MESSAGES}", seqs.len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    println!("{MESSAGES} messages, {seqs} notifications");
    Ok(())
}

#[tokio::test]
async fn another_push_node_goes_on_where_the_first_one_was_killed() -> Result<()> {
    let system = system(2).await?;
    let (at, gateway) = Gateway::start().await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let room = direct(&alice, &bob);
    register(&system, &bob, &hook(at, "/bob")).await?;
    let mut a = system.session(&alice).await?;
    let mut said = BTreeSet::new();
    for n in 0..20 {
        said.insert(a.acked(&room, json!({ "text": format!("message {n}") })).await?);
        if n == 10 {
            system.process("push-0").kill()?;
        }
    }
    let deadline = Instant::now() + LIMIT;
    loop {
        let got = gateway.at("/bob");
        let seqs: BTreeSet<u64> =
            got.iter().filter_map(|got| got.signed()["seq"].as_u64()).collect();
        if seqs == said {
            break;
        }
        ensure!(Instant::now() < deadline, "{seqs:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Back, the first one follows again, and both live.
    system.process("push-0").restart()?;
    let last = a.acked(&room, json!({ "text": "the last one" })).await?;
    let got = gateway.until("/bob", said.len() + 1).await;
    assert!(got.iter().any(|got| got.signed()["seq"] == last), "{got:?}");
    Ok(())
}
