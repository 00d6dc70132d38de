//! Takes what other systems send into the ingest log: no more than the partition applies, and one
//! sender's after another's. So a flood waits in its own small stream, and people's commands after
//! a megabyte of it at the most.
//!
//! A message is removed from its stream when its command is applied. Whoever relays it once more,
//! because its predecessor ended before that, makes a resend: the client id is the sender's, or one
//! that is made from the message's place.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, error, warn};
use weft_nats::{OutsideMessage, Relayed};
use weft_proto::{ErrorCode, Partition};
use weft_runtime::metrics::GaugeHandle;

use super::ports::Outside;
use super::unheard::Unheard;
use super::watch::Reading;
use crate::error::Error;
use crate::metrics;

/// Messages that are read ahead, so that a sender does not wait for another one's flood.
const WINDOW_BYTES: usize = 4 << 20;
const WINDOW_MESSAGES: usize = 4_096;
/// What the ingest log may hold of other systems, not applied yet.
const UNAPPLIED_BYTES: usize = 1 << 20;
const UNAPPLIED_MESSAGES: usize = 256;
/// Between two trims: each costs the server a little, and nobody waits for it.
const TRIM_PAUSE: Duration = Duration::from_millis(250);
/// Between two looks while there may be more, and something is still to be trimmed.
const BUSY_PAUSE: Duration = Duration::from_millis(20);
/// An owner that was replaced and was stopped may relay once more what it had read before: for so
/// long at the most, its connection does not outlive that.
const REPLACED_FOR_MS: u64 = 3_600_000;
/// Before another look after trouble.
const RETRY_DELAY: Duration = Duration::from_millis(500);
/// Without news from the owner's loop.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// Starts to relay, in a task of its own: large messages must not hold up the owner's loop. It ends
/// when the handle is dropped.
pub(super) fn start(
    outside: Option<Box<dyn Outside>>,
    partition: Partition,
    reading: &Arc<Reading>,
) -> Option<AbortOnDropHandle<Infallible>> {
    let outside = outside?;
    let task = tokio::spawn(run(outside, partition, Arc::clone(reading)));
    Some(AbortOnDropHandle::new(task))
}

/// Waits for ever, or panics as the task did.
pub(super) async fn ended(task: Option<AbortOnDropHandle<Infallible>>) -> Infallible {
    if let Some(task) = task {
        match task.await {
            Ok(never) => match never {},
            Err(ended) => {
                if let Ok(panic) = ended.try_into_panic() {
                    std::panic::resume_unwind(panic);
                }
            }
        }
    }
    std::future::pending().await
}

async fn run(outside: Box<dyn Outside>, partition: Partition, reading: Arc<Reading>) -> Infallible {
    let mut relay = Relay {
        outside,
        partition,
        reading,
        window: Window::new(1),
        trimmed_below: 1,
        trimmed_at: Instant::now(),
        unheard: Unheard::default(),
        backlog: metrics::RELAY_BACKLOG.of(partition),
    };
    let mut is_told = false;
    loop {
        match relay.turn().await {
            Ok(()) => is_told = false,
            Err(error) => {
                if !std::mem::replace(&mut is_told, true) {
                    warn!(partition, %error, "what other systems send waits");
                }
                if matches!(error, Error::Nats(weft_nats::Error::NoStream(_)))
                    && let Err(error) = relay.outside.make().await
                {
                    debug!(partition, %error, "their stream can't be made");
                }
                sleep(RETRY_DELAY).await;
            }
        }
    }
}

struct Relay {
    outside: Box<dyn Outside>,
    partition: Partition,
    reading: Arc<Reading>,
    window: Window,
    trimmed_below: u64,
    trimmed_at: Instant,
    unheard: Unheard,
    backlog: GaugeHandle,
}

