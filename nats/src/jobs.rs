//! Work queues, of which jobs are taken one by one, and letters that could not be delivered. Here are those of `weft push`, a
//! queue of two lanes; those of webhooks are in `webhooks`.
//!
//! A job is in the stream until it is done, so a process that ends forgets none. One that is published again under the same id is
//! dropped, for as long as the stream remembers the id (`DUPLICATES_KNOWN_FOR`).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use weft_proto::UserId;

use crate::bus::{Bus, Connection, Link, Message, SEND_TIMEOUT, Subscription, made_anew};
use crate::error::Error;
use crate::jetstream::{JsError, ask, publish, request};
use crate::subject::{PUSH_DEAD_STREAM, PUSH_DEAD_SUBJECT, PUSH_STREAM};

/// Jobs of one user that wait in a lane: whose gateway takes nothing leaves others their places.
pub const USER_JOBS_MAX: usize = 1_000;
/// How long the stream knows a job again that was published before.
pub const DUPLICATES_KNOWN_FOR: Duration = Duration::from_secs(600);
/// A job that nobody has said anything of for so long is given to somebody again.
pub(crate) const ACK_WAIT: Duration = Duration::from_secs(60);
/// Jobs of one pull.
const PULL_JOBS: usize = 64;
const PULL_EXPIRES: Duration = Duration::from_secs(10);
/// After a pull should have ended it is taken for lost.
const PULL_LATE: Duration = Duration::from_secs(2);
/// Between two attempts where the queue can't be asked.
const PAUSE: Duration = Duration::from_millis(500);
/// The header by which the stream knows a message again.
const MESSAGE_ID: &str = "Nats-Msg-Id";

/// Which of two queues: who waits in one waits for nobody in the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lane {
    /// Direct messages and mentions.
    First,
    Rest,
}

impl Lane {
    pub const ALL: [Self; 2] = [Self::First, Self::Rest];

    /// The subjects of all users' jobs.
    pub(crate) fn subjects(self) -> String {
        format!("weft.push.{self}.*")
    }

    fn subject(self, user: &UserId) -> String {
        format!("weft.push.{self}.{user}")
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::First => "first",
            Self::Rest => "rest",
        })
    }
}

/// Keeps a job for a user. Returns when the stream has it, or knows it from before; false: as many of the user's wait in
/// this lane as may ([`USER_JOBS_MAX`]).
///
/// # Errors
/// [`Error::JetStream`] where the stream is full, [`Error::NoStream`], [`Error::Timeout`], [`Error::NoResponders`].
pub async fn put(
    bus: &Bus,
    lane: Lane,
    user: &UserId,
    id: &str,
    payload: Bytes,
) -> Result<bool, Error> {
    put_on(bus, lane.subject(user), id, payload).await
}

