//! A partition's owner with everything around it in memory: a log, a bus that remembers, a clock
//! that is set, and a store whose commits can go wrong in each way that a real one's can.

mod bus;
mod faulty;
mod stream;

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use weft_core::partition::clocks::Clocks;
use weft_core::partition::ports::{CommandLog as _, EventBus};
use weft_core::partition::quarantine::Quarantine;
use weft_core::partition::quota::{Quota, QuotaLimits};
use weft_core::partition::worker::Worker;
use weft_core::{Error, StoreHealth};
use weft_nats::{IngestMessage, MadeBy, ReplyTo, Trimmed};
use weft_proto::kind::Text;
use weft_proto::{Body, ClientId, NodeId, RoomId, UserId};
use weft_runtime::{Clock, ManualClock};
use weft_storage::memory::Memory;
use weft_storage::tables::account::{self, Account};
use weft_storage::tables::dead_letter::{self, Kept};
use weft_storage::tables::layout::{self, FEATURE_LEVEL, Layout};
use weft_storage::tables::log::{self, Limit};
use weft_storage::{Batch, Store};

pub use bus::Bus;
pub use faulty::{Fault, Faulty, TOO_LARGE};
pub use stream::Log;

pub const START_MS: u64 = 1_790_000_000_000;

struct OwnersClock {
    clock: Arc<ManualClock>,
    ahead_ms: Arc<AtomicI64>,
}

impl Clock for OwnersClock {
    fn now_ms(&self) -> u64 {
        let ahead_ms = self.ahead_ms.load(std::sync::atomic::Ordering::SeqCst);
        self.clock.now_ms().saturating_add_signed(ahead_ms)
    }
}

/// One partition, and those who may own it.
pub struct World {
    pub store: Store,
    pub health: StoreHealth,
    pub engine: Faulty,
    pub log: Log,
    pub bus: Bus,
    /// Everybody's clock...
    pub clock: Arc<ManualClock>,
    /// ...but for the owners', by so much ahead.
    pub ahead_ms: Arc<AtomicI64>,
    pub quota: QuotaLimits,
    pub tick_interval: Option<Duration>,
    pub journal_age: Duration,
    pub edit_window: Duration,
    next_token: std::sync::atomic::AtomicU64,
}

pub struct Owner {
    stop: CancellationToken,
    pub task: tokio::task::JoinHandle<Result<(), Error>>,
}

impl Owner {
    pub async fn leave(self) -> Result<(), Error> {
        self.stop.cancel();
        self.task.await.expect("join")
    }

