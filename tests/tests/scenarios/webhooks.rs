//! Outgoing webhooks: what is written is delivered to addresses that people name, in its order, signed, and to nobody inside.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use weft_harness::account::Login;
use weft_harness::gateway::{Gateway, Got};
use weft_harness::session::Session;
use weft_harness::system::{Options, System, direct, unique};
use weft_harness::wait::until;
use weft_outbound::webhook;

/// What a killed node had taken comes again after a minute, and who waits for that looks every half minute.
const LIMIT: Duration = Duration::from_secs(200);

pub async fn system(integrations: usize, more: &[&str]) -> Result<System> {
    let args = ["--webhooks-allow", "127.0.0.0/8"].iter().chain(more);
    let integrations_args = args.map(|it| (*it).to_owned()).collect();
    System::split(Options { edges: 1, integrations, integrations_args, ..Options::default() }).await
}

pub async fn make(
    system: &System,
    login: &Login,
    path: &str,
    wanted: &Value,
) -> Result<(String, Vec<u8>)> {
    let made = login.call(system.edge(), "POST", path, wanted).await?;
    ensure!(made.status == 201, "{made:?}");
    let text = |field: &str| made.body[field].as_str().map(str::to_owned).context("a field");
    let secret = text("secret")?;
    let secret = STANDARD.decode(secret.strip_prefix("whsec_").context("a prefix")?)?;
    Ok((text("id")?, secret))
}

/// What was written just before one is made may be told, too: so these hear nothing of how a group began.
fn url(at: SocketAddr, path: &str) -> Value {
    json!({ "url": format!("http://{at}{path}"), "kinds": ["message", "react"] })
}

pub async fn group(session: &mut Session, others: &[&Login]) -> Result<String> {
    let group = unique("team");
    let members: Vec<&str> = others.iter().map(|it| it.user.as_str()).collect();
    session.acked(&group, json!({ "kind": "create", "title": "T", "members": members })).await?;
    Ok(group)
}

/// What was said, signed as it has to be.
fn signed(got: &Got, secret: &[u8]) -> Value {
    let header = |name: &str| got.headers[name].as_str();
    let time_s = header(webhook::TIMESTAMP).parse().expect("a time");
    let expected = webhook::signature(secret, header(webhook::ID), time_s, &got.body);
    assert!(header(webhook::SIGNATURE).split(' ').any(|it| it == expected), "{got:?}");
    serde_json::from_slice(&got.body).expect("json")
}

fn seqs(got: &[Got]) -> Vec<u64> {
    let told = got.iter().map(|got| serde_json::from_slice::<Value>(&got.body).expect("json"));
    told.filter_map(|told| told["seq"].as_u64()).collect()
}

/// A webhook of a list, when it is as it has to be.
async fn listed(
    system: &System,
    (login, path): (&Login, &str),
    is_so: impl Fn(&Value) -> bool,
) -> Value {
    until("the webhook is as it has to be", LIMIT, async || {
        let list = login.call(system.edge(), "GET", path, &Value::Null).await.ok()?;
        list.body["webhooks"].as_array()?.iter().find(|it| is_so(it)).cloned()
    })
    .await
}

