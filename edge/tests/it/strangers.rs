//! Strangers, and single users, shut nobody out.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use weft_edge::{Limits, Rate};

use crate::client::{http, upgrade_as};
use crate::common::{World, eventually, room, soon, token};

const LOGIN: &[u8] = br#"{"user":"alice","password":"geheim geheim","device":"phone"}"#;

/// A connection on which so much was said.
async fn said(edge: SocketAddr, head: &str) -> TcpStream {
    let mut tcp = TcpStream::connect(edge).await.expect("connect");
    tcp.write_all(head.as_bytes()).await.expect("write");
    tcp
}

/// What still comes, up to the end.
async fn rest(mut tcp: TcpStream) -> String {
    let mut text = Vec::new();
    // A reset is an end too.
    let _ = soon("the end", tcp.read_to_end(&mut text)).await;
    String::from_utf8(text).expect("text")
}

async fn serves_everybody(world: &World) {
    let (edge, token) = (world.edge.local_addr(), token("bob"));
    assert_eq!(http(edge, "POST", "/v1/login", None, LOGIN).await.0, 200);
    assert_eq!(world.get("/v1/rooms", Some(&token)).await.0, 200);
    eventually("it is named", async || world.get("/v1/connect", None).await.0 == 200).await;
    assert_eq!(world.get("/readyz", None).await.0, 200);
    let mut bob = world.session("bob").await;
    assert_eq!(bob.request(json!({ "type": "ping" })).await["type"], "pong");
}

