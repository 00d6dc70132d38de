//! Counts what healing brings on the wire, for measurements: it reads the replies of all edges, so
//! only role `admin` may.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinHandle;
use weft_proto::svc::{Audit, Method};

use crate::bus::{Bus, Message};
use crate::error::Error;
use crate::subject::{Filter, Subject};

/// Counts since the start. Bytes are of payloads and subjects.
#[derive(Clone, Copy, Default, Debug)]
pub struct Healing {
    /// Ticks published.
    pub ticks: u64,
    /// Their bytes.
    pub tick_bytes: u64,
    /// Audits asked.
    pub audits: u64,
    /// The bytes of audits and their answers.
    pub audit_bytes: u64,
}

#[derive(Default)]
struct State {
    counts: Healing,
    /// Where answers to audits will go.
    replies: HashSet<String>,
}

/// A running count; it ends when it is dropped.
pub struct HealingMeter {
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl HealingMeter {
    /// Begins to count.
    ///
    /// # Errors
    /// Those of [`Bus::subscribe`].
    pub async fn start(bus: Bus) -> Result<Self, Error> {
        let state = Arc::new(Mutex::new(State::default()));
        let audits = Subject::Svc { service: Audit::SERVICE.into(), method: Audit::METHOD.into() };
        let mut ticks = bus.subscribe_wildcard(&Filter::Ticks).await?;
        let mut audits = bus.subscribe(&audits).await?;
        let mut replies = bus.link().subscribe("_INBOX_edge.>".to_owned()).await?;
        bus.flush().await?;
        let counted = Arc::clone(&state);
        let task = tokio::spawn(async move {
            // Held, so that the connection stays.
            let _bus = bus;
            let lock = || counted.lock().unwrap_or_else(PoisonError::into_inner);
            loop {
                tokio::select! {
                    biased; // an audit before its answer
                    Some(audit) = audits.next() => lock().on_audit(&audit),
                    Some(tick) = ticks.next() => lock().on_tick(&tick),
                    Some(reply) = replies.next() => lock().on_reply(&reply),
                    else => return,
                }
            }
        });
        Ok(Self { state, task })
    }

    /// The counts so far.
    #[must_use]
    pub fn read(&self) -> Healing {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).counts
    }
}

impl Drop for HealingMeter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl State {
    fn on_tick(&mut self, message: &Message) {
        self.counts.ticks += 1;
        self.counts.tick_bytes += bytes_of(message);
    }

    fn on_audit(&mut self, message: &Message) {
        self.counts.audits += 1;
        self.counts.audit_bytes += bytes_of(message);
        self.replies.extend(message.reply().map(str::to_owned));
    }

    fn on_reply(&mut self, message: &Message) {
        if self.replies.remove(message.subject()) {
            self.counts.audit_bytes += bytes_of(message);
        }
    }
}

fn bytes_of(message: &Message) -> u64 {
    (message.subject().len() + message.payload().len()) as u64
}
