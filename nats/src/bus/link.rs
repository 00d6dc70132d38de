//! One TCP connection: how it is made and kept, and what is known of its state.

use std::sync::Arc;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, HeaderMap, HeaderName};
use bytes::Bytes;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{BusOptions, Subscription, within};
use crate::error::Error;
use crate::metrics;
use crate::server::{VERSION_NEEDED, version_is_enough};

/// How long [`Link::connect`] tries.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two attempts to connect.
const CONNECT_PAUSE: Duration = Duration::from_millis(200);
/// The longest wait before a reconnect, without its jitter of up to the half.
const RECONNECT_DELAY_MAX: Duration = Duration::from_millis(500);
/// A dead connection is noticed after two unanswered pings.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// How often the state is looked at beside the events, because the event queue loses events.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// Messages that wait in one subscription. What comes beyond is dropped and counted as a loss.
/// Ingest pulls and the publishers' windows stay well below it.
pub(crate) const SUBSCRIPTION_CAPACITY: usize = 65_536;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Connection {
    /// It is connected at the moment.
    pub connected: bool,
    /// How many times it was made. It grows with each reconnect, however short the break: whatever
    /// was underway before may be lost.
    pub generation: u64,
}

/// A connection and its watcher.
#[derive(Debug)]
pub(crate) struct Link {
    client: Client,
    inbox: String,
    connection: watch::Receiver<Connection>,
    losses: watch::Receiver<u64>,
    next_inbox: AtomicU64,
    dead: AtomicBool,
    _watcher: DropGuard,
}

/// What the client's event callback hands to the watcher.
#[derive(Default)]
struct Events {
    slow: AtomicU64,
    wake: Notify,
}

impl Link {
    pub(crate) async fn connect(options: &BusOptions) -> Result<Self, Error> {
        install_crypto_provider();
        let events = Arc::new(Events::default());
        // One node's earlier life may still have replies underway: each connection has its own.
        let inbox =
            format!("_INBOX_{}.{}.{:016x}", options.role, options.node, rand::random::<u64>());
        let client = connect_client(options, &inbox, &events).await?;
        let found = client.server_info().version;
        if !version_is_enough(&found) {
            return Err(Error::ServerTooOld {
                place: options.url.clone(),
                found,
                needed: VERSION_NEEDED,
            });
        }
        let (connection_tx, connection) = watch::channel(state_of(&client));
        let (losses_tx, losses) = watch::channel(0);
        let stop = CancellationToken::new();
        let watcher = watch_state(client.clone(), events, connection_tx, losses_tx, stop.clone());
        tokio::spawn(watcher);
        Ok(Self {
            client,
            inbox,
            connection,
            losses,
            next_inbox: AtomicU64::new(0),
            dead: AtomicBool::new(false),
            _watcher: stop.drop_guard(),
        })
    }

