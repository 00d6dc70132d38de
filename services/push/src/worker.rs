//! A job from its time to its end. Whatever happens to this process, the job is in the queue until it is done.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use lru::LruCache;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use weft_nats::Bus;
use weft_nats::jobs::{self, JobReader, Lane};
use weft_outbound::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
};
use weft_outbound::{Method, Outbound, Request, Url};
use weft_proto::frame::{WEB_PUSH, WEBHOOK};
use weft_proto::svc::{DropPush, LookAtPush, Push, PushFacts};
use weft_runtime::{Clock, lock};

use crate::gateways::{Gateways, Refused};
use crate::job::{DeadJob, Job};
use crate::metrics::{DEAD, DELAY, DURATION, NOT_SENT, REQUESTS, WAITED};
use crate::rule::{Why, decide};
use crate::templates::{Notification, notification};
use crate::web_push::{self, Vapid};
use crate::webhook;

/// Jobs of a lane that are worked on at once.
const FIRST_MAX: usize = 128;
const REST_MAX: usize = 128;
/// So long a notification is tried.
const TRIED_FOR: Duration = Duration::from_secs(24 * 3_600);
/// The wait before another try is about half of the age, between these.
const WAIT_MIN: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(1_800);
/// After core or a gateway's permits could not be had.
const BUSY_WAIT: Duration = Duration::from_millis(500);
/// Jobs that this process remembers to have done, where the queue gives one again.
const REMEMBERED: usize = 100_000;

pub(crate) struct Worker {
    pub(crate) bus: Bus,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) outbound: Outbound,
    pub(crate) vapid: Vapid,
    /// How long a user has to see it by themselves.
    pub(crate) delay: Duration,
    gateways: Gateways,
    done: Mutex<LruCache<String, ()>>,
}

/// What becomes of a job.
#[derive(Debug, PartialEq)]
enum End {
    Done,
    Later(Duration),
    Dead(String),
}

/// What a gateway has said.
#[derive(Debug, PartialEq)]
enum Answer {
    Delivered,
    /// It does not know the address any more.
    Gone,
    /// It will never take this one.
    Refused(String),
    /// Later, perhaps after so long.
    Failed {
        reason: String,
        after: Option<Duration>,
        is_limit: bool,
    },
}

impl Worker {
    pub(crate) fn new(
        (bus, clock): (Bus, Arc<dyn Clock>),
        (outbound, vapid): (Outbound, Vapid),
        delay: Duration,
    ) -> Self {
        let remembered = NonZeroUsize::new(REMEMBERED).unwrap_or(NonZeroUsize::MIN);
        let (gateways, done) = (Gateways::default(), Mutex::new(LruCache::new(remembered)));
        Self { bus, clock, outbound, vapid, delay, gateways, done }
    }

    /// Works on the jobs of a lane until it is stopped, and then on those that are begun.
    pub(crate) async fn run(self: Arc<Self>, lane: Lane, stop: CancellationToken) {
        let at_once = Arc::new(Semaphore::new(match lane {
            Lane::First => FIRST_MAX,
            Lane::Rest => REST_MAX,
        }));
        let (mut reader, tasks) = (JobReader::new(&self.bus, lane), TaskTracker::new());
        loop {
            let next = async {
                let permit = Arc::clone(&at_once).acquire_owned().await;
                (permit, reader.next().await)
            };
            let Some((permit, job)) = stop.run_until_cancelled(next).await else { break };
            let worker = Arc::clone(&self);
            tasks.spawn(async move {
                worker.work(job).await;
                drop(permit);
            });
        }
        tasks.close();
        tasks.wait().await;
    }

    async fn work(&self, queued: jobs::Job) {
        let job = match serde_json::from_slice::<Job>(queued.payload()) {
            Ok(job) => job,
            Err(error) => {
                tracing::error!(%error, "a job can't be read: it is dropped");
                let _ = queued.done().await;
                return;
            }
        };
        let id = job.id();
        let is_done = lock(&self.done).contains(&id);
        let end = if is_done { End::Done } else { self.end_of(&job).await };
        let said = match end {
            End::Done => {
                lock(&self.done).put(id.clone(), ());
                queued.done().await
            }
            End::Later(wait) => queued.again_after(wait).await,
            End::Dead(reason) => match self.bury(job, reason).await {
                Ok(()) => queued.done().await,
                Err(_) => queued.again_after(BUSY_WAIT).await,
            },
        };
        if let Err(error) = said {
            // It comes again by itself, and is known then.
            tracing::debug!(job = id, %error, "the queue could not be told of a job");
        }
    }

