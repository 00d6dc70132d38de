//! The task that listens to ticks, asks, and tells the sessions.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use weft_nats::{Bus, Message, Subject};
use weft_proto::svc::{self, AuditPage, ChangedRoom};
use weft_proto::{ApiError, Cursor, ErrorCode, Partition, Position, RoomId, Tick, UserId};

use super::book::{Ask, Book, Found};
use super::partition::Pace;
use crate::feeds::{Audited, AuditedChange, Change, Feeds};
use crate::metrics;
use crate::ports::{Messages, Wire};
use crate::sabotage::{self, Rule};
use crate::ticks::Ticks;

/// What was published before an answer was made has arrived after so long, or is lost.
const WIRE_PATIENCE: Duration = Duration::from_millis(500);
/// An answer that took longer counts as lost: what is asked in a silence must not hold up what is
/// asked after its end.
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);
/// Between two rounds of markers.
const MARK_PAUSE: Duration = Duration::from_secs(1);
/// Sessions to which a marker says nothing get one so often all the same: what they have to read
/// when something new comes reaches back to it.
const MARK_ALL_PAUSE: Duration = Duration::from_secs(300);
/// Where nothing is audited, sessions sync again after losses, at most so often.
const LOSS_PAUSE: Duration = Duration::from_secs(5);
/// Between two attempts to subscribe.
const SUBSCRIBE_PAUSE: Duration = Duration::from_millis(200);

type Answer = (Ask, Result<AuditPage, ApiError>);

/// Audits the partitions for one edge.
pub(crate) struct Auditor<W: Wire = Bus> {
    wire: W,
    feeds: Feeds<W>,
    ticks: Arc<Ticks>,
    /// `None`: nothing is audited.
    book: Option<Book>,
    asked: FuturesUnordered<BoxFuture<'static, Answer>>,
    is_ready: watch::Sender<bool>,
    lost: watch::Sender<u64>,
    /// When sessions that are not audited are told to sync again.
    tell_at: Option<Instant>,
    told_at: Option<Instant>,
    marked: watch::Sender<Option<Arc<Cursor>>>,
    mark_at: Instant,
    mark_all_at: Instant,
    turn_over_at: Instant,
    /// Feeds remember what they handed on for longer than an audit takes to ask for it.
    generation: Duration,
}

/// What sessions see of it.
#[derive(Clone)]
pub(crate) struct Audits {
    /// What a sync begun from now on does not cover will be audited.
    pub(crate) is_ready: watch::Receiver<bool>,
    /// Grows when sessions have to sync again, since no audit can tell what was lost.
    pub(crate) lost: watch::Receiver<u64>,
    /// Of the newest markers.
    pub(crate) marked: watch::Receiver<Option<Arc<Cursor>>>,
}

impl<W: Wire> Auditor<W> {
    /// `every`: how often to ask without a reason; `None`: never, and sessions sync again after
    /// each loss.
    pub(crate) fn new(
        wire: W,
        feeds: Feeds<W>,
        ticks: Arc<Ticks>,
        partitions: Partition,
        every: Option<Duration>,
    ) -> (Self, Audits) {
        let now = Instant::now();
        let book = every.map(|every| Book::new(partitions, Pace::every(every), now));
        let (is_ready, is_ready_receiver) = watch::channel(book.is_none());
        let (lost, lost_receiver) = watch::channel(0);
        let (marked, marked_receiver) = watch::channel(None);
        let generation = every.map_or(MARK_ALL_PAUSE, |every| every * 2);
        let auditor = Self {
            wire,
            feeds,
            ticks,
            book,
            asked: FuturesUnordered::new(),
            is_ready,
            lost,
            tell_at: None,
            told_at: None,
            marked,
            mark_at: now,
            mark_all_at: now + MARK_ALL_PAUSE,
            turn_over_at: now + generation,
            generation,
        };
        let audits =
            Audits { is_ready: is_ready_receiver, lost: lost_receiver, marked: marked_receiver };
        (auditor, audits)
    }

