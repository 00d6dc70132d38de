//! A send is answered by core's word, or by the truth that there is none.

use std::time::Duration;

use serde_json::{Value, json};
use weft_edge::{Limits, Rate};
use weft_nats::IngestLog;

use crate::client::http;
use crate::common::{PATIENCE, World, eventually, token};

const ID: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

fn send(room: &str, text: &str) -> Value {
    json!({ "type": "send", "room": room, "client_id": ID, "text": text })
}

/// One of many different sends.
fn numbered(room: &str, number: usize, text: &str) -> Value {
    let client_id = format!("{}{number:04}", &ID[..22]);
    json!({ "type": "send", "room": room, "client_id": client_id, "text": text })
}

fn impatient() -> Limits {
    Limits {
        resend_after: Duration::from_millis(100),
        give_up_after: Duration::from_secs(2),
        ..Limits::default()
    }
}

#[tokio::test]
async fn without_an_answer_it_is_published_again() {
    let world = World::with(impatient()).await;
    let mut alice = world.session("alice").await;
    world.core.ignore_commands(2);
    let ack = alice.request(send("alice~bob", "hi")).await;
    assert_eq!(ack["type"], "ack");
    let commands = world.core.commands();
    assert_eq!(commands.len(), 3, "{commands:?}");
    assert!(commands.iter().all(|(_, id)| id == ID));
}

#[tokio::test]
async fn a_slow_core_gets_nothing_twice_unless_the_log_lost_it() {
    let limits = Limits { give_up_after: PATIENCE, ..impatient() };
    let world = World::with(limits).await;
    let mut alice = world.session("alice").await;
    let log = IngestLog::open(&world.core.bus, 0);
    let published = async || log.info().await.expect("info").last_seq;
    world.core.stall(true);
    let id = alice.begin(send("alice~bob", "hi")).await;
    eventually("it is published", async || published().await == 1).await;
    let ticks = world.core.ticks();
    eventually("ticks say that it is there", async || world.core.ticks() > ticks + 20).await;
    assert_eq!(published().await, 1);
    world.core.say_last_seq(0);
    eventually("it is published again", async || published().await > 1).await;
    world.core.stall(false);
    let ack = alice.next().await;
    assert_eq!((&ack["type"], &ack["id"]), (&json!("ack"), &json!(id)), "{ack}");
}

