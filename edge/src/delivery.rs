//! What goes out on a session by itself: the sync, then live entries in order.
//!
//! The order of a start: subscribe to the user's feed → list the groups → subscribe to their feeds
//! → flush → sync from the cursor. Live events wait in the mailbox meanwhile. A sync that can't
//! bring everything since the cursor fixes a new one; then the groups are listed and a sync is done
//! once more, from there: so that what happened to the user's memberships between list and sync is
//! known exactly.
//!
//! What the wire loses later, audits find: their notices wait among the events, and what is missing
//! is read. A marker after them says how far everything is out: that makes a new cursor. Where no
//! audit can tell, a sync is done again from the last cursor.

mod ask;
mod cursor_due;
pub mod mailbox;
mod repair;
mod token;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use axum::extract::ws::Utf8Bytes;
use tokio::sync::watch;
use tokio::time::timeout;
use weft_nats::{Bus, Subject};
use weft_proto::frame::{CloseCode, Reply};
use weft_proto::svc::{self, ListGroups, Resync, SyncPage};
use weft_proto::{Cursor, EventHead, RoomId, RoomKind, Scope, UserId, partition_of};

use self::ask::{Ask, Refused};
use self::cursor_due::CursorDue;
use self::mailbox::{Item, Mailbox};
pub use self::token::TokenCell;
use crate::feeds::{Change, FeedMember};
use crate::metrics;
use crate::order::{Missing, Order, Verdict};
use crate::ports::Wire;
use crate::reading::Reading;
use crate::sabotage::{self, Rule};

/// Most items that are looked at in one turn.
const TURN_ITEMS_MAX: usize = 64;

/// Hears what a session's deliveries say of whom its user sees.
pub trait OnEntry: Send + Sync {
    /// An entry goes out.
    fn on_entry(&self, head: &EventHead);

    /// The user and this other one see each other no longer, or again.
    fn on_sight(&self, other: &UserId);

    /// Whom the user sees may have changed, and nobody has said so.
    fn on_loss(&self);
}

/// Makes the pushes of one session.
pub struct Delivery<W: Wire = Bus> {
    reading: Arc<Reading<W>>,
    user: UserId,
    ask: Ask<W>,
    mailbox: Mailbox,
    order: Order,
    /// Taken from the mailbox, not yet looked at. The order within is that of arrival.
    waiting: VecDeque<Item>,
    phase: Phase,
    /// Where the next sync starts; empty: nowhere.
    cursor: String,
    /// It came with a cursor, and has not synced from there yet.
    resumes: bool,
    cursor_due: CursorDue,
    on_entry: Arc<dyn OnEntry>,
    /// The user has turned off read receipts, as far as is known here.
    receipts_off: bool,
    lost: watch::Receiver<u64>,
    groups: BTreeMap<RoomId, FeedMember<W>>,
    user_feed: FeedMember<W>,
    /// Of a bot's token; `None`: it hears of all that its user does.
    scope: Option<Arc<Scope>>,
}

/// What the next turn does.
enum Phase {
    /// List the groups, follow their feeds, then sync.
    List { resync: Resync },
    /// Read a page of the sync.
    Sync { page: Vec<u8>, resync: Resync },
    /// Follow the rooms that the user has joined, leave the others.
    Settle { moved: Vec<RoomId> },
    /// Read a joined room to its head, then settle the others.
    CatchUp { room: RoomId, moved: Vec<RoomId> },
    /// Put out what arrives.
    Live,
}

/// What a turn puts out.
pub type Frames = Vec<Utf8Bytes>;

impl<W: Wire> Delivery<W> {
    /// `cursor`: from where on the device wants everything; empty: from now on.
    #[must_use]
    pub fn new(
        reading: Arc<Reading<W>>,
        user: UserId,
        token: TokenCell,
        cursor: String,
        mailbox: Mailbox,
        on_entry: Arc<dyn OnEntry>,
    ) -> Self {
        let user_feed = reading.feeds.join(Subject::User(user.clone()), mailbox.handle());
        let phase = if cursor.is_empty() {
            Phase::Sync { page: Vec::new(), resync: Resync::None }
        } else {
            Phase::List { resync: Resync::None }
        };
        let mut lost = reading.audits.lost.clone();
        lost.mark_unchanged();
        Self {
            ask: Ask::new(Arc::clone(&reading), token),
            order: Order::new(user.clone()),
            waiting: VecDeque::new(),
            groups: BTreeMap::new(),
            user_feed,
            reading,
            user,
            mailbox,
            phase,
            resumes: !cursor.is_empty(),
            cursor,
            cursor_due: CursorDue::new(),
            on_entry,
            receipts_off: false,
            lost,
            scope: None,
        }
    }

