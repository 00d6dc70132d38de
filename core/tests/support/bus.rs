//! What an owner answers, publishes and says, and what of it gets lost.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::{Notify, oneshot};
use weft_core::Error;
use weft_core::partition::ports::{EventBus, Stored};
use weft_nats::{Answer, EventMessage, ReplyTo};
use weft_proto::svc::Change;
use weft_proto::{EventHead, Partition, Tick};

/// A bus that remembers.
#[derive(Clone, Default)]
pub struct Bus {
    pub answers: Arc<Mutex<Vec<(String, serde_json::Value)>>>,
    pub events: Arc<Mutex<Vec<(EventMessage, EventHead)>>>,
    /// What users and groups were told beside entries.
    pub changes: Arc<Mutex<Vec<Change>>>,
    ticks: Arc<Mutex<Vec<Tick>>>,
    heard: Arc<Notify>,
    /// Events get lost, and the stream never acknowledges them.
    pub swallow: Arc<std::sync::atomic::AtomicBool>,
    /// The next event makes its publisher panic.
    pub panics: Arc<std::sync::atomic::AtomicBool>,
    /// Those whose loss the stream has not told yet.
    swallowed: Arc<Mutex<Vec<oneshot::Sender<()>>>>,
    /// Events are refused at once.
    pub away: Arc<std::sync::atomic::AtomicBool>,
    /// Ticks are refused.
    pub ticks_fail: Arc<std::sync::atomic::AtomicBool>,
}

#[async_trait]
impl EventBus for Bus {
    async fn answer(&self, to: &ReplyTo, answer: Answer) -> Result<(), Error> {
        let (ReplyTo::Edge { token, .. } | ReplyTo::User { token, .. }) = to;
        let frame = serde_json::from_slice(&answer.frame).expect("json");
        self.answers.lock().expect("answers").push((token.clone(), frame));
        self.heard.notify_waiters();
        Ok(())
    }

    async fn send(&self, events: Vec<EventMessage>) -> Result<Stored, Error> {
        let has_events = !events.is_empty();
        let panics = has_events && self.panics.swap(false, std::sync::atomic::Ordering::SeqCst);
        assert!(!panics, "on purpose");
        if self.away.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(weft_nats::Error::Timeout("on purpose").into());
        }
        if self.swallow.load(std::sync::atomic::Ordering::SeqCst) {
            let (lost, is_lost) = oneshot::channel();
            self.swallowed.lock().expect("swallowed").push(lost);
            return Ok(Box::pin(async {
                let _ = is_lost.await;
                Err(weft_nats::Error::Timeout("on purpose").into())
            }));
        }
        for event in events {
            let head = event.head.parse().expect("head");
            self.events.lock().expect("events").push((event, head));
        }
        self.heard.notify_waiters();
        Ok(Box::pin(async { Ok(()) }))
    }

    async fn change(&self, _: Partition, change: &Change) -> Result<(), Error> {
        self.changes.lock().expect("changes").push(change.clone());
        self.heard.notify_waiters();
        Ok(())
    }

    async fn tick(&self, _: Partition, tick: &Tick) -> Result<(), Error> {
        if self.ticks_fail.load(std::sync::atomic::Ordering::SeqCst) {
            return Err(weft_nats::Error::Timeout("on purpose").into());
        }
        self.ticks.lock().expect("ticks").push(tick.clone());
        self.heard.notify_waiters();
        Ok(())
    }
}

impl Bus {
    /// Whoever waits for the stream's word learns that events are lost.
    pub fn fail_what_was_swallowed(&self) {
        self.swallowed.lock().expect("swallowed").clear();
    }

    /// Waits for the answer to a token, and takes it.
    pub async fn answer_to(&self, token: &str) -> serde_json::Value {
        self.until(&format!("an answer to {token}"), || {
            let mut answers = self.answers.lock().expect("answers");
            let index = answers.iter().position(|(answered, _)| answered == token)?;
            Some(answers.remove(index).1)
        })
        .await
    }

    /// Waits for the event of an entry.
    pub async fn event(&self, room: &str, seq: u64) -> (EventMessage, EventHead) {
        self.until(&format!("the event of {room} {seq}"), || {
            let events = self.events.lock().expect("events");
            events.iter().find(|(_, h)| h.room.as_str() == room && h.seq == seq).cloned()
        })
        .await
    }

    /// Waits for a change whose frame looks so; null: it has none.
    pub async fn change_that(&self, looks: impl Fn(&Change, &serde_json::Value) -> bool) -> Change {
        self.until("such a change", || {
            let changes = self.changes.lock().expect("changes");
            let frame = |it: &Change| serde_json::from_slice(&it.frame).unwrap_or_default();
            changes.iter().rev().find(|it| looks(it, &frame(it))).cloned()
        })
        .await
    }

    /// Changes that were told until now, and look so.
    pub fn changes_like(&self, looks: impl Fn(&Change, &serde_json::Value) -> bool) -> usize {
        let changes = self.changes.lock().expect("changes");
        let frame = |it: &Change| serde_json::from_slice(&it.frame).unwrap_or_default();
        changes.iter().filter(|it| looks(it, &frame(it))).count()
    }

    /// Waits for a tick that looks so.
    pub async fn tick_that(&self, looks: impl Fn(&Tick) -> bool) -> Tick {
        self.until("such a tick", || self.ticks().into_iter().rev().find(|tick| looks(tick))).await
    }

    pub async fn tick(&self, epoch: u64, number: u64) -> Tick {
        self.until(&format!("a tick {epoch}.{number}"), || {
            let ticks = self.ticks();
            ticks.into_iter().find(|tick| (tick.epoch, tick.number) == (epoch, number))
        })
        .await
    }

    pub fn ticks(&self) -> Vec<Tick> {
        self.ticks.lock().expect("ticks").clone()
    }

    async fn until<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let wait = async {
            loop {
                let heard = self.heard.notified();
                if let Some(found) = look() {
                    return found;
                }
                heard.await;
            }
        };
        let patience = std::time::Duration::from_secs(40);
        tokio::time::timeout(patience, wait).await.unwrap_or_else(|_| panic!("no {what}"))
    }
}