/// Keeps a job on a subject; false: as many as may wait there.
pub(crate) async fn put_on(
    bus: &Bus,
    subject: String,
    id: &str,
    payload: Bytes,
) -> Result<bool, Error> {
    match keep(bus, subject, id, payload).await {
        Ok(()) => Ok(true),
        // "maximum messages per subject exceeded", which has no code of its own.
        Err(Error::JetStream { description, .. }) if description.contains("per subject") => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Keeps a letter that could not be delivered.
///
/// # Errors
/// As [`put`].
pub async fn put_dead(bus: &Bus, id: &str, payload: Bytes) -> Result<(), Error> {
    keep(bus, PUSH_DEAD_SUBJECT.to_owned(), id, payload).await
}

pub(crate) async fn keep(
    bus: &Bus,
    subject: String,
    id: &str,
    payload: Bytes,
) -> Result<(), Error> {
    let headers = [(MESSAGE_ID, id)];
    let kept = publish::<Value>(bus.link(), subject.clone(), &headers, payload).await?;
    kept.map(drop).map_err(|error| error.into_error(subject))
}

/// What of which stream is taken, and by which consumer.
pub(crate) struct Queue {
    pub(crate) stream: &'static str,
    pub(crate) consumer: String,
    pub(crate) subjects: String,
}

/// Takes the jobs of a queue, with whoever else does so.
pub struct JobReader {
    link: Arc<Link>,
    queue: Queue,
    connection: watch::Receiver<Connection>,
    /// The consumer is there, as far as is known.
    is_made: bool,
    pull: Option<Pull>,
}

/// A pull that is underway.
struct Pull {
    subscription: Subscription,
    generation: u64,
    left: usize,
    ends_at: Instant,
}

/// A job that is this process's until it says something of it, or for a minute.
pub struct Job {
    link: Arc<Link>,
    message: Message,
}

impl JobReader {
    #[must_use]
    pub fn new(bus: &Bus, lane: Lane) -> Self {
        let (consumer, subjects) = (lane.to_string(), lane.subjects());
        Self::of(bus, Queue { stream: PUSH_STREAM, consumer, subjects })
    }

    pub(crate) fn of(bus: &Bus, queue: Queue) -> Self {
        let link = Arc::clone(bus.link());
        Self { connection: link.connection(), link, queue, is_made: false, pull: None }
    }

    /// The next job. It waits for as long as there is none, or the queue can't be asked. Cancel-safe.
    pub async fn next(&mut self) -> Job {
        loop {
            let Some(pull) = &mut self.pull else {
                match self.begin().await {
                    Ok(pull) => self.pull = Some(pull),
                    Err(error) => {
                        let stream = self.queue.stream;
                        tracing::debug!(stream, %error, "the queue of jobs can't be asked");
                        sleep(PAUSE).await;
                    }
                }
                continue;
            };
            let left = pull.ends_at.saturating_duration_since(Instant::now());
            let message = tokio::select! {
                biased;
                message = timeout(left, pull.subscription.next()) => message.ok().flatten(),
                () = made_anew(&mut self.connection, pull.generation) => None,
            };
            match message {
                Some(message) if message.reply().is_some_and(|it| it.starts_with("$JS.ACK.")) => {
                    pull.left -= 1;
                    if pull.left == 0 {
                        self.pull = None;
                    }
                    return Job { link: Arc::clone(&self.link), message };
                }
                // It has ended, or is lost; what of it comes later is given to somebody again.
                ended => {
                    self.is_made = ended.is_some_and(|it| it.status() == Some(408));
                    self.pull = None;
                }
            }
        }
    }

    async fn begin(&mut self) -> Result<Pull, Error> {
        if !self.is_made {
            self.make().await?;
            self.is_made = true;
        }
        let generation = self.link.state().generation;
        let inbox = self.link.new_inbox();
        let subscription = self.link.subscribe(inbox.clone()).await?;
        let expires = u64::try_from(PULL_EXPIRES.as_nanos()).unwrap_or(u64::MAX);
        let body = json!({ "batch": PULL_JOBS, "expires": expires }).to_string();
        let Queue { stream, consumer, .. } = &self.queue;
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}");
        self.link.publish(subject, Some(inbox), &[], body.into()).await?;
        let ends_at = Instant::now() + PULL_EXPIRES + PULL_LATE;
        Ok(Pull { subscription, generation, left: PULL_JOBS, ends_at })
    }

    /// The consumer is made where it is not there; where it is, that changes nothing.
    async fn make(&self) -> Result<(), Error> {
        let Queue { stream, consumer: name, subjects: subject } = &self.queue;
        let verb = format!("CONSUMER.CREATE.{stream}.{name}.{subject}");
        let ack_wait = u64::try_from(ACK_WAIT.as_nanos()).unwrap_or(u64::MAX);
        let config = json!({
            "name": name,
            "durable_name": name,
            "filter_subject": subject,
            "ack_policy": "explicit",
            "ack_wait": ack_wait,
            "deliver_policy": "all",
            "replay_policy": "instant",
            "max_deliver": -1,
            // A gateway that is away for a day has all of its jobs waiting, and nobody else waits for them.
            "max_ack_pending": -1,
        });
        let body = json!({ "stream_name": stream, "config": config, "action": "" });
        request::<Value>(&self.link, &verb, &body).await.map(drop)
    }
}

impl Job {
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        self.message.payload()
    }

    #[must_use]
    pub fn subject(&self) -> &str {
        self.message.subject()
    }

    /// Its place in the stream; 0: the server has not said it in a form that is known.
    #[must_use]
    pub fn stream_seq(&self) -> u64 {
        stream_seq(self.message.reply().unwrap_or_default())
    }

    /// It is done. Returns when the stream has forgotten it.
    ///
    /// # Errors
    /// [`Error::Timeout`], [`Error::NoResponders`]: it may be given to somebody again.
    pub async fn done(self) -> Result<(), Error> {
        let subject = self.message.reply().unwrap_or_default().to_owned();
        let inbox = self.link.new_inbox();
        let mut answer = self.link.subscribe(inbox.clone()).await?;
        self.link.publish(subject, Some(inbox), &[], Bytes::from_static(b"+ACK")).await?;
        let answer = timeout(SEND_TIMEOUT, answer.next()).await;
        let answer = answer.map_err(|_| Error::Timeout("a job"))?.ok_or(Error::Closed)?;
        match answer.status() {
            Some(503) => Err(Error::NoResponders("a job".into())),
            _ => Ok(()),
        }
    }

    /// It is to come again after so long.
    ///
    /// # Errors
    /// Those of a publish. Then it comes again after a minute.
    pub async fn again_after(self, wait: Duration) -> Result<(), Error> {
        let subject = self.message.reply().unwrap_or_default().to_owned();
        let delay = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        let body = format!("-NAK {}", json!({ "delay": delay }));
        self.link.publish(subject, None, &[], body.into()).await
    }
}

