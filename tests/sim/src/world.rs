//! What everybody in a schedule shares: chance, time, the trace, the verdict.

use std::fmt::{Arguments, Write as _};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use weft_core::partition::quota::{Quota, QuotaLimits};
use weft_nats::{Answer, ReplyTo, Signal, Trimmed};
use weft_runtime::Clock;
use weft_storage::memory::Memory;

use super::check::Checker;
use super::config::{Config, Fault};
use super::edge::Edge;
use super::life::Life;
use super::log::Stream;
use super::rng::Rng;

pub const START_MS: u64 = 1_790_000_000_000;

/// A schedule that needs more steps than this is going round in circles.
const STEPS_MAX: u64 = 20_000;

pub struct World {
    pub config: Config,
    pub memory: Memory,
    pub stream: Mutex<Stream>,
    pub grown: Notify,
    /// Beside the log: how far it was trimmed.
    pub trimmed: Mutex<Option<Trimmed>>,
    pub check: Mutex<Checker>,
    /// Those that are alive.
    pub edges: Mutex<Vec<Arc<Edge>>>,
    /// Where each client hears its answers.
    pub clients: Mutex<Vec<mpsc::UnboundedSender<Told>>>,
    /// Cancelled with the first violation.
    pub broken: CancellationToken,
    calm: AtomicBool,
    jumped_ms: AtomicI64,
    /// The latest time that the server's clock has shown.
    latest_ms: AtomicU64,
    numbers: AtomicU64,
    bus_back_at: Mutex<Instant>,
    store_back_at: Mutex<Instant>,
    started: Instant,
    inner: Mutex<Inner>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Heard {
    /// The entry is committed.
    Ack,
    /// Not this time; worth another attempt.
    Later,
    /// A refusal.
    No,
    /// What it comes after is not applied: both are to be sent again, in order.
    InOrder,
}

/// An answer as it reaches its client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Told {
    pub heard: Heard,
}

struct Inner {
    rng: Rng,
    trace: String,
    steps: u64,
    violation: Option<String>,
}

impl World {
    pub fn new(config: Config) -> Arc<Self> {
        let rng = Rng::new(config.seed);
        Arc::new(Self {
            config,
            memory: Memory::new(),
            stream: Mutex::default(),
            grown: Notify::new(),
            trimmed: Mutex::default(),
            check: Mutex::default(),
            edges: Mutex::default(),
            clients: Mutex::default(),
            broken: CancellationToken::new(),
            calm: AtomicBool::new(false),
            jumped_ms: AtomicI64::new(0),
            latest_ms: AtomicU64::new(START_MS),
            numbers: AtomicU64::new(0),
            bus_back_at: Mutex::new(Instant::now()),
            store_back_at: Mutex::new(Instant::now()),
            started: Instant::now(),
            inner: Mutex::new(Inner { rng, trace: String::new(), steps: 0, violation: None }),
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("one thread")
    }

    pub fn say(&self, what: Arguments<'_>) {
        let at_ms = self.started.elapsed().as_millis();
        writeln!(self.inner().trace, "{at_ms:>6} {what}").expect("a string takes it");
    }

    /// The schedule has failed. The first violation counts.
    pub fn violate(&self, what: String) {
        self.say(format_args!("VIOLATION {what}"));
        self.inner().violation.get_or_insert(what);
        self.broken.cancel();
    }

    /// Counts a step; false: there were too many.
    pub fn may_step(&self) -> bool {
        let mut inner = self.inner();
        inner.steps += 1;
        let steps = inner.steps;
        drop(inner);
        if steps == STEPS_MAX {
            self.violate("going round in circles".into());
        }
        steps < STEPS_MAX
    }

    pub fn end(&self) -> (String, Option<String>) {
        let mut inner = self.inner();
        (std::mem::take(&mut inner.trace), inner.violation.take())
    }

    /// One of `0..end`.
    pub fn below(&self, end: u64) -> u64 {
        self.inner().rng.below(end)
    }

    /// True where the fault happens on this occasion.
    pub fn hit(&self, fault: Fault) -> bool {
        self.has(fault) && self.below(self.config.rate) == 0
    }

    /// True where the fault is one of this schedule's, and there still are any.
    pub fn has(&self, fault: Fault) -> bool {
        !self.is_calm() && self.config.has(fault)
    }

    /// From now on nothing goes wrong.
    pub fn calm_down(&self) {
        self.calm.store(true, Ordering::SeqCst);
    }

    pub fn is_calm(&self) -> bool {
        self.calm.load(Ordering::SeqCst)
    }

    /// Takes as long as a step takes.
    pub async fn take_time(&self) {
        if !self.has(Fault::Slow) {
            return;
        }
        match self.below(16) {
            0..8 => {}
            8..11 => tokio::task::yield_now().await,
            11..15 => self.sleep_below(20).await,
            _ => self.sleep_below(1_500).await,
        }
    }

    pub async fn sleep_below(&self, end_ms: u64) {
        tokio::time::sleep(Duration::from_millis(self.below(end_ms))).await;
    }

    /// The bus takes no events for a while.
    pub fn bus_goes_away(&self) {
        let for_ms = self.below(6_000);
        self.say(format_args!("the bus is away for {for_ms} ms"));
        *self.bus_back_at.lock().expect("bus") = Instant::now() + Duration::from_millis(for_ms);
    }

    pub fn is_bus_away(&self) -> bool {
        !self.is_calm() && *self.bus_back_at.lock().expect("bus") > Instant::now()
    }

    /// The store answers nothing for a while.
    pub fn store_goes_away(&self) {
        let for_ms = self.below(5_000);
        self.say(format_args!("the store is away for {for_ms} ms"));
        *self.store_back_at.lock().expect("store") = Instant::now() + Duration::from_millis(for_ms);
    }

    pub fn is_store_away(&self) -> bool {
        !self.is_calm() && *self.store_back_at.lock().expect("store") > Instant::now()
    }

    pub fn has_edges(&self) -> bool {
        !self.edges.lock().expect("edges").is_empty()
    }

    pub fn edge(&self) -> Arc<Edge> {
        let edges = self.edges.lock().expect("edges");
        Arc::clone(&edges[self.below(edges.len() as u64) as usize])
    }

    /// An edge dies, and another one comes in its place.
    pub fn an_edge_dies(self: &Arc<Self>) {
        let mut edges = self.edges.lock().expect("edges");
        if edges.is_empty() {
            return;
        }
        let place = self.below(edges.len() as u64) as usize;
        self.say(format_args!("{} dies", edges[place].name));
        edges[place].tasks.token().cancel();
        edges[place] = Edge::start(self, format!("{}x", edges[place].name));
    }

    /// A number that nobody else has.
    pub fn new_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::SeqCst)
    }

