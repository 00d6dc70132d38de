//! A connection to NATS and what is done with it: publish, subscribe, flush. A [`Bus`] is a cheap
//! handle; the connection ends when [`Bus::close`] is called or the last handle is dropped.

mod link;
mod subscription;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::timeout;
use weft_proto::NodeId;

use crate::error::Error;
use crate::subject::{Filter, Subject};

pub use link::Connection;
pub(crate) use link::{Link, header_map, made_anew};
pub use subscription::{Message, Subscription, subscribed};

/// The longest wait for the client's queue to take a message, for a flush, or for the server to
/// answer an API request.
pub(crate) const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// Who waits for NATS says so after this time.
const SAY_AFTER: Duration = Duration::from_secs(2);

/// How to reach NATS, and as whom.
#[derive(Clone)]
pub struct BusOptions {
    /// `nats://host:port`, or several, separated by commas.
    pub url: String,
    /// The NATS user of the role.
    pub user: String,
    pub password: String,
    /// `edge`, `core`, `presence` or `admin`; the user's permissions name its inbox after it.
    pub role: &'static str,
    pub node: NodeId,
}

impl std::fmt::Debug for BusOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the password.
        f.debug_struct("BusOptions")
            .field("url", &self.url)
            .field("user", &self.user)
            .field("role", &self.role)
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

struct Inner {
    options: BusOptions,
    link: Arc<Link>,
}

#[derive(Clone)]
pub struct Bus(Arc<Inner>);

impl Bus {
    /// Connects, trying for 10 s; afterwards reconnects for ever.
    ///
    /// # Errors
    /// [`Error::Unreachable`], [`Error::Refused`], [`Error::ServerTooOld`].
    pub async fn connect(options: &BusOptions) -> Result<Self, Error> {
        let link = Arc::new(Link::connect(options).await?);
        Ok(Self(Arc::new(Inner { options: options.clone(), link })))
    }

    /// As [`connect`](Self::connect), but waits for NATS for as long as it takes, and says so.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::ServerTooOld`].
    pub async fn connect_patiently(options: &BusOptions) -> Result<Self, Error> {
        let connecting = async {
            loop {
                match Self::connect(options).await {
                    Err(error @ Error::Unreachable { .. }) => {
                        tracing::warn!(%error, "waiting for NATS");
                    }
                    connected => return connected,
                }
            }
        };
        let mut connecting = std::pin::pin!(connecting);
        if let Ok(connected) = timeout(SAY_AFTER, &mut connecting).await {
            return connected;
        }
        tracing::warn!(url = options.url, "waiting for NATS, which does not answer yet");
        connecting.await
    }

    /// Publishes a message. Returning says that it is queued, not that the server has it.
    ///
    /// # Errors
    /// [`Error::Timeout`] where the queue stayed full (NATS is away), [`Error::TooLarge`],
    /// [`Error::Malformed`], [`Error::Closed`].
    pub async fn publish(
        &self,
        subject: &Subject,
        headers: &[(&'static str, &str)],
        payload: Bytes,
    ) -> Result<(), Error> {
        self.0.link.publish(subject.to_wire()?, None, headers, payload).await
    }

    /// Subscribes to one subject. The server knows of it only after a [`flush`](Self::flush), and a
    /// cluster a moment later still.
    ///
    /// # Errors
    /// [`Error::Timeout`], [`Error::Malformed`], [`Error::Closed`].
    pub async fn subscribe(&self, subject: &Subject) -> Result<Subscription, Error> {
        self.0.link.subscribe(subject.to_wire()?).await
    }

    /// Subscribes to a set of subjects.
    ///
    /// # Errors
    /// As [`subscribe`](Self::subscribe).
    pub async fn subscribe_wildcard(&self, filter: &Filter) -> Result<Subscription, Error> {
        self.0.link.subscribe(filter.to_string()).await
    }

    /// Waits until all that was queued is written to the socket and the server has answered a
    /// request sent after it: so it knows the subscriptions made before.
    ///
    /// # Errors
    /// [`Error::Timeout`], [`Error::Closed`].
    pub async fn flush(&self) -> Result<(), Error> {
        self.0.link.flush().await
    }

    #[must_use]
    pub fn connection(&self) -> watch::Receiver<Connection> {
        self.0.link.connection()
    }

    /// How many slow-consumer events were seen: each says that at least one message was dropped
    /// because a subscription was full. What it counts is a signal, not a sum: under a storm the
    /// client loses such events too.
    #[must_use]
    pub fn losses(&self) -> watch::Receiver<u64> {
        self.0.link.losses()
    }

    #[must_use]
    pub fn node(&self) -> &NodeId {
        &self.0.options.node
    }

    /// The role that this process connected as.
    #[must_use]
    pub fn role(&self) -> &'static str {
        self.0.options.role
    }

    /// Sends what is queued, then closes the connection. All handles are closed with it.
    pub async fn close(&self) {
        self.0.link.close().await;
    }

    pub(crate) fn options(&self) -> &BusOptions {
        &self.0.options
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.0.link
    }

    /// Another connection of the same user; it ends with its last handle.
    pub(crate) async fn another_link(&self) -> Result<Arc<Link>, Error> {
        Link::connect(&self.0.options).await.map(Arc::new)
    }
}

/// Puts a limit on what the client would wait for without one.
pub(crate) async fn within<T>(
    what: &'static str,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    timeout(SEND_TIMEOUT, work).await.map_err(|_| Error::Timeout(what))?
}
