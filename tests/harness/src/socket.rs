//! One WebSocket to an edge, frame by frame.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use futures_util::{FutureExt, SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

pub const SUBPROTOCOL: &str = "weft.v1";
/// How long a socket may take to open, or a frame to be written.
const LIMIT: Duration = Duration::from_secs(10);
const BUFFER_BYTES: usize = 16 * 1024;

pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the socket was closed with {code:?}")]
pub struct Closed {
    /// The close code; `None`: it was cut without one.
    pub code: Option<u16>,
}

impl Closed {
    /// The close code in an error, where it says that the socket has ended.
    pub fn code_in(error: &anyhow::Error) -> Option<u16> {
        error.downcast_ref::<Self>().and_then(|closed| closed.code)
    }
}

#[derive(Debug)]
pub struct Socket {
    stream: WebSocketStream<TcpStream>,
}

impl Socket {
    pub async fn open(edge: SocketAddr) -> Result<Self> {
        Self::open_with(edge, None).await
    }

    /// Connects, with a receive buffer of this many bytes: a reader that stops is noticed sooner.
    pub async fn open_with(edge: SocketAddr, receive_buffer: Option<u32>) -> Result<Self> {
        Self::dial(edge, "/v1/ws", Some(SUBPROTOCOL), receive_buffer).await
    }

    /// Connects to anything that speaks WebSocket.
    pub async fn dial(
        address: SocketAddr,
        path: &str,
        subprotocol: Option<&'static str>,
        receive_buffer: Option<u32>,
    ) -> Result<Self> {
        let open = async {
            let socket = TcpSocket::new_v4()?;
            if let Some(bytes) = receive_buffer {
                socket.set_recv_buffer_size(bytes)?;
            }
            let stream = socket.connect(address).await?;
            stream.set_nodelay(true)?;
            let mut request = format!("ws://{address}{path}").into_client_request()?;
            if let Some(wanted) = subprotocol.map(HeaderValue::from_static) {
                request.headers_mut().insert("sec-websocket-protocol", wanted);
            }
            // Thousands of them are opened by one process.
            let config = WebSocketConfig::default()
                .read_buffer_size(BUFFER_BYTES)
                .write_buffer_size(BUFFER_BYTES);
            let (stream, answer) = client_async_with_config(request, stream, Some(config)).await?;
            let spoken = answer.headers().get("sec-websocket-protocol");
            let spoken = spoken.and_then(|spoken| spoken.to_str().ok());
            ensure!(spoken == subprotocol, "the edge speaks {spoken:?}");
            Ok(Self { stream })
        };
        timeout(LIMIT, open).await.context("opening a socket took too long")?
    }

    pub async fn send(&mut self, frame: &Value) -> Result<()> {
        self.send_text(&frame.to_string()).await
    }

    pub async fn send_text(&mut self, text: &str) -> Result<()> {
        self.send_message(Message::text(text)).await
    }

    pub async fn send_message(&mut self, message: Message) -> Result<()> {
        timeout(LIMIT, self.stream.send(message)).await.context("the socket takes nothing")??;
        Ok(())
    }

    /// The WebSocket of the library, for what only a test does.
    pub fn stream(&mut self) -> &mut WebSocketStream<TcpStream> {
        &mut self.stream
    }

    /// The TCP stream below, for bytes that are no WebSocket frames.
    pub fn tcp(&mut self) -> &mut TcpStream {
        self.stream.get_mut()
    }

    /// Queues a text; [`flush`](Self::flush) writes it.
    pub async fn feed(&mut self, text: String) -> Result<()> {
        Ok(self.stream.feed(Message::text(text)).await?)
    }

    pub async fn flush(&mut self) -> Result<()> {
        Ok(self.stream.flush().await?)
    }

    /// The next frame. Safe to cancel. [`Closed`] where the socket has ended; any other error is a
    /// defect of the edge.
    pub async fn next(&mut self) -> Result<Value> {
        let text = self.next_text().await?;
        serde_json::from_str(&text).with_context(|| format!("the edge sent no JSON: {text}"))
    }

    /// As [`next`](Self::next), as it came.
    pub async fn next_text(&mut self) -> Result<Utf8Bytes> {
        loop {
            let item = self.stream.next().await;
            if let Some(text) = take(item)? {
                return Ok(text);
            }
        }
    }

    /// A text that has come already.
    pub fn try_next_text(&mut self) -> Result<Option<Utf8Bytes>> {
        while let Some(item) = self.stream.next().now_or_never() {
            if let Some(text) = take(item)? {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }

    /// Reads on until the socket ends; its close code.
    pub async fn closed_within(&mut self, limit: Duration) -> Result<u16> {
        let ended = async {
            loop {
                if let Err(error) = self.next().await {
                    return error;
                }
            }
        };
        let error = timeout(limit, ended).await.context("the socket stays open")?;
        Closed::code_in(&error).with_context(|| format!("no close code: {error}"))
    }
}

fn take(item: Option<Result<Message, WsError>>) -> Result<Option<Utf8Bytes>> {
    match item {
        Some(Ok(Message::Text(text))) => Ok(Some(text)),
        Some(Ok(Message::Close(close))) => {
            bail!(Closed { code: close.map(|close| close.code.into()) })
        }
        Some(Ok(Message::Binary(bytes))) => bail!("a binary frame: {bytes:?}"),
        Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(None),
        None
        | Some(Err(
            WsError::ConnectionClosed
            | WsError::AlreadyClosed
            | WsError::Io(_)
            | WsError::Protocol(_),
        )) => bail!(Closed { code: None }),
        Some(Err(error)) => bail!("the socket failed: {error}"),
    }
}
