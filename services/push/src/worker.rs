//! A job from its time to its end. Whatever happens to this process, the job is in the queue until it is done.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lru::LruCache;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use weft_nats::Bus;
use weft_nats::jobs::{self, JobReader, Lane};
use weft_outbound::gateways::{Gateways, Refused};
use weft_proto::frame::{APNS, FCM};
use weft_proto::svc::{Attended, DropPush, IsAttended, LookAtPush, Push, PushFacts};
use weft_runtime::{Clock, lock};

use crate::answer::Answer;
use crate::clears::Clears;
use crate::job::{DeadJob, Job};
use crate::message::{Clear, Message, TRIED_FOR};
use crate::metrics::{CLEARS, DEAD, DELAY, NOT_SENT, REQUESTS, WAITED};
use crate::rule::{Why, decide};
use crate::senders::{Place, Senders};
use crate::templates::notification;
use crate::web_push;

/// Jobs of a lane that are worked on at once.
const FIRST_MAX: usize = 128;
const REST_MAX: usize = 128;
/// So long it is tried to tell a device that a room was read elsewhere.
const CLEARED_FOR: Duration = Duration::from_secs(600);
/// The wait before another try is about half of the age, between these.
const WAIT_MIN: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(1_800);
/// After core or a gateway's permits could not be had.
const BUSY_WAIT: Duration = Duration::from_millis(500);
/// How long presence may take to say whether a device is attended.
const ATTENDED_PATIENCE: Duration = Duration::from_secs(1);
/// Jobs that this process remembers to have done, where the queue gives one again.
const REMEMBERED: usize = 100_000;

pub(crate) struct Worker {
    pub(crate) bus: Bus,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) senders: Senders,
    pub(crate) clears: Arc<Clears>,
    pub(crate) delays: Delays,
    gateways: Gateways,
    done: Mutex<LruCache<String, ()>>,
}

/// How long a device waits for its user to see something by themselves.
#[derive(Clone, Copy, Debug)]
pub struct Delays {
    pub all: Duration,
    /// So much longer, while the user looks at a device and uses it.
    pub attended: Duration,
}

/// What becomes of a job.
#[derive(Debug, PartialEq)]
enum End {
    Done,
    Later(Duration),
    Dead(String),
}

impl Worker {
    pub(crate) fn new(
        (bus, clock): (Bus, Arc<dyn Clock>),
        (senders, clears): (Senders, Arc<Clears>),
        delays: Delays,
    ) -> Self {
        let remembered = NonZeroUsize::new(REMEMBERED).unwrap_or(NonZeroUsize::MIN);
        let (gateways, done) = (Gateways::default(), Mutex::new(LruCache::new(remembered)));
        Self { bus, clock, senders, clears, delays, gateways, done }
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
            // Of that nobody has to hear.
            End::Dead(_) if job.clear => {
                CLEARS.increment("given_up");
                queued.done().await
            }
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
        if job.clear && age >= CLEARED_FOR {
            CLEARS.increment("given_up");
            return End::Done;
        }
        if !job.clear && age < self.delays.all {
            WAITED.increment("early");
            return End::Later(self.delays.all - age);
        }
        let facts = match self.bus.call(&LookAtPush { target: Some(job.target()) }).await {
            Ok(facts) => facts,
            Err(error) => {
                tracing::debug!(%error, "core can't be asked whether a device is to be notified");
                WAITED.increment("core");
                return self.try_later(job, format!("core: {}", error.code.as_str()), None);
            }
        };
        if job.clear {
            // It is unread again, or of a device that shows nothing any more.
            if !facts.is_read || !facts.push.as_ref().is_some_and(hears_of_clears) {
                CLEARS.increment("needless");
                return End::Done;
            }
        } else if let Err(why) = decide(&facts, self.clock.now_ms()) {
            NOT_SENT.increment(why.as_str());
            return End::Done;
        }
        let attended_until = self.delays.all + self.delays.attended;
        if !job.clear && age < attended_until && self.is_attended(&job.user).await {
            // Then it is decided anew, whatever is attended.
            WAITED.increment("attended");
            return End::Later(attended_until - age);
        }
        let Some(push) = facts.push.clone() else { return End::Done };
        let place = match self.senders.place(&push) {
            Ok(place) => place,
            Err(reason) => return End::Dead(reason),
        };
        let gateway = place.gateway.clone();
        let permit = match self.gateways.admit(&gateway) {
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
        let answer = self.send(job, (&facts, &push), place).await;
        drop(permit);
        self.after(job, push, &gateway, answer).await
    }

    async fn send(&self, job: &Job, (facts, push): (&PushFacts, &Push), place: Place) -> Answer {
        // A name of the job's that every gateway takes.
        let id = web_push::topic(&job.id());
        if job.clear {
            let clear = Clear::new(&job.room, push.private, facts.badge);
            return self
                .senders
                .send(&Message::Clear { id: &id, clear: &clear }, push, place)
                .await;
        }
        if hears_of_clears(push) {
            self.clears.note(job).await;
        }
        let told = notification(&job.room, job.seq, facts, push);
        let message = Message::Notification { id: &id, told: &told, first: job.first };
        self.senders.send(&message, push, place).await
    }

    /// Whether the user looks at a device and uses it. Where nobody can say, nothing is held back.
    async fn is_attended(&self, user: &str) -> bool {
        let asked = IsAttended { user: user.to_owned() };
        let answer = timeout(ATTENDED_PATIENCE, self.bus.call(&asked)).await;
        matches!(answer, Ok(Ok(Attended { attended: true })))
    }

    async fn after(&self, job: &Job, push: Push, origin: &str, answer: Answer) -> End {
        let has_failed = matches!(&answer, Answer::Failed { is_limit: false, .. });
        self.gateways.note(origin, has_failed);
        match answer {
            Answer::Delivered if job.clear => {
                CLEARS.increment("delivered");
                End::Done
            }
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
}

/// Whether a device can be told something of which nothing is shown. A browser may take the registration from who does that.
fn hears_of_clears(push: &Push) -> bool {
    matches!(&*push.kind, FCM | APNS)
}

/// From half of it to one and a half.
fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(0.5 + rand::random::<f64>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_differ_so_that_not_all_come_at_once() {
        for _ in 0..100 {
            let wait = jittered(Duration::from_secs(2));
            assert!((1.0..=3.0).contains(&wait.as_secs_f64()), "{wait:?}");
        }
    }

    #[test]
    fn only_phones_hear_of_what_was_read_elsewhere() {
        let push = |kind: &str| Push { kind: kind.into(), ..Push::default() };
        assert!(hears_of_clears(&push("fcm")) && hears_of_clears(&push("apns")));
        assert!(!hears_of_clears(&push("webpush")) && !hears_of_clears(&push("webhook")));
    }
}
