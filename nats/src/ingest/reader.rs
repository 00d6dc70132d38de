//! Reads a log in order, on a pull consumer of its own.
//!
//! A pull has bounds of its own, in messages and bytes, so a burst waits in the stream, never in
//! this process's memory, and never overflows the subscription (a push consumer's flow control
//! counts bytes alone). The library's ordered consumers are not used: they make themselves anew in
//! silence, from a sequence of their own, and notice a dead one only after up to a minute.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, sleep_until};

use super::log::info;
use super::message::IngestMessage;
use crate::bus::{Connection, Link, Message, Subscription, made_anew};
use crate::error::Error;
use crate::jetstream::request;

/// Messages of one pull. Up to two pulls are underway.
const PULL_MESSAGES: usize = 2_048;
/// Bytes of one pull.
const PULL_BYTES: usize = 8 << 20;
/// The life of one pull.
const PULL_EXPIRES: Duration = Duration::from_secs(30);
/// How often the server says that it still knows of the pull.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Silence of this length says that the consumer is gone.
const STALLED_AFTER: Duration = Duration::from_secs(4);
/// The server forgets a consumer that nobody has pulled from for so long.
const INACTIVE_AFTER: Duration = Duration::from_secs(10);

/// An open reader. It ends with its first error; then [`IngestLog::read_from`] opens another.
///
/// [`IngestLog::read_from`]: super::IngestLog::read_from
pub struct IngestReader {
    link: Arc<Link>,
    stream: Arc<str>,
    inbox: String,
    pull_subject: String,
    pull_body: Bytes,
    subscription: Subscription,
    connection: watch::Receiver<Connection>,
    generation: u64,
    /// Messages that pulls underway may still bring.
    asked: usize,
    /// The sequence that must come next.
    next_seq: u64,
    /// Came, but not yet returned: an unreadable one, or one behind a jump.
    held: Option<IngestMessage>,
    heard_at: Instant,
    lost: Option<&'static str>,
}

#[derive(Deserialize)]
struct ConsumerMade {
    name: String,
}

impl IngestReader {
    /// `unreadable`: the message at `seq`, where the consumer must not deliver it.
    pub(super) async fn open(
        link: Arc<Link>,
        stream: Arc<str>,
        seq: u64,
        unreadable: Option<IngestMessage>,
    ) -> Result<Self, Error> {
        let connection = link.connection();
        let generation = link.state().generation;
        let inbox = link.new_inbox();
        let subscription = link.subscribe(inbox.clone()).await?;
        let start = if unreadable.is_some() { seq + 1 } else { seq };
        let consumer = make_consumer(&link, &stream, start).await?;
        let pull = json!({
            "batch": PULL_MESSAGES,
            "max_bytes": PULL_BYTES,
            "expires": PULL_EXPIRES.as_nanos() as u64,
            "idle_heartbeat": HEARTBEAT.as_nanos() as u64,
        });
        let mut reader = Self {
            pull_subject: format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"),
            pull_body: pull.to_string().into(),
            link,
            stream,
            inbox,
            subscription,
            connection,
            generation,
            asked: 0,
            next_seq: seq,
            held: unreadable,
            heard_at: Instant::now(),
            lost: None,
        };
        reader.pull();
        Ok(reader)
    }

    /// The sequence of the message that comes next.
    #[must_use]
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// The next message. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::ReaderLost`]: open another reader from [`next_seq`](Self::next_seq).
    /// [`Error::Gap`]: sequences are missing that were not purged. [`Error::Timeout`] while asking
    /// about a jump.
    pub async fn next(&mut self) -> Result<IngestMessage, Error> {
        loop {
            if let Some(message) = self.try_next()? {
                return Ok(message);
            }
            match &self.held {
                Some(held) => {
                    let found = held.stream_seq;
                    self.explain_jump(found).await?;
                }
                None => self.wait().await,
            }
        }
    }

    /// A message that is there already; `None` says: call [`next`](Self::next).
    ///
    /// # Errors
    /// [`Error::ReaderLost`], after all that had come was returned.
    pub fn try_next(&mut self) -> Result<Option<IngestMessage>, Error> {
        loop {
            if let Some(held) = self.held.take_if(|held| held.stream_seq == self.next_seq) {
                self.next_seq += 1;
                return Ok(Some(held));
            }
            if self.held.is_some() {
                return Ok(None);
            }
            match self.subscription.try_next() {
                Some(message) => self.hear(&message),
                None => {
                    return match self.lost {
                        None => Ok(None),
                        Some(reason) => Err(Error::ReaderLost {
                            stream: self.stream.to_string(),
                            next_seq: self.next_seq,
                            reason,
                        }),
                    };
                }
            }
        }
    }

