//! Why an edge can't start.

use std::net::SocketAddr;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process listens on the port.
    #[error("port {} on {} is taken by another process", .0.port(), .0.ip())]
    PortTaken(SocketAddr),
    /// The address can't be listened on.
    #[error("can't listen on {addr}: {source}")]
    Listen {
        addr: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// NATS did not take the edge's subscriptions.
    #[error(transparent)]
    Nats(#[from] weft_nats::Error),
}

impl Error {
    /// True where the same call may succeed later without anybody changing something.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Nats(error) if error.is_retryable())
    }
}