    /// Runs until the connection is closed for good.
    pub(crate) async fn run(mut self) {
        let Some(mut ticks) = subscribe(&self.wire).await else { return };
        let (mut connection, mut losses) = (self.wire.connection(), self.wire.losses());
        let mut generation = connection.borrow_and_update().generation;
        loop {
            let due_at = self.due_at();
            tokio::select! {
                biased; // signals of losses before what is concluded without them
                Ok(()) = connection.changed() => {
                    let now = connection.borrow_and_update().generation;
                    if std::mem::replace(&mut generation, now) != now {
                        tracing::warn!("the connection to NATS was made anew");
                        self.ticks.listen_anew();
                        self.on_loss();
                        self.on_subscribed(None);
                    }
                }
                Ok(()) = losses.changed() => {
                    tracing::warn!("a subscription overflowed");
                    self.on_loss();
                }
                partitions = self.feeds.subscribed() => {
                    partitions.into_iter().for_each(|partition| self.on_subscribed(partition));
                }
                tick = ticks.next() => {
                    let Some(tick) = tick else { return };
                    self.on_tick(&tick);
                }
                Some((ask, page)) = self.asked.next() => self.on_answer(ask, page),
                () = sleep_until(due_at) => {}
            }
            self.act();
        }
    }

    /// When [`act`](Self::act) has something to do.
    fn due_at(&self) -> Instant {
        let ask_at = self.book.as_ref().and_then(Book::due_at);
        let mark_at = self.unmarked().map(|_| self.mark_at);
        let others = [ask_at, mark_at, self.tell_at];
        others.into_iter().flatten().fold(self.turn_over_at, Instant::min)
    }

    fn act(&mut self) {
        assert!(!sabotage::is_out(Rule::AuditingHolds), "on purpose");
        let now = Instant::now();
        if let Some(book) = &mut self.book {
            for ask in book.due(now) {
                self.asked.push(Box::pin(ask_core(self.wire.clone(), ask)));
            }
        }
        if self.mark_at <= now {
            self.mark(now);
        }
        if self.tell_at.is_some_and(|at| at <= now) {
            (self.tell_at, self.told_at) = (None, Some(now));
            self.sync_again();
        }
        if self.turn_over_at <= now {
            self.feeds.turn_over();
            self.turn_over_at = now + self.generation;
        }
    }

    /// Tells the sessions how far all is in their mailboxes.
    fn mark(&mut self, now: Instant) {
        if let Some(cursor) = self.unmarked() {
            let is_for_all = self.mark_all_at <= now;
            if is_for_all {
                self.mark_all_at = now + MARK_ALL_PAUSE;
            }
            assert_never_back(self.marked.borrow().as_deref(), &cursor);
            let cursor = Arc::new(cursor);
            // First: a session that gets none of these looks here.
            self.marked.send_replace(Some(Arc::clone(&cursor)));
            self.feeds.mark(&cursor, is_for_all);
            self.mark_at = now + MARK_PAUSE;
        }
    }

    /// The cursor that no marker has told yet.
    fn unmarked(&self) -> Option<Cursor> {
        let cursor = self.book.as_ref()?.cursor()?;
        let is_marked = self.marked.borrow().as_deref() == Some(&cursor);
        (!is_marked).then_some(cursor)
    }

    fn on_loss(&mut self) {
        let now = Instant::now();
        match &mut self.book {
            Some(book) => book.on_loss(now),
            None => {
                let earliest = self.told_at.map_or(now, |at| now.max(at + LOSS_PAUSE));
                self.tell_at.get_or_insert(earliest);
            }
        }
    }

    fn on_subscribed(&mut self, partition: Option<Partition>) {
        if let Some(book) = &mut self.book {
            book.on_subscribed(partition, Instant::now());
        }
    }

    fn on_tick(&mut self, message: &Message) {
        let Some(Subject::Tick { partition }) = message.parse_subject() else { return };
        let Some(tick) = Tick::decode(message.payload()) else {
            tracing::error!(partition, "a tick can't be read");
            return;
        };
        self.ticks.note(partition, &tick);
        if let Some(book) = &mut self.book {
            book.on_tick(partition, &tick, Instant::now());
        }
    }