impl Relay {
    async fn turn(&mut self) -> Result<(), Error> {
        self.window.applied(self.reading.applied());
        self.trim().await?;
        self.fill().await?;
        let since_ms = self.window.since_ms();
        let is_trimmed = self.window.done_below() <= self.trimmed_below;
        // What is not trimmed may be relayed once more, by somebody else.
        let known_ms = if is_trimmed { u64::MAX } else { self.reading.outside_since_ms() };
        self.reading.set_outside_since(since_ms.min(known_ms));
        self.backlog.set(self.window.open.len() as f64);
        let batch = self.window.take();
        if batch.is_empty() {
            return self.wait().await;
        }
        let relayed = self.outside.relay(&batch).await;
        self.settle(batch, relayed)
    }

    /// Reads ahead, as much as the window takes.
    async fn fill(&mut self) -> Result<(), Error> {
        let Some(bytes_max) = self.window.room() else { return Ok(()) };
        let messages = self.outside.read(self.window.next_seq, bytes_max).await?;
        for bad in messages.iter().filter(|message| message.problem.is_some()) {
            self.unheard.note(&bad.sender, ErrorCode::BadRequest);
        }
        if let Some(refused) = self.unheard.tell(Instant::now()) {
            warn!(
                partition = self.partition,
                refused, "malformed headers or subjects: not applied"
            );
        }
        messages.into_iter().for_each(|message| self.window.push(message));
        Ok(())
    }

    async fn trim(&mut self) -> Result<(), Error> {
        let below = self.window.done_below();
        if below > self.trimmed_below && self.trimmed_at.elapsed() >= TRIM_PAUSE {
            self.outside.trim_below(below).await?;
            (self.trimmed_below, self.trimmed_at) = (below, Instant::now());
        }
        Ok(())
    }

    /// Waits until something may have changed.
    async fn wait(&mut self) -> Result<(), Error> {
        if self.window.is_idle() && self.window.done_below() > self.trimmed_below {
            sleep(BUSY_PAUSE).await;
            return Ok(());
        }
        if self.window.is_idle() {
            self.outside.wait(self.window.next_seq).await?;
            let last_seq = self.outside.last_seq().await?;
            if last_seq + 1 < self.window.next_seq {
                warn!(
                    partition = self.partition,
                    last_seq, "their stream went back, or is another"
                );
                (self.window, self.trimmed_below) = (Window::new(1), 1);
            }
            return Ok(());
        }
        // The time-out: it may have been told while nobody waited.
        let _ = timeout(LOOK_PAUSE, self.reading.applied_more()).await;
        Ok(())
    }

    fn settle(&mut self, batch: Vec<OutsideMessage>, relayed: Vec<Relayed>) -> Result<(), Error> {
        let mut trouble = None;
        let mut again = Vec::new();
        for (message, relayed) in batch.into_iter().zip(relayed) {
            match relayed {
                Relayed::At(stream_seq) => {
                    metrics::RELAYED.increment();
                    self.window.relayed(&message, stream_seq);
                }
                Relayed::Later(error) => {
                    trouble.get_or_insert(error);
                    again.push(message);
                }
                Relayed::Never(refusal) => {
                    let (partition, sender) = (self.partition, &message.sender);
                    error!(partition, sender, seq = message.seq, %refusal, "not relayed");
                    self.window.done(message.seq);
                }
            }
        }
        again.into_iter().rev().for_each(|message| self.window.put_back(message));
        trouble.map_or(Ok(()), |error| Err(error.into()))
    }
}

/// What is read of the stream and not applied yet. Pure.
struct Window {
    /// The first sequence that was not read.
    next_seq: u64,
    /// By sender, whose turn it is first.
    queues: VecDeque<(String, VecDeque<OutsideMessage>)>,
    waiting: usize,
    waiting_bytes: usize,
    /// By place in the ingest log: place in the stream, and bytes.
    unapplied: BTreeMap<u64, (u64, usize)>,
    unapplied_bytes: usize,
    /// Read, and neither applied nor given up: when the stream took them.
    open: BTreeMap<u64, u64>,
    /// When the stream took the newest that was read.
    newest_ms: u64,
}

