//! The listening socket: without Nagle's delay, and with a close that the peer can still read.
//!
//! Where a socket is closed while bytes from the peer are unread, the kernel answers with a reset,
//! and the reset throws away what the peer has not read yet: the very frame or answer that says
//! what was wrong. So a closed connection lingers: its sending side is shut, and what still comes
//! is read and thrown away, for a moment.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use weft_runtime::Shutdown;

/// How long a closed connection is still read from.
const LINGER: Duration = Duration::from_secs(2);
/// Most connections that linger; others are closed at once.
const LINGERING_MAX: usize = 1_024;

/// Accepts connections.
pub(crate) struct Listener {
    tcp: TcpListener,
    linger: Linger,
}

#[derive(Clone)]
struct Linger {
    tasks: Shutdown,
    places: Arc<Semaphore>,
}

impl Listener {
    pub(crate) fn new(tcp: TcpListener, tasks: Shutdown) -> Self {
        let places = Arc::new(Semaphore::new(LINGERING_MAX));
        Self { tcp, linger: Linger { tasks, places } }
    }
}

impl axum::serve::Listener for Listener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        // The library's own accept retries and waits where there are too many open files.
        let (stream, peer) = axum::serve::Listener::accept(&mut self.tcp).await;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "can't set TCP_NODELAY");
        }
        let linger = self.linger.clone();
        let connection = Connection { stream: Some(stream), has_ended: false, linger };
        (connection, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// The client's address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

impl Connected<IncomingStream<'_, Listener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Listener>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// A connection that lingers when it is dropped.
pub(crate) struct Connection {
    /// `None` while it is dropped alone.
    stream: Option<TcpStream>,
    /// The peer has closed, or the connection broke: nothing to linger for.
    has_ended: bool,
    linger: Linger,
}

impl Connection {
    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Some(stream) = self.stream.take().filter(|_| !self.has_ended) else { return };
        let Ok(place) = Arc::clone(&self.linger.places).try_acquire_owned() else { return };
        // Without a runtime there is nobody to read; the kernel closes.
        if tokio::runtime::Handle::try_current().is_ok() {
            self.linger.tasks.spawn("linger", async move {
                let _ = timeout(LINGER, drain(stream)).await;
                drop(place);
            });
        }
    }
}

async fn drain(mut stream: TcpStream) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let mut scratch = [0; 2_048];
    while matches!(stream.read(&mut scratch).await, Ok(count) if count > 0) {}
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let filled = buffer.filled().len();
        let done = std::task::ready!(self.stream()?.poll_read(cx, buffer));
        if done.is_err() || (buffer.filled().len() == filled && buffer.remaining() > 0) {
            self.has_ended = true;
        }
        Poll::Ready(done)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
    }
}
