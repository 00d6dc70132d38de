//! A WebSocket client that is cheap: no buffers that it does not need, no Nagle, one flush for
//! whatever is ready.

use std::net::SocketAddr;

use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message, Utf8Bytes};

use crate::error::Error;

const BUFFER_BYTES: usize = 16 * 1024;

/// An open connection.
pub struct Socket {
    stream: WebSocketStream<TcpStream>,
    name: String,
}

impl Socket {
    /// Connects. `name` is for messages.
    pub async fn connect(
        address: SocketAddr,
        path: &str,
        subprotocol: Option<&'static str>,
        name: &str,
    ) -> Result<Self, Error> {
        let failed = |error: &dyn std::fmt::Display| {
            Error::Failed(format!("{name}: can't connect to {address}: {error}"))
        };
        let mut request = format!("ws://{address}{path}")
            .into_client_request()
            .map_err(|error| failed(&error))?;
        if let Some(subprotocol) = subprotocol {
            let value = HeaderValue::from_static(subprotocol);
            request.headers_mut().insert("sec-websocket-protocol", value);
        }
        let stream = TcpStream::connect(address).await.map_err(|error| failed(&error))?;
        stream.set_nodelay(true).map_err(|error| failed(&error))?;
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER_BYTES)
            .write_buffer_size(BUFFER_BYTES);
        let connected =
            tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await;
        let (stream, _) = connected.map_err(|error| failed(&error))?;
        Ok(Self { stream, name: name.to_owned() })
    }

    /// Queues a frame; [`flush`](Self::flush) sends it.
    pub async fn feed(&mut self, text: String) -> Result<(), Error> {
        self.stream.feed(Message::text(text)).await.map_err(|error| self.failed(&error))
    }

    pub async fn flush(&mut self) -> Result<(), Error> {
        self.stream.flush().await.map_err(|error| self.failed(&error))
    }

    /// The next text frame. Cancel-safe.
    pub async fn next(&mut self) -> Result<Utf8Bytes, Error> {
        loop {
            let item = self.stream.next().await;
            if let Some(text) = self.take(item)? {
                return Ok(text);
            }
        }
    }

    /// A text frame that is there already.
    pub fn try_next(&mut self) -> Result<Option<Utf8Bytes>, Error> {
        loop {
            let Some(item) = self.stream.next().now_or_never() else { return Ok(None) };
            if let Some(text) = self.take(item)? {
                return Ok(Some(text));
            }
        }
    }

    fn take(&self, item: Option<Result<Message, WsError>>) -> Result<Option<Utf8Bytes>, Error> {
        match item {
            Some(Ok(Message::Text(text))) => Ok(Some(text)),
            Some(Ok(Message::Close(Some(frame)))) => {
                Err(self.failed(&format!("closed with {} {}", u16::from(frame.code), frame.reason)))
            }
            Some(Ok(_)) => Ok(None),
            Some(Err(error)) => Err(self.failed(&error)),
            None => Err(self.failed(&"closed")),
        }
    }

    fn failed(&self, reason: &dyn std::fmt::Display) -> Error {
        Error::Failed(format!("{}: {reason}", self.name))
    }
}