    /// It hears of the rooms of the scope alone. What a sync brings, core looks at.
    #[must_use]
    pub fn within(self, scope: Option<Arc<Scope>>) -> Self {
        Self { scope, ..self }
    }

    /// Whether its scope has what an item is about. What a change is about that is of no room, a scope with rooms lacks.
    fn is_in_scope(&self, item: &Item) -> bool {
        let Some(scope) = self.scope.as_ref().filter(|scope| scope.rooms.is_some()) else {
            return true;
        };
        let has = |room: &str| scope.has_room(room);
        match item {
            Item::Event(event) => has(event.head.room.as_str()),
            Item::Notice(notice) => has(notice.room.as_str()),
            Item::Typing(typist) => has(typist.room.as_str()),
            Item::Change(change) => match &change.group {
                Some(group) => has(group.as_str()),
                None => change.frame.is_empty() || change.head.room_of_scope().is_some_and(has),
            },
            Item::Marker(_) => true,
        }
    }

    /// Does the next step and returns itself with what is to be put out, which may be nothing. Not
    /// cancel-safe: it is kept over the waits of its session.
    pub async fn turn(mut self) -> (Self, Result<Frames, CloseCode>) {
        let from = self.cursor_due.from();
        let frames = self.step().await;
        if self.cursor_due.from() != from {
            self.ask_for_marker();
        }
        (self, frames)
    }

    /// Asks for a marker. Where the newest one was told too early to say something to this session,
    /// it comes once more, after all that waits by now.
    fn ask_for_marker(&self) {
        let from = match self.phase {
            // Its end says more.
            Phase::Sync { .. } => None,
            _ => self.cursor_due.from(),
        };
        // In this order, so that a marker that is just being told is not missed.
        self.mailbox.marker_due(from);
        let newest = self.reading.audits.marked.borrow().clone();
        if let Some(cursor) = newest {
            self.mailbox.handle().mark(&cursor, false);
        }
    }

    async fn step(&mut self) -> Result<Frames, CloseCode> {
        match std::mem::replace(&mut self.phase, Phase::Live) {
            Phase::List { resync } => self.list(resync).await,
            Phase::Sync { page, resync } => self.sync(page, resync).await,
            Phase::Settle { moved } => self.settle(moved).await,
            Phase::CatchUp { room, moved } => self.catch_up(room, moved).await,
            Phase::Live => self.live().await,
        }
    }

    /// Lists the groups and follows them, and no others.
    async fn list(&mut self, resync: Resync) -> Result<Frames, CloseCode> {
        let mut listed = Vec::new();
        let mut after = String::new();
        loop {
            let page = self
                .ask
                .ask(|token| ListGroups { token, after: after.clone(), with_direct: false })
                .await;
            let page = page.map_err(Refused::close)?;
            let more = page.more;
            after = page.rooms.last().cloned().unwrap_or_default();
            listed.extend(page.rooms.iter().filter_map(|room| RoomId::new(room).ok()));
            self.may_follow(listed.len())?;
            if !more || after.is_empty() {
                break;
            }
        }
        let mut before = std::mem::take(&mut self.groups);
        for room in &listed {
            let member = before.remove(room).unwrap_or_else(|| self.join(room));
            self.groups.insert(room.clone(), member);
        }
        self.order.restart(listed);
        self.follow().await?;
        self.phase = Phase::Sync { page: Vec::new(), resync };
        Ok(Frames::new())
    }

    /// Core puts nobody into that many groups; where it did, no session takes the memory of an edge.
    fn may_follow(&self, groups: usize) -> Result<(), CloseCode> {
        if groups <= self.reading.groups_max {
            return Ok(());
        }
        tracing::error!(user = %self.user, groups, "too many groups to follow: the session is closed");
        Err(CloseCode::Unavailable)
    }

    fn join(&self, room: &RoomId) -> FeedMember<W> {
        let partition = partition_of(room, self.reading.partitions);
        let subject = Subject::EventGroup { partition, room: room.clone() };
        self.reading.feeds.join(subject, self.mailbox.handle())
    }

