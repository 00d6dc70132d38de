//! A job from its turn to its end. Whatever happens to this process, the job is in the queue until it is done.
//!
//! Several processes work on the queue, each with jobs of its own. Only who holds the first job of a webhook tries it, so what is
//! delivered to a webhook is delivered in its order, and once, but for the receiver's own ambiguity: a process that is killed before
//! the queue has heard that a job is done.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lru::LruCache;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use weft_nats::webhooks::{self, WebhookJob};
use weft_nats::{Bus, jobs};
use weft_outbound::gateways::{Gateways, Refused};
use weft_outbound::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use weft_outbound::{Method, Outbound, Request, Url, webhook};
use weft_proto::svc::{LookAtWebhook, NoteWebhook, WebhookFacts, WebhookPlace, WebhookTarget};
use weft_runtime::{Clock, lock};

use super::delivery::{Answer, delivery, read, wait};
use super::lanes::{Came, Lanes};
use super::letter::DeadDelivery;
use super::metrics::{DEAD, DURATION, NOT_SENT, PAUSED, REQUESTS, WAITED};

/// Jobs that this process holds, of all webhooks.
const HELD_MAX: usize = 8_192;
/// Requests that are underway at once, to all receivers.
const REQUESTS_MAX: usize = 512;
/// One that was taken longer ago may soon be given to another process.
const FRESH_FOR: Duration = Duration::from_secs(30);
const _: () = assert!(
    FRESH_FOR.as_secs() + super::PATIENCE.as_secs() < webhooks::TAKEN_FOR.as_secs(),
    "a request ends before the job is given to another process"
);
/// How long, and how often, the job before one is waited for, here.
const TURN_PAUSE: Duration = Duration::from_millis(50);
const TURN_TRIES: u32 = 10;
/// After core, the queue, or a place could not be had.
const BUSY_WAIT: Duration = Duration::from_millis(500);
/// Jobs that this process remembers to have done, where the queue gives one again.
const REMEMBERED: usize = 100_000;

pub(crate) struct Worker {
    bus: Bus,
    clock: Arc<dyn Clock>,
    outbound: Outbound,
    /// After failing for so long a webhook is paused.
    pause_after: Duration,
    requests: Semaphore,
    gateways: Gateways,
    lanes: Mutex<Lanes<Held>>,
    done: Mutex<LruCache<String, ()>>,
}

