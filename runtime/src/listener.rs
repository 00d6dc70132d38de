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
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Sleep, sleep, timeout};

use crate::Shutdown;

/// How long a closed connection is still read from.
const LINGER: Duration = Duration::from_secs(2);
/// Most connections that linger; others are closed at once.
const LINGERING_MAX: usize = 1_024;
/// Most refused connections that do.
const REFUSED_LINGERING_MAX: usize = 128;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1_024;
/// What the kernel keeps of what a peer does not read. Its own choice would be up to 4 MB for each, and
/// a slow reader would hear why it is closed only after all of that.
const SEND_BUFFER_BYTES: u32 = 256 << 10;
/// How long a peer may take nothing of what is written to it. Sessions have a shorter time of their
/// own, and say why they end.
const WRITE_STALL: Duration = Duration::from_secs(30);
/// A peer that takes this much per second is never too slow.
const BYTES_PER_SECOND_MIN: u32 = 16_384;
/// Said to who is refused before anything was read.
const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
    retry-after: 5\r\nconnection: close\r\ncontent-length: 103\r\n\r\n\
    {\"error\":{\"code\":\"overloaded\",\"message\":\"too many connections\",\
    \"temporary\":true,\"retry_after_ms\":5000}}";

pub struct Listener {
    tcp: TcpListener,
    linger: Linger,
    refused: Linger,
}

#[derive(Clone)]
struct Linger {
    tasks: Shutdown,
    places: Arc<Semaphore>,
}

impl Linger {
    fn new(tasks: Shutdown, places: usize) -> Self {
        Self { tasks, places: Arc::new(Semaphore::new(places)) }
    }
}

/// Listens.
///
/// # Errors
/// Where the address can't be listened on.
pub fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    // Connections inherit it.
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

impl Listener {
    pub fn new(tcp: TcpListener, tasks: &Shutdown) -> Self {
        let linger = Linger::new(tasks.clone(), LINGERING_MAX);
        Self { tcp, linger, refused: Linger::new(tasks.clone(), REFUSED_LINGERING_MAX) }
    }

    /// The next connection. Cancel-safe.
    ///
    /// # Errors
    /// Where none can be accepted at the moment, as with too many open files.
    pub async fn accept(&self) -> io::Result<(ClientConnection, SocketAddr)> {
        loop {
            match self.tcp.accept().await {
                Ok((stream, peer)) => {
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "can't set TCP_NODELAY");
                    }
                    return Ok((ClientConnection::new(stream, self.linger.clone()), peer));
                }
                // The peer left before it was accepted.
                Err(error) if is_the_peers(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Closes a connection that there is no place for.
    pub fn refuse(&self, mut connection: ClientConnection) {
        connection.linger = self.refused.clone();
        if let Some(stream) = &connection.stream {
            // It fits into the empty buffer, or the peer has left.
            let _ = stream.try_write(REFUSAL);
        }
    }
}

fn is_the_peers(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// A connection that lingers when it is dropped.
pub struct ClientConnection {
    /// `None` while it is dropped alone.
    stream: Option<TcpStream>,
    /// The peer has closed, or the connection broke: nothing to linger for.
    has_ended: bool,
    linger: Linger,
    /// The peer takes nothing at the moment: when it is given up. Boxed, since it is rare.
    given_up: Option<Pin<Box<Sleep>>>,
}

impl ClientConnection {
    fn new(stream: TcpStream, linger: Linger) -> Self {
        Self { stream: Some(stream), has_ended: false, linger, given_up: None }
    }

    /// Bounds how long a write may take: each byte that is taken buys time.
    fn in_time(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = written {
            if let (Ok(bytes), Some(given_up)) = (&written, &mut self.given_up) {
                let bought = Duration::from_secs(1) * u32::try_from(*bytes).unwrap_or(u32::MAX)
                    / BYTES_PER_SECOND_MIN;
                let deadline = given_up.deadline() + bought;
                given_up.as_mut().reset(deadline);
            }
            return Poll::Ready(written);
        }
        let given_up = self.given_up.get_or_insert_with(|| Box::pin(sleep(WRITE_STALL)));
        ready!(given_up.as_mut().poll(cx));
        self.has_ended = true;
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for ClientConnection {
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

impl AsyncRead for ClientConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let filled = buffer.filled().len();
        let done = ready!(self.stream()?.poll_read(cx, buffer));
        if done.is_err() || (buffer.filled().len() == filled && buffer.remaining() > 0) {
            self.has_ended = true;
        }
        Poll::Ready(done)
    }
}

impl AsyncWrite for ClientConnection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = self.stream()?.poll_write(cx, bytes);
        self.in_time(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.stream()?.poll_write_vectored(cx, parts);
        self.in_time(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Who flushes has written everything.
        self.given_up = None;
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[test]
    fn the_refusal_is_as_long_as_it_says() {
        let text = std::str::from_utf8(REFUSAL).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.ends_with(&format!("content-length: {}", body.len())), "{}", body.len());
        serde_json::from_str::<serde_json::Value>(body).expect("json");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_given_up() {
        let tcp = bind(([127, 0, 0, 1], 0).into()).expect("listen");
        let addr = tcp.local_addr().expect("an address");
        let listener = Listener::new(tcp, &Shutdown::new());
        let (peer, accepted) = tokio::join!(TcpStream::connect(addr), listener.accept());
        let (mut connection, _) = accepted.expect("accepted");
        let (began, block) = (Instant::now(), vec![0; 1 << 20]);
        let error = loop {
            if let Err(error) = connection.write_all(&block).await {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= WRITE_STALL);
        drop(peer);
    }
}
