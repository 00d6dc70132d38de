//! After the commit: answers to senders, events to everybody, and what marks have moved to those who hear of
//! it. One task per partition, in commit order. It never gives up an event: what the stream did not take is sent again, so consumers see
//! events at least once and know them by room and seq.
//!
//! Answers never wait for events. Where the event stream takes nothing, some commits' events are
//! kept in memory; the others are left to the journal, which has them anyway, and are read from
//! there when there is room again. In the same way a new owner publishes what the one before it
//! may have left.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use weft_nats::{Answer, EventMessage, ReplyTo, Subject};
use weft_proto::svc::Change;
use weft_proto::{Entry, EventHead, Partition, Position, RoomKind, UserId};
use weft_runtime::when_some;
use weft_storage::Store;

use super::group_marks::{GroupMark, GroupMarks};
use super::ports::{EventBus, Stored};
use super::take::{UnpublishedPage, unpublished};
use crate::error::Error;
use crate::metrics;

/// Commits whose events may be underway: with 500 entries each about a second's worth.
const UNDERWAY_MAX: usize = 32;
/// Commits whose events wait in memory for a place underway.
const HELD_MAX: usize = 32;
/// While events get through, commits wait for them when no more can be held, so that live readers
/// stay close. Events that the stream has not taken for this long hold up nobody.
const STUCK_AFTER: Duration = Duration::from_secs(1);
/// Before an event is sent again that the stream did not take, or the journal is read again.
const RETRY_DELAY: Duration = Duration::from_millis(250);

/// What follows one commit.
#[derive(Default, Debug)]
pub struct Act {
    /// The number of the partition's newest commit: this one where it has events or moves marks.
    pub commit_no: u64,
    pub answers: Vec<(ReplyTo, Answer)>,
    pub events: Vec<EventMessage>,
    /// What users hear of marks of rooms and threads...
    pub changes: Vec<Change>,
    /// ...and groups.
    pub group_marks: Vec<GroupMark>,
}

#[must_use]
pub fn event(
    partition: Partition,
    entry: &Entry,
    position: Position,
    position_before: Option<Position>,
    also: Vec<UserId>,
) -> EventMessage {
    let subject = match entry.room.kind() {
        RoomKind::Direct => Subject::EventDirect { partition },
        RoomKind::Group => Subject::EventGroup { partition, room: entry.room.clone() },
    };
    let head = EventHead::of(entry, position, position_before);
    EventMessage { subject, head: head.to_string(), frame: entry.to_frame().into(), also }
}

/// A handle to a partition's publisher.
pub struct Publisher {
    acts: mpsc::Sender<Act>,
    published: watch::Receiver<u64>,
    task: tokio::task::JoinHandle<()>,
}

impl Publisher {
    /// Starts the task. It ends when the handle is dropped. What was committed after `published`, up
    /// to `known`, is published first, from the journal.
    #[must_use]
    pub fn start(
        bus: Arc<dyn EventBus>,
        journal: JournalReader,
        (published, known): (u64, u64),
    ) -> Self {
        let (acts, queue) = mpsc::channel(UNDERWAY_MAX);
        let (mark, published_rx) = watch::channel(published);
        let task = Task {
            bus,
            journal,
            mark,
            underway: VecDeque::new(),
            held: VecDeque::new(),
            sent: published,
            known,
            reading: None,
            meanwhile: None,
            group_marks: GroupMarks::default(),
            waits_since: Instant::now(),
            retry_at: Instant::now(),
        };
        let task = tokio::spawn(task.run(queue));
        Self { acts, published: published_rx, task }
    }

    /// Queues what follows a commit; waits while answers don't get out, or events are slow.
    ///
    /// # Errors
    /// [`Error::Stopped`]: it was not queued. Nothing may be queued after it, else it would count
    /// as published; the next owner publishes it.
    pub async fn act(&self, act: Act, stop: &CancellationToken) -> Result<(), Error> {
        tokio::select! {
            biased;
            queued = self.acts.send(act) => queued.map_err(|_| Error::Stopped),
            () = stop.cancelled() => Err(Error::Stopped),
        }
    }

    /// Answers before their commit: see [`sabotage`](super::sabotage).
    pub(super) fn answer_now(&self, answers: Vec<(ReplyTo, Answer)>) {
        let commit_no = self.published();
        let _ = self.acts.try_send(Act { commit_no, answers, ..Act::default() });
    }

