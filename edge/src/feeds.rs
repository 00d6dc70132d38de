//! The hub: one subscription per online user and per group with local sessions. A feed reads what
//! is ready, parses the heads alone, and hands each event to its sessions' mailboxes without ever
//! waiting for one of them.
//!
//! A feed remembers how far it has handed on each room, so that an audit can tell what the wire
//! lost. It starts with its first session and ends with its last. Both happen under the lock of the
//! table, so nobody joins a feed that is ending.

mod seen;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::ws::Utf8Bytes;
use bytes::Bytes;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use weft_nats::subject::{ALL_DEVICES, WEFT_CHANGE, WEFT_ENTRY, WEFT_LOGOUT, WEFT_SUSPENDED};
use weft_nats::{Bus, Message, Subject, subscribed};
use weft_proto::frame::CloseCode;
use weft_proto::frame::typing_frame;
use weft_proto::{
    ChangeHead, Cursor, DeviceId, EventHead, Partition, Position, RoomId, UserId, partition_of,
};
use weft_runtime::{Shutdown, lock};

use self::seen::Seen;
use crate::delivery::mailbox::{Item, MailboxHandle};
use crate::metrics;
use crate::order::Notice;
use crate::ports::{Messages, Wire};
use crate::sabotage::{self, Rule};

/// Most events that are handed on at once.
const BATCH_EVENTS_MAX: usize = 256;

/// A committed entry on its way to sockets.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) head: EventHead,
    /// The bytes of the WebSocket frame, checked to be text once for all sessions.
    pub(crate) frame: Utf8Bytes,
    pub(crate) arrived_at: Instant,
}

/// A change that is not an entry, on its way to sockets.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) head: ChangeHead,
    /// For the members of this group: who has left it meanwhile hears nothing of it.
    pub(crate) group: Option<RoomId>,
    /// The bytes of the WebSocket frame.
    pub(crate) frame: Utf8Bytes,
}

/// A user who types, on the way to the sessions of a room.
#[derive(Debug)]
pub(crate) struct Typist {
    pub(crate) user: UserId,
    pub(crate) room: RoomId,
    pub(crate) frame: Utf8Bytes,
}

/// All feeds of an edge. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Feeds<W: Wire = Bus>(Arc<Inner<W>>);

struct Inner<W> {
    wire: W,
    shutdown: Shutdown,
    table: Mutex<Table>,
    /// Which generation feeds remember what they hand on in.
    generation: AtomicU64,
    /// The partitions whose entries new subscriptions get; `None`: all of them.
    subscribed: Mutex<BTreeSet<Option<Partition>>>,
    has_subscribed: Notify,
}

#[derive(Default)]
struct Table {
    /// In order, so that sessions hear of a marker in the same order each time.
    feeds: BTreeMap<Subject, Arc<Feed>>,
    next_member: u64,
}

struct Feed {
    subject: Subject,
    members: Mutex<Subscribers>,
    /// The subscription is made.
    live: watch::Sender<bool>,
    stop: CancellationToken,
}

struct Subscribers {
    mailboxes: Vec<(u64, MailboxHandle)>,
    seen: Seen,
}

impl<W: Wire> Feeds<W> {
    pub(crate) fn new(wire: W, shutdown: Shutdown) -> Self {
        Self(Arc::new(Inner {
            wire,
            shutdown,
            table: Mutex::default(),
            generation: AtomicU64::new(0),
            subscribed: Mutex::default(),
            has_subscribed: Notify::new(),
        }))
    }

