//! The hub: one subscription per online user and per group with local sessions. A feed reads what
//! is ready, parses the heads alone, and hands each event to its sessions' mailboxes without ever
//! waiting for one of them.
//!
//! A feed starts with its first session and ends with its last. Both happen under the lock of the
//! table, so nobody joins a feed that is ending.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use weft_nats::{Bus, Message, Subject, Subscription, subject::WEFT_ENTRY};
use weft_proto::EventHead;
use weft_runtime::Shutdown;

use crate::session::mailbox::MailboxHandle;

/// Most events that are handed on at once.
const BATCH_EVENTS_MAX: usize = 256;
/// Between two attempts to subscribe.
const SUBSCRIBE_PAUSE: Duration = Duration::from_millis(200);

/// A committed entry on its way to sockets.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) head: EventHead,
    /// The bytes of the WebSocket frame, checked to be text once for all sessions.
    pub(crate) frame: Utf8Bytes,
}

/// All feeds of an edge. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Feeds(Arc<Inner>);

struct Inner {
    bus: Bus,
    shutdown: Shutdown,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    feeds: HashMap<Subject, Arc<Feed>>,
    next_member: u64,
}

struct Feed {
    members: Mutex<Vec<(u64, MailboxHandle)>>,
    /// The subscription is made.
    live: watch::Sender<bool>,
    stop: CancellationToken,
}

impl Feeds {
    pub(crate) fn new(bus: Bus, shutdown: Shutdown) -> Self {
        Self(Arc::new(Inner { bus, shutdown, table: Mutex::default() }))
    }

    /// Joins a feed, starting it where this is its first session. Events may come at once; all
    /// events from now on come only after [`FeedMember::live`] and a flush of the bus.
    pub(crate) fn join(&self, subject: Subject, mailbox: MailboxHandle) -> FeedMember {
        let mut table = lock(&self.0.table);
        let number = table.next_member;
        table.next_member += 1;
        let feed = match table.feeds.entry(subject.clone()) {
            Entry::Occupied(known) => Arc::clone(known.get()),
            Entry::Vacant(vacant) => {
                let feed = Arc::new(Feed {
                    members: Mutex::default(),
                    live: watch::Sender::new(false),
                    stop: CancellationToken::new(),
                });
                vacant.insert(Arc::clone(&feed));
                let task = Arc::clone(&feed).run(self.0.bus.clone(), subject.clone());
                self.0.shutdown.spawn("feed", task);
                feed
            }
        };
        lock(&feed.members).push((number, mailbox));
        drop(table);
        FeedMember { feeds: self.clone(), subject, feed, number }
    }

    fn leave(&self, member: &FeedMember) {
        let mut table = lock(&self.0.table);
        let mut members = lock(&member.feed.members);
        members.retain(|(number, _)| *number != member.number);
        if members.is_empty() {
            table.feeds.remove(&member.subject);
            member.feed.stop.cancel();
        }
    }
}

/// A session's place in a feed. Dropping it leaves.
pub(crate) struct FeedMember {
    feeds: Feeds,
    subject: Subject,
    feed: Arc<Feed>,
    number: u64,
}

impl FeedMember {
    /// Waits until the subscription is on its way to the server.
    pub(crate) async fn live(&self) {
        // The sender lives in the feed, which lives here.
        let _ = self.feed.live.subscribe().wait_for(|live| *live).await;
    }
}

impl Drop for FeedMember {
    fn drop(&mut self) {
        self.feeds.clone().leave(self);
    }
}

impl Feed {
    async fn run(self: Arc<Self>, bus: Bus, subject: Subject) {
        let stop = self.stop.clone();
        let serve = async {
            let Some(mut subscription) = subscribe(&bus, &subject).await else { return };
            self.live.send_replace(true);
            let mut batch = Vec::new();
            while next_batch(&mut subscription, &mut batch).await {
                self.deliver(&mut batch);
            }
        };
        tokio::select! {
            biased; // whoever left wants nothing more
            () = stop.cancelled() => {}
            () = serve => {}
        }
    }

    fn deliver(&self, batch: &mut Vec<Arc<Event>>) {
        let members = lock(&self.members);
        for event in batch.drain(..) {
            for (_, mailbox) in members.iter() {
                mailbox.deliver(&event);
            }
        }
    }
}

/// `None`: the connection is closed for good.
async fn subscribe(bus: &Bus, subject: &Subject) -> Option<Subscription> {
    loop {
        match bus.subscribe(subject).await {
            Ok(subscription) => return Some(subscription),
            Err(error) if error.is_retryable() => tokio::time::sleep(SUBSCRIBE_PAUSE).await,
            Err(error) => {
                tracing::debug!(%subject, %error, "can't subscribe");
                return None;
            }
        }
    }
}

/// False: the connection is closed for good.
async fn next_batch(subscription: &mut Subscription, batch: &mut Vec<Arc<Event>>) -> bool {
    let Some(first) = subscription.next().await else { return false };
    batch.extend(read(first));
    while batch.len() < BATCH_EVENTS_MAX {
        let Some(message) = subscription.try_next() else { break };
        batch.extend(read(message));
    }
    true
}

/// `None` for what is not an entry.
fn read(message: Message) -> Option<Arc<Event>> {
    let head: EventHead = message.header(WEFT_ENTRY)?.parse().ok()?;
    let frame = Utf8Bytes::try_from(message.into_payload());
    match frame {
        Ok(frame) => Some(Arc::new(Event { head, frame })),
        Err(_) => {
            tracing::error!(room = %head.room, seq = head.seq, "an event is not text");
            None
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it is held.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(crate) mod tests {
    use weft_proto::{Kind, Position, RoomId};

    use super::*;

    pub(crate) fn event(seq: u64, frame: &str) -> Event {
        let head = EventHead {
            room: RoomId::new("team").expect("id"),
            seq,
            kind: Kind::Message,
            position: Position::new(seq, 0),
            position_before: None,
            user: None,
        };
        Event { head, frame: frame.into() }
    }
}