#[tokio::test]
async fn bodies_that_do_not_come_hold_nobody_up() {
    let limits = Limits {
        http_in_flight_max: 2,
        http_user_in_flight_max: 40,
        http_strangers_in_flight_max: 2,
        body_timeout: Duration::from_secs(2),
        ..Limits::default()
    };
    let world = World::with(limits).await;
    let edge = world.edge.local_addr();
    let mut slow = Vec::new();
    for _ in 0..20 {
        let head = "POST /v1/accounts HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n";
        slow.push(said(edge, head).await);
        let token = token("alice");
        let head = format!(
            "POST /v1/rooms/a/entries HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
             Transfer-Encoding: chunked\r\n\r\n1\r\n{{\r\n"
        );
        slow.push(said(edge, &head).await);
    }
    serves_everybody(&world).await;
    for tcp in slow {
        let answer = rest(tcp).await;
        assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("too_slow"), "{answer}");
    }
}

#[tokio::test]
async fn heads_that_do_not_come_and_idle_connections_are_closed() {
    let limits = Limits { header_timeout: Duration::from_millis(700), ..Limits::default() };
    let world = World::with(limits).await;
    let edge = world.edge.local_addr();
    let request = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    let silent = said(edge, "").await;
    let half = said(edge, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Pad").await;
    let idle = said(edge, request).await;
    let again = said(edge, &format!("{request}GET /healthz HT")).await;
    assert_eq!(rest(silent).await, "");
    assert!(!rest(half).await.contains("200"));
    assert!(rest(idle).await.starts_with("HTTP/1.1 200"));
    assert!(rest(again).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn the_oldest_stranger_makes_way() {
    let limits = Limits { strangers_max: 8, ..Limits::default() };
    let world = World::with(limits).await;
    let edge = world.edge.local_addr();
    let mut alice = world.session("alice").await;
    let (mut idle, mut mute) = (Vec::new(), Vec::new());
    for _ in 0..30 {
        idle.push(said(edge, "POST /v1/accounts HTTP/1.1\r\n").await);
        mute.push(world.socket().await);
    }
    serves_everybody(&world).await;
    assert_eq!(alice.request(json!({ "type": "ping" })).await["type"], "pong");
    // Those who waited longest are disconnected, long before their time.
    assert_eq!(rest(idle.remove(0)).await, "");
    let ended = soon("the end", futures_util::StreamExt::next(mute[0].socket.stream())).await;
    assert!(!matches!(ended, Some(Ok(_))), "{ended:?}");
}

/// From an address of its own.
async fn status_from(last: u8, edge: SocketAddr) -> (TcpStream, String) {
    let socket = TcpSocket::new_v4().expect("socket");
    socket.bind((IpAddr::from([127, 0, 0, last]), 0).into()).expect("bind");
    let mut tcp = socket.connect(edge).await.expect("connect");
    tcp.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("write");
    let mut head = [0; 12];
    soon("a status", tcp.read_exact(&mut head)).await.expect("read");
    (tcp, String::from_utf8_lossy(&head[9..]).into_owned())
}

#[tokio::test]
async fn one_address_has_a_share_of_the_connections() {
    let limits = Limits { address_connections_max: 5, ..Limits::default() };
    let world = World::with(limits).await;
    let edge = world.edge.local_addr();
    let mut open = Vec::new();
    for place in 0..8 {
        let (tcp, status) = status_from(2, edge).await;
        assert_eq!(status, if place < 5 { "200" } else { "503" }, "{place}");
        open.push(tcp);
    }
    assert_eq!(status_from(3, edge).await.1, "200");
    open.clear();
    eventually("places are given back", async || status_from(2, edge).await.1 == "200").await;
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_counts() {
    let limits = Limits {
        address_connections_max: 2,
        accounts: Rate { per_second: 1, burst: 2 },
        trusted_proxies: vec!["127.0.0.1/32".parse().expect("a network")],
        ..Limits::default()
    };
    let world = World::with(limits).await;
    let edge = world.edge.local_addr();
    let mut open = Vec::new();
    for (client, count) in [("198.51.100.1", 3), ("198.51.100.2", 2)] {
        for place in 0..count {
            let (tcp, head) = upgrade_as(edge, Some(client)).await;
            let status = if place < 2 { "101" } else { "503" };
            assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{client}: {head}");
            open.push(tcp);
        }
    }
    let login = async |client: &str| {
        let length = LOGIN.len();
        let head = format!(
            "POST /v1/login HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
             X-Forwarded-For: 203.0.113.9, {client}\r\nContent-Length: {length}\r\n\r\n"
        );
        let mut tcp = said(edge, &head).await;
        tcp.write_all(LOGIN).await.expect("write");
        rest(tcp).await[9..12].to_owned()
    };
    for (client, status) in
        [("198.51.100.1", "200"), ("198.51.100.1", "200"), ("198.51.100.1", "429")]
    {
        assert_eq!(login(client).await, status);
    }
    assert_eq!(login("198.51.100.2").await, "200");
}

#[tokio::test]
async fn one_user_has_a_share_of_the_permits() {
    let limits = Limits { http_in_flight_max: 6, http_user_in_flight_max: 3, ..Limits::default() };
    let world = World::with(limits).await;
    let edge = world.edge.local_addr();
    world.core.stall(true);
    let post = async |user: &str| {
        let (token, path) = (token(user), "/v1/rooms/alice~bob/entries");
        http(edge, "POST", path, Some(&token), br#"{"text":"hi"}"#).await
    };
    let first = futures_util::future::join_all((0..3).map(|_| post("alice")));
    let others = async {
        eventually("alice's share is used up", async || {
            world.get("/v1/rooms", Some(&token("alice"))).await.0 == 429
        })
        .await;
        assert_eq!(world.get("/v1/rooms", Some(&token("bob"))).await.0, 200);
        world.core.stall(false);
    };
    let (answers, ()) = tokio::join!(first, others);
    assert!(answers.iter().all(|(status, _)| *status == 201), "{answers:?}");
}

#[tokio::test]
async fn who_asks_for_one_page_after_the_other_is_never_refused() {
    let limits = Limits { requests: Rate { per_second: 200, burst: 20 }, ..Limits::default() };
    let world = World::with(limits).await;
    let mut alice = world.session("alice").await;
    let code = |answer: &Value| answer["error"]["code"].as_str().unwrap_or("none").to_owned();
    for number in 0..120 {
        let (request, expected) = match number % 3 {
            0 => (json!({ "type": "ping" }), "none"),
            1 => (json!({ "type": "rooms", "limit": 1 }), "none"),
            _ => (json!({ "type": "history", "room": "nowhere" }), "no_such_room"),
        };
        let answer = alice.request(request).await;
        assert_eq!(code(&answer), expected, "{answer}");
    }
    // Over HTTP it is the same.
    for _ in 0..30 {
        let path = "/v1/rooms/nowhere/entries";
        assert_eq!(world.get(path, Some(&token("alice"))).await.0, 404);
    }
    // Who asks for all at once is not served at once.
    for _ in 0..100 {
        alice.begin(json!({ "type": "history", "room": "nowhere" })).await;
    }
    let mut refused = 0;
    for _ in 0..100 {
        let answer = alice.next().await;
        let is_refused = code(&answer) == "rate_limited";
        assert!(!is_refused || answer["error"]["retry_after_ms"].as_u64() > Some(0), "{answer}");
        refused += usize::from(is_refused);
    }
    assert!((50..100).contains(&refused), "{refused}");
}

/// A page and an answer are paid by their size, on a socket and over HTTP: beyond the burst they wait.
#[tokio::test]
async fn what_reads_much_is_charged_for_it() {
    let requests = Rate { per_second: 5, burst: 10 };
    let world = World::with(Limits { requests, ..Limits::default() }).await;
    let least = Duration::from_millis(900);
    let history =
        |room: &str, limit: u32| json!({ "type": "history", "room": room, "limit": limit });
    // 5 for each page that may hold 200 entries.
    let mut alice = world.session("alice").await;
    let began = Instant::now();
    for _ in 0..3 {
        let answer = alice.request(history("nowhere", 200)).await;
        assert_eq!(answer["error"]["code"], "no_such_room", "{answer}");
    }
    assert!(began.elapsed() >= least, "pages: {:?}", began.elapsed());

    let (began, bob) = (Instant::now(), token("bob"));
    let mut refused = false;
    for _ in 0..3 {
        let (status, _) = world.get("/v1/rooms/nowhere/entries?limit=200", Some(&bob)).await;
        refused |= status == 429;
    }
    assert!(refused || began.elapsed() >= least, "pages by HTTP: {:?}", began.elapsed());

    // 1 for each 16 kB of an answer.
    world.core.text(&room("bob~carol"), &"x".repeat(100_000));
    let mut carol = world.session("carol").await;
    let began = Instant::now();
    for _ in 0..3 {
        let page = carol.request(history("bob~carol", 1)).await;
        assert_eq!(page["entries"][0]["seq"], 1, "no page");
    }
    assert!(began.elapsed() >= least, "answers: {:?}", began.elapsed());
}
