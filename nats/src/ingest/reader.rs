//! Reads a log in order, on a pull consumer of its own.
//!
//! A pull has bounds of its own, in messages and bytes, so a burst waits in the stream, never in
//! this process's memory, and never overflows the subscription (a push consumer's flow control
//! counts bytes alone). The library's ordered consumers are not used: they make themselves anew in
//! silence, from a sequence of their own, and notice a dead one only after up to a minute.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, sleep_until};

use super::message::IngestMessage;
use super::raw;
use crate::bus::{Connection, Link, Message, Subscription, made_anew};
use crate::error::Error;
use crate::jetstream::request;

/// Messages of one pull. Up to two pulls are underway.
const PULL_MESSAGES: usize = 2_048;
const PULL_BYTES: usize = 8 << 20;
/// The life of one pull.
const PULL_EXPIRES: Duration = Duration::from_secs(30);
/// How often the server says that it still knows of the pull.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Silence of this length says that the consumer is lost.
const STALLED_AFTER: Duration = Duration::from_secs(4);
/// The server forgets a consumer that nobody has pulled from for this long.
const INACTIVE_AFTER: Duration = Duration::from_secs(10);
/// Messages and bytes that are read at once where one of them can't be delivered: see [`raw`].
const STRETCH: (u64, usize) = (256, 8 << 20);

/// An open reader. It ends with its first error; then [`IngestLog::read_from`] opens another.
///
/// A message that the client library can't parse costs the connection. So where one lies ahead, a
/// whole stretch is read as JSON, and only after it is there a consumer again.
///
/// [`IngestLog::read_from`]: super::IngestLog::read_from
pub struct IngestReader {
    place: ReadPlace,
    connection: watch::Receiver<Connection>,
    generation: u64,
    /// The sequence that must come next.
    next_seq: u64,
    /// What is missing up to here is skipped.
    holes_through: u64,
    holes: u64,
    /// Came, but not yet returned.
    held: VecDeque<IngestMessage>,
    source: Source,
    lost: Option<&'static str>,
}

#[derive(Clone)]
struct ReadPlace {
    link: Arc<Link>,
    /// For what has to work when that one is broken.
    main_link: Arc<Link>,
    stream: Arc<str>,
}

/// Where the next messages come from.
enum Source {
    Consumer(Consumer),
    /// It is looked for, by one task.
    Coming(JoinSet<Result<Found, Error>>),
}

/// What a look ahead brought.
enum Found {
    /// One of these could not be delivered.
    Stretch(Vec<IngestMessage>),
    Consumer(Consumer),
}

/// A consumer on the server; deleted when it is dropped.
struct Consumer {
    place: ReadPlace,
    name: String,
    inbox: String,
    pull_subject: String,
    pull_body: Bytes,
    subscription: Subscription,
    /// Messages that pulls underway may still bring.
    asked: usize,
    heard_at: Instant,
}

#[derive(Deserialize)]
struct ConsumerMade {
    name: String,
}

