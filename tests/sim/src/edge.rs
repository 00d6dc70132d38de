//! Edges: the hub between the wire and sessions, and the audits that find out what the wire lost.
//! Order and audits are the edge's own code; what lies between is played.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use weft_edge::order::Notice;
use weft_proto::svc::ChangedRoom;
use weft_proto::{EventHead, Position, RoomId, RoomKind, Tick, UserId};

use super::audits::Audits;
use super::config::{Fault, Removed};
use super::wire::Topic;
use super::world::World;

/// More than this does not wait for a session.
const MAILBOX_MAX: usize = 24;

/// What waits for a session.
#[derive(Clone)]
pub enum Item {
    Event(Arc<EventHead>),
    Notice(Arc<Notice>),
    /// Everything at or before it is out, when what waits before it is.
    Marker(Position),
}

/// Where a session's items wait.
#[derive(Default)]
pub struct Mailbox {
    items: Mutex<VecDeque<Item>>,
    pub bell: Notify,
    /// Full: the session ends, and resumes elsewhere.
    pub full: CancellationToken,
    /// From which position on a marker says something to the session; `None`: none does.
    owed: Mutex<Option<Position>>,
}

impl Mailbox {
    fn deliver(&self, item: Item) {
        let mut items = self.items.lock().expect("items");
        if items.len() < MAILBOX_MAX {
            items.push_back(item);
            self.bell.notify_one();
        } else if !matches!(item, Item::Marker(_)) {
            self.full.cancel();
        }
    }

    /// Markers say something from here on.
    pub fn owe(&self, from: Option<Position>) {
        *self.owed.lock().expect("owed") = from;
    }

    /// Queues a marker where it says something to the session.
    pub fn mark(&self, position: Position) {
        if self.owed.lock().expect("owed").is_some_and(|from| from <= position) {
            self.deliver(Item::Marker(position));
        }
    }

    pub fn take(&self) -> Option<Item> {
        self.items.lock().expect("items").pop_front()
    }

    /// Not looked at after all: it is the first again.
    pub fn put_back(&self, item: Item) {
        self.items.lock().expect("items").push_front(item);
    }
}

struct Feed {
    members: BTreeMap<u64, Arc<Mailbox>>,
    /// A publication before this misses the subscription.
    hears_from: Instant,
    /// The last seq of each room that it has handed on.
    handed: BTreeMap<RoomId, u64>,
}

impl Feed {
    fn hand_on(&self, notice: &Notice) {
        let notice = Arc::new(notice.clone());
        for mailbox in self.members.values() {
            mailbox.deliver(Item::Notice(Arc::clone(&notice)));
        }
    }
}

pub struct Edge {
    pub world: Arc<World>,
    pub name: String,
    /// Cancelled when it dies.
    pub dead: CancellationToken,
    feeds: Mutex<BTreeMap<Topic, Feed>>,
    pub audits: Audits,
    deaf_until: Mutex<Instant>,
}

impl Edge {
    pub fn start(world: &Arc<World>, name: String) -> Arc<Self> {
        let edge = Arc::new(Self {
            world: Arc::clone(world),
            name,
            dead: CancellationToken::new(),
            feeds: Mutex::default(),
            audits: Audits::new(),
            deaf_until: Mutex::new(Instant::now()),
        });
        let (running, dead) = (Arc::clone(&edge), edge.dead.clone());
        tokio::spawn(async move { dead.run_until_cancelled(super::audits::run(&running)).await });
        edge
    }

    /// Nothing arrives for a while. Sometimes the edge is told when it is over.
    pub fn grow_deaf(self: &Arc<Self>) {
        let for_ms = self.world.below(9_000);
        self.world.say(format_args!("{} hears nothing for {for_ms} ms", self.name));
        let until = Instant::now() + Duration::from_millis(for_ms);
        *self.deaf_until.lock().expect("deaf") = until;
        if self.world.below(2) == 0 {
            let edge = Arc::clone(self);
            tokio::spawn(async move {
                tokio::time::sleep_until(until).await;
                edge.audits.on_loss();
            });
        }
    }

    pub fn is_deaf(&self) -> bool {
        !self.world.is_calm() && *self.deaf_until.lock().expect("deaf") > Instant::now()
    }