#[tokio::test]
async fn what_is_written_in_a_group_is_delivered_in_its_order() -> Result<()> {
    let system = system(1, &[]).await?;
    let (at, gateway) = Gateway::start().await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let mut a = system.session(&alice).await?;
    let room = group(&mut a, &[&bob]).await?;
    let path = format!("/v1/rooms/{room}/webhooks");
    let refused = bob.call(system.edge(), "POST", &path, &url(at, "/x")).await?;
    assert_eq!(refused.status, 403, "{refused:?}");
    let (_, secret) = make(&system, &alice, &path, &url(at, "/all")).await?;
    let mut wanted = url(at, "/events");
    wanted["kinds"] = json!(["react"]);
    wanted["format"] = json!("cloudevents");
    let (_, of_events) = make(&system, &alice, &path, &wanted).await?;
    // The first of them fails for a while: the others wait for it.
    gateway.answer(
        "/all",
        &[
            "503 Unavailable",
            "429 Too Many Requests\r\nretry-after: 1",
            "302 Found\r\nlocation: /other",
        ],
    );
    let mut said = Vec::new();
    for n in 0..10 {
        said.push(a.acked(&room, json!({ "text": format!("message {n}") })).await?);
    }
    let react = json!({ "kind": "react", "target": said[0], "emoji": "👍" });
    said.push(a.acked(&room, react).await?);
    let got = gateway.until("/all", said.len() + 3).await;
    let mut expected = vec![said[0]; 3];
    expected.extend(&said);
    assert_eq!(seqs(&got), expected);
    let ids: BTreeSet<&str> = got.iter().map(|got| got.headers[webhook::ID].as_str()).collect();
    assert_eq!(ids.len(), said.len(), "one id for each entry, however often it is tried");
    assert_eq!(got[0].headers[webhook::ID], got[3].headers[webhook::ID]);
    let told = signed(&got[3], &secret);
    assert_eq!((&told["type"], &told["room"]), (&json!("entry"), &json!(room)));
    let entry = &told["entry"];
    assert_eq!((&entry["from"], &entry["text"]), (&json!(alice.user), &json!("message 0")));
    assert!(gateway.at("/other").is_empty(), "no redirect is followed");
    let events = gateway.until("/events", 1).await;
    let event = signed(&events[0], &of_events);
    assert_eq!((&event["type"], &event["specversion"]), (&json!("weft.react"), &json!("1.0")));
    assert_eq!(events[0].headers["content-type"], "application/cloudevents+json");
    assert_eq!(event["data"]["emoji"], "👍");
    Ok(())
}

#[tokio::test]
async fn a_users_own_are_told_of_what_is_for_them_as_long_as_they_may_see_it() -> Result<()> {
    let system = system(1, &[]).await?;
    let (at, gateway) = Gateway::start().await?;
    let (alice, bob) = (system.user("alice").await?, system.user("bob").await?);
    let mut a = system.session(&alice).await?;
    let room = group(&mut a, &[&bob]).await?;
    let (id, secret) = make(&system, &bob, "/v1/webhooks", &url(at, "/bob")).await?;
    a.acked(&room, json!({ "text": "for nobody" })).await?;
    let range = json!({ "at": 0, "len": 5, "style": "mention", "user": bob.user });
    let mention = json!({ "text": "hello, you", "ranges": [range] });
    let mentioned = a.acked(&room, mention.clone()).await?;
    gateway.until("/bob", 1).await;
    let written = a.acked(&direct(&alice, &bob), json!({ "text": "for you" })).await?;
    let got = gateway.until("/bob", 2).await;
    let told = |got: &Got| {
        let told = signed(got, &secret);
        (told["room"].as_str().map(str::to_owned), told["seq"].as_u64())
    };
    assert_eq!(told(&got[0]), (Some(room.clone()), Some(mentioned)));
    assert_eq!(told(&got[1]), (Some(direct(&alice, &bob)), Some(written)));
    // What waits when they leave is not for them any more.
    gateway.answer("/bob", &["503 Unavailable\r\nretry-after: 20"]);
    a.acked(&room, mention).await?;
    gateway.until("/bob", 3).await;
    a.acked(&room, json!({ "kind": "remove", "user": bob.user })).await?;
    let last = a.acked(&direct(&alice, &bob), json!({ "text": "the last one" })).await?;
    let got = gateway.until("/bob", 4).await;
    assert_eq!(told(&got[3]), (Some(direct(&alice, &bob)), Some(last)));
    // A secret that was renewed is good beside the one before; a test says that it is one.
    let path = format!("/v1/webhooks/{id}");
    let renewed = bob.call(system.edge(), "POST", &format!("{path}/secret"), &Value::Null).await?;
    let renewed = renewed.body["secret"].as_str().context("a secret")?.to_owned();
    let renewed = STANDARD.decode(&renewed["whsec_".len()..])?;
    let tested = bob.call(system.edge(), "POST", &format!("{path}/test"), &Value::Null).await?;
    assert_eq!(tested.status, 202, "{tested:?}");
    let test = gateway.until("/bob", 5).await.remove(4);
    assert_eq!(signed(&test, &secret)["type"], "test");
    assert_eq!(signed(&test, &renewed)["webhook"], id);
    assert_eq!(bob.call(system.edge(), "DELETE", &path, &Value::Null).await?.status, 204);
    let list = bob.call(system.edge(), "GET", "/v1/webhooks", &Value::Null).await?;
    assert_eq!(list.body["webhooks"], json!([]));
    Ok(())
}