    async fn bury(&self, job: Job, reason: String) -> Result<(), weft_nats::Error> {
        tracing::warn!(room = job.room, seq = job.seq, user = job.user, reason, "not notified");
        let (id, died_ms) = (job.id(), self.clock.now_ms());
        let dead = serde_json::to_vec(&DeadJob { job, reason, died_ms });
        let dead = dead.map_err(|_| weft_nats::Error::Malformed("dead job"))?;
        jobs::put_dead(&self.bus, &format!("{id}/{died_ms}"), dead.into()).await?;
        DEAD.increment();
        Ok(())
    }

    fn age(&self, job: &Job) -> Duration {
        Duration::from_millis(self.clock.now_ms().saturating_sub(job.at_ms))
    }

    async fn end_of(&self, job: &Job) -> End {
        let age = self.age(job);
        if age < self.delay {
            WAITED.increment("early");
            return End::Later(self.delay - age);
        }
        let facts = match self.bus.call(&LookAtPush { target: Some(job.target()) }).await {
            Ok(facts) => facts,
            Err(error) => {
                tracing::debug!(%error, "core can't be asked whether a device is to be notified");
                WAITED.increment("core");
                return self.try_later(job, format!("core: {}", error.code.as_str()), None);
            }
        };
        if let Err(why) = decide(&facts, self.clock.now_ms()) {
            NOT_SENT.increment(why.as_str());
            return End::Done;
        }
        let Some(push) = facts.push.clone() else { return End::Done };
        let url = match self.outbound.check(&push.address) {
            Ok(url) => url,
            Err(error) => return End::Dead(error.to_string()),
        };
        let origin = url.origin().ascii_serialization();
        let permit = match self.gateways.admit(&origin) {
            Ok(permit) => permit,
            Err(Refused::Busy) => {
                WAITED.increment("busy");
                return End::Later(jittered(BUSY_WAIT));
            }
            Err(Refused::Open(wait)) => {
                WAITED.increment("open");
                return self.try_later(job, "its gateway fails".to_owned(), Some(wait));
            }
        };
        let answer = self.send(job, (&facts, &push), (url, &origin)).await;
        drop(permit);
        self.after(job, push, &origin, answer).await
    }

    async fn after(&self, job: &Job, push: Push, origin: &str, answer: Answer) -> End {
        let has_failed = matches!(&answer, Answer::Failed { is_limit: false, .. });
        self.gateways.note(origin, has_failed);
        match answer {
            Answer::Delivered => {
                REQUESTS.increment("delivered");
                DELAY.record(self.age(job).as_secs_f64());
                End::Done
            }
            Answer::Gone => {
                REQUESTS.increment("gone");
                let (user, device) = (job.user.clone(), job.device.clone());
                let gone = DropPush { user, device, address: push.address };
                match self.bus.call(&gone).await {
                    Ok(_) => {
                        NOT_SENT.increment(Why::Unregistered.as_str());
                        End::Done
                    }
                    Err(_) => End::Later(jittered(BUSY_WAIT)),
                }
            }
            Answer::Refused(reason) => {
                REQUESTS.increment("refused");
                End::Dead(reason)
            }
            Answer::Failed { reason, after, is_limit } => {
                REQUESTS.increment(if is_limit { "limited" } else { "failed" });
                WAITED.increment("failed");
                self.try_later(job, reason, after)
            }
        }
    }

    /// Another try, after a while that grows with the age of the job; none, a day after its entry.
    fn try_later(&self, job: &Job, reason: String, after: Option<Duration>) -> End {
        let age = self.age(job);
        if age >= TRIED_FOR {
            return End::Dead(reason);
        }
        let wait = jittered((age / 2).clamp(WAIT_MIN, WAIT_MAX));
        End::Later(after.map_or(wait, |after| after.min(TRIED_FOR) + jittered(WAIT_MIN / 2)))
    }