    /// Joins a feed, starting it where this is its first session. Events may come at once; all
    /// events from now on come only after [`FeedMember::live`] and a flush of the bus.
    pub(crate) fn join(&self, subject: Subject, mailbox: MailboxHandle) -> FeedMember<W> {
        let mut table = lock(&self.0.table);
        let number = table.next_member;
        table.next_member += 1;
        let feed = match table.feeds.entry(subject) {
            Entry::Occupied(known) => Arc::clone(known.get()),
            Entry::Vacant(vacant) => {
                let (subject, seen) = (vacant.key().clone(), Seen::of(vacant.key()));
                let feed = Arc::new(Feed {
                    subject,
                    members: Mutex::new(Subscribers { mailboxes: Vec::new(), seen }),
                    live: watch::Sender::new(false),
                    stop: CancellationToken::new(),
                });
                vacant.insert(Arc::clone(&feed));
                let task = Arc::clone(&feed).run(self.clone());
                self.0.shutdown.spawn("feed", task);
                feed
            }
        };
        lock(&feed.members).mailboxes.push((number, mailbox));
        drop(table);
        FeedMember { feeds: self.clone(), feed, number }
    }

    fn leave(&self, member: &FeedMember<W>) {
        let mut table = lock(&self.0.table);
        let mut members = lock(&member.feed.members);
        members.mailboxes.retain(|(number, _)| *number != member.number);
        if members.mailboxes.is_empty() {
            table.feeds.remove(&member.feed.subject);
            member.feed.stop.cancel();
        }
    }

    /// Tells the sessions of a room what an audit says of it, where its feed has not handed that
    /// on; and each session of a user whom it concerns.
    pub(crate) fn notice(&self, partition: Partition, room: &Audited) {
        let notice = |concerned| {
            let Audited { room, seq, position, .. } = room.clone();
            Item::Notice(Arc::new(Notice { room, seq, position, concerned }))
        };
        let users = match room.room.direct_users() {
            None => {
                let subject = Subject::EventGroup { partition, room: room.room.clone() };
                if let Some(feed) = self.feed(&subject) {
                    feed.notice(room, || notice(None));
                }
                Vec::new()
            }
            Some((a, b)) if a == b => vec![a],
            Some((a, b)) => vec![a, b],
        };
        for user in users {
            if let Some(feed) = self.feed(&Subject::User(user)) {
                feed.notice(room, || notice(None));
            }
        }
        for (user, first) in &room.concerned {
            if let Some(feed) = self.feed(&Subject::User(user.clone())) {
                feed.hand_on(&notice(Some(*first)));
            }
        }
    }

    /// Hands a change on that an audit tells of, where a feed has not handed it on.
    pub(crate) fn change(&self, partition: Partition, audited: &AuditedChange) {
        let generation = self.0.generation.load(Ordering::Relaxed);
        let users = audited.users.iter().map(|user| Subject::User(user.clone()));
        let group = audited.change.group.iter();
        let group = group.map(|room| Subject::EventGroup { partition, room: room.clone() });
        for subject in users.chain(group) {
            if let Some(feed) = self.feed(&subject)
                && lock(&feed.members).hand_on_change(&audited.change, generation)
            {
                metrics::CHANGES.increment("audit");
            }
        }
    }

    /// Tells the room's other sessions that a user types in it.
    pub(crate) fn types(&self, user: UserId, room: RoomId, partitions: Partition) {
        let subject = match room.direct_users() {
            Some((low, high)) => Subject::User(if user == low { high } else { low }),
            None => {
                let partition = partition_of(&room, partitions);
                Subject::EventGroup { partition, room: room.clone() }
            }
        };
        let Some(feed) = self.feed(&subject) else { return };
        let Ok(frame) = typing_frame(&room, &user).try_into() else { return };
        let typist = Arc::new(Typist { user, room, frame });
        for (_, mailbox) in &lock(&feed.members).mailboxes {
            mailbox.offer(Item::Typing(Arc::clone(&typist)));
        }
    }