    fn on_answer(&mut self, ask: Ask, page: Result<AuditPage, ApiError>) {
        let Some(book) = &mut self.book else { return };
        let now = Instant::now();
        let page = match page {
            Ok(page) => page,
            Err(error) => {
                metrics::AUDITS.increment("failed");
                tracing::debug!(partition = ask.partition, %error, "no audit");
                return book.failed(ask, now);
            }
        };
        let rooms = page.rooms.iter().map(read).collect::<Option<Vec<_>>>();
        let changes = page.changes.iter().map(read_change).collect::<Option<Vec<_>>>();
        let (Some(rooms), Some(changes)) = (rooms, changes) else {
            tracing::error!(partition = ask.partition, "an audit can't be read");
            return book.failed(ask, now);
        };
        let found = book.on_page(ask, &page, now);
        metrics::AUDITS.increment(match found {
            Found::Nothing => "nothing",
            Found::Rooms => "rooms",
            Found::Anew => "anew",
            Found::Ready => "ready",
        });
        match found {
            Found::Nothing => {}
            Found::Rooms => {
                if sabotage::is_out(Rule::NoticesBeforeCursor) {
                    self.mark(now);
                }
                rooms.iter().for_each(|room| self.feeds.notice(ask.partition, room));
                changes.iter().for_each(|change| self.feeds.change(ask.partition, change));
            }
            Found::Anew => {
                tracing::warn!(partition = ask.partition, "what was lost can't be told");
                self.is_ready.send_replace(false);
                self.marked.send_replace(None);
                self.feeds.forget();
            }
            Found::Ready => {
                // Who synced before the baselines may miss something since; who waits for them does
                // not, and finds this counted.
                self.sync_again();
                self.is_ready.send_replace(true);
            }
        }
    }

    fn sync_again(&self) {
        self.lost.send_modify(|count| *count += 1);
    }
}

/// What was told to be in the mailboxes stays there: a marker at an earlier position would say nothing
/// true of what came since.
fn assert_never_back(before: Option<&Cursor>, next: &Cursor) {
    let Some(before) = before.filter(|before| before.store == next.store) else { return };
    assert!(next.position >= before.position, "{next} is marked after {before}");
}

async fn subscribe<W: Wire>(wire: &W) -> Option<W::Messages> {
    loop {
        match wire.subscribe_ticks().await {
            Ok(ticks) => return Some(ticks),
            Err(error) if error.is_retryable() => sleep(SUBSCRIBE_PAUSE).await,
            Err(_) => return None,
        }
    }
}

/// The answer, when what it speaks of has arrived.
async fn ask_core(wire: impl Wire, ask: Ask) -> Answer {
    let Ask { partition, since, .. } = ask;
    let request = svc::Audit { partition: partition.into(), since };
    let page = match timeout(ANSWER_PATIENCE, wire.call(&request)).await {
        Ok(page) => page,
        Err(_) => Err(ApiError::new(ErrorCode::Unknown, "no answer in time")),
    };
    // A baseline speaks of nothing.
    if since.is_some() && page.is_ok() {
        sleep(WIRE_PATIENCE).await;
    }
    (ask, page)
}

fn read(room: &ChangedRoom) -> Option<Audited> {
    let concerned = room.concerned.iter();
    let concerned = concerned.map(|one| Some((UserId::new(&one.user).ok()?, one.seq)));
    Some(Audited {
        room: RoomId::new(&room.room).ok()?,
        seq: room.seq,
        position: Position::from_slice(&room.position)?,
        concerned: concerned.collect::<Option<_>>()?,
    })
}

fn read_change(change: &svc::Change) -> Option<AuditedChange> {
    let users = change.users.iter().map(|user| UserId::new(user).ok());
    let group = match change.group.as_str() {
        "" => None,
        group => Some(RoomId::new(group).ok()?),
    };
    let read = Change::read(&change.head, group, change.frame.clone())?;
    Some(AuditedChange { users: users.collect::<Option<_>>()?, change: Arc::new(read) })
}

#[cfg(test)]
mod tests {
    use weft_proto::StoreId;

    use super::*;

    fn cursor(store: u64, version: u64) -> Cursor {
        Cursor { store: StoreId(store), position: Position::new(version, 0) }
    }

    #[test]
    fn another_store_has_other_positions() {
        assert_never_back(None, &cursor(1, 5));
        assert_never_back(Some(&cursor(1, 5)), &cursor(1, 5));
        assert_never_back(Some(&cursor(1, 5)), &cursor(2, 4));
    }

    #[test]
    #[should_panic(expected = "is marked after")]
    fn a_marker_never_goes_back() {
        assert_never_back(Some(&cursor(1, 5)), &cursor(1, 4));
    }
}
