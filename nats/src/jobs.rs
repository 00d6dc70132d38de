//! Jobs of `weft push`: a work queue of two lanes, and the letters that could not be delivered.
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
const ACK_WAIT: Duration = Duration::from_secs(60);
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
    match keep(bus, lane.subject(user), id, payload).await {
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

async fn keep(bus: &Bus, subject: String, id: &str, payload: Bytes) -> Result<(), Error> {
    let headers = [(MESSAGE_ID, id)];
    let kept = publish::<Value>(bus.link(), subject.clone(), &headers, payload).await?;
    kept.map(drop).map_err(|error| error.into_error(subject))
}

/// Takes the jobs of a lane, with whoever else does so.
pub struct JobReader {
    link: Arc<Link>,
    lane: Lane,
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
        let link = Arc::clone(bus.link());
        Self { connection: link.connection(), link, lane, is_made: false, pull: None }
    }

    /// The next job. It waits for as long as there is none, or the queue can't be asked. Cancel-safe.
    pub async fn next(&mut self) -> Job {
        loop {
            let Some(pull) = &mut self.pull else {
                match self.begin().await {
                    Ok(pull) => self.pull = Some(pull),
                    Err(error) => {
                        tracing::debug!(lane = %self.lane, %error, "the queue of jobs can't be asked");
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
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{PUSH_STREAM}.{}", self.lane);
        self.link.publish(subject, Some(inbox), &[], body.into()).await?;
        let ends_at = Instant::now() + PULL_EXPIRES + PULL_LATE;
        Ok(Pull { subscription, generation, left: PULL_JOBS, ends_at })
    }

    /// The consumer is made where it is not there; where it is, that changes nothing.
    async fn make(&self) -> Result<(), Error> {
        let (name, subject) = (self.lane.to_string(), self.lane.subjects());
        let verb = format!("CONSUMER.CREATE.{PUSH_STREAM}.{name}.{subject}");
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
        let body = json!({ "stream_name": PUSH_STREAM, "config": config, "action": "" });
        request::<Value>(&self.link, &verb, &body).await.map(drop)
    }
}

impl Job {
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        self.message.payload()
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

/// The first letters after a number that could not be delivered.
///
/// # Errors
/// As every request to JetStream.
pub async fn dead_letters(bus: &Bus, after: u64, limit: usize) -> Result<Vec<DeadLetter>, Error> {
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
    let (mut letters, mut next) = (Vec::new(), after + 1);
    let verb = format!("STREAM.MSG.GET.{PUSH_DEAD_STREAM}");
    while letters.len() < limit {
        let which = json!({ "seq": next, "next_by_subj": PUSH_DEAD_SUBJECT });
        let stored = match ask::<Got>(bus.link(), &verb, &which).await? {
            Ok(got) => got.message,
            // 10037: there is no such message.
            Err(JsError { err_code: 10_037, .. }) => break,
            Err(error) => return Err(error.into_error(verb)),
        };
        let payload = STANDARD.decode(stored.data).map_err(|_| Error::Malformed("dead letter"))?;
        letters.push(DeadLetter { seq: stored.seq, payload: payload.into() });
        next = stored.seq + 1;
    }
    Ok(letters)
}

/// Removes a letter that could not be delivered.
///
/// # Errors
/// As every request to JetStream.
pub async fn remove_dead(bus: &Bus, seq: u64) -> Result<(), Error> {
    let verb = format!("STREAM.MSG.DELETE.{PUSH_DEAD_STREAM}");
    request::<Value>(bus.link(), &verb, &json!({ "seq": seq })).await.map(drop)
}