    /// Waits until something may have changed.
    async fn wait(&mut self) {
        self.pull();
        let stalled_at = self.heard_at + STALLED_AFTER;
        let message = tokio::select! {
            biased;
            message = self.subscription.next() => message,
            // A broken connection takes its pulls with it.
            () = made_anew(&mut self.connection, self.generation) => {
                self.lost = Some("the connection was made anew");
                return;
            }
            () = sleep_until(stalled_at) => {
                self.lost = Some("the consumer is silent");
                return;
            }
        };
        match message {
            Some(message) => self.hear(&message),
            None => {
                self.link.mark_dead();
                self.lost = Some("the connection is closed");
            }
        }
    }

    /// Takes in one message: of the stream, or about the pull.
    fn hear(&mut self, message: &Message) {
        self.heard_at = Instant::now();
        // Told apart by the reply subject, which the server writes; a status line could stand in a
        // stored message too.
        let Some(place) = message.reply().and_then(read_place) else {
            self.hear_status(message);
            return;
        };
        self.asked = self.asked.saturating_sub(1);
        if self.asked <= PULL_MESSAGES / 2 {
            self.pull();
        }
        // Once more, after the server thought it lost: it was returned already.
        if place.0 < self.next_seq {
            return;
        }
        let header = |name: &str| message.header(name);
        let payload = message.payload().clone();
        self.held = Some(IngestMessage::read(place, message.subject(), Some(&header), payload));
    }

    fn hear_status(&mut self, message: &Message) {
        match message.status() {
            Some(100) => {}
            // A pull has ended: out of time, all delivered, or the next message is beyond its bytes.
            Some(408) => self.end_pull(message),
            Some(409) if ends_a_pull(message.description()) => self.end_pull(message),
            Some(409) => self.lost = Some("the consumer was deleted or its leader changed"),
            Some(503) => self.lost = Some("the consumer is gone"),
            _ => tracing::debug!(status = ?message.status(), "unknown status of a pull"),
        }
    }

    fn end_pull(&mut self, message: &Message) {
        let unused = message.header("Nats-Pending-Messages").and_then(|text| text.parse().ok());
        self.asked = self.asked.saturating_sub(unused.unwrap_or(PULL_MESSAGES));
        self.pull();
    }

    /// Keeps pulls underway. Where the client's queue is full it is tried again with the next
    /// message or wait.
    fn pull(&mut self) {
        while self.asked <= PULL_MESSAGES / 2 {
            let (to, reply) = (self.pull_subject.clone(), Some(self.inbox.clone()));
            let sent = self.link.publish(to, reply, &[], self.pull_body.clone());
            if !matches!(unconstrained(sent).now_or_never(), Some(Ok(()))) {
                return;
            }
            self.asked += PULL_MESSAGES;
        }
    }

    /// `found` came where `next_seq` was due. A purge explains it; nothing else does.
    async fn explain_jump(&mut self, found: u64) -> Result<(), Error> {
        let now = info(&self.link, &self.stream).await?;
        if now.first_seq < found {
            let stream = self.stream.to_string();
            return Err(Error::Gap { stream, expected: self.next_seq, found });
        }
        tracing::info!(stream = %self.stream, from = self.next_seq, to = found, "purged: skipped");
        self.next_seq = found;
        Ok(())
    }
}

fn ends_a_pull(description: &str) -> bool {
    matches!(description, "Batch Completed" | "Message Size Exceeds MaxBytes")
}

async fn make_consumer(link: &Link, stream: &str, start_seq: u64) -> Result<String, Error> {
    let name = format!("owner-{:016x}", rand::random::<u64>());
    let body = json!({
        "stream_name": stream,
        "action": "create",
        "config": {
            "name": name,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": start_seq,
            "ack_policy": "none",
            "replay_policy": "instant",
            "max_waiting": 16,
            "inactive_threshold": INACTIVE_AFTER.as_nanos() as u64,
            "num_replicas": 1,
            "mem_storage": true,
        },
    });
    let verb = format!("CONSUMER.CREATE.{stream}.{name}");
    Ok(request::<ConsumerMade>(link, &verb, &body).await?.name)
}

/// Stream sequence and time (Unix milliseconds) out of the reply subject of a delivered message:
/// `$JS.ACK.[<domain>.<account>.]<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>…`
fn read_place(reply: &str) -> Option<(u64, u64)> {
    let rest = reply.strip_prefix("$JS.ACK.")?;
    let before = if rest.split('.').count() > 7 { 5 } else { 3 };
    let mut words = rest.split('.').skip(before);
    let seq = words.next()?.parse().ok()?;
    let nanos: u64 = words.nth(1)?.parse().ok()?;
    Some((seq, nanos / 1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_read_from_both_forms() {
        let short = "$JS.ACK.WEFT_IN_0.owner.1.42.7.1700000000123456789.0";
        assert_eq!(read_place(short), Some((42, 1_700_000_000_123)));
        let long = "$JS.ACK.hub.ACC.WEFT_IN_0.owner.1.42.7.1700000000123456789.0.rnd";
        assert_eq!(read_place(long), Some((42, 1_700_000_000_123)));
        assert_eq!(read_place("_INBOX.x"), None);
        assert_eq!(read_place("$JS.ACK.a.b"), None);
    }
}