    /// An edge's session hears an answer, if the edge still lives.
    pub fn tell_edge(&self, to: &ReplyTo, answer: Answer) {
        let ReplyTo::Edge { edge, token } = to else { return };
        let edges = self.edges.lock().expect("edges").clone();
        if let Some(edge) = edges.iter().find(|it| it.name == edge.as_str()) {
            let token = token.clone();
            edge.sending.answers.hand_on(Signal::Answered { token, answer });
        }
    }

    /// A client hears an answer.
    pub fn tell(&self, client: usize, told: Told) {
        let clients = self.clients.lock().expect("clients");
        // An error: the client has all it wants and has ended.
        let _ = clients[client].send(told);
    }

    pub fn jump(&self, by_ms: i64) {
        self.jumped_ms.fetch_add(by_ms, Ordering::SeqCst);
        self.say(format_args!("the clock jumps by {} min", by_ms / 60_000));
    }

    /// The time that clients see, Unix milliseconds.
    pub fn now_ms(&self) -> u64 {
        let elapsed_ms = self.started.elapsed().as_millis() as u64;
        (START_MS + elapsed_ms).saturating_add_signed(self.jumped_ms.load(Ordering::SeqCst))
    }

    /// The time that nats-server stamps messages with. It jumps with everybody's.
    pub fn server_ms(&self) -> u64 {
        let now_ms = self.now_ms();
        self.latest_ms.fetch_max(now_ms, Ordering::SeqCst);
        now_ms
    }

    /// The latest time that the server's clock has shown.
    pub fn latest_ms(&self) -> u64 {
        self.server_ms();
        self.latest_ms.load(Ordering::SeqCst)
    }

    /// How far an owner's clock is off, for now: by a minute, or by hours.
    pub fn some_skew_ms(&self) -> i64 {
        let most_ms = if self.below(4) == 0 { 27 * 3_600_000 } else { 60_000 };
        self.below(2 * most_ms) as i64 - most_ms as i64
    }

    pub fn quota(&self) -> Arc<Quota> {
        Arc::new(Quota::new(if self.has(Fault::Quota) {
            QuotaLimits { rate_per_s: 1, burst: 3 }
        } else {
            QuotaLimits { rate_per_s: 1_000_000, burst: 1_000_000 }
        }))
    }
}

pub struct SkewedClock(pub Arc<Life>);

impl Clock for SkewedClock {
    fn now_ms(&self) -> u64 {
        let skew_ms = self.0.skew_ms.load(Ordering::SeqCst);
        self.0.world.now_ms().saturating_add_signed(skew_ms)
    }
}