    /// Joins a feed; it is made where it is the first session's.
    pub fn join(&self, topic: &Topic, session: u64, mailbox: &Arc<Mailbox>) {
        let mut feeds = self.feeds.lock().expect("feeds");
        let is_new = !feeds.contains_key(topic);
        let feed = feeds.entry(topic.clone()).or_insert_with(|| {
            // It is on its way to the other servers, whatever a flush says.
            let is_slow = self.world.hit(Fault::SubscribedLate);
            let delay_ms = if is_slow { self.world.below(2_000) } else { 0 };
            let hears_from = Instant::now() + Duration::from_millis(delay_ms);
            Feed { members: BTreeMap::new(), hears_from, handed: BTreeMap::new() }
        });
        feed.members.insert(session, Arc::clone(mailbox));
        drop(feeds);
        if is_new {
            self.audits.on_subscribed();
        }
    }

    pub fn leave(&self, topic: &Topic, session: u64) {
        let mut feeds = self.feeds.lock().expect("feeds");
        let Some(feed) = feeds.get_mut(topic) else { return };
        feed.members.remove(&session);
        if feed.members.is_empty() {
            feeds.remove(topic);
        }
    }

    /// The session has ended.
    pub fn leave_all(&self, session: u64) {
        self.feeds.lock().expect("feeds").retain(|_, feed| {
            feed.members.remove(&session);
            !feed.members.is_empty()
        });
    }

    pub fn listens(&self, topic: &Topic) -> bool {
        let feeds = self.feeds.lock().expect("feeds");
        feeds.get(topic).is_some_and(|feed| feed.hears_from <= Instant::now())
    }

    /// An event arrives.
    pub fn hear(&self, topic: &Topic, head: &Arc<EventHead>) {
        let mut feeds = self.feeds.lock().expect("feeds");
        let Some(feed) = feeds.get_mut(topic) else { return };
        for mailbox in feed.members.values() {
            mailbox.deliver(Item::Event(Arc::clone(head)));
        }
        let handed = feed.handed.entry(head.room.clone()).or_default();
        *handed = head.seq.max(*handed);
    }

    pub fn hear_tick(&self, tick: &Tick) {
        self.audits.on_tick(tick);
        if self.world.config.removed == Some(Removed::AppliedIsAudited) && !tick.stalled {
            self.mark(Position::from_slice(&tick.read_version).expect("a position"));
        }
    }

    /// What an audit found goes to the room's sessions, where their feed has not handed it on, and
    /// to all of a user whom it concerns.
    pub fn notice(&self, changed: &ChangedRoom) {
        let room = RoomId::new(&changed.room).expect("room");
        let position = Position::from_slice(&changed.position).expect("a position");
        let seq = changed.seq;
        let notice = |concerned| Notice { room: room.clone(), seq, position, concerned };
        if room.kind() == RoomKind::Group {
            self.notice_feed(&Topic::Group(room.clone()), &notice(None));
        }
        let direct = room.direct_users().into_iter().flat_map(|(a, b)| [a, b]);
        for user in direct {
            self.notice_feed(&Topic::User(user), &notice(None));
        }
        for user in &changed.concerned {
            let topic = Topic::User(UserId::new(&user.user).expect("user"));
            if let Some(feed) = self.feeds.lock().expect("feeds").get(&topic) {
                feed.hand_on(&notice(Some(user.seq)));
            }
        }
    }

    fn notice_feed(&self, topic: &Topic, notice: &Notice) {
        let feeds = self.feeds.lock().expect("feeds");
        let Some(feed) = feeds.get(topic) else { return };
        if feed.handed.get(&notice.room).is_none_or(|handed| *handed < notice.seq) {
            feed.hand_on(notice);
        }
    }

    /// Everything at or before the position is in the mailboxes: a marker for those to whom that
    /// says something.
    pub fn mark(&self, position: Position) {
        let feeds = self.feeds.lock().expect("feeds");
        for (topic, feed) in feeds.iter() {
            if let Topic::User(_) = topic {
                feed.members.values().for_each(|mailbox| mailbox.mark(position));
            }
        }
    }
}