impl Window {
    fn new(next_seq: u64) -> Self {
        Self {
            next_seq,
            queues: VecDeque::new(),
            waiting: 0,
            waiting_bytes: 0,
            unapplied: BTreeMap::new(),
            unapplied_bytes: 0,
            open: BTreeMap::new(),
            newest_ms: 0,
        }
    }

    /// How many bytes may still be read ahead; `None`: none.
    fn room(&self) -> Option<usize> {
        let room = WINDOW_BYTES.saturating_sub(self.waiting_bytes);
        (room > 0 && self.waiting < WINDOW_MESSAGES).then_some(room)
    }

    fn push(&mut self, message: OutsideMessage) {
        self.next_seq = self.next_seq.max(message.seq + 1);
        self.newest_ms = self.newest_ms.max(message.stored_at_ms);
        if message.problem.is_some() {
            return;
        }
        self.open.insert(message.seq, message.stored_at_ms);
        self.waiting += 1;
        self.waiting_bytes += message.bytes;
        match self.queue(&message.sender) {
            Some(queue) => queue.push_back(message),
            None => self.queues.push_back((message.sender.clone(), VecDeque::from([message]))),
        }
    }

    /// Back to where it was taken from.
    fn put_back(&mut self, message: OutsideMessage) {
        self.waiting += 1;
        self.waiting_bytes += message.bytes;
        match self.queue(&message.sender) {
            Some(queue) => queue.push_front(message),
            None => self.queues.push_front((message.sender.clone(), VecDeque::from([message]))),
        }
    }

    fn queue(&mut self, sender: &str) -> Option<&mut VecDeque<OutsideMessage>> {
        self.queues.iter_mut().find(|(name, _)| name == sender).map(|(_, queue)| queue)
    }

    /// What is to be relayed now: one of each sender in turn, and each sender's in order.
    fn take(&mut self) -> Vec<OutsideMessage> {
        let mut batch: Vec<OutsideMessage> = Vec::new();
        let mut bytes = self.unapplied_bytes;
        while self.unapplied.len() + batch.len() < UNAPPLIED_MESSAGES
            && (bytes < UNAPPLIED_BYTES || (self.unapplied.is_empty() && batch.is_empty()))
            && let Some((sender, mut queue)) = self.queues.pop_front()
        {
            let Some(message) = queue.pop_front() else { continue };
            if !queue.is_empty() {
                self.queues.push_back((sender, queue));
            }
            self.waiting -= 1;
            self.waiting_bytes -= message.bytes;
            bytes += message.bytes;
            batch.push(message);
        }
        batch
    }

    fn relayed(&mut self, message: &OutsideMessage, stream_seq: u64) {
        self.unapplied.insert(stream_seq, (message.seq, message.bytes));
        self.unapplied_bytes += message.bytes;
    }

    /// The ingest log is applied up to there.
    fn applied(&mut self, stream_seq: u64) {
        let rest = self.unapplied.split_off(&(stream_seq + 1));
        for (seq, bytes) in std::mem::replace(&mut self.unapplied, rest).into_values() {
            self.unapplied_bytes -= bytes;
            self.open.remove(&seq);
        }
    }

    fn done(&mut self, seq: u64) {
        self.open.remove(&seq);
    }

    /// Nothing below is needed any more.
    fn done_below(&self) -> u64 {
        self.open.first_key_value().map_or(self.next_seq, |(seq, _)| *seq)
    }

    /// What came before this, Unix milliseconds by the server's clock, is not relayed any more.
    fn since_ms(&self) -> u64 {
        let of_others_ms = self.newest_ms.saturating_sub(REPLACED_FOR_MS);
        self.open.values().copied().min().unwrap_or(u64::MAX).min(of_others_ms)
    }