    /// Puts a marker after what was delivered, for the sessions to which it says something, or for
    /// all.
    pub(crate) fn mark(&self, cursor: &Arc<Cursor>, anyone: bool) {
        let is_user = |subject: &&Subject| matches!(subject, Subject::User(_));
        let table = lock(&self.0.table);
        let feeds = table.feeds.iter().filter(|(subject, _)| is_user(subject));
        let feeds: Vec<Arc<Feed>> = feeds.map(|(_, feed)| Arc::clone(feed)).collect();
        drop(table);
        for feed in feeds {
            for (_, mailbox) in &lock(&feed.members).mailboxes {
                mailbox.mark(cursor, anyone);
            }
        }
    }

    /// A new generation: feeds forget what they handed on before the last one.
    pub(crate) fn turn_over(&self) {
        self.0.generation.fetch_add(1, Ordering::Relaxed);
    }

    /// Feeds forget all that they handed on: positions of another store say nothing to those of this one.
    pub(crate) fn forget(&self) {
        self.0.generation.fetch_add(2, Ordering::Relaxed);
    }

    /// Waits until subscriptions were made; the partitions whose entries they get (`None`: all).
    /// Cancel-safe.
    pub(crate) async fn subscribed(&self) -> BTreeSet<Option<Partition>> {
        self.0.has_subscribed.notified().await;
        std::mem::take(&mut *lock(&self.0.subscribed))
    }

    fn feed(&self, subject: &Subject) -> Option<Arc<Feed>> {
        lock(&self.0.table).feeds.get(subject).map(Arc::clone)
    }

    fn has_subscribed(&self, subject: &Subject) {
        let partition = match subject {
            Subject::EventGroup { partition, .. } => Some(*partition),
            _ => None,
        };
        lock(&self.0.subscribed).insert(partition);
        self.0.has_subscribed.notify_one();
    }
}

/// What an audit says of a room.
#[derive(Clone, Debug)]
pub(crate) struct Audited {
    pub(crate) room: RoomId,
    /// Of its last entry, as the position.
    pub(crate) seq: u64,
    pub(crate) position: Position,
    /// Whom entries of a group concern, each with the first one.
    pub(crate) concerned: Vec<(UserId, u64)>,
}

/// What an audit says of a change beside entries, and who hears of it.
#[derive(Clone, Debug)]
pub(crate) struct AuditedChange {
    pub(crate) users: Vec<UserId>,
    /// All sessions of its group, too.
    pub(crate) change: Arc<Change>,
}

/// A session's place in a feed. Dropping it leaves.
pub(crate) struct FeedMember<W: Wire = Bus> {
    feeds: Feeds<W>,
    feed: Arc<Feed>,
    number: u64,
}

impl<W: Wire> FeedMember<W> {
    /// Waits until the subscription is on its way to the server.
    pub(crate) async fn live(&self) {
        // The sender lives in the feed, which lives here.
        let _ = self.feed.live.subscribe().wait_for(|live| *live).await;
    }
}

impl<W: Wire> Drop for FeedMember<W> {
    fn drop(&mut self) {
        self.feeds.clone().leave(self);
    }
}

impl Feed {
    async fn run<W: Wire>(self: Arc<Self>, feeds: Feeds<W>) {
        let stop = self.stop.clone();
        let serve = async {
            let wire = &feeds.0.wire;
            let messages = subscribed(|| wire.subscribe(&self.subject)).await;
            let Some(mut messages) = messages else { return };
            self.live.send_replace(true);
            feeds.has_subscribed(&self.subject);
            let mut batch = Vec::new();
            while self.next_batch(&mut messages, &mut batch).await {
                self.deliver(&mut batch, feeds.0.generation.load(Ordering::Relaxed));
            }
        };
        tokio::select! {
            biased; // whoever left wants nothing more
            () = stop.cancelled() => {}
            () = serve => {}
        }
    }

    /// False: the connection is closed for good.
    async fn next_batch(&self, messages: &mut impl Messages, batch: &mut Vec<Item>) -> bool {
        let Some(first) = messages.next().await else { return false };
        batch.extend(self.read(first));
        while batch.len() < BATCH_EVENTS_MAX {
            let Some(message) = messages.try_next() else { break };
            batch.extend(self.read(message));
        }
        true
    }