    /// Ends it between any two steps.
    pub async fn crash(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

impl World {
    pub async fn new(users: &[&str]) -> Self {
        Self::on(Store::new(Memory::new()), users).await
    }

    /// Over an empty store.
    pub async fn on(inner: Store, users: &[&str]) -> Self {
        let gate = watch::channel(true).0;
        let (commits, snapshots) = (watch::channel(0).0, watch::channel(0).0);
        let engine = Faulty {
            inner,
            faults: Arc::default(),
            gate,
            last: Arc::default(),
            commits,
            snapshots,
        };
        let store = Store::new(engine.clone());
        let mut batch = Batch::new([9; 16]);
        let row = Layout::new(1, 7);
        batch.set(layout::key(), row.encode());
        for user in users {
            batch.set(account::key(&user_id(user)), Account::default().encode());
        }
        store.commit(batch).await.expect("commit");
        let clock = Arc::new(ManualClock::new(START_MS));
        Self {
            store,
            health: StoreHealth::default(),
            engine,
            log: Log::new(Arc::clone(&clock)),
            bus: Bus::default(),
            clock,
            ahead_ms: Arc::default(),
            quota: QuotaLimits { rate_per_s: 1_000_000, burst: 1_000_000 },
            tick_interval: Some(weft_core::TICK_INTERVAL),
            journal_age: Duration::from_secs(30 * 86_400),
            edit_window: Duration::ZERO,
            next_token: 1.into(),
        }
    }

    pub fn fail_next(&self, faults: &[Fault]) {
        self.engine.faults.lock().expect("faults").extend(faults);
    }

    /// No further commit fails.
    pub fn engine_heals(&self) {
        self.engine.faults.lock().expect("faults").clear();
    }

    /// Changes the layout row, past the gate.
    pub async fn change_layout(&self) {
        let row = Layout { epoch: 2, ..Layout::new(1, 7) };
        let mut batch = Batch::new([8; 16]);
        batch.set(layout::key(), row.encode());
        self.engine.inner.commit(batch).await.expect("commit");
    }

    /// The store is at an earlier feature level.
    pub async fn set_level(&self, feature_level: u32) {
        let row = Layout { epoch: 2, feature_level, ..Layout::new(1, 7) };
        let mut batch = Batch::new([8; 16]);
        batch.set(layout::key(), row.encode());
        self.engine.inner.commit(batch).await.expect("commit");
    }

    /// Commits wait until the gate is opened again.
    pub fn gate(&self, open: bool) {
        self.engine.gate.send_replace(open);
    }

    fn workers(&self, name: &str) -> impl Fn(Quarantine) -> Worker<Log> + Send + use<> {
        let (owner, health) = (NodeId::new(name).expect("id"), self.health.clone());
        let store = health.watched(self.store.clone());
        let (log, bus) = (self.log.clone(), Arc::new(self.bus.clone()));
        let quota = Arc::new(Quota::new(self.quota));
        let (tick_interval, journal_age) = (self.tick_interval, self.journal_age);
        let edit_window = self.edit_window;
        let (clock, ahead_ms) = (Arc::clone(&self.clock), Arc::clone(&self.ahead_ms));
        let clock = Arc::new(OwnersClock { clock, ahead_ms });
        move |quarantine| Worker {
            partition: 0,
            partitions: 1,
            feature_level: FEATURE_LEVEL,
            owner: owner.clone(),
            store: store.clone(),
            health: health.clone(),
            log: log.clone(),
            bus: Arc::clone(&bus) as Arc<dyn EventBus>,
            clocks: Clocks::new(Arc::clone(&clock) as Arc<dyn Clock>),
            new_batch_id: Box::new(rand::random),
            quota: Arc::clone(&quota),
            groups: Arc::default(),
            rooms_bytes_max: 64 << 20,
            quarantine,
            tick_interval,
            journal_age,
            edit_window,
            file_days: 30,
            outside: None,
        }
    }

    /// Starts an owner; returns when it has the partition.
    pub async fn own(&self, name: &str) -> Owner {
        let (taken, is_taken) = tokio::sync::oneshot::channel();
        let stop = CancellationToken::new();
        let (worker, until, mut taken) = (self.workers(name), stop.clone(), Some(taken));
        let work = Quarantine::run_workers(move |quarantine| {
            let taken = taken.take();
            worker(quarantine).run(until.clone(), || {
                taken.map(|taken| taken.send(()));
            })
        });
        let task = tokio::spawn(work);
        // An error: it ended before; the caller looks at the task.
        let _ = is_taken.await;
        Owner { stop, task }
    }

    /// The log is trimmed up to `seq`, as the store of this id has applied it.
    pub async fn trim(&self, store_id: u64, seq: u64) {
        let to = Trimmed { store_id, made_at_ns: 1, seq };
        self.log.raise_trimmed(to).await.expect("kept");
        self.log.purge_below(seq + 1).await.expect("purge");
    }

    pub fn publish(&self, sender: &str, room: &str, id: Option<ClientId>, body: &Body) -> String {
        self.publish_after(sender, room, (id, None), body)
    }

    /// Publishes a command that names the one before it; returns its token.
    pub fn publish_after(
        &self,
        sender: &str,
        room: &str,
        (id, after): (Option<ClientId>, Option<ClientId>),
        body: &Body,
    ) -> String {
        let number = self.next_token.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let token = format!("t{number}");
        let after = after.map(|id| id.to_string());
        let message = Self::message(sender, room, id, body, &token);
        self.log.publish(IngestMessage { after, ..message });
        token
    }

    /// Publishes a command whose id a server made, and waits for its answer.
    pub async fn send_made(
        &self,
        (sender, room): (&str, &str),
        (id, made_by): (ClientId, MadeBy),
        body: &Body,
    ) -> serde_json::Value {
        let number = self.next_token.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let token = format!("t{number}");
        let message = Self::message(sender, room, Some(id), body, &token);
        self.log.publish(IngestMessage { made_by: Some(made_by), ..message });
        self.bus.answer_to(&token).await
    }

    fn message(
        sender: &str,
        room: &str,
        id: Option<ClientId>,
        body: &Body,
        token: &str,
    ) -> IngestMessage {
        IngestMessage {
            stream_seq: 0,
            stored_at_ms: 0,
            sender: sender.into(),
            room: room.into(),
            client_id: id.map(|id| id.to_string()),
            made_by: None,
            after: None,
            kind: None,
            reply: Some(ReplyTo::User { user: user_id(sender), token: token.to_owned() }),
            is_json: true,
            is_outsider: true,
            payload: body.to_json().into(),
            problem: None,
        }
    }

    /// Publishes a command and waits for its answer.
    pub async fn send(
        &self,
        sender: &str,
        room: &str,
        id: Option<ClientId>,
        body: &Body,
    ) -> serde_json::Value {
        let token = self.publish(sender, room, id, body);
        self.bus.answer_to(&token).await
    }

    /// The commands in quarantine.
    pub async fn dead_letters(&self) -> Vec<Kept> {
        let snapshot = self.store.snapshot().await.expect("snapshot");
        let mut letters: Vec<Kept> = Vec::new();
        loop {
            let after = letters.last().map(|kept| (kept.partition, kept.stream_seq));
            match dead_letter::first_after(&*snapshot, after).await.expect("read") {
                Some(kept) => letters.push(kept),
                None => return letters,
            }
        }
    }

    /// The room's whole log.
    pub async fn entries(&self, room: &str) -> Vec<weft_proto::Entry> {
        let snapshot = self.store.snapshot().await.expect("snapshot");
        let limit = Limit { entries_max: usize::MAX, bytes_max: usize::MAX };
        let room = RoomId::new(room).expect("id");
        let logged = log::read(&*snapshot, &room, 0..u64::MAX, limit).await.expect("read");
        logged.into_iter().map(|logged| logged.entry).collect()
    }
}

pub fn user_id(name: &str) -> UserId {
    UserId::new(name).expect("id")
}

pub fn text(text: &str) -> Body {
    Body::Text(Text { text: text.into(), ..Text::default() })
}

/// Waits until a counter has grown beyond a value.
pub async fn grown(counter: &watch::Sender<u64>, before: u64) {
    counter.subscribe().wait_for(|count| *count > before).await.expect("counter");
}

/// A client id of now.
pub fn id(number: u128) -> ClientId {
    ClientId::from_parts(START_MS, number)
}