    /// Only a new message can change something.
    fn is_idle(&self) -> bool {
        self.open.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(seq: u64, sender: &str, bytes: usize) -> OutsideMessage {
        OutsideMessage { seq, sender: sender.into(), bytes, ..OutsideMessage::default() }
    }

    fn seqs(batch: &[OutsideMessage]) -> Vec<u64> {
        batch.iter().map(|message| message.seq).collect()
    }

    #[test]
    fn senders_take_turns_and_each_keeps_its_order() {
        let mut window = Window::new(1);
        for seq in 1..=4 {
            window.push(message(seq, "flood", 10));
        }
        window.push(message(5, "calm", 10));
        window.push(message(6, "calm", 10));
        assert_eq!(seqs(&window.take()), [1, 5, 2, 6, 3, 4]);
        assert_eq!((window.waiting, window.waiting_bytes), (0, 0));
    }

    #[test]
    fn no_more_is_relayed_than_is_applied() {
        let mut window = Window::new(1);
        for seq in 1..=6 {
            window.push(message(seq, "flood", 700_000));
        }
        assert_eq!(window.room(), None);
        let batch = window.take();
        assert_eq!(seqs(&batch), [1, 2], "a megabyte, and what began before");
        batch.iter().zip([11, 13]).for_each(|(message, at)| window.relayed(message, at));
        assert!(window.take().is_empty());
        window.applied(12);
        assert_eq!((window.done_below(), seqs(&window.take())), (2, vec![3]));
        // One that alone is more than what may be there goes when there is nothing else.
        let mut window = Window::new(1);
        window.push(message(1, "flood", 2 * UNAPPLIED_BYTES));
        assert_eq!(seqs(&window.take()), [1]);
    }

    #[test]
    fn what_is_done_is_trimmed_up_to_the_first_that_is_not() {
        let mut window = Window::new(1);
        assert_eq!((window.done_below(), window.is_idle()), (1, true));
        for (seq, sender) in [(3, "a"), (4, "a"), (5, "b"), (9, "b")] {
            window.push(message(seq, sender, 10));
        }
        assert_eq!(window.done_below(), 3);
        let batch = window.take();
        assert_eq!(seqs(&batch), [3, 5, 4, 9]);
        for (message, at) in batch.iter().zip([20, 21]) {
            window.relayed(message, at);
        }
        // The others could not be relayed: they come first, in their order.
        batch[2..].iter().rev().for_each(|message| window.put_back(message.clone()));
        window.applied(21);
        assert_eq!(window.done_below(), 4);
        let batch = window.take();
        assert_eq!(seqs(&batch), [4, 9]);
        window.relayed(&batch[0], 22);
        window.done(9);
        window.applied(30);
        assert_eq!((window.done_below(), window.is_idle()), (10, true));
    }

    #[test]
    fn what_may_be_relayed_again_is_not_forgotten() {
        const HOUR_MS: u64 = 3_600_000;
        let mut window = Window::new(1);
        assert_eq!(window.since_ms(), 0, "nothing is known yet");
        let came = |seq, hours| OutsideMessage {
            stored_at_ms: hours * HOUR_MS,
            ..message(seq, "bot", 10)
        };
        window.push(came(1, 30));
        window.push(came(2, 60));
        assert_eq!(window.since_ms(), 30 * HOUR_MS);
        window.done(1);
        assert_eq!(window.since_ms(), 59 * HOUR_MS, "another owner may have read it");
        window.done(2);
        assert_eq!(window.since_ms(), 59 * HOUR_MS);
    }

    #[test]
    fn what_cannot_be_read_is_passed_over() {
        let mut window = Window::new(1);
        let bad = OutsideMessage {
            problem: Some(weft_nats::Problem::Headers),
            ..message(1, "flood", 10)
        };
        window.push(bad);
        assert!(window.take().is_empty() && window.is_idle());
        assert_eq!(window.done_below(), 2);
    }
}