impl IngestReader {
    /// Reads `stream` from `next_seq` on, over `link`, which no other stream is read over.
    /// What is missing up to `holes_through` is skipped.
    pub(super) async fn open(
        link: Arc<Link>,
        main_link: Arc<Link>,
        stream: Arc<str>,
        (next_seq, holes_through): (u64, u64),
    ) -> Result<Self, Error> {
        let connection = link.connection();
        let generation = link.state().generation;
        let place = ReadPlace { link, main_link, stream };
        let found = place.clone().look(next_seq, 1).await?;
        let mut reader = Self {
            place,
            connection,
            generation,
            next_seq,
            holes_through,
            holes: 0,
            held: VecDeque::new(),
            source: Source::Coming(JoinSet::new()),
            lost: None,
        };
        reader.take_in(found);
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
    /// [`Error::Gap`]: sequences are missing.
    pub async fn next(&mut self) -> Result<IngestMessage, Error> {
        loop {
            if let Some(message) = self.try_next()? {
                return Ok(message);
            }
            self.wait().await?;
        }
    }

    /// A message that is there already; `None` says: call [`next`](Self::next).
    ///
    /// # Errors
    /// As [`next`](Self::next), after all that had come was returned.
    pub fn try_next(&mut self) -> Result<Option<IngestMessage>, Error> {
        loop {
            if let Some(held) = self.held.front() {
                let found = held.stream_seq;
                self.skip_to(found)?;
                self.next_seq = found + 1;
                return Ok(self.held.pop_front());
            }
            if let Source::Consumer(consumer) = &mut self.source
                && let Some(message) = consumer.subscription.try_next()
            {
                self.on_message(&message);
                continue;
            }
            return match self.lost {
                None => Ok(None),
                Some(reason) => Err(Error::ReaderLost {
                    stream: self.place.stream.to_string(),
                    next_seq: self.next_seq,
                    reason,
                }),
            };
        }
    }

    /// Waits until something may have changed.
    async fn wait(&mut self) -> Result<(), Error> {
        let consumer = match &mut self.source {
            Source::Coming(coming) => {
                match coming.join_next().await {
                    Some(Ok(found)) => self.take_in(found?),
                    _ => self.lost = Some("the log can't be asked"),
                }
                return Ok(());
            }
            Source::Consumer(consumer) => consumer,
        };
        consumer.pull();
        let stalled_at = consumer.heard_at + STALLED_AFTER;
        let message = tokio::select! {
            biased;
            message = consumer.subscription.next() => message,
            // A broken connection takes its pulls with it.
            () = made_anew(&mut self.connection, self.generation) => {
                self.lost = Some("the connection was made anew");
                return Ok(());
            }
            () = sleep_until(stalled_at) => {
                self.lost = Some("the consumer is silent");
                return Ok(());
            }
        };
        match message {
            Some(message) => self.on_message(&message),
            None => {
                self.place.link.mark_dead();
                self.lost = Some("the connection is closed");
            }
        }
        Ok(())
    }

    fn take_in(&mut self, found: Found) {
        match found {
            Found::Consumer(mut consumer) => {
                consumer.pull();
                self.source = Source::Consumer(consumer);
            }
            Found::Stretch(messages) => {
                let after = messages.last().map_or(self.next_seq, |last| last.stream_seq + 1);
                self.held.extend(messages);
                // What comes after a bad one is read in the same way, until a whole stretch is good.
                let mut coming = JoinSet::new();
                coming.spawn(self.place.clone().look(after, STRETCH.0));
                self.source = Source::Coming(coming);
            }
        }
    }

    /// Takes in one message: of the stream, or about the pull.
    fn on_message(&mut self, message: &Message) {
        let Source::Consumer(consumer) = &mut self.source else { return };
        consumer.heard_at = Instant::now();
        // Told apart by the reply subject, which the server writes; a status line could be in a
        // stored message too.
        let Some(place) = message.reply().and_then(read_place) else {
            self.lost = consumer.hear_status(message).or(self.lost);
            return;
        };
        consumer.asked = consumer.asked.saturating_sub(1);
        if consumer.asked <= PULL_MESSAGES / 2 {
            consumer.pull();
        }
        // Once more, after the server thought it lost: it was returned already.
        if place.0 < self.next_seq {
            return;
        }
        let header = |name: &str| message.header(name);
        let payload = message.payload().clone();
        let message = IngestMessage::read(place, message.subject(), Some(&header), payload);
        self.held.push_back(message);
    }

    /// `found` came where `next_seq` was due.
    fn skip_to(&mut self, found: u64) -> Result<(), Error> {
        let (stream, expected) = (&self.place.stream, self.next_seq);
        if found == expected {
            return Ok(());
        }
        if found > self.holes_through.saturating_add(1) {
            return Err(Error::Gap { stream: stream.to_string(), expected, found });
        }
        self.holes += 1;
        // A purge by subject may leave thousands: not a line for each.
        if self.holes.is_power_of_two() {
            let (through, holes) = (found - 1, self.holes);
            tracing::error!(
                %stream, from = expected, through, holes,
                "the ingest log has a hole: what was there was not acknowledged, and is skipped"
            );
        }
        Ok(())
    }
}

impl ReadPlace {
    /// What is to be read from `seq` on: a stretch where one of the next `count` messages can't be
    /// delivered, else a consumer.
    async fn look(self, seq: u64, count: u64) -> Result<Found, Error> {
        let (first, rest) = (count, STRETCH.0.saturating_sub(count));
        let mut ahead = raw::stretch(&self.link, &self.stream, seq, (first, STRETCH.1)).await?;
        if !ahead.iter().any(|message| message.unreadable().is_some()) {
            return self.consume(seq).await.map(Found::Consumer);
        }
        let after = ahead.last().map_or(seq, |last| last.seq + 1);
        ahead.extend(raw::stretch(&self.link, &self.stream, after, (rest, STRETCH.1)).await?);
        tracing::warn!(
            stream = %self.stream, from = seq, messages = ahead.len(),
            "messages with malformed headers or subjects: read one by one"
        );
        Ok(Found::Stretch(ahead.into_iter().map(raw::RawMessage::into_message).collect()))
    }

