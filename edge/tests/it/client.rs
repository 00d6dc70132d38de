//! A client that knows only `docs/protocol.md`.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use weft_harness::http::{Answer, call_raw};
use weft_harness::socket::{Closed, Socket};

use crate::common::soon;

pub struct Client {
    pub socket: Socket,
    /// The newest that came by itself or with a sync.
    pub cursor: String,
    last_id: u64,
}

impl Client {
    pub async fn connect(edge: SocketAddr) -> Self {
        let socket = Socket::open(edge).await.expect("a socket");
        Self { socket, cursor: String::new(), last_id: 100 }
    }

    pub async fn send(&mut self, frame: &Value) {
        self.send_text(&frame.to_string()).await;
    }

    pub async fn send_text(&mut self, text: &str) {
        self.socket.send_text(text).await.expect("send");
    }

    /// The next frame, whatever it is.
    pub async fn any(&mut self) -> Value {
        let frame = self.any_or_close().await.unwrap_or_else(|code| panic!("closed with {code}"));
        if frame["type"] == "cursor" || frame["type"] == "synced" {
            frame["cursor"].as_str().expect("cursor").clone_into(&mut self.cursor);
        }
        frame
    }

    /// The next frame that is no `cursor`, or the code with which the socket was closed.
    pub async fn next_or_close(&mut self) -> Result<Value, u16> {
        loop {
            let frame = self.any_or_close().await?;
            if frame["type"] == "cursor" || frame["type"] == "synced" {
                frame["cursor"].as_str().expect("cursor").clone_into(&mut self.cursor);
            }
            if frame["type"] != "cursor" {
                return Ok(frame);
            }
        }
    }

    /// Entries that come until the next `cursor`: their seqs. Nothing else comes.
    pub async fn until_cursor(&mut self) -> Vec<u64> {
        let mut seqs = Vec::new();
        loop {
            let frame = self.any_or_close().await.expect("open");
            if frame["type"] == "cursor" {
                let cursor = frame["cursor"].as_str().expect("cursor");
                assert!(cursor > self.cursor.as_str(), "{cursor} after {}", self.cursor);
                cursor.clone_into(&mut self.cursor);
                return seqs;
            }
            assert_eq!(frame["type"], "entry", "{frame}");
            seqs.push(frame["seq"].as_u64().expect("seq"));
        }
    }

    /// The next frame, or the code with which the socket was closed.
    async fn any_or_close(&mut self) -> Result<Value, u16> {
        let frame = soon("a frame", self.socket.next()).await;
        frame.map_err(|error| Closed::code_in(&error).unwrap_or_else(|| panic!("{error:#}")))
    }

    pub async fn next(&mut self) -> Value {
        self.next_or_close().await.unwrap_or_else(|code| panic!("closed with {code}"))
    }

    /// Reads up to the end.
    pub async fn close_code(&mut self) -> u16 {
        loop {
            if let Err(code) = self.next_or_close().await {
                return code;
            }
        }
    }

    /// All pushes up to and with `synced`.
    pub async fn until_synced(&mut self) -> Vec<Value> {
        let mut pushes = Vec::new();
        loop {
            pushes.push(self.next().await);
            if pushes.last().expect("pushed")["type"] == "synced" {
                return pushes;
            }
        }
    }

    /// Sends a request under a new id.
    pub async fn begin(&mut self, mut request: Value) -> u64 {
        self.last_id += 1;
        request["id"] = json!(self.last_id);
        self.send(&request).await;
        self.last_id
    }

    /// The answer to a request; pushes before it are thrown away.
    pub async fn request(&mut self, request: Value) -> Value {
        let id = self.begin(request).await;
        loop {
            let frame = self.next().await;
            if frame["id"] == id {
                return frame;
            }
        }
    }

    /// The answers to requests, as they come; pushes between them are thrown away.
    pub async fn answers(&mut self, requests: &[u64]) -> Vec<Value> {
        let mut answers = Vec::new();
        while answers.len() < requests.len() {
            let frame = self.next().await;
            if frame["id"].as_u64().is_some_and(|id| requests.contains(&id)) {
                answers.push(frame);
            }
        }
        answers
    }

    /// The next entries' seqs.
    pub async fn seqs(&mut self, count: usize) -> Vec<u64> {
        let mut seqs = Vec::new();
        while seqs.len() < count {
            let frame = self.next().await;
            assert_eq!(frame["type"], "entry", "{frame}");
            seqs.push(frame["seq"].as_u64().expect("seq"));
        }
        seqs
    }
}

/// One HTTP request on a connection of its own: status and body.
pub async fn http(
    edge: SocketAddr,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: &[u8],
) -> (u16, Value) {
    let Answer { status, body, .. } = answer(edge, method, path, token, body).await;
    (status, body)
}

/// The same with the whole head of the answer, in lower case.
pub async fn http_with_head(
    edge: SocketAddr,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: &[u8],
) -> (String, Value) {
    let Answer { head, body, .. } = answer(edge, method, path, token, body).await;
    (head, body)
}

async fn answer(
    edge: SocketAddr,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: &[u8],
) -> Answer {
    call_raw(edge, method, path, token, body).await.expect("an answer")
}

/// Asks for a socket: the connection, and the head of the answer.
pub async fn upgrade(edge: SocketAddr) -> (TcpStream, String) {
    upgrade_as(edge, None).await
}

/// The same, as a proxy asks for a client.
pub async fn upgrade_as(edge: SocketAddr, client: Option<&str>) -> (TcpStream, String) {
    let client = client.map(|client| format!("X-Forwarded-For: {client}\r\n")).unwrap_or_default();
    let mut tcp = TcpStream::connect(edge).await.expect("connect");
    let head = format!(
        "GET /v1/ws HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
         {client}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {}\r\n\r\n",
        generate_key()
    );
    tcp.write_all(head.as_bytes()).await.expect("write");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(tcp.read_u8().await.expect("read"));
    }
    (tcp, String::from_utf8(answer).expect("text"))
}

/// A raw socket after the upgrade, for frames that no library sends.
pub async fn raw(edge: SocketAddr) -> TcpStream {
    let (tcp, head) = upgrade(edge).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    tcp
}
