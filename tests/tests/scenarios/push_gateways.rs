//! Gateways of phones, and gateways that misbehave: what is asked of them, and what becomes of what they don't take.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use rsa::RsaPrivateKey;
use rsa::pkcs1::EncodeRsaPublicKey as _;
use rsa::pkcs8::{EncodePrivateKey as _, LineEnding};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use weft_harness::account::Login;
use weft_harness::gateway::LIMIT;
use weft_harness::metrics::Metrics;
use weft_harness::system::{Folder, Options, System, direct};
use weft_push::web_push::Vapid;

use server::{Authority, Got, Says, TlsGateway};

mod server;

const SEND: &str = "/v1/projects/weft-test/messages:send";
const GRANT: &str = "/token";
const TEAM: &str = "TEAM123456";
const KEY_ID: &str = "ABC123DEFG";
const TOPIC: &str = "org.example.weft";

/// A system whose push node knows an authority of the test's, and what else it is told.
async fn system(folder: &Folder, authority: &Authority, args: Vec<String>) -> Result<System> {
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.pem())?;
    let ca = ca.display().to_string();
    let own = ["--push-delay-ms", "200", "--push-allow", "127.0.0.0/8", "--push-ca", &ca];
    let mut push_args: Vec<String> = own.map(str::to_owned).to_vec();
    push_args.extend(args);
    System::split(Options { edges: 1, pushes: 1, push_args, ..Options::default() }).await
}

async fn register(system: &System, login: &Login, push: &Value) -> Result<()> {
    let path = format!("/v1/devices/{}/push", login.device);
    let done = login.call(system.edge(), "PUT", &path, push).await?;
    ensure!(done.status == 204, "{done:?}");
    Ok(())
}

fn hook(gateway: &TlsGateway, path: &str) -> Value {
    let secret = format!("whsec_{}", STANDARD.encode([7; 32]));
    json!({ "kind": "webhook", "url": gateway.url(path), "secret": secret })
}

