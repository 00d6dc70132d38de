//! Brings what became of a command to the session or request that sent it.
//!
//! The token of an attempt is `<box>-<command>-<attempt>`, in hexadecimal.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::mpsc;
use weft_nats::{IngestSignals, Signal};
use weft_proto::ApiError;
use weft_runtime::lock;

/// All boxes of an edge. Cheap to clone.
#[derive(Clone)]
pub struct Answers(Arc<Mutex<Table>>);

struct Table {
    boxes: HashMap<u64, Entry>,
    next_number: u64,
}

struct Entry {
    sender: mpsc::UnboundedSender<SendAnswer>,
    /// Fetched by whoever looks for evidence: nobody is woken for it. Bounded by what is sent
    /// between two looks.
    stored: Vec<StoredAttempt>,
}

/// The log has an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct StoredAttempt {
    pub(crate) command: u64,
    pub(crate) attempt: u32,
    pub(crate) stream_seq: u64,
}

/// What became of one attempt.
#[derive(Debug)]
pub struct SendAnswer {
    pub(crate) command: u64,
    pub(crate) attempt: u32,
    pub(crate) outcome: SendOutcome,
}

#[derive(Debug)]
pub(crate) enum SendOutcome {
    /// Core has answered it.
    Answered(weft_nats::Answer),
    /// The log did not take this attempt.
    Refused(ApiError),
}

/// Where the answers of one session or request arrive. Dropping it forgets all that is underway.
pub(crate) struct AnswerBox {
    number: u64,
    // Bounded by the outbox: a command has a handful of attempts, each answered at most once.
    answers: mpsc::UnboundedReceiver<SendAnswer>,
    all: Answers,
}

impl Answers {
    /// `first`: the number of the first box, by chance; so an answer to an earlier life of this node
    /// finds no box.
    #[must_use]
    pub fn new(first: u64) -> Self {
        let table = Table { boxes: HashMap::new(), next_number: first };
        Self(Arc::new(Mutex::new(table)))
    }

    pub(crate) fn open(&self) -> AnswerBox {
        let (sender, answers) = mpsc::unbounded_channel();
        let mut table = self.lock();
        let number = table.next_number;
        table.next_number = number.wrapping_add(1);
        table.boxes.insert(number, Entry { sender, stored: Vec::new() });
        drop(table);
        AnswerBox { number, answers, all: self.clone() }
    }

    /// Hands on every signal until the connection is closed for good.
    pub(crate) async fn route(self, mut signals: IngestSignals) {
        while let Some(first) = signals.next().await {
            let mut table = self.lock();
            table.hand_on(first);
            for _ in 0..256 {
                let Some(signal) = signals.try_next() else { break };
                table.hand_on(signal);
            }
        }
    }

    pub fn hand_on(&self, signal: Signal) {
        self.lock().hand_on(signal);
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing panics while it is held.
        lock(&self.0)
    }
}

impl Table {
    fn hand_on(&mut self, signal: Signal) {
        let token = match &signal {
            Signal::Stored { token, .. }
            | Signal::Refused { token, .. }
            | Signal::Answered { token, .. } => token,
        };
        let Some((number, command, attempt)) = read_token(token) else { return };
        // Whoever is not there any more has given up.
        let Some(entry) = self.boxes.get_mut(&number) else { return };
        let outcome = match signal {
            // That proves nothing yet.
            Signal::Stored { stream_seq, .. } => {
                return entry.stored.push(StoredAttempt { command, attempt, stream_seq });
            }
            Signal::Refused { error, .. } => SendOutcome::Refused(error),
            Signal::Answered { answer, .. } => SendOutcome::Answered(answer),
        };
        let _ = entry.sender.send(SendAnswer { command, attempt, outcome });
    }
}

impl AnswerBox {
    pub(crate) fn token(&self, command: u64, attempt: u32) -> String {
        format!("{:x}-{command:x}-{attempt:x}", self.number)
    }

    /// What the log has taken since the last call.
    pub(crate) fn take_stored(&self) -> Vec<StoredAttempt> {
        let mut all = self.all.lock();
        all.boxes
            .get_mut(&self.number)
            .map(|entry| std::mem::take(&mut entry.stored))
            .unwrap_or_default()
    }

    /// The next answer. Cancel-safe.
    pub(crate) async fn next(&mut self) -> SendAnswer {
        match self.answers.recv().await {
            Some(answer) => answer,
            // The sender is in the table as long as the box lives.
            None => std::future::pending().await,
        }
    }
}

impl Drop for AnswerBox {
    fn drop(&mut self) {
        self.all.lock().boxes.remove(&self.number);
    }
}

/// Box, command and attempt.
fn read_token(token: &str) -> Option<(u64, u64, u32)> {
    let mut words = token.split('-').map(|word| u64::from_str_radix(word, 16).ok());
    Some((words.next()??, words.next()??, words.next()??.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(token: String) -> Signal {
        Signal::Answered { token, answer: weft_nats::Answer::ack(b"{}".to_vec()) }
    }

    #[tokio::test]
    async fn an_answer_finds_its_box_alone() {
        let answers = Answers::new(rand::random());
        let (mut first, second) = (answers.open(), answers.open());
        let token = first.token(0xab, 2);
        assert!(weft_proto::ids::is_token(&token));
        let stale = second.token(1, 0);
        drop(second);
        for token in [stale, String::new(), "x-y-z".into(), "1".into(), token] {
            answers.hand_on(answered(token));
        }
        assert_eq!(first.next().await.command, 0xab);
        answers.hand_on(Signal::Stored { token: first.token(7, 1), stream_seq: 40 });
        let stored = StoredAttempt { command: 7, attempt: 1, stream_seq: 40 };
        assert_eq!((first.take_stored(), first.take_stored()), (vec![stored], vec![]));
        assert!(first.answers.try_recv().is_err());
        drop(first);
        assert!(answers.lock().boxes.is_empty());
    }
}