    async fn consume(self, start_seq: u64) -> Result<Consumer, Error> {
        let inbox = self.link.new_inbox();
        let subscription = self.link.subscribe(inbox.clone()).await?;
        let name = make_consumer(&self.link, &self.stream, "owner", start_seq).await?;
        let pull = json!({
            "batch": PULL_MESSAGES,
            "max_bytes": PULL_BYTES,
            "expires": PULL_EXPIRES.as_nanos() as u64,
            "idle_heartbeat": HEARTBEAT.as_nanos() as u64,
        });
        Ok(Consumer {
            pull_subject: format!("$JS.API.CONSUMER.MSG.NEXT.{}.{name}", self.stream),
            pull_body: pull.to_string().into(),
            place: self,
            name,
            inbox,
            subscription,
            asked: 0,
            heard_at: Instant::now(),
        })
    }
}

impl Consumer {
    /// Takes in a word about a pull; why the reader is lost, if it is.
    fn hear_status(&mut self, message: &Message) -> Option<&'static str> {
        match message.status() {
            Some(100) => {}
            // A pull has ended: out of time, all delivered, or the next message is beyond its bytes.
            Some(408) => self.end_pull(message),
            Some(409) if ends_a_pull(message.description()) => self.end_pull(message),
            Some(409) => return Some("the consumer was deleted or its leader changed"),
            Some(503) => return Some("the consumer was deleted"),
            _ => tracing::debug!(status = ?message.status(), "unknown status of a pull"),
        }
        None
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
            let sent = self.place.link.publish(to, reply, &[], self.pull_body.clone());
            if !matches!(unconstrained(sent).now_or_never(), Some(Ok(()))) {
                return;
            }
            self.asked += PULL_MESSAGES;
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        delete_consumer(&self.place.main_link, &self.place.stream, &self.name);
    }
}

/// The server would forget it by itself, later: whoever opens readers in a row would leave it with
/// more of them than it takes.
pub(super) fn delete_consumer(link: &Link, stream: &str, name: &str) {
    let to = format!("$JS.API.CONSUMER.DELETE.{stream}.{name}");
    // Nobody hears the answer.
    let sent = link.publish(to, Some(link.new_inbox()), &[], Bytes::new());
    if !matches!(unconstrained(sent).now_or_never(), Some(Ok(()))) {
        tracing::debug!(stream, name, "a consumer could not be deleted");
    }
}

fn ends_a_pull(description: &str) -> bool {
    matches!(description, "Batch Completed" | "Message Size Exceeds MaxBytes")
}

pub(super) async fn make_consumer(
    link: &Link,
    stream: &str,
    prefix: &str,
    start_seq: u64,
) -> Result<String, Error> {
    let name = format!("{prefix}-{:016x}", rand::random::<u64>());
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