async fn until_unregistered(system: &System, login: &Login) -> Result<()> {
    let path = format!("/v1/devices/{}/push", login.device);
    let deadline = Instant::now() + LIMIT;
    while login.call(system.edge(), "GET", &path, &Value::Null).await?.status != 404 {
        ensure!(Instant::now() < deadline, "it is registered still");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Waits until a metric of the push node is at least so much.
async fn until_counted(system: &System, name: &str, count: f64) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    while Metrics::of(system.admin("push-0")).await?.get(name) < count {
        ensure!(Instant::now() < deadline, "{name} stays below {count}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Head and claims of a token that is signed by this key.
fn verified(
    token: &str,
    algorithm: &'static dyn VerificationAlgorithm,
    key: &[u8],
) -> (Value, Value) {
    let (signed, signature) = token.rsplit_once('.').expect("a signature");
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).expect("base64url");
    let verifier = UnparsedPublicKey::new(algorithm, key);
    verifier.verify(signed.as_bytes(), &decode(signature)).expect("it is signed");
    let (head, claims) = signed.split_once('.').expect("claims");
    let json = |part: &str| serde_json::from_slice(&decode(part)).expect("json");
    (json(head), json(claims))
}

/// What an app is told by FCM.
fn weft(got: &Got) -> Value {
    let text = got.json()["message"]["data"]["weft"].as_str().expect("a text").to_owned();
    serde_json::from_str(&text).expect("json")
}

fn error_of_fcm(status: u16, code: &str) -> Says {
    let kind = "type.googleapis.com/google.firebase.fcm.v1.FcmError";
    let details = json!([{ "@type": kind, "errorCode": code }]);
    Says::json(status, &json!({ "error": { "code": status, "details": details } }))
}

#[tokio::test]
async fn fcm_is_asked_in_the_name_of_a_service_account() -> Result<()> {
    let (folder, authority) = (Folder::new()?, Authority::new()?);
    let gateway = TlsGateway::start(&authority, "127.0.0.1").await?;
    let key = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2_048)?;
    let public = key.to_public_key().to_pkcs1_der()?;
    let credentials = folder.path().join("fcm.json");
    let account = json!({
        "type": "service_account",
        "project_id": "weft-test",
        "private_key_id": "key-1",
        "private_key": *key.to_pkcs8_pem(LineEnding::LF)?,
        "client_email": "push@weft-test.example",
        "token_uri": gateway.url(GRANT),
    });
    std::fs::write(&credentials, account.to_string())?;
    let granted =
        |token: &str| Says::json(200, &json!({ "access_token": token, "expires_in": 3_599 }));
    gateway.say(GRANT, granted("first"));
    gateway.always(GRANT, Some(granted("second")));
    let args = ["--push-fcm-credentials", &credentials.display().to_string(), "--push-fcm-url"];
    let mut args = args.map(str::to_owned).to_vec();
    args.push(gateway.url(""));
    let system = system(&folder, &authority, args).await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let room = direct(&alice, &bob);
    let told = bob.call(system.edge(), "GET", "/v1/push", &Value::Null).await?.body;
    assert_eq!(told["kinds"], json!(["fcm", "webhook", "webpush"]));
    let apns = json!({ "kind": "apns", "token": "ab".repeat(32), "topic": TOPIC });
    let path = format!("/v1/devices/{}/push", bob.device);
    assert_eq!(bob.call(system.edge(), "PUT", &path, &apns).await?.status, 503, "nobody does that");
    register(&system, &bob, &json!({ "kind": "fcm", "token": "bob:APA91b" })).await?;
    let mut a = system.session(&alice).await?;
    let seq = a.acked(&room, json!({ "text": "hello" })).await?;
    let got = gateway.until(SEND, 1).await.remove(0);
    let asked = gateway.at(GRANT).remove(0);
    let form = String::from_utf8(asked.body.to_vec())?;
    let assertion = form
        .strip_prefix("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=")
        .context("a form")?;
    let (head, claims) = verified(assertion, &RSA_PKCS1_2048_8192_SHA256, public.as_bytes());
    assert_eq!(head, json!({ "alg": "RS256", "typ": "JWT", "kid": "key-1" }));
    let scope = "https://www.googleapis.com/auth/firebase.messaging";
    assert_eq!(
        (&claims["iss"], &claims["scope"]),
        (&json!("push@weft-test.example"), &json!(scope))
    );
    assert_eq!(claims["aud"], json!(gateway.url(GRANT)));
    assert_eq!(got.headers["authorization"], "Bearer first");
    let message = got.json()["message"].take();
    assert_eq!(message["token"], "bob:APA91b");
    assert_eq!(message["notification"]["body"], "hello");
    assert_eq!(
        (&message["android"]["priority"], &message["android"]["ttl"]),
        (&json!("HIGH"), &json!("86400s"))
    );
    assert_eq!(message["android"]["notification"]["tag"], json!(room));
    assert_eq!(weft(&got)["seq"], seq);
    assert_eq!(weft(&got)["badge"], 1);
    // A token that is taken for none is replaced; then it is tried when the gateway says, in seconds or by a date.
    gateway.say(SEND, Says::status(401));
    gateway.say(SEND, error_of_fcm(429, "QUOTA_EXCEEDED").with("retry-after", "2"));
    let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(8));
    gateway.say(SEND, error_of_fcm(503, "UNAVAILABLE").with("retry-after", date.clone()));
    let seq = a.acked(&room, json!({ "text": "again and again" })).await?;
    let got = gateway.until(SEND, 5).await;
    assert!(got[3].at - got[2].at >= Duration::from_secs(2), "retry-after is honoured");
    assert!(SystemTime::now() >= httpdate::parse_http_date(&date)?, "the date, too");
    assert_eq!(
        (&weft(&got[4])["seq"], &got[4].headers["authorization"][..]),
        (&json!(seq), "Bearer second")
    );
    assert_eq!(gateway.at(GRANT).len(), 2, "one for an hour, and one in its place");
    gateway.say(SEND, error_of_fcm(404, "UNREGISTERED"));
    a.acked(&room, json!({ "text": "nobody is there" })).await?;
    until_unregistered(&system, &bob).await
}

#[tokio::test]
async fn apns_is_asked_over_http_2_and_hears_what_was_read_elsewhere() -> Result<()> {
    let (folder, authority) = (Folder::new()?, Authority::new()?);
    let gateway = TlsGateway::start(&authority, "127.0.0.1").await?;
    let (key, file) = (Vapid::make_key()?, folder.path().join("AuthKey.p8"));
    std::fs::write(&file, &key)?;
    let public = URL_SAFE_NO_PAD.decode(Vapid::read(&key, String::new())?.public_key())?;
    let (file, url) = (file.display().to_string(), gateway.url(""));
    let args = [
        "--push-apns-key",
        &file,
        "--push-apns-key-id",
        KEY_ID,
        "--push-apns-team",
        TEAM,
        "--push-apns-url",
        &url,
    ];
    let system = system(&folder, &authority, args.map(str::to_owned).to_vec()).await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let (room, token) = (direct(&alice, &bob), "ab".repeat(32));
    let (mut a, mut b) = (system.session(&alice).await?, system.session(&bob).await?);
    let push = json!({ "type": "push", "kind": "apns", "token": token, "topic": TOPIC });
    assert_eq!(b.request(push).await?["type"], "done");
    let path = format!("/3/device/{token}");
    let first = a.acked(&room, json!({ "text": "one" })).await?;
    let seq = a.acked(&room, json!({ "text": "two" })).await?;
    let got = gateway.until(&path, 2).await;
    let of_seq = |seq: u64| got.iter().find(|got| got.json()["weft"]["seq"] == seq);
    let (one, two) = (of_seq(first).context("one")?, of_seq(seq).context("two")?);
    assert!(one.is_http2);
    let header = |name: &str| two.headers[name].as_str();
    let bearer = header("authorization").strip_prefix("bearer ").context("a token")?;
    let (head, claims) = verified(bearer, &ECDSA_P256_SHA256_FIXED, &public);
    assert_eq!(
        (&head["alg"], &head["kid"], &claims["iss"]),
        (&json!("ES256"), &json!(KEY_ID), &json!(TEAM))
    );
    assert_eq!(one.headers["authorization"], two.headers["authorization"], "it is kept");
    assert_eq!((header("apns-topic"), header("apns-push-type")), (TOPIC, "alert"));
    assert_eq!((header("apns-priority"), header("apns-id").len()), ("10", 36));
    assert_ne!(one.headers["apns-id"], two.headers["apns-id"]);
    let now_s = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let expires_s: u64 = header("apns-expiration").parse()?;
    assert!((now_s + 80_000..=now_s + 86_400).contains(&expires_s), "{expires_s}");
    let aps = two.json()["aps"].take();
    assert_eq!((&aps["alert"]["body"], &aps["thread-id"]), (&json!("two"), &json!(room)));
    assert_eq!(aps["mutable-content"], 1);
    // What bob reads elsewhere goes off the phone, without a sound, and the badge is right.
    let mark = json!({ "type": "mark", "room": room, "read": seq });
    assert_eq!(b.request(mark).await?["type"], "done");
    let clear = gateway.until(&path, 3).await.remove(2);
    assert_eq!(clear.json()["aps"], json!({ "badge": 0, "content-available": 1 }));
    assert_eq!(clear.json()["weft"], json!({ "type": "clear", "tag": room, "badge": 0 }));
    assert_eq!(clear.headers["apns-priority"], "5");
    let gone = json!({ "reason": "Unregistered", "timestamp": 1 });
    gateway.say(&path, Says::json(410, &gone));
    a.acked(&room, json!({ "text": "nobody is there" })).await?;
    until_unregistered(&system, &bob).await?;
    assert_eq!(gateway.at(&path).len(), 4, "one word for a room that was read");
    Ok(())
}

#[tokio::test]
async fn a_gateway_that_can_not_prove_who_it_is_is_told_nothing() -> Result<()> {
    let (folder, authority) = (Folder::new()?, Authority::new()?);
    let good = TlsGateway::start(&authority, "127.0.0.1").await?;
    let unknown = TlsGateway::start(&Authority::new()?, "127.0.0.1").await?;
    let misnamed = TlsGateway::start(&authority, "push.example.org").await?;
    let system = system(&folder, &authority, Vec::new()).await?;
    let alice = system.user("alice").await?;
    let mut a = system.session(&alice).await?;
    let mut rooms = BTreeMap::new();
    for (name, gateway) in [("bob", &good), ("cem", &unknown), ("dan", &misnamed)] {
        let login = system.user(name).await?;
        register(&system, &login, &hook(gateway, "/hook")).await?;
        rooms.insert(name, direct(&alice, &login));
    }
    for name in ["cem", "dan", "bob"] {
        a.acked(&rooms[name], json!({ "text": "hello" })).await?;
    }
    until_counted(&system, r#"weft_push_requests_total{outcome="failed"}"#, 4.0).await?;
    good.until("/hook", 1).await;
    assert_eq!((unknown.at("/hook").len(), misnamed.at("/hook").len()), (0, 0));
    Ok(())
}

/// Sends the beginning of an answer, a byte at a time and without an end, on the first connections; the others are answered.
async fn dripping(drips: usize) -> Result<(std::net::SocketAddr, Arc<AtomicUsize>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let (address, count) = (listener.local_addr()?, Arc::new(AtomicUsize::new(0)));
    let answered = Arc::clone(&count);
    tokio::spawn(async move {
        for number in 0.. {
            let Ok((mut socket, _)) = listener.accept().await else { return };
            let answered = Arc::clone(&answered);
            tokio::spawn(async move {
                let mut part = [0; 4_096];
                let _ = socket.read(&mut part).await;
                if number >= drips {
                    let _ = socket.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
                    answered.fetch_add(1, Ordering::SeqCst);
                    return;
                }
                let head = b"HTTP/1.1 200 OK\r\nx-slow: ".iter().chain(std::iter::repeat(&b'x'));
                for byte in head {
                    if socket.write_all(&[*byte]).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            });
        }
    });
    Ok((address, count))
}

#[tokio::test]
async fn a_gateway_that_hangs_or_drips_holds_up_nobody_else_and_gets_a_few_at_a_time() -> Result<()>
{
    const MESSAGES: usize = 40;
    const REQUESTS_MAX: usize = 32;
    let (folder, authority) = (Folder::new()?, Authority::new()?);
    let good = TlsGateway::start(&authority, "127.0.0.1").await?;
    let hanging = TlsGateway::start(&authority, "127.0.0.1").await?;
    hanging.always("/hook", None);
    let (slow, answered) = dripping(1).await?;
    let system = system(&folder, &authority, Vec::new()).await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let (cem, dan) = (system.user("cem").await?, system.user("dan").await?);
    register(&system, &bob, &hook(&good, "/hook")).await?;
    register(&system, &cem, &hook(&hanging, "/hook")).await?;
    let secret = format!("whsec_{}", STANDARD.encode([7; 32]));
    let url = format!("http://{slow}/hook");
    register(&system, &dan, &json!({ "kind": "webhook", "url": url, "secret": secret })).await?;
    let mut a = system.session(&alice).await?;
    for n in 0..MESSAGES {
        a.acked(&direct(&alice, &cem), json!({ "text": format!("message {n}") })).await?;
    }
    a.acked(&direct(&alice, &dan), json!({ "text": "hello" })).await?;
    hanging.until("/hook", REQUESTS_MAX).await;
    a.acked(&direct(&alice, &bob), json!({ "text": "hello" })).await?;
    good.until("/hook", 1).await;
    // What hung is over after a while; after that none goes there for a second, and then all are told.
    until_counted(&system, r#"weft_push_waited_total{reason="open"}"#, 1.0).await?;
    assert!(hanging.underway_max() <= REQUESTS_MAX, "{}", hanging.underway_max());
    hanging.always("/hook", Some(Says::status(200)));
    until_told(&hanging, "/hook", MESSAGES).await?;
    let deadline = Instant::now() + LIMIT;
    while answered.load(Ordering::SeqCst) == 0 {
        ensure!(Instant::now() < deadline, "who drips is asked again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Waits until a gateway has said of so many messages that it has them; how often it was told of them.
async fn until_told(gateway: &TlsGateway, path: &str, count: usize) -> Result<usize> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let got = gateway.at(path);
        let taken = got.iter().filter(|got| got.is_answered);
        let seqs: BTreeSet<u64> = taken.filter_map(|got| got.json()["seq"].as_u64()).collect();
        if seqs.len() >= count {
            return Ok(got.len());
        }
        ensure!(Instant::now() < deadline, "{} of {count}", seqs.len());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_gateway_that_is_killed_forgets_nothing_and_hears_twice_what_was_underway() -> Result<()>
{
    const MESSAGES: usize = 60;
    let (folder, authority) = (Folder::new()?, Authority::new()?);
    let gateway = TlsGateway::start(&authority, "127.0.0.1").await?;
    let system = system(&folder, &authority, Vec::new()).await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    register(&system, &bob, &hook(&gateway, "/hook")).await?;
    let (mut a, room) = (system.session(&alice).await?, direct(&alice, &bob));
    for n in 0..MESSAGES {
        a.acked(&room, json!({ "text": format!("message {n}") })).await?;
        if n % 20 == 10 {
            gateway.until("/hook", n / 2).await;
            // It has these, and nobody hears that.
            gateway.always("/hook", None);
            let before = gateway.at("/hook").len();
            a.acked(&room, json!({ "text": "underway" })).await?;
            gateway.until("/hook", before + 1).await;
            gateway.kill().await;
            gateway.always("/hook", Some(Says::status(200)));
            gateway.restart().await?;
        }
    }
    let all = MESSAGES + 3;
    let told = until_told(&gateway, "/hook", all).await?;
    println!("{all} messages, {told} notifications, {} twice", told - all);
    ensure!(told > all, "what was underway comes again: its gateway had it, and nobody knew");
    Ok(())
}

#[tokio::test]
async fn a_nats_server_that_is_killed_forgets_no_notification() -> Result<()> {
    const MESSAGES: usize = 60;
    let (folder, authority) = (Folder::new()?, Authority::new()?);
    let gateway = TlsGateway::start(&authority, "127.0.0.1").await?;
    let system = system(&folder, &authority, Vec::new()).await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    register(&system, &bob, &hook(&gateway, "/hook")).await?;
    let room = direct(&alice, &bob);
    let mut sent = 0;
    let mut a = system.session(&alice).await?;
    for round in 0..3 {
        while sent < (round + 1) * MESSAGES / 3 {
            a.acked(&room, json!({ "text": format!("message {sent}") })).await?;
            sent += 1;
        }
        gateway.until("/hook", sent / 2).await;
        system.process("nats").kill()?;
        system.process("nats").restart()?;
        system.ready().await;
    }
    let told = until_told(&gateway, "/hook", MESSAGES).await?;
    println!("{MESSAGES} messages, {told} notifications, {} twice", told - MESSAGES);
    Ok(())
}
