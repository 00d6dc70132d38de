//! A client that knows only `docs/protocol.md`.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Message, handshake::client::generate_key};

use crate::common::soon;

pub struct Client {
    pub socket: WebSocketStream<TcpStream>,
    /// The newest that came by itself or with a sync.
    pub cursor: String,
    last_id: u64,
}

impl Client {
    pub async fn connect(edge: SocketAddr) -> Self {
        let mut request = format!("ws://{edge}/v1/ws").into_client_request().expect("request");
        let protocol = "weft.v1".parse().expect("header");
        request.headers_mut().insert("Sec-WebSocket-Protocol", protocol);
        let tcp = TcpStream::connect(edge).await.expect("connect");
        tcp.set_nodelay(true).expect("nodelay");
        let (socket, answer) =
            tokio_tungstenite::client_async(request, tcp).await.expect("upgrade");
        assert_eq!(answer.headers()["Sec-WebSocket-Protocol"], "weft.v1");
        Self { socket, cursor: String::new(), last_id: 100 }
    }

    pub async fn send(&mut self, frame: &Value) {
        self.send_text(&frame.to_string()).await;
    }

    pub async fn send_text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.expect("send");
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
        loop {
            match soon("a frame", self.socket.next()).await {
                Some(Ok(Message::Text(text))) => {
                    return Ok(serde_json::from_str(&text).expect("json"));
                }
                Some(Ok(Message::Close(Some(frame)))) => return Err(frame.code.into()),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("{other:?}"),
            }
        }
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
    let (head, body) = http_with_head(edge, method, path, token, body).await;
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status");
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
    let mut tcp = TcpStream::connect(edge).await.expect("connect");
    let authorization =
        token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{authorization}\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    tcp.write_all(head.as_bytes()).await.expect("write");
    // The edge may answer and shut its side before it has read everything.
    let _ = tcp.write_all(body).await;
    let mut answer = Vec::new();
    soon("an answer", tcp.read_to_end(&mut answer)).await.expect("read");
    let answer = String::from_utf8(answer).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let body = if body.is_empty() { Value::Null } else { serde_json::from_str(body).expect(body) };
    (head.to_lowercase(), body)
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

/// Takes a raw socket over as a client.
pub async fn over(tcp: TcpStream) -> Client {
    let socket = WebSocketStream::from_raw_socket(tcp, Role::Client, None).await;
    Client { socket, cursor: String::new(), last_id: 100 }
}