/// A letter that could not be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Names it.
    pub seq: u64,
    pub payload: Bytes,
}

/// Where letters of one kind are.
#[derive(Clone, Copy, Debug)]
pub struct Letters {
    pub(crate) stream: &'static str,
    pub(crate) subjects: &'static str,
}

/// Notifications that could not be delivered.
pub const PUSH_LETTERS: Letters = Letters { stream: PUSH_DEAD_STREAM, subjects: PUSH_DEAD_SUBJECT };

/// The place in the stream that a job's reply subject says: `$JS.ACK.<stream>.<consumer>.<delivered>.<place>…`, or with a domain
/// and an account before the stream.
fn stream_seq(reply: &str) -> u64 {
    let words: Vec<&str> = reply.split('.').collect();
    let place = if words.len() > 10 { words.get(7) } else { words.get(5) };
    place.and_then(|word| word.parse().ok()).unwrap_or(0)
}

/// The first letters after a number that could not be delivered.
///
/// # Errors
/// As every request to JetStream.
pub async fn dead_letters(
    bus: &Bus,
    of: Letters,
    after: u64,
    limit: usize,
) -> Result<Vec<DeadLetter>, Error> {
    let (mut letters, mut next) = (Vec::new(), after + 1);
    while letters.len() < limit {
        let found = first_from(bus, of.stream, of.subjects, next).await?;
        let Some((seq, payload)) = found else { break };
        letters.push(DeadLetter { seq, payload });
        next = seq + 1;
    }
    Ok(letters)
}

/// The first message of a subject from a place on.
pub(crate) async fn first_from(
    bus: &Bus,
    stream: &str,
    subject: &str,
    seq: u64,
) -> Result<Option<(u64, Bytes)>, Error> {
    #[derive(Deserialize)]
    struct Got {
        message: Stored,
    }
    #[derive(Deserialize)]
    struct Stored {
        seq: u64,
        /// Base64.
        #[serde(default)]
        data: String,
    }
    let verb = format!("STREAM.MSG.GET.{stream}");
    let which = json!({ "seq": seq, "next_by_subj": subject });
    let stored = match ask::<Got>(bus.link(), &verb, &which).await? {
        Ok(got) => got.message,
        // 10037: there is no such message.
        Err(JsError { err_code: 10_037, .. }) => return Ok(None),
        Err(error) => return Err(error.into_error(verb)),
    };
    let payload = STANDARD.decode(stored.data).map_err(|_| Error::Malformed("stored message"))?;
    Ok(Some((stored.seq, payload.into())))
}

/// Removes a letter that could not be delivered.
///
/// # Errors
/// As every request to JetStream.
pub async fn remove_dead(bus: &Bus, of: Letters, seq: u64) -> Result<(), Error> {
    let verb = format!("STREAM.MSG.DELETE.{}", of.stream);
    request::<Value>(bus.link(), &verb, &json!({ "seq": seq })).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jobs_place_is_read_from_both_forms() {
        assert_eq!(stream_seq("$JS.ACK.WEFT_WEBHOOKS.all.1.17.3.1764547200000000000.0"), 17);
        let domain = "$JS.ACK.hub.ABCD.WEFT_WEBHOOKS.all.1.17.3.1764547200000000000.0.x";
        assert_eq!(stream_seq(domain), 17);
        assert_eq!((stream_seq(""), stream_seq("$JS.ACK.x")), (0, 0));
    }
}