    /// Waits until the server knows all subscriptions, and until what a sync does not cover will be
    /// audited.
    async fn follow(&mut self) -> Result<(), CloseCode> {
        self.user_feed.live().await;
        for member in self.groups.values() {
            member.live().await;
        }
        self.ask.flush().await.map_err(Refused::close)?;
        let mut is_audited = self.reading.audits.is_ready.clone();
        let wait = is_audited.wait_for(|is_ready| *is_ready);
        match timeout(self.reading.patience, wait).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) | Err(_) => return Err(CloseCode::Unavailable),
        }
        self.lost.mark_unchanged();
        Ok(())
    }

    /// One page of the sync. `resync`: why it can't bring everything, as an earlier one found.
    async fn sync(&mut self, page: Vec<u8>, resync: Resync) -> Result<Frames, CloseCode> {
        let cursor = self.cursor.clone();
        let request = |token| svc::Sync { token, cursor: cursor.clone(), page: page.clone() };
        let answer: SyncPage = self.ask.ask(request).await.map_err(Refused::close)?;
        let covered: Cursor = answer.cursor.parse().map_err(|_| {
            tracing::error!(user = %self.user, "core answered a sync without a cursor");
            CloseCode::Unavailable
        })?;
        let found = Resync::try_from(answer.resync).unwrap_or(Resync::TooFarBehind);
        let is_first = found != Resync::None || answer.next.is_empty();
        if is_first && std::mem::take(&mut self.resumes) {
            metrics::RESUMES.increment(found.as_str().unwrap_or("recovered"));
        }
        if found != Resync::None {
            self.cursor = answer.cursor;
            let resync = if resync == Resync::None { found } else { resync };
            self.phase = Phase::List { resync };
            return Ok(Frames::new());
        }
        self.receipts_off = answer.receipts_off;
        let mut frames = self.put_stored(answer.entries)?;
        for change in answer.changes {
            frames.push(change.try_into().map_err(|_| malformed())?);
        }
        let mut resync = resync;
        if resync != Resync::None && !(frames.is_empty() && answer.next.is_empty()) {
            // Before what has come meanwhile: after what the device has, that would be a hole.
            frames.insert(0, synced_frame(resync, &self.cursor)?);
            resync = Resync::None;
        }
        if !answer.next.is_empty() {
            self.phase = Phase::Sync { page: answer.next, resync };
            return Ok(frames);
        }
        self.order.synced(covered.position);
        self.cursor_due.settle(covered.position);
        self.cursor = answer.cursor;
        frames.push(synced_frame(resync, &self.cursor)?);
        self.phase = if self.mailbox.end_sync() {
            Phase::Settle { moved: self.order.take_moved() }
        } else {
            // So much arrived meanwhile that some of it did not fit. It is in the store by now.
            self.waiting.drain(..).for_each(|item| self.mailbox.release(&item));
            self.on_entry.on_loss();
            Phase::Sync { page: Vec::new(), resync: Resync::None }
        };
        Ok(frames)
    }

    /// Follows one room that was joined, or leaves one.
    async fn settle(&mut self, mut moved: Vec<RoomId>) -> Result<Frames, CloseCode> {
        let Some(room) = moved.pop() else { return Ok(Frames::new()) };
        if !self.order.is_in(&room) {
            self.groups.remove(&room);
            self.phase = Phase::Settle { moved };
        } else if room.kind() == RoomKind::Direct || self.groups.contains_key(&room) {
            self.phase = Phase::Settle { moved };
        } else {
            self.may_follow(self.groups.len() + 1)?;
            let member = self.join(&room);
            member.live().await;
            self.groups.insert(room.clone(), member);
            self.ask.flush().await.map_err(Refused::close)?;
            self.phase = Phase::CatchUp { room, moved };
        }
        Ok(Frames::new())
    }

    async fn live(&mut self) -> Result<Frames, CloseCode> {
        if self.waiting.is_empty() {
            let mut arrived = Vec::new();
            tokio::select! {
                biased; // a loss comes before what arrived after it
                Ok(()) = self.lost.changed() => return Ok(self.sync_again()),
                () = self.mailbox.take(&mut arrived, TURN_ITEMS_MAX) => {}
            }
            self.waiting.extend(arrived);
        }
        let mut frames = Frames::with_capacity(self.waiting.len());
        while let Some(item) = self.waiting.pop_front() {
            if !self.is_in_scope(&item) {
                self.mailbox.release(&item);
                continue;
            }
            if let Some((missing, through)) = self.look_at(&item, &mut frames)? {
                // It is looked at again when that has been read.
                self.waiting.push_front(item);
                if frames.is_empty() {
                    // Boxed: it is rare, and would be a part of every idle session.
                    frames = Box::pin(self.repair(missing, through)).await?;
                }
                break;
            }
            self.mailbox.release(&item);
            // An entry by which the user joined or left: what follows depends on it.
            let moved = self.order.take_moved();
            if !moved.is_empty() {
                self.phase = Phase::Settle { moved };
                break;
            }
        }
        Ok(frames)
    }

    /// Puts out what an item brings; or says what is missing before it, and up to where a room is
    /// not for this user if the store shows nothing of it.
    fn look_at(
        &mut self,
        item: &Item,
        frames: &mut Frames,
    ) -> Result<Option<(Missing, u64)>, CloseCode> {
        match item {
            Item::Event(event) => match self.order.offer(&event.head) {
                Verdict::Drop => {}
                Verdict::Put => {
                    self.note(&event.head);
                    metrics::DELIVERY_DURATION.record_time(event.arrived_at.elapsed());
                    frames.push(event.frame.clone());
                }
                Verdict::Repair(_) if sabotage::is_out(Rule::RepairFirst) => {
                    frames.push(event.frame.clone());
                }
                Verdict::Repair(missing) => return Ok(Some((missing, event.head.seq))),
            },
            Item::Notice(notice) => {
                return Ok(self.order.notice(notice).map(|missing| (missing, notice.seq)));
            }
            // For this edge alone.
            Item::Change(change) if change.frame.is_empty() => {
                change.head.in_sight().iter().for_each(|other| self.on_entry.on_sight(other));
            }
            Item::Change(change) => {
                frames.extend(self.on_change(change).then(|| change.frame.clone()));
            }
            Item::Typing(typist) => {
                let is_heard = typist.user != self.user && self.is_in(&typist.room);
                frames.extend(is_heard.then(|| typist.frame.clone()));
            }
            Item::Marker(cursor) => frames.extend(self.on_marker(**cursor)?),
        }
        Ok(None)
    }

    /// True where it goes out.
    fn on_change(&mut self, change: &Change) -> bool {
        let position = change.head.position;
        let is_for = change.group.as_ref().is_none_or(|group| self.order.is_in(group));
        // What is at or before it came with a sync.
        if !is_for || position.is_some_and(|position| position <= self.order.read()) {
            return false;
        }
        if let Some(receipts) = change.head.receipts {
            self.receipts_off = !receipts;
        }
        let is_hidden = self.receipts_off && change.head.is_marks();
        if is_hidden && !sabotage::is_out(Rule::ReceiptsHidden) {
            return false;
        }
        position.into_iter().for_each(|position| self.cursor_due.put(position));
        true
    }

    /// The user is in the room, as far as is known here.
    fn is_in(&self, room: &RoomId) -> bool {
        room.kind() == RoomKind::Direct || self.order.is_in(room)
    }

    /// An entry goes out.
    fn note(&mut self, head: &EventHead) {
        self.cursor_due.put(head.position);
        self.on_entry.on_entry(head);
    }

    /// Everything at or before the cursor is out. The frame that says so, where one is due.
    fn on_marker(&mut self, cursor: Cursor) -> Result<Option<Utf8Bytes>, CloseCode> {
        // After a loss that no audit can tell of, a marker speaks of what came since alone.
        let is_lost = self.lost.has_changed().unwrap_or(true);
        let own: Cursor = self.cursor.parse().map_err(|_| malformed())?;
        if is_lost || cursor.store != own.store || cursor.position <= own.position {
            return Ok(None);
        }
        self.order.synced(cursor.position);
        self.cursor = cursor.to_string();
        if !self.cursor_due.tell(cursor.position) {
            return Ok(None);
        }
        let frame = Reply::Cursor { cursor: self.cursor.clone() }.to_frame();
        frame.try_into().map(Some).map_err(|_| malformed())
    }

    fn sync_again(&mut self) -> Frames {
        metrics::SYNCS_AGAIN.increment();
        self.on_entry.on_loss();
        self.mailbox.begin_sync();
        self.phase = Phase::Sync { page: Vec::new(), resync: Resync::None };
        Frames::new()
    }
}

/// The end of a sync that brought everything, or why not.
fn synced_frame(resync: Resync, cursor: &str) -> Result<Utf8Bytes, CloseCode> {
    let synced = Reply::Synced {
        recovered: resync == Resync::None,
        resync: resync.as_str(),
        cursor: cursor.to_owned(),
    };
    synced.to_frame().try_into().map_err(|_| malformed())
}

/// Core's answer breaks the contract: a defect, or a newer core.
fn malformed() -> CloseCode {
    tracing::error!("core answered with an entry that can't be read");
    CloseCode::Unavailable
}