    /// The events of all commits up to this commit number are stored.
    #[must_use]
    pub fn published(&self) -> u64 {
        *self.published.borrow()
    }

    /// Waits until everything up to this commit number is published.
    pub async fn published_up_to(&mut self, commit_no: u64) {
        // An error means that the task has ended; then nothing more will come.
        let _ = self.published.wait_for(|published| *published >= commit_no).await;
    }

    /// Waits until the task has ended by itself: it panicked.
    pub async fn ended(&mut self) {
        while self.published.changed().await.is_ok() {}
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads the events of a partition's commits again.
pub struct JournalReader {
    pub store: Store,
    pub partition: Partition,
}

/// The events of one commit, on their way.
struct Underway {
    commit_no: u64,
    since: Instant,
    events: Vec<EventMessage>,
    stored: Stored,
}

struct Task {
    bus: Arc<dyn EventBus>,
    journal: JournalReader,
    mark: watch::Sender<u64>,
    /// In commit order, as all that follows.
    underway: VecDeque<Underway>,
    held: VecDeque<Act>,
    /// The events of all commits up to this commit number were sent.
    sent: u64,
    /// The last commit that was heard of. Those between here and what is held are in the journal.
    known: u64,
    /// A page of the journal, and up to where it is asked for.
    reading: Option<(u64, BoxFuture<'static, UnpublishedPage>)>,
    /// What was heard of since the page was asked for, without a hole; `None`: too much.
    meanwhile: Option<VecDeque<Act>>,
    group_marks: GroupMarks,
    /// Since when the stream has taken nothing of what there is.
    waits_since: Instant,
    /// The bus did not take events; nothing after them may go out before them.
    retry_at: Instant,
}

impl Task {
    async fn run(mut self, mut queue: mpsc::Receiver<Act>) {
        if self.sent < self.known {
            let (partition, after) = (self.journal.partition, self.sent);
            info!(partition, after, "publishing what the owner before may have left");
        }
        loop {
            self.send_held().await;
            self.read_on();
            let (stuck_at, retry_at) = (self.waits_since + STUCK_AFTER, self.retry_at);
            let takes = self.held.len() < HELD_MAX || stuck_at <= Instant::now();
            let retries = !self.held.is_empty() && self.underway.len() < UNDERWAY_MAX;
            let groups_at = self.group_marks.due_at();
            tokio::select! {
                biased;
                result = when_some(self.underway.front_mut().map(|first| &mut first.stored)) => {
                    self.settle(result).await;
                }
                act = queue.recv(), if takes => match act {
                    Some(act) => self.on_commit(act).await,
                    None => return,
                },
                page = page(&mut self.reading) => self.take_in(page),
                () = sleep_until(groups_at.unwrap_or(retry_at)), if groups_at.is_some() => {
                    let changes = self.group_marks.take_due(Instant::now());
                    tell(&*self.bus, self.journal.partition, changes).await;
                }
                () = sleep_until(retry_at), if retries => {}
                () = sleep_until(stuck_at), if !takes => {}
            }
        }
    }

    /// The events of all commits up to here are sent or held.
    fn reached(&self) -> u64 {
        self.held.back().map_or(self.sent, |act| act.commit_no)
    }

    async fn send_held(&mut self) {
        while self.underway.len() < UNDERWAY_MAX
            && self.retry_at <= Instant::now()
            && let Some(act) = self.held.front()
        {
            match self.bus.send(act.events.clone()).await {
                Ok(stored) => {
                    let Some(act) = self.held.pop_front() else { return };
                    self.sent = act.commit_no;
                    let (commit_no, events) = (act.commit_no, act.events);
                    let since = Instant::now();
                    self.underway.push_back(Underway { commit_no, since, events, stored });
                }
                Err(error) => {
                    debug!(%error, "events not sent, trying again");
                    self.retry_at = Instant::now() + RETRY_DELAY;
                }
            }
        }
    }

    /// Asks for a page of the journal where what comes next is nowhere else.
    fn read_on(&mut self) {
        let has_room = self.held.is_empty() && self.underway.len() < UNDERWAY_MAX;
        if self.reading.is_some() || !has_room || self.sent >= self.known {
            return;
        }
        let (after, through) = (self.sent, self.known);
        let (store, partition) = (self.journal.store.clone(), self.journal.partition);
        let reading = Box::pin(async move { read_page(&store, partition, after, through).await });
        self.reading = Some((through, reading));
        self.meanwhile = Some(VecDeque::new());
    }

    fn take_in(&mut self, (through, page): (u64, UnpublishedPage)) {
        self.reading = None;
        self.held.extend(page.acts);
        let meanwhile = self.meanwhile.take().unwrap_or_default();
        if !page.is_last {
            return;
        }
        // Before commits were numbered, refusals alone moved the place too, without a row.
        if self.reached() < through {
            self.held.push_back(Act { commit_no: through, ..Act::default() });
        }
        self.held.extend(meanwhile);
    }

    /// Takes what follows a commit. Its events are left to the journal where those before are.
    async fn on_commit(&mut self, mut act: Act) {
        answer(&*self.bus, std::mem::take(&mut act.answers)).await;
        let mut changes = std::mem::take(&mut act.changes);
        let marks = std::mem::take(&mut act.group_marks);
        changes.extend(self.group_marks.take(Instant::now(), marks));
        tell(&*self.bus, self.journal.partition, changes).await;
        if act.commit_no <= self.known {
            return;
        }
        if self.underway.is_empty() && self.held.is_empty() {
            self.waits_since = Instant::now();
        }
        let is_next = self.reached() == self.known;
        self.known = act.commit_no;
        if self.reading.is_some() {
            match &mut self.meanwhile {
                Some(acts) if acts.len() < HELD_MAX => acts.push_back(act),
                _ => self.meanwhile = None,
            }
        } else if is_next && self.held.len() < HELD_MAX {
            self.held.push_back(act);
        }
    }

    async fn settle(&mut self, result: Result<(), Error>) {
        let Some(mut first) = self.underway.pop_front() else { return };
        match result {
            Ok(()) => {
                metrics::PUBLISH_DURATION.record_time(first.since.elapsed());
                self.waits_since = Instant::now();
                self.mark.send_replace(first.commit_no);
            }
            Err(error) => {
                warn!(%error, events = first.events.len(), "events not stored, sending again");
                metrics::PUBLISHES_AGAIN.increment();
                first.stored = send_again(&*self.bus, first.events.clone()).await;
                self.underway.push_front(first);
            }
        }
    }
}

async fn page(
    reading: &mut Option<(u64, BoxFuture<'static, UnpublishedPage>)>,
) -> (u64, UnpublishedPage) {
    match reading {
        Some((through, page)) => (*through, page.await),
        None => std::future::pending().await,
    }
}

/// Reads for as long as that takes.
async fn read_page(
    store: &Store,
    partition: Partition,
    after: u64,
    through: u64,
) -> UnpublishedPage {
    loop {
        let page = match store.snapshot().await {
            Ok(snapshot) => unpublished(&*snapshot, partition, after, through).await,
            Err(error) => Err(error.into()),
        };
        match page {
            Ok(page) => return page,
            Err(error) => {
                warn!(partition, %error, "the journal can't be read, trying again");
                sleep(RETRY_DELAY).await;
            }
        }
    }
}

/// Answers are sent once: who misses one sends the command again and hears the same.
async fn answer(bus: &dyn EventBus, answers: Vec<(ReplyTo, Answer)>) {
    for (reply, answer) in answers {
        if let Err(error) = bus.answer(&reply, answer).await {
            debug!(%error, "an answer was not sent");
        }
    }
}

/// Changes are told once: who misses one hears of it by an audit.
async fn tell(bus: &dyn EventBus, partition: Partition, changes: Vec<Change>) {
    for change in changes {
        metrics::CHANGES.increment();
        if let Err(error) = bus.change(partition, &change).await {
            debug!(%error, "a change was not sent");
        }
    }
}

/// Hands events to the bus once more; where it does not take them, that is known a little later.
async fn send_again(bus: &dyn EventBus, events: Vec<EventMessage>) -> Stored {
    bus.send(events).await.unwrap_or_else(|error| {
        Box::pin(async move {
            sleep(RETRY_DELAY).await;
            Err(error)
        })
    })
}
