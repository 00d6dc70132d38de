//! How sessions begin, what they answer, and how they end.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use weft_edge::{Limits, Rate};
use weft_proto::presence::Choice;

use crate::client::{raw, upgrade};
use crate::common::{World, now_s, room, soon, token, token_until};

#[tokio::test]
async fn a_hello_that_fails_is_answered_and_closed() {
    let world = World::new().await;
    let forged = format!("{}x", token("alice"));
    let expired = token_until("alice", "phone", now_s() - 1, "k1");
    let foreign = token_until("alice", "phone", now_s() + 60, "k2");
    let hello = |token: &str| json!({ "id": 7, "type": "hello", "token": token });
    let with_cursor = json!({ "id": 7, "type": "hello", "token": token("alice"), "cursor": "" });
    for (frame, code, close) in [
        (hello(&forged), "unauthorized", 4100),
        (hello(&foreign), "unauthorized", 4100),
        (hello(""), "unauthorized", 4100),
        (hello(&expired), "token_expired", 4101),
        (json!({ "id": 7, "type": "ping" }), "bad_request", 4102),
        (json!({ "id": 7, "type": "dance" }), "unknown_type", 4102),
        (with_cursor, "bad_cursor", 4102),
    ] {
        let mut client = world.socket().await;
        client.send(&frame).await;
        let answer = client.next().await;
        assert_eq!((&answer["id"], &answer["error"]["code"]), (&json!(7), &json!(code)), "{frame}");
        assert_eq!(client.close_code().await, close, "{frame}");
    }
}

#[tokio::test]
async fn whoever_says_nothing_is_disconnected() {
    let limits = Limits {
        hello_timeout: Duration::from_millis(300),
        silence: Duration::from_millis(1_000),
        ..Limits::default()
    };
    let world = World::with(limits).await;
    let mut mute = world.socket().await;
    let mut client = world.session("alice").await;
    assert_eq!(mute.close_code().await, 4102);
    // Any traffic counts, for longer than the silence allowed.
    let began = std::time::Instant::now();
    while began.elapsed() < Duration::from_millis(2_500) {
        assert_eq!(client.request(json!({ "type": "ping" })).await["type"], "pong");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(client.close_code().await, 4002);
}

#[tokio::test]
async fn a_shutdown_says_goodbye_and_waits() {
    let world = World::new().await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(world.session("alice").await);
    }
    let mut mute = world.socket().await;
    let addr = world.edge.local_addr();
    let late = world.edge.shutdown(Duration::from_secs(5)).await;
    assert!(late.is_empty(), "{late:?}");
    for client in clients.iter_mut().chain([&mut mute]) {
        assert_eq!(client.close_code().await, 4000);
    }
    assert!(tokio::net::TcpStream::connect(addr).await.is_err());
}

#[tokio::test]
async fn too_many_new_sessions_at_once_are_refused() {
    let connects = Rate { per_second: 1, burst: 4 };
    let world = World::with(Limits { connects, ..Limits::default() }).await;
    let addr = world.edge.local_addr();
    let mut alice = world.session("alice").await;
    for _ in 0..3 {
        raw(addr).await;
    }
    let mut waits = Vec::new();
    for _ in 0..20 {
        let (_tcp, head) = upgrade(addr).await;
        if head.starts_with("HTTP/1.1 101") {
            continue;
        }
        assert!(head.starts_with("HTTP/1.1 503"), "{head}");
        let wait = head.lines().find_map(|line| line.strip_prefix("retry-after: "));
        waits.push(wait.expect(&head).trim().parse::<u64>().expect("seconds"));
    }
    assert!(waits.iter().all(|wait| (1..=5).contains(wait)), "{waits:?}");
    waits.sort_unstable();
    waits.dedup();
    assert!(waits.len() > 1, "they all come back together");
    // What needs no session is served.
    assert_eq!(world.get("/readyz", None).await.0, 200);
    assert_eq!(alice.request(json!({ "type": "ping" })).await["type"], "pong");
}

#[tokio::test]
async fn changes_of_the_status_are_applied_in_the_order_in_which_they_were_sent() {
    let world = World::new().await;
    let mut alice = world.session("alice").await;
    let set = |status, text| json!({ "type": "presence.set", "status": status, "text": text });
    let first = alice.begin(set("dnd", "slow")).await;
    let second = alice.begin(set("invisible", "")).await;
    for (id, status) in [(first, "dnd"), (second, "invisible")] {
        let answer = alice.next().await;
        assert_eq!((&answer["id"], &answer["status"]), (&json!(id), &json!(status)), "{answer}");
    }
    assert_eq!(world.core.choices(), [Choice::Dnd, Choice::Invisible]);
}