#[tokio::test]
async fn a_receiver_that_hangs_costs_others_nothing() -> Result<()> {
    const MESSAGES: usize = 30;
    let system = system(1, &[]).await?;
    let (at, gateway) = Gateway::start().await?;
    let alice = system.user("alice").await?;
    let mut a = system.session(&alice).await?;
    let room = group(&mut a, &[]).await?;
    let path = format!("/v1/rooms/{room}/webhooks");
    for hangs in ["/hangs", "/hangs-too"] {
        make(&system, &alice, &path, &url(at, hangs)).await?;
        gateway.answer(hangs, &["silence"; 100]);
    }
    make(&system, &alice, &path, &url(at, "/well")).await?;
    let mut said = Vec::new();
    for n in 0..MESSAGES {
        said.push(a.acked(&room, json!({ "text": format!("message {n}") })).await?);
    }
    let got = gateway.until("/well", MESSAGES).await;
    assert_eq!(seqs(&got), said);
    let hanging = gateway.until("/hangs", 1).await;
    assert_eq!(seqs(&hanging[..1]), said[..1], "its first one is tried, and those after it wait");
    assert!(seqs(&gateway.at("/hangs")).iter().all(|seq| *seq == said[0]));
    Ok(())
}

#[tokio::test]
async fn whatever_is_killed_all_is_delivered_in_order() -> Result<()> {
    const MESSAGES: usize = 60;
    let system = system(2, &[]).await?;
    let (at, gateway) = Gateway::start().await?;
    let alice = system.user("alice").await?;
    let mut a = system.session(&alice).await?;
    let room = group(&mut a, &[]).await?;
    let path = format!("/v1/rooms/{room}/webhooks");
    make(&system, &alice, &path, &url(at, "/all")).await?;
    let mut said = Vec::new();
    for n in 0..MESSAGES {
        said.push(a.acked(&room, json!({ "text": format!("message {n}") })).await?);
        let killed = match n {
            10 => "integrations-0",
            25 => "integrations-1",
            40 => "nats",
            _ => continue,
        };
        gateway.until("/all", 1).await;
        system.process(killed).kill()?;
        system.process(killed).restart()?;
    }
    let deadline = Instant::now() + LIMIT;
    let got = loop {
        let got = seqs(&gateway.at("/all"));
        if got.iter().collect::<BTreeSet<_>>().len() == MESSAGES {
            break got;
        }
        ensure!(Instant::now() < deadline, "{got:?} of {said:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let mut first: BTreeMap<u64, usize> = BTreeMap::new();
    for (place, seq) in got.iter().enumerate() {
        first.entry(*seq).or_insert(place);
    }
    let places: Vec<usize> = first.values().copied().collect();
    assert!(places.is_sorted(), "none comes before one that was written before it: {got:?}");
    assert_eq!(first.into_keys().collect::<Vec<_>>(), said);
    println!("{MESSAGES} messages, {} deliveries", got.len());
    Ok(())
}

#[tokio::test]
async fn nobody_inside_is_asked() -> Result<()> {
    let args = Options { edges: 1, integrations: 1, ..Options::default() };
    let system = System::split(args).await?;
    let (at, gateway) = Gateway::start().await?;
    let alice = system.user("alice").await?;
    let make = async |address: String| {
        let wanted = json!({ "url": address });
        alice.call(system.edge(), "POST", "/v1/webhooks", &wanted).await
    };
    for inside in [
        format!("http://{at}/x"),
        "https://10.0.0.1/x".to_owned(),
        "https://169.254.169.254/latest/meta-data".to_owned(),
        "https://[::1]/x".to_owned(),
        "https://me@example.org/x".to_owned(),
        "ftp://example.org/x".to_owned(),
    ] {
        let refused = make(inside.clone()).await?;
        assert_eq!(refused.status, 400, "{inside}: {refused:?}");
    }
    // A name may mean anything, at any time: who connects looks at what it means then.
    let made = make(format!("http://localhost:{}/x", at.port())).await?;
    assert_eq!(made.status, 201, "{made:?}");
    let bob = system.user("bob").await?;
    system.session(&bob).await?.acked(&direct(&alice, &bob), json!({ "text": "hi" })).await?;
    let failing = |it: &Value| it["reason"].as_str().is_some_and(|it| it.contains("public"));
    let found = listed(&system, (&alice, "/v1/webhooks"), failing).await;
    assert!(found["failing_since"].as_u64().is_some(), "{found}");
    assert!(gateway.at("/x").is_empty());
    Ok(())
}

#[tokio::test]
async fn who_fails_for_too_long_is_paused_and_what_waited_can_be_sent_later() -> Result<()> {
    let system = system(1, &["--webhooks-pause-after-s", "3"]).await?;
    let (at, gateway) = Gateway::start().await?;
    let alice = system.user("alice").await?;
    let mut a = system.session(&alice).await?;
    let room = group(&mut a, &[]).await?;
    let path = format!("/v1/rooms/{room}/webhooks");
    let (id, _) = make(&system, &alice, &path, &url(at, "/away")).await?;
    gateway.answer("/away", &["500 Internal Server Error"; 100]);
    let first = a.acked(&room, json!({ "text": "one" })).await?;
    let second = a.acked(&room, json!({ "text": "two" })).await?;
    let found = listed(&system, (&alice, &path), |it| it["state"] == "failed").await;
    assert_eq!(found["reason"], "status 500", "{found}");
    // Its maker finds a word of it in their notebook.
    let notebook = format!("/v1/rooms/{}/entries", direct(&alice, &alice));
    let word = until("a word", LIMIT, async || {
        let history = alice.call(system.edge(), "GET", &notebook, &Value::Null).await.ok()?;
        history.body["entries"][0]["text"].as_str().map(str::to_owned)
    });
    let word = word.await;
    assert!(word.contains(&id) && word.contains("status 500"), "{word}");
    let letters = until("both are letters", LIMIT, async || {
        let listed = system.operated(&["webhooks", "list"]).await.ok()?;
        let has = |seq: u64| listed.contains(&format!(r#""seq":{seq}"#));
        (has(first) && has(second)).then_some(listed)
    });
    assert!(letters.await.contains("status 500"));
    let before = gateway.at("/away").len();
    gateway.forget("/away");
    system.operated(&["webhooks", "resume", &id, "--room", &room]).await?;
    assert_eq!(listed(&system, (&alice, &path), |it| it["id"] == *id).await["state"], "active");
    system.operated(&["webhooks", "replay"]).await?;
    let got = gateway.until("/away", before + 2).await;
    assert_eq!(seqs(&got[before..]), [first, second]);
    let third = a.acked(&room, json!({ "text": "three" })).await?;
    let got = gateway.until("/away", before + 3).await;
    assert_eq!(seqs(&got[before + 2..]), [third]);
    let listed = system.operated(&["webhooks", "list"]).await?;
    assert!(!listed.contains(&id), "{listed}");
    Ok(())
}