    /// `None` for what is not for sockets.
    fn read(&self, message: Message) -> Option<Item> {
        if let Some(device) = message.header(WEFT_LOGOUT) {
            let device = match device {
                ALL_DEVICES => None,
                device => Some(DeviceId::new(device).ok()?),
            };
            let code = match message.header(WEFT_SUSPENDED) {
                Some(_) => CloseCode::Suspended,
                None => CloseCode::LoggedOut,
            };
            let members = lock(&self.members);
            members.mailboxes.iter().for_each(|(_, it)| it.log_out(device.as_ref(), code));
            return None;
        }
        let group = match &self.subject {
            Subject::EventGroup { room, .. } => Some(room),
            _ => None,
        };
        read(message, group)
    }

    fn deliver(&self, batch: &mut Vec<Item>, generation: u64) {
        let mut members = lock(&self.members);
        for item in batch.drain(..) {
            match &item {
                Item::Change(change) => {
                    if members.hand_on_change(change, generation) {
                        metrics::CHANGES.increment("wire");
                    }
                    continue;
                }
                Item::Event(event) => members.seen.hand_on(&event.head, generation),
                _ => {}
            }
            members.hand_on(&item);
        }
    }

    /// Hands a notice on where not everything that it speaks of was.
    fn notice(&self, room: &Audited, notice: impl FnOnce() -> Item) {
        if sabotage::is_out(Rule::NoticesHandedOn) {
            return;
        }
        let members = lock(&self.members);
        if members.seen.seq(&room.room) < room.seq {
            members.hand_on(&notice());
        }
    }

    fn hand_on(&self, item: &Item) {
        lock(&self.members).hand_on(item);
    }
}

impl Subscribers {
    /// False where that, or something newer, was handed on.
    fn hand_on_change(&mut self, change: &Arc<Change>, generation: u64) -> bool {
        let is_new = self.seen.is_new(&change.head, generation);
        if is_new {
            self.hand_on(&Item::Change(Arc::clone(change)));
        }
        is_new
    }

    fn hand_on(&self, item: &Item) {
        for (_, mailbox) in &self.mailboxes {
            mailbox.deliver(item.clone());
        }
    }
}

/// `None` for what is neither an entry nor a change. `group`: whose subject brought it.
fn read(message: Message, group: Option<&RoomId>) -> Option<Item> {
    let Some(head) = message.header(WEFT_ENTRY) else { return read_change(message, group) };
    let head: EventHead = head.parse().ok()?;
    let frame = Utf8Bytes::try_from(message.into_payload());
    match frame {
        Ok(frame) => Some(Item::Event(Arc::new(Event { head, frame, arrived_at: Instant::now() }))),
        Err(_) => {
            tracing::error!(room = %head.room, seq = head.seq, "an event is not text");
            None
        }
    }
}

fn read_change(message: Message, group: Option<&RoomId>) -> Option<Item> {
    let head = message.header(WEFT_CHANGE)?.to_owned();
    let change = Change::read(&head, group.cloned(), message.into_payload());
    if change.is_none() {
        tracing::error!(head, "a change can't be read");
    }
    change.map(|change| Item::Change(Arc::new(change)))
}

impl Change {
    /// `head`: in its text form.
    pub(crate) fn read(head: &str, group: Option<RoomId>, frame: Bytes) -> Option<Self> {
        Some(Self { head: head.parse().ok()?, group, frame: frame.try_into().ok()? })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use weft_proto::Membership;

    use super::*;

    pub(crate) fn event(seq: u64, frame: &str) -> Event {
        let head = EventHead {
            room: RoomId::new("team").expect("id"),
            seq,
            kind: "message".into(),
            position: Position::new(seq, 0),
            position_before: None,
            user: None,
            membership: Membership::Stays,
            is_unread: true,
        };
        Event { head, frame: frame.into(), arrived_at: Instant::now() }
    }
}