#[tokio::test]
async fn a_goodbye_is_answered_with_the_same_code() {
    let world = World::new().await;
    for code in [1000, 1001, 4999] {
        for mut client in [world.socket().await, world.session("alice").await] {
            let frame = CloseFrame { code: code.into(), reason: "bye".into() };
            client.socket.stream().close(Some(frame)).await.expect("sent");
            assert_eq!(client.close_code().await, code);
            assert!(soon("the end", client.socket.stream().next()).await.is_none(), "a clean end");
        }
    }
    // Also after answers that the client has not read yet.
    let mut client = world.session("alice").await;
    for _ in 0..50 {
        client.begin(json!({ "type": "rooms" })).await;
    }
    client.socket.stream().close(None).await.expect("sent");
    let last = async {
        let mut last = None;
        while let Some(message) = client.socket.stream().next().await {
            last = Some(message.expect("a clean end"));
        }
        last
    };
    assert!(matches!(soon("the end", last).await, Some(Message::Close(_))));
}

#[tokio::test]
async fn a_slow_reader_gets_its_code_for_a_bounded_time() {
    let limits = Limits {
        mailbox_bytes_max: 1 << 20,
        write_stall: Duration::from_millis(300),
        goodbye: Duration::from_millis(1_500),
        ..Limits::default()
    };
    let world = World::with(limits).await;
    let room = room("alice~bob");
    // One begins to read within the time, the other after it.
    let (mut late, mut too_late) = (world.session("alice").await, world.session("alice").await);
    let mut other = world.session("alice").await;
    let text = "x".repeat(100_000);
    for seq in 1..=100 {
        world.core.say(&room, &text).await;
        assert_eq!(other.seqs(1).await, [seq]);
    }
    assert_eq!(late.close_code().await, 4001);
    drop(late);
    // The edge's end waits for who is left, and has nobody.
    drop(other);
    world.edge.drain(Duration::from_secs(20)).await;
    let mut frames = 0;
    while let Some(Ok(Message::Text(_))) = soon("the end", too_late.socket.stream().next()).await {
        frames += 1;
    }
    assert!(frames < 100, "everything fitted: the test is too small");
}

#[tokio::test]
async fn a_request_without_an_answer_is_unknown_in_the_end() {
    let limits = Limits { answer_within: Duration::from_millis(200), ..Limits::default() };
    let world = World::with(limits).await;
    let mut alice = world.session("alice").await;
    let set = |text| json!({ "type": "presence.set", "status": "dnd", "text": text });
    // The second one waits for the first, which takes longer than both may.
    let (first, second) = (alice.begin(set("slow")).await, alice.begin(set("")).await);
    for id in [first, second] {
        let answer = alice.next().await;
        let (code, temporary) = (&answer["error"]["code"], &answer["error"]["temporary"]);
        assert_eq!((&answer["id"], code, temporary), (&json!(id), &json!("unknown"), &json!(true)));
    }
    // What core has begun is done all the same, and the session goes on.
    assert_eq!(alice.request(json!({ "type": "ping" })).await["type"], "pong");
}

#[tokio::test]
async fn who_says_much_and_reads_the_answers_is_no_slow_reader() {
    const LAST: u64 = 1 << 40;
    let limits = Limits {
        write_stall: Duration::from_millis(300),
        requests: Rate { per_second: 1_000_000, burst: 1_000_000 },
        ..Limits::default()
    };
    let world = World::with(limits).await;
    let mut alice = world.session("alice").await;
    let (mut sink, mut stream) = alice.socket.stream().split();
    let ping = |id: u64| Message::text(json!({ "id": id, "type": "ping" }).to_string());
    let say = async {
        let began = std::time::Instant::now();
        let mut ids = 1..LAST;
        while began.elapsed() < Duration::from_millis(1_500) {
            for id in ids.by_ref().take(200) {
                sink.feed(ping(id)).await.expect("taken");
            }
        }
        sink.send(ping(LAST)).await.expect("taken");
    };
    let read = async {
        loop {
            match stream.next().await {
                Some(Ok(Message::Text(text))) if text.contains(&LAST.to_string()) => break,
                Some(Ok(Message::Text(_))) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    soon("the last answer", async { tokio::join!(say, read) }).await;
}