    /// The client's task has ended: nothing comes over this connection any more.
    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    /// To be called by who finds a subscription ended: the client itself does not tell.
    pub(crate) fn mark_dead(&self) {
        self.dead.store(true, Ordering::Relaxed);
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// A subject that only this connection listens on.
    pub(crate) fn new_inbox(&self) -> String {
        format!("{}.{}", self.inbox, self.next_inbox.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn connection(&self) -> watch::Receiver<Connection> {
        self.connection.clone()
    }

    pub(crate) fn losses(&self) -> watch::Receiver<u64> {
        self.losses.clone()
    }

    /// The state at this instant, not as of the last event.
    pub(crate) fn state(&self) -> Connection {
        state_of(&self.client)
    }

    pub(crate) async fn publish(
        &self,
        subject: String,
        reply: Option<String>,
        headers: &[(&'static str, &str)],
        payload: Bytes,
    ) -> Result<(), Error> {
        let bytes = payload.len();
        let sent = within("publish", async {
            match (reply, header_map(headers)?) {
                (None, None) => self.client.publish(subject, payload).await,
                (None, Some(map)) => self.client.publish_with_headers(subject, map, payload).await,
                (Some(to), None) => self.client.publish_with_reply(subject, to, payload).await,
                (Some(to), Some(map)) => {
                    self.client.publish_with_reply_and_headers(subject, to, map, payload).await
                }
            }
            .map_err(|error| match error.kind() {
                async_nats::PublishErrorKind::MaxPayloadExceeded => {
                    Error::TooLarge { bytes, bytes_max: self.client.max_payload() }
                }
                async_nats::PublishErrorKind::InvalidSubject => Error::Malformed("subject"),
                async_nats::PublishErrorKind::Send => Error::Closed,
            })
        });
        sent.await
    }

    pub(crate) async fn subscribe(&self, subject: String) -> Result<Subscription, Error> {
        let subscribed = within("subscribe", async {
            self.client.subscribe(subject).await.map_err(|error| match error.kind() {
                async_nats::SubscribeErrorKind::Other => Error::Closed,
                _ => Error::Malformed("subject"),
            })
        });
        subscribed.await.map(Subscription::new)
    }

    /// Shares the subject's messages with whoever else subscribes to it in this queue.
    pub(crate) async fn queue_subscribe(
        &self,
        subject: String,
        queue: &str,
    ) -> Result<Subscription, Error> {
        let subscribed = within("subscribe", async {
            let subscribed = self.client.queue_subscribe(subject, queue.to_owned()).await;
            subscribed.map_err(|error| match error.kind() {
                async_nats::SubscribeErrorKind::Other => Error::Closed,
                _ => Error::Malformed("subject"),
            })
        });
        subscribed.await.map(Subscription::new)
    }

    pub(crate) async fn flush(&self) -> Result<(), Error> {
        within("flush", async {
            self.client.flush().await.map_err(|_| Error::Closed)?;
            // The client's flush says that the bytes left; only a message that came back says that
            // the server has read them.
            let inbox = self.new_inbox();
            let mut echo = self.client.subscribe(inbox.clone()).await.map_err(|_| Error::Closed)?;
            self.client.publish(inbox, Bytes::new()).await.map_err(|_| Error::Closed)?;
            futures_util::StreamExt::next(&mut echo).await.map(drop).ok_or(Error::Closed)
        })
        .await
    }

    pub(crate) async fn close(&self) {
        // Draining unsubscribes, writes what is queued and ends the connection's task.
        let _ = within("close", async {
            self.client.flush().await.map_err(|_| Error::Closed)?;
            self.client.drain().await.map_err(|_| Error::Closed)
        })
        .await;
    }
}

/// Waits until the connection was made anew since `generation`. Pending for ever once it is closed.
pub(crate) async fn made_anew(connection: &mut watch::Receiver<Connection>, generation: u64) {
    // Greater, not other: the watch may lag after what the caller has seen.
    let anew = |now: &Connection| now.connected && now.generation > generation;
    if connection.wait_for(anew).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// rustls panics where it has to choose between two providers: the first one in decides.
fn install_crypto_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error says that the process has chosen already.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// The client's own retry hides a refused password, so the first connection is tried here.
async fn connect_client(
    options: &BusOptions,
    inbox: &str,
    events: &Arc<Events>,
) -> Result<Client, Error> {
    let deadline = Instant::now() + CONNECT_TIMEOUT;
    let servers: Vec<&str> = options.url.split(',').map(str::trim).collect();
    let mut reason = String::from("no answer");
    loop {
        let attempt = client_options(options, inbox, events).connect(servers.as_slice());
        match timeout_at(deadline, attempt).await {
            Ok(Ok(client)) => return Ok(client),
            Ok(Err(error)) => match error.kind() {
                ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                    return Err(Error::Refused {
                        url: options.url.clone(),
                        user: options.user.clone(),
                    });
                }
                ConnectErrorKind::ServerParse => return Err(Error::Malformed("NATS url")),
                _ => reason = error.to_string(),
            },
            Err(_) => return Err(Error::Unreachable { url: options.url.clone(), reason }),
        }
        if Instant::now() + CONNECT_PAUSE >= deadline {
            return Err(Error::Unreachable { url: options.url.clone(), reason });
        }
        sleep(CONNECT_PAUSE).await;
    }
}

fn client_options(options: &BusOptions, inbox: &str, events: &Arc<Events>) -> ConnectOptions {
    let events = Arc::clone(events);
    ConnectOptions::with_user_and_password(options.user.clone(), options.password.clone())
        .name(format!("weft-{}-{}", options.role, options.node))
        .custom_inbox_prefix(format!("{inbox}.r"))
        .subscription_capacity(SUBSCRIPTION_CAPACITY)
        .ping_interval(PING_INTERVAL)
        .max_reconnects(None)
        .reconnect_delay_callback(reconnect_delay)
        .event_callback(move |event| {
            if let Event::SlowConsumer(_) = event {
                events.slow.fetch_add(1, Ordering::Relaxed);
            }
            events.wake.notify_one();
            std::future::ready(())
        })
}

/// The first attempt at once, then doubling up to the cap, with jitter so that the nodes do not
/// come back in one instant.
fn reconnect_delay(attempt: usize) -> Duration {
    if attempt <= 1 {
        return Duration::ZERO;
    }
    let doubled = Duration::from_millis(10 << attempt.min(10));
    let delay = doubled.min(RECONNECT_DELAY_MAX);
    delay.mul_f64(1.0 + rand::random::<f64>() / 2.0)
}

fn state_of(client: &Client) -> Connection {
    Connection {
        connected: client.connection_state() == State::Connected,
        generation: client.statistics().connects.load(Ordering::Relaxed),
    }
}

async fn watch_state(
    client: Client,
    events: Arc<Events>,
    connection: watch::Sender<Connection>,
    losses: watch::Sender<u64>,
    stop: CancellationToken,
) {
    let mut counted = Counted::default();
    loop {
        tokio::select! {
            () = stop.cancelled() => return counted.end(),
            () = events.wake.notified() => {}
            () = sleep(POLL_INTERVAL) => {}
        }
        let now = state_of(&client);
        connection.send_if_modified(|seen| std::mem::replace(seen, now) != now);
        let slow = events.slow.load(Ordering::Relaxed);
        losses.send_if_modified(|seen| std::mem::replace(seen, slow) != slow);
        counted.note(now, slow);
    }
}

/// What the metrics know of a connection.
#[derive(Default)]
struct Counted {
    connected: bool,
    generation: Option<u64>,
    dropped: u64,
}

impl Counted {
    fn note(&mut self, now: Connection, dropped: u64) {
        match (std::mem::replace(&mut self.connected, now.connected), now.connected) {
            (false, true) => metrics::CONNECTED.increment(),
            (true, false) => metrics::CONNECTED.decrement(),
            _ => {}
        }
        let before = self.generation.replace(now.generation).unwrap_or(now.generation);
        metrics::RECONNECTS.add(now.generation.saturating_sub(before));
        metrics::DROPPED.add(dropped.saturating_sub(std::mem::replace(&mut self.dropped, dropped)));
    }

    fn end(mut self) {
        self.note(
            Connection { connected: false, generation: self.generation.unwrap_or(0) },
            self.dropped,
        );
    }
}

/// A line break in a value would let its author write headers of their own.
pub(crate) fn header_map(headers: &[(&'static str, &str)]) -> Result<Option<HeaderMap>, Error> {
    if headers.is_empty() {
        return Ok(None);
    }
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let value: async_nats::HeaderValue =
            value.parse().map_err(|_| Error::Malformed("header value"))?;
        // As text it would be checked and copied each time.
        map.insert(HeaderName::from_static(name), value);
    }
    Ok(Some(map))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_value_cannot_bring_headers_along() {
        assert!(header_map(&[("Weft-Id", "a\r\nWeft-Reply: b")]).is_err());
        assert!(header_map(&[("Weft-Id", "a\nb")]).is_err());
        assert!(header_map(&[]).expect("none").is_none());
    }

    #[test]
    fn reconnects_are_soon_and_never_at_once_twice() {
        assert_eq!(reconnect_delay(1), Duration::ZERO);
        for attempt in 2..100 {
            let delay = reconnect_delay(attempt);
            assert!(delay >= Duration::from_millis(20), "{attempt}: {delay:?}");
            assert!(delay <= Duration::from_millis(750), "{attempt}: {delay:?}");
        }
    }
}
