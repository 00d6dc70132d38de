//! After the commit: answers to senders, events to everybody. One task per partition, in commit
//! order. It never gives up an event: what the stream did not take is sent again, so consumers see
//! events at least once and know them by room and seq.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use weft_nats::{EventMessage, ReplyTo, Subject};
use weft_proto::{Entry, EventHead, Partition, Position, RoomKind, UserId};

use super::ports::{EventBus, Stored};
use crate::error::Error;
use crate::metrics;

/// Commits whose events may be underway: with 500 entries each about a second's worth.
const UNDERWAY_MAX: usize = 32;
/// Before an event is sent again that the stream did not take.
const RETRY_DELAY: Duration = Duration::from_millis(250);

/// What follows one commit.
#[derive(Default, Debug)]
pub struct Act {
    /// The commit applied the log up to here.
    pub stream_seq: u64,
    /// Answers, in order.
    pub answers: Vec<(ReplyTo, Bytes)>,
    /// Events, in order.
    pub events: Vec<EventMessage>,
}

/// The event of an entry.
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
    let head = EventHead {
        room: entry.room.clone(),
        seq: entry.seq,
        kind: entry.body.kind(),
        position,
        position_before,
        user: entry.user().cloned(),
    };
    EventMessage { subject, head: head.to_string(), frame: entry.to_frame().into(), also }
}

/// A handle to a partition's publisher.
pub struct Publisher {
    acts: mpsc::Sender<Act>,
    published: watch::Receiver<u64>,
    task: tokio::task::JoinHandle<()>,
}

impl Publisher {
    /// Starts the task. It ends when the handle is dropped or told to [`stop`](Self::stop).
    #[must_use]
    pub fn start(bus: Arc<dyn EventBus>, published: u64) -> Self {
        let (acts, queue) = mpsc::channel(UNDERWAY_MAX);
        let (mark, published) = watch::channel(published);
        let task = tokio::spawn(run(bus, queue, mark));
        Self { acts, published, task }
    }

    /// Queues what follows a commit; waits while too much is underway.
    ///
    /// # Errors
    /// [`Error::Stopped`]: it was not queued. Nothing may be queued behind it, else it would count
    /// as published; the next owner publishes it.
    pub async fn act(&self, act: Act, stop: &CancellationToken) -> Result<(), Error> {
        tokio::select! {
            biased;
            queued = self.acts.send(act) => queued.map_err(|_| Error::Stopped),
            () = stop.cancelled() => Err(Error::Stopped),
        }
    }

    /// Answers before their commit: see [`sabotage`](super::sabotage).
    pub(super) fn answer_now(&self, answers: Vec<(ReplyTo, Bytes)>) {
        let _ = self.acts.try_send(Act { stream_seq: self.published(), answers, events: vec![] });
    }

    /// The events of all commits up to this stream sequence are stored.
    #[must_use]
    pub fn published(&self) -> u64 {
        *self.published.borrow()
    }

    /// Waits until everything up to this stream sequence is published.
    pub async fn published_up_to(&mut self, stream_seq: u64) {
        // An error means that the task is gone; then nothing more will come.
        let _ = self.published.wait_for(|published| *published >= stream_seq).await;
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

/// The events of one commit, on their way.
struct Underway {
    stream_seq: u64,
    since: Instant,
    events: Vec<EventMessage>,
    stored: Stored,
}

async fn run(bus: Arc<dyn EventBus>, mut queue: mpsc::Receiver<Act>, mark: watch::Sender<u64>) {
    let mut underway: VecDeque<Underway> = VecDeque::new();
    loop {
        tokio::select! {
            biased;
            result = first_stored(&mut underway) => {
                let Some(first) = underway.pop_front() else { continue };
                match result {
                    Ok(()) => {
                        metrics::PUBLISH_DURATION.record_time(first.since.elapsed());
                        mark.send_replace(first.stream_seq);
                    }
                    Err(error) => {
                        warn!(%error, events = first.events.len(), "events not stored, sending again");
                        metrics::PUBLISHES_AGAIN.increment();
                        let Underway { stream_seq, since, events, .. } = first;
                        underway.push_front(send(&*bus, stream_seq, since, events).await);
                    }
                }
            }
            act = queue.recv(), if underway.len() < UNDERWAY_MAX => {
                let Some(act) = act else { return };
                answer(&*bus, act.answers).await;
                let since = Instant::now();
                underway.push_back(send(&*bus, act.stream_seq, since, act.events).await);
            }
        }
    }
}

async fn first_stored(underway: &mut VecDeque<Underway>) -> Result<(), Error> {
    match underway.front_mut() {
        Some(first) => (&mut first.stored).await,
        None => std::future::pending().await,
    }
}

/// Answers are sent once: who misses one sends the command again and hears the same.
async fn answer(bus: &dyn EventBus, answers: Vec<(ReplyTo, Bytes)>) {
    for (reply, frame) in answers {
        if let Err(error) = bus.answer(&reply, frame).await {
            debug!(%error, "an answer was not sent");
        }
    }
}

/// Hands events to the bus, for as long as that takes.
async fn send(
    bus: &dyn EventBus,
    stream_seq: u64,
    since: Instant,
    events: Vec<EventMessage>,
) -> Underway {
    loop {
        match bus.send(events.clone()).await {
            Ok(stored) => return Underway { stream_seq, since, events, stored },
            Err(error) => {
                debug!(%error, "events not sent, trying again");
                tokio::time::sleep(RETRY_DELAY).await;
            }
        }
    }
}