    async fn send(
        &self,
        job: &Job,
        (facts, push): (&PushFacts, &Push),
        (url, origin): (Url, &str),
    ) -> Answer {
        let told = notification(&job.room, job.seq, facts, push);
        let Some(request) = self.request(job, (&told, push), (url, origin)) else {
            return Answer::Refused("the notification can't be made for the device".to_owned());
        };
        let began_at = Instant::now();
        let sent = self.outbound.send(request).await;
        DURATION.record(began_at.elapsed().as_secs_f64());
        match sent {
            Ok(answer) => {
                let after = answer.headers().get(RETRY_AFTER).and_then(retry_after);
                read(answer.status().as_u16(), after)
            }
            Err(
                error @ (weft_outbound::Error::Url(_)
                | weft_outbound::Error::HostRefused
                | weft_outbound::Error::NotPublic),
            ) => Answer::Refused(error.to_string()),
            Err(error) => {
                Answer::Failed { reason: error.to_string(), after: None, is_limit: false }
            }
        }
    }

    /// `None`: it can't be made.
    fn request(
        &self,
        job: &Job,
        (told, push): (&Notification, &Push),
        (url, origin): (Url, &str),
    ) -> Option<Request> {
        let now_s = self.clock.now_ms() / 1_000;
        let text = serde_json::to_vec(told).ok()?;
        let mut headers = HeaderMap::new();
        let mut set = |name: HeaderName, value: &str| {
            headers.insert(name, HeaderValue::from_str(value).ok()?);
            Some(())
        };
        let body: Bytes = match &*push.kind {
            WEB_PUSH => {
                set(AUTHORIZATION, &self.vapid.authorization(origin, now_s).ok()?)?;
                set(CONTENT_ENCODING, "aes128gcm")?;
                set(CONTENT_TYPE, "application/octet-stream")?;
                set(HeaderName::from_static("ttl"), &web_push::TTL.as_secs().to_string())?;
                set(HeaderName::from_static("urgency"), if job.first { "high" } else { "normal" })?;
                // What is said to the user alone is not replaced by what others say in the room.
                let of = if job.first { job.id() } else { told.tag.clone() };
                set(HeaderName::from_static("topic"), &web_push::topic(&of))?;
                web_push::encrypt(&push.p256dh, &push.secret, &text)?.into()
            }
            WEBHOOK => {
                let id = web_push::topic(&job.id());
                let signature = webhook::signature(&push.secret, &id, now_s, &text);
                set(CONTENT_TYPE, "application/json")?;
                set(HeaderName::from_static(webhook::ID), &id)?;
                set(HeaderName::from_static(webhook::TIMESTAMP), &now_s.to_string())?;
                set(HeaderName::from_static(webhook::SIGNATURE), &signature)?;
                text.into()
            }
            _ => return None,
        };
        Some(Request { method: Method::POST, url, headers, body })
    }
}

/// What a status means. Numbers: RFC 8030, and what services do beyond it.
fn read(status: u16, after: Option<Duration>) -> Answer {
    let reason = format!("status {status}");
    match status {
        200..=299 => Answer::Delivered,
        404 | 410 => Answer::Gone,
        429 => Answer::Failed { reason, after, is_limit: true },
        408 | 425 | 500..=599 => Answer::Failed { reason, after, is_limit: false },
        _ => Answer::Refused(reason),
    }
}

/// Seconds. A date is passed over: then it is tried as after any failure.
fn retry_after(value: &HeaderValue) -> Option<Duration> {
    value.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// From half of it to one and a half.
fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(0.5 + rand::random::<f64>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateways_answers_mean_what_they_say() {
        assert_eq!(read(201, None), Answer::Delivered);
        assert_eq!((read(404, None), read(410, None)), (Answer::Gone, Answer::Gone));
        let after = Some(Duration::from_secs(7));
        let limited = |status: u16, is_limit| Answer::Failed {
            reason: format!("status {status}"),
            after,
            is_limit,
        };
        assert_eq!(read(429, after), limited(429, true));
        assert_eq!(read(503, after), limited(503, false));
        for status in [301, 400, 401, 403, 413] {
            assert_eq!(read(status, None), Answer::Refused(format!("status {status}")));
        }
        let value = HeaderValue::from_static("7");
        assert_eq!(retry_after(&value), after);
        assert_eq!(retry_after(&HeaderValue::from_static("Mon, 30 Nov 2026 00:00:00 GMT")), None);
        for _ in 0..100 {
            let wait = jittered(Duration::from_secs(2));
            assert!((1.0..=3.0).contains(&wait.as_secs_f64()), "{wait:?}");
        }
    }
}
