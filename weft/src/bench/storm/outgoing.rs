//! What a device sends: each message again with the same client id, until it is answered.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use weft_proto::ClientId;
use weft_runtime::{Clock, SystemClock};

use super::groups::group_of_room;
use super::tally::Tally;
use crate::bench::scan::{number, text};

/// A message without an answer is sent again after so long.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// The same after a temporary error that says nothing of a time.
const RETRY_AFTER: Duration = Duration::from_millis(250);
/// `hello` has the first.
const ID_FIRST: u64 = 2;
const TEXT_BYTES: usize = 200;

/// Kept over all sessions of a device.
pub struct Outgoing {
    /// The room, and between two messages; `None`: it only listens.
    talk: Option<(String, Duration)>,
    tally: Arc<Tally>,
    /// When the next message is due, once it talks.
    next_at: Option<Instant>,
    next_id: u64,
    /// Made and not answered.
    pending: Vec<Pending>,
    acked: Vec<Acked>,
}

struct Pending {
    client_id: ClientId,
    /// Of the last time that it was sent in this session.
    id: u64,
    send_at: Instant,
}

/// An `ack`.
pub struct Acked {
    pub group: usize,
    pub seq: u64,
    pub client_id: ClientId,
}

impl Outgoing {
    pub fn new(talk: Option<(String, Duration)>, tally: Arc<Tally>) -> Self {
        let (pending, acked) = (Vec::new(), Vec::new());
        Self { talk, tally, next_at: None, next_id: ID_FIRST, pending, acked }
    }

    /// A session begins: what has no answer goes out again.
    pub fn begin(&mut self, now: Instant) {
        self.next_id = ID_FIRST;
        self.pending.iter_mut().for_each(|pending| pending.send_at = now);
    }

    /// Makes the messages that have come due, with or without a session.
    pub fn make_due(&mut self, now: Instant) {
        let Some((_, every)) = &self.talk else { return };
        let mut next_at = self.next_at.unwrap_or_else(|| now + every.mul_f64(rand::random()));
        while next_at <= now {
            next_at += *every;
            let client_id = ClientId::from_parts(SystemClock.now_ms(), rand::random());
            self.pending.push(Pending { client_id, id: 0, send_at: now });
            self.tally.counts.made.fetch_add(1, Ordering::Relaxed);
        }
        self.next_at = Some(next_at);
    }

    /// The frames that are to be sent now.
    pub fn due(&mut self, now: Instant) -> Vec<String> {
        let Some((room, _)) = &self.talk else { return Vec::new() };
        let mut frames = Vec::new();
        for pending in self.pending.iter_mut().filter(|pending| pending.send_at <= now) {
            pending.id = self.next_id;
            pending.send_at = now + ANSWER_TIMEOUT;
            self.next_id += 1;
            frames.push(frame(pending, room));
        }
        frames
    }

    /// When something is due again. `talks`: new messages are made.
    pub fn due_at(&self, talks: bool) -> Option<Instant> {
        let sends = self.pending.iter().map(|pending| pending.send_at);
        sends.chain(self.next_at.filter(|_| talks)).min()
    }

    /// `None`: it can't be read.
    pub fn on_ack(&mut self, frame: &str) -> Option<()> {
        let client_id = ClientId::parse(text(frame, r#""client_id":""#)?).ok()?;
        let group = group_of_room(text(frame, r#""room":""#)?)?;
        let seq = number(frame, r#""seq":"#)?;
        // A message that was sent twice is answered twice; both answers are checked.
        self.acked.push(Acked { group, seq, client_id });
        self.settle(|pending| pending.client_id == client_id);
        Some(())
    }

    /// `None`: a message was refused for good.
    pub fn on_error(&mut self, frame: &str, now: Instant) -> Option<()> {
        let id = number(frame, r#""id":"#)?;
        if !frame.contains(r#""temporary":true"#) {
            self.settle(|pending| pending.id == id);
            return None;
        }
        self.tally.note(format!("refused for now: {:?}", text(frame, r#""code":""#)));
        let wait = number(frame, r#""retry_after_ms":"#).map_or(RETRY_AFTER, Duration::from_millis);
        let send_at = now + wait.mul_f64(1.0 + rand::random::<f64>());
        let refused = self.pending.iter_mut().filter(|pending| pending.id == id);
        refused.for_each(|pending| pending.send_at = send_at);
        Some(())
    }

    fn settle(&mut self, is_answered: impl Fn(&Pending) -> bool) {
        let before = self.pending.len();
        self.pending.retain(|pending| !is_answered(pending));
        let answered = (before - self.pending.len()) as u64;
        self.tally.counts.answered.fetch_add(answered, Ordering::Relaxed);
    }

    pub fn into_acked(self) -> Vec<Acked> {
        self.acked
    }
}

fn frame(pending: &Pending, room: &str) -> String {
    let mut frame = String::with_capacity(160 + TEXT_BYTES);
    // Writing to a string does not fail.
    let _ = write!(
        frame,
        r#"{{"id":{},"type":"send","room":"{room}","client_id":"{}","text":"{:x<3$}"}}"#,
        pending.id, pending.client_id, "", TEXT_BYTES,
    );
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_sent_until_it_is_answered() {
        let every = Duration::from_secs(10);
        let talk = Some(("storm-3".to_owned(), every));
        let mut outgoing = Outgoing::new(talk, Arc::new(Tally::new()));
        let now = Instant::now();
        outgoing.make_due(now);
        let first_at = outgoing.due_at(true).expect("due");
        assert!(first_at <= now + every && outgoing.due_at(false).is_none());
        outgoing.make_due(first_at);
        let sent = outgoing.due(first_at);
        assert_eq!((sent.len(), number(&sent[0], r#""id":"#)), (1, Some(2)));
        let client_id = text(&sent[0], r#""client_id":""#).expect("an id").to_owned();
        assert!(outgoing.due(first_at).is_empty());
        // Refused for now, then another session.
        let refused = r#"{"id":2,"type":"error","error":{"code":"overloaded","temporary":true}}"#;
        assert!(outgoing.on_error(refused, first_at).is_some());
        let again_at = outgoing.due_at(false).expect("due");
        assert!((RETRY_AFTER..=2 * RETRY_AFTER).contains(&(again_at - first_at)));
        outgoing.begin(first_at);
        let again = outgoing.due(first_at);
        assert_eq!(again.len(), 1);
        assert_eq!(text(&again[0], r#""client_id":""#), Some(&*client_id));
        let ack = format!(
            r#"{{"id":2,"type":"ack","room":"storm-3","seq":7,"client_id":"{client_id}"}}"#
        );
        assert!(outgoing.on_ack(&ack).is_some());
        assert!(outgoing.due_at(false).is_none());
        let acked = outgoing.into_acked();
        assert_eq!((acked.len(), acked[0].group, acked[0].seq), (1, 3, 7));
    }

    #[test]
    fn what_is_refused_for_good_is_told() {
        let talk = Some(("storm-3".to_owned(), Duration::from_secs(1)));
        let mut outgoing = Outgoing::new(talk, Arc::new(Tally::new()));
        let now = Instant::now();
        outgoing.make_due(now);
        outgoing.make_due(now + Duration::from_secs(1));
        assert_eq!(outgoing.due(now + Duration::from_secs(1)).len(), 1);
        let refused = r#"{"id":2,"type":"error","error":{"code":"forbidden","temporary":false}}"#;
        assert!(outgoing.on_error(refused, now).is_none());
        assert!(outgoing.due_at(false).is_none());
    }
}
