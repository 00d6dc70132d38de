//! Whatever bytes strangers send: the edge answers or closes, and serves the others.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::timeout;
use weft_edge::{Limits, Rate};
use weft_fuzz::run;

use crate::client::raw;
use crate::common::{World, token};

/// What a connection may take from its last byte to its end: a change may ask for a wait.
const END_LIMIT: Duration = Duration::from_secs(20);

fn generous() -> Limits {
    let plenty = Rate { per_second: 1_000_000, burst: 1_000_000 };
    Limits {
        accounts: plenty,
        connects: plenty,
        address_connects: plenty,
        address_connections_max: 100_000,
        ..Limits::default()
    }
}

/// Sends the bytes and no more, and reads until the edge closes.
async fn talk(mut tcp: TcpStream, bytes: &[u8]) {
    // The edge may close while it is written to.
    let _ = tcp.write_all(bytes).await;
    let _ = tcp.shutdown().await;
    let mut answer = Vec::new();
    let _ = timeout(END_LIMIT, tcp.read_to_end(&mut answer)).await.expect("the edge closes");
}

async fn still_serves(world: &World) {
    assert_eq!(world.get("/readyz", None).await.0, 200);
    let mut alice = world.session("alice").await;
    assert_eq!(alice.request(json!({ "type": "ping" })).await["type"], "pong");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_bytes() {
    let world = World::with(generous()).await;
    let addr = world.edge.local_addr();
    let token = token("alice");
    let request = |head: &str, body: &str| {
        let length = body.len();
        format!("{head} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
    };
    let login = r#"{"user":"alice","password":"geheim geheim","device":"phone"}"#;
    let seeds = [
        request("POST /v1/login", login),
        request("POST /v1/accounts", r#"{"user":"alice","password":"geheim geheim"}"#),
        request("POST /v1/refresh", r#"{"refresh_token":"alice.phone.00"}"#),
        request("GET /v1/rooms?after=team&limit=7", ""),
        request("GET /v1/rooms/alice~bob/entries?before=7&limit=1", ""),
        request("GET /v1/connect?region=eu&user=alice", ""),
        b"POST /v1/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"use\r\n0\r\n\r\n".to_vec(),
        b"GET /v1/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: weft.v1\r\n\r\n".to_vec(),
    ];
    let seeds: Vec<&[u8]> = seeds.iter().map(Vec::as_slice).collect();
    tokio::task::block_in_place(|| {
        run("HTTP", &seeds, |bytes| {
            Handle::current().block_on(async {
                talk(TcpStream::connect(addr).await.expect("connect"), bytes).await;
            });
        });
    });
    still_serves(&world).await;
}

/// A masked frame whose mask is 0.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match u16::try_from(payload.len()) {
        Ok(length) if length < 126 => frame.push(0x80 | length as u8),
        Ok(length) => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&length.to_be_bytes());
        }
        Err(_) => panic!("a short payload"),
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websocket_bytes() {
    let world = World::with(generous()).await;
    let addr = world.edge.local_addr();
    let hello = json!({ "id": 1, "type": "hello", "token": token("alice") }).to_string();
    let hello = frame(1, hello.as_bytes());
    let with = |frames: &[Vec<u8>]| [hello.clone(), frames.concat()].concat();
    let text = |text: &str| frame(1, text.as_bytes());
    let seeds = [
        hello.clone(),
        with(&[text(r#"{"id":2,"type":"ping"}"#), text(r#"{"id":3,"type":"rooms","limit":1}"#)]),
        with(&[text(
            r#"{"id":4,"type":"send","room":"alice~alice","client_id":"01ARZ3NDEKTSV4RRFFQ69G5FAV","text":"x"}"#,
        )]),
        with(&[text(r#"{"id":5,"type":"presence.watch","users":["bob"]}"#), frame(2, b"binary")]),
        with(&[frame(9, b"ping"), frame(10, b"pong"), frame(8, &[0x03, 0xe8, b'x'])]),
        // A message in pieces.
        with(&[vec![0x01, 0x81, 0, 0, 0, 0, b'{'], vec![0x80, 0x81, 0, 0, 0, 0, b'}']]),
    ];
    let seeds: Vec<&[u8]> = seeds.iter().map(Vec::as_slice).collect();
    tokio::task::block_in_place(|| {
        run("WebSocket", &seeds, |bytes| {
            Handle::current().block_on(async { talk(raw(addr).await, bytes).await });
        });
    });
    still_serves(&world).await;
}