#[tokio::test]
async fn a_refusal_of_one_attempt_says_nothing_of_another() {
    let world = World::with(impatient()).await;
    let mut alice = world.session("alice").await;
    world.core.ignore_commands(1);
    let error = alice.request(send("full", "hi")).await;
    let (code, temporary) = (&error["error"]["code"], &error["error"]["temporary"]);
    assert_eq!((code, temporary), (&json!("unknown"), &json!(true)));
    let error = alice.request(send("full", "hi")).await;
    assert_eq!(error["error"]["code"], "room_full");
    let (edge, token) = (world.edge.local_addr(), token("alice"));
    world.core.ignore_commands(1);
    let path = "/v1/rooms/full/entries";
    let (status, error) = http(edge, "POST", path, Some(&token), br#"{"text":"hi"}"#).await;
    assert_eq!((status, &error["error"]["code"]), (504, &json!("unknown")));
}

#[tokio::test]
async fn over_http_the_outcome_is_unknown_before_a_proxy_gives_up() {
    let limits = Limits {
        give_up_after: Duration::from_secs(600),
        http_send_timeout: Duration::from_millis(300),
        ..Limits::default()
    };
    assert!(Limits::default().http_send_timeout <= Duration::from_secs(15));
    let world = World::with(limits).await;
    world.core.stall(true);
    let (edge, token) = (world.edge.local_addr(), token("alice"));
    let body = format!(r#"{{"text":"hi","client_id":"{ID}"}}"#);
    let send = async || {
        http(edge, "POST", "/v1/rooms/alice~bob/entries", Some(&token), body.as_bytes()).await
    };
    let (status, error) = send().await;
    assert_eq!((status, &error["error"]["code"]), (504, &json!("unknown")));
    world.core.stall(false);
    eventually("the same id is answered", async || send().await.0 == 201).await;
}

#[tokio::test]
async fn in_the_end_the_outcome_is_unknown() {
    let world = World::with(impatient()).await;
    let mut alice = world.session("alice").await;
    world.core.ignore_commands(usize::MAX);
    let answer = alice.request(send("alice~bob", "hi")).await;
    assert_eq!(
        (&answer["error"]["code"], &answer["error"]["temporary"]),
        (&json!("unknown"), &json!(true))
    );
    let path = "/v1/rooms/alice~bob/entries";
    let (token, edge) = (token("alice"), world.edge.local_addr());
    let (status, body) = http(edge, "POST", path, Some(&token), br#"{"text":"hi"}"#).await;
    assert_eq!((status, &body["error"]["code"]), (504, &json!("unknown")));
}

#[tokio::test]
async fn http_sends_the_same_way() {
    let world = World::with(impatient()).await;
    let edge = world.edge.local_addr();
    let token = token("alice");
    let path = "/v1/rooms/alice~bob/entries";
    world.core.ignore_commands(1);
    let (status, ack) = http(edge, "POST", path, Some(&token), br#"{"text":"hi"}"#).await;
    assert_eq!((status, &ack["type"], &ack["seq"]), (201, &json!("ack"), &json!(1)));
    let commands = world.core.commands();
    // Made by the edge once, and kept over the resend.
    assert_eq!((commands.len(), commands[0].1.len()), (2, 26));
    assert_eq!(commands[0], commands[1]);
    let (status, page) = world.get(path, Some(&token)).await;
    assert_eq!((status, &page["entries"][0]["text"]), (200, &json!("hi")));
    let (status, refused) =
        http(edge, "POST", "/v1/rooms/full/entries", Some(&token), br#"{"text":"hi"}"#).await;
    assert_eq!((status, &refused["error"]["code"]), (409, &json!("room_full")));
}

#[tokio::test]
async fn what_is_too_much_is_refused_at_once() {
    let limits = Limits {
        in_flight_max: 3,
        outbox_bytes_max: 20_000,
        sends: Rate { per_second: 1, burst: 10 },
        ..Limits::default()
    };
    let world = World::with(limits).await;
    let mut alice = world.session("alice").await;
    world.core.ignore_commands(usize::MAX);
    for _ in 0..3 {
        alice.begin(send("alice~bob", "hi")).await;
    }
    let refused = alice.request(send("alice~bob", "hi")).await;
    assert_eq!(refused["error"]["code"], "rate_limited", "{refused}");
    // The place of an abandoned send is free again.
    drop(alice);
    let mut alice = world.session("alice").await;
    let large = "x".repeat(30_000);
    let refused = alice.request(send("alice~bob", &large)).await;
    assert_eq!(refused["error"]["code"], "overloaded", "{refused}");
    assert!(refused["error"]["retry_after_ms"].as_u64() > Some(0));
    for _ in 0..9 {
        alice.request(send("alice~bob", &large)).await;
    }
    let refused = alice.request(send("alice~bob", "hi")).await;
    assert_eq!(refused["error"]["code"], "rate_limited", "{refused}");
    assert!(refused["error"]["retry_after_ms"].as_u64() > Some(0));
    assert_eq!(alice.request(json!({ "type": "ping" })).await["type"], "pong");
}

#[tokio::test]
async fn what_a_room_refuses_in_a_row_is_published_about_once() {
    const COUNT: usize = 200;
    let world = World::new().await;
    let mut alice = world.session("alice").await;
    for number in 0..COUNT {
        alice.begin(numbered("full", number, "hi")).await;
    }
    for _ in 0..COUNT {
        assert_eq!(alice.next().await["error"]["code"], "room_full");
    }
    // What is underway before the first refusal comes back, once.
    assert_eq!(world.core.commands().len(), COUNT + 15);
    // A row that is taken is published once too, and in order.
    for number in 0..COUNT {
        alice.begin(numbered("alice~bob", number, "hi")).await;
    }
    for seq in 1..=COUNT {
        assert_eq!(alice.next().await["seq"], json!(seq));
    }
    assert_eq!(world.core.commands().len(), 2 * COUNT + 15);
}

#[tokio::test]
async fn one_user_cannot_fill_the_outbox() {
    let limits = Limits {
        outbox_bytes_max: 1_000_000,
        outbox_session_bytes_max: 150_000,
        outbox_user_bytes_max: 250_000,
        ..Limits::default()
    };
    let world = World::with(limits).await;
    world.core.stall(true);
    let text = "x".repeat(45_000);
    let (mut phone, mut desk) = (world.session("alice").await, world.session("alice").await);
    let mut refused = Vec::new();
    for (session, client) in [&mut phone, &mut desk].into_iter().enumerate() {
        for number in 0..20 {
            client.begin(numbered("full", session * 100 + number, &text)).await;
        }
        // Three fit into a session's share; of the other session's, two into what the user has left.
        let fitting = 3 - session;
        for _ in fitting..20 {
            refused.push(client.next().await["error"].clone());
        }
    }
    for error in refused {
        assert_eq!(error["code"], "rate_limited", "{error}");
        assert_eq!(error["temporary"], true);
    }
    let path = "/v1/rooms/full/entries";
    let body = json!({ "text": text }).to_string();
    let answer =
        http(world.edge.local_addr(), "POST", path, Some(&token("alice")), body.as_bytes()).await;
    assert_eq!((answer.0, &answer.1["error"]["code"]), (429, &json!("rate_limited")));
    // Nobody else is refused.
    let mut bob = world.session("bob").await;
    let id = bob.begin(numbered("alice~bob", 500, &text)).await;
    world.core.stall(false);
    let ack = bob.next().await;
    assert_eq!((&ack["type"], &ack["id"]), (&json!("ack"), &json!(id)), "{ack}");
    // What was given back may be used again.
    for _ in 0..3 {
        assert_eq!(phone.next().await["error"]["code"], "room_full");
    }
    let again = phone.request(numbered("alice~bob", 501, &text)).await;
    assert_eq!(again["type"], "ack", "{again}");
}