/// A job of this process, and its place among those that it holds.
struct Held {
    queued: jobs::Job,
    job: WebhookJob,
    taken_at: Instant,
    _place: OwnedSemaphorePermit,
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
        outbound: Outbound,
        pause_after: Duration,
    ) -> Self {
        let remembered = NonZeroUsize::new(REMEMBERED).unwrap_or(NonZeroUsize::MIN);
        Self {
            bus,
            clock,
            outbound,
            pause_after,
            requests: Semaphore::new(REQUESTS_MAX),
            gateways: Gateways::default(),
            lanes: Mutex::default(),
            done: Mutex::new(LruCache::new(remembered)),
        }
    }

    /// Works on jobs until it is stopped, and then on those that are begun.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(HELD_MAX));
        let (mut reader, tasks) = (webhooks::reader(&self.bus), TaskTracker::new());
        loop {
            let next = async {
                let place = Arc::clone(&places).acquire_owned().await;
                (place, reader.next().await)
            };
            let Some((Ok(place), queued)) = stop.run_until_cancelled(next).await else { break };
            self.came(queued, place, (&tasks, &stop)).await;
        }
        tasks.close();
        tasks.wait().await;
    }

    async fn came(
        self: &Arc<Self>,
        queued: jobs::Job,
        place: OwnedSemaphorePermit,
        (tasks, stop): (&TaskTracker, &CancellationToken),
    ) {
        let job = match serde_json::from_slice::<WebhookJob>(queued.payload()) {
            Ok(job) => job,
            Err(error) => {
                tracing::error!(%error, "a job of a webhook can't be read: it is dropped");
                let _ = queued.done().await;
                return;
            }
        };
        let (subject, seq) = (queued.subject().to_owned(), queued.stream_seq());
        let held = Held { queued, job, taken_at: Instant::now(), _place: place };
        let came = lock(&self.lanes).came(&subject, seq, held, Instant::now());
        match came {
            Came::Held { begins: false } => {}
            Came::Held { begins: true } => {
                let (worker, stop) = (Arc::clone(self), stop.clone());
                tasks.spawn(async move { worker.work_on(&subject, &stop).await });
            }
            Came::Back(held, wait) => give_back(vec![held], wait).await,
        }
    }

    /// Works on a webhook's jobs that are held, until there is none, or one has to wait.
    async fn work_on(&self, subject: &str, stop: &CancellationToken) {
        let mut tries = 0;
        loop {
            let Some(held) = lock(&self.lanes).first(subject) else { return };
            if stop.is_cancelled() {
                return self.end(subject, BUSY_WAIT).await;
            }
            let first = match webhooks::first_of(&self.bus, subject).await {
                Ok(first) => first,
                Err(error) => {
                    tracing::debug!(%error, "the queue of webhooks can't be asked");
                    WAITED.increment("queue");
                    return self.end(subject, BUSY_WAIT).await;
                }
            };
            if let Some(first) = first.filter(|first| *first < held) {
                // Whoever has that one may be about to end it.
                tries += 1;
                if tries <= TURN_TRIES {
                    sleep(TURN_PAUSE).await;
                    continue;
                }
                WAITED.increment("turn");
                let (all, wait) = lock(&self.lanes).end_turn(subject, first, Instant::now());
                return give_back(all, wait).await;
            }
            tries = 0;
            let Some(held_one) = lock(&self.lanes).take(subject, held) else { continue };
            // Where the queue does not have it any more, somebody else has done it.
            if first != Some(held) {
                continue;
            }
            if let Some(wait) = self.work(held_one).await {
                return self.end(subject, wait).await;
            }
            lock(&self.lanes).is_well(subject);
        }
    }

    async fn end(&self, subject: &str, wait: Duration) {
        let all = lock(&self.lanes).end(subject, wait, Instant::now());
        give_back(all, wait).await;
    }

    /// Works on a job whose turn it is. How long the webhook is left alone where it is not over.
    async fn work(&self, held: Held) -> Option<Duration> {
        let Held { queued, job, taken_at, .. } = held;
        // It comes again by itself, perhaps to another process, which may have it already.
        if taken_at.elapsed() >= FRESH_FOR {
            return Some(BUSY_WAIT);
        }
        let id = job.id();
        let is_done = lock(&self.done).contains(&id);
        let end = if is_done { End::Done } else { self.end_of(&job).await };
        let wait = match &end {
            End::Done => {
                lock(&self.done).put(id.clone(), ());
                None
            }
            End::Later(wait) => Some(*wait),
            End::Dead(reason) => self.bury(&job, reason).await.err().map(|_| BUSY_WAIT),
        };
        let said = match wait {
            None => queued.done().await,
            Some(wait) => queued.again_after(wait).await,
        };
        if let Err(error) = said {
            // It comes again by itself, and is known then.
            tracing::debug!(job = id, %error, "the queue could not be told of a job");
            return Some(wait.unwrap_or(BUSY_WAIT));
        }
        wait
    }

    async fn bury(&self, job: &WebhookJob, reason: &str) -> Result<(), weft_nats::Error> {
        tracing::info!(webhook = %job.webhook, room = %job.room, seq = job.seq, reason, "not delivered");
        let died_ms = self.clock.now_ms();
        let letter = DeadDelivery { job: job.clone(), reason: reason.to_owned(), died_ms };
        let bytes = serde_json::to_vec(&letter);
        let bytes = bytes.map_err(|_| weft_nats::Error::Malformed("dead letter"))?;
        let id = format!("{}/{died_ms}", job.id());
        webhooks::put_dead(&self.bus, &job.webhook, &id, bytes.into()).await?;
        DEAD.increment();
        Ok(())
    }

    async fn end_of(&self, job: &WebhookJob) -> End {
        let target =
            WebhookTarget { webhook: Some(place(job)), room: job.room.to_string(), seq: job.seq };
        let facts = match self.bus.call(&LookAtWebhook { target: Some(target) }).await {
            Ok(facts) => facts,
            Err(error) => {
                tracing::debug!(%error, "core can't be asked whether a webhook is to be told");
                WAITED.increment("core");
                return End::Later(jittered(BUSY_WAIT));
            }
        };
        if !facts.is_wanted {
            NOT_SENT.increment();
            return End::Done;
        }
        if facts.is_failed {
            return End::Dead("the webhook is paused, since it failed for too long".to_owned());
        }
        let url = match self.outbound.check(&facts.url) {
            Ok(url) => url,
            Err(error) => return self.failed(job, &facts, (error.to_string(), None)).await,
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
                return End::Later(wait + jittered(BUSY_WAIT));
            }
        };
        let end = self.send(job, &facts, (url, &origin)).await;
        drop(permit);
        end
    }

    async fn send(
        &self,
        job: &WebhookJob,
        facts: &WebhookFacts,
        (url, origin): (Url, &str),
    ) -> End {
        let Some(request) = self.request(job, facts, url) else {
            return End::Dead("the delivery can't be made".to_owned());
        };
        let Ok(_request) = self.requests.acquire().await else { return End::Later(BUSY_WAIT) };
        let began_at = Instant::now();
        let sent = self.outbound.send(request).await;
        DURATION.record(began_at.elapsed().as_secs_f64());
        // A path that is slow or wrong says nothing of the others that a host has; one that nobody reaches does.
        let is_away = matches!(&sent, Err(weft_outbound::Error::Transport(_)));
        self.gateways.note(origin, is_away);
        let answer = match sent {
            Ok(answer) => answer,
            Err(error) => return self.failed(job, facts, (error.to_string(), None)).await,
        };
        let status = answer.status().as_u16();
        let reason = format!("status {status}");
        match read(status) {
            Answer::Delivered => {
                REQUESTS.increment("delivered");
                if facts.failing_since_ms != 0 || facts.missed != 0 {
                    let delivered = Some(facts.missed);
                    // Lost, it is said with the next one.
                    let _ =
                        self.note(job, NoteWebhook { delivered, ..NoteWebhook::default() }).await;
                }
                End::Done
            }
            Answer::Gone => {
                REQUESTS.increment("gone");
                self.give_up(job, reason).await
            }
            Answer::Refused => {
                REQUESTS.increment("refused");
                let has_failed = self.failing_for(facts);
                if has_failed >= self.pause_after && job.seq != 0 {
                    return self.give_up(job, reason).await;
                }
                let failed = Some(reason.clone());
                let _ = self.note(job, NoteWebhook { failed, ..NoteWebhook::default() }).await;
                End::Dead(reason)
            }
            Answer::Failed => {
                let after = answer.headers().get(RETRY_AFTER).and_then(retry_after);
                self.failed(job, facts, (reason, after)).await
            }
        }
    }

    fn failing_for(&self, facts: &WebhookFacts) -> Duration {
        let now_ms = self.clock.now_ms();
        let since_ms = Some(facts.failing_since_ms).filter(|since| *since != 0).unwrap_or(now_ms);
        Duration::from_millis(now_ms.saturating_sub(since_ms))
    }

    async fn failed(
        &self,
        job: &WebhookJob,
        facts: &WebhookFacts,
        (reason, after): (String, Option<Duration>),
    ) -> End {
        REQUESTS.increment("failed");
        let failing_for = self.failing_for(facts);
        let age = Duration::from_millis(self.clock.now_ms().saturating_sub(job.at_ms));
        // Where little is written, one failure long ago and one now are not a day of failures.
        if failing_for.min(age) >= self.pause_after {
            return self.give_up(job, reason).await;
        }
        if facts.failing_since_ms == 0 {
            let failed = Some(reason);
            let _ = self.note(job, NoteWebhook { failed, ..NoteWebhook::default() }).await;
        }
        // Who has asked for it sees in the list why it was not delivered, and asks again.
        if job.seq == 0 {
            return End::Done;
        }
        WAITED.increment("failed");
        End::Later(jittered(wait(failing_for, after)).min(self.pause_after))
    }

    /// The webhook is told nothing more, until somebody says so.
    async fn give_up(&self, job: &WebhookJob, reason: String) -> End {
        let said =
            NoteWebhook { failed: Some(reason.clone()), ends: true, ..NoteWebhook::default() };
        match self.note(job, said).await {
            Ok(()) => {
                tracing::warn!(webhook = %job.webhook, owner = %job.owner, reason, "a webhook is paused");
                PAUSED.increment();
                End::Dead(reason)
            }
            Err(()) => End::Later(jittered(BUSY_WAIT)),
        }
    }

    async fn note(&self, job: &WebhookJob, said: NoteWebhook) -> Result<(), ()> {
        let said = NoteWebhook { webhook: Some(place(job)), ..said };
        self.bus.call(&said).await.map(drop).map_err(|error| {
            tracing::debug!(%error, "core is not told how a webhook fares");
        })
    }

    /// `None`: it can't be made.
    fn request(&self, job: &WebhookJob, facts: &WebhookFacts, url: Url) -> Option<Request> {
        let now_s = self.clock.now_ms() / 1_000;
        let made = delivery(job, facts)?;
        let id = job.id();
        let signatures = webhook::signatures(&facts.secrets, &id, now_s, &made.body);
        let mut headers = HeaderMap::new();
        let fields = [
            (CONTENT_TYPE, made.content_type),
            (HeaderName::from_static(webhook::ID), &id),
            (HeaderName::from_static(webhook::TIMESTAMP), &now_s.to_string()),
            (HeaderName::from_static(webhook::SIGNATURE), &signatures),
        ];
        for (name, value) in fields {
            headers.insert(name, HeaderValue::from_str(value).ok()?);
        }
        Some(Request { method: Method::POST, url, headers, body: made.body.into() })
    }
}

fn place(job: &WebhookJob) -> WebhookPlace {
    WebhookPlace { owner: job.owner.to_string(), id: job.webhook.to_string() }
}

/// They come again after a while. Of those that were taken long ago nothing is said: they do so by themselves.
async fn give_back(all: Vec<Held>, wait: Duration) {
    for held in all {
        if held.taken_at.elapsed() < FRESH_FOR
            && let Err(error) = held.queued.again_after(wait).await
        {
            tracing::debug!(%error, "the queue could not be told of a job");
        }
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
