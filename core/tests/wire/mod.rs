//! A nats-server, one core node on a store in memory, and a sender that behaves as an edge does.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::time::{sleep, timeout};
use weft_core::{Assignment, Core, CoreOptions, QuotaLimits, StorePatience, TICK_INTERVAL};
use weft_harness::server::{Server, user};
use weft_harness::system::copy_folder;
pub use weft_harness::wait::{eventually, soon};
use weft_nats::{
    AssetOptions, Bus, Filter, IngestLog, IngestPublisher, IngestSignals, LogInfo, Signal,
    Subscription,
};
use weft_proto::kind::Text;
use weft_proto::{Body, ClientId, NodeId, RoomId, Tick};
use weft_runtime::{Clock, SystemClock};
use weft_storage::memory::Memory;
use weft_storage::tables::account::{self, Account};
use weft_storage::tables::applied::{self, Applied};
use weft_storage::tables::log::{self, Limit};
use weft_storage::{Batch, Store};

const ROOM: &str = "alice~bob";
/// After this long without an answer a command is sent again.
const RESEND_AFTER: Duration = Duration::from_secs(2);

/// The machine's clock, and by how much it is off.
#[derive(Default)]
pub struct OffClock(pub AtomicI64);

impl Clock for OffClock {
    fn now_ms(&self) -> u64 {
        SystemClock.now_ms().saturating_add_signed(self.0.load(Ordering::SeqCst))
    }
}

pub struct Fixture {
    pub core_bus: Bus,
    pub assets: AssetOptions,
    edge_bus: Bus,
    core: Option<Core>,
    pub store: Store,
    /// Core's.
    pub clock: Arc<OffClock>,
    // Last, so that its users end before it.
    server: Server,
}

impl Fixture {
    pub async fn new() -> Self {
        let clock = Arc::new(OffClock::default());
        let server = Server::bare(1).await;
        let (core_bus, edge_bus) = (server.bus("core", "n").await, server.bus("edge", "n").await);
        let store = Store::new(Memory::new());
        let assets = AssetOptions { partitions: 1, ..AssetOptions::default() };
        let first = core_options(&core_bus, ("c1", &clock), store.clone(), &assets);
        let core = Core::start(first).await.expect("core");
        let mut batch = Batch::new([9; 16]);
        for name in ["alice", "bob"] {
            batch.set(account::key(&user(name)), Account::default().encode());
        }
        store.commit(batch).await.expect("commit");
        soon("the partition", core.ready()).await.expect("ready");
        Self { core_bus, assets, edge_bus, core: Some(core), store, clock, server }
    }

    pub async fn end(mut self) {
        self.end_core().await;
    }

    pub fn core(&self) -> &Core {
        self.core.as_ref().expect("running")
    }

    pub async fn end_core(&mut self) {
        if let Some(core) = self.core.take() {
            assert!(core.shutdown(Duration::from_secs(5)).await.is_empty());
        }
    }

    /// Those of another core, with a handle of its own on the store.
    pub fn core_options(&self, name: &str, store: Store) -> CoreOptions {
        core_options(&self.core_bus, (name, &self.clock), store, &self.assets)
    }

    /// A connection of another part.
    pub async fn bus(&self, role: &'static str) -> Bus {
        self.server.bus(role, "n").await
    }

    pub async fn stop_server(&mut self) {
        self.server.stop().await;
    }

    pub async fn start_server(&mut self) {
        self.server.restart().await;
    }

    /// Copies the server's files.
    pub fn copy_files(&self) -> PathBuf {
        let copy = self.server.folder().path().join("copy");
        copy_folder(&self.server.options.dir, &copy).expect("copy");
        copy
    }

    pub fn put_back(&self, copy: &Path) {
        std::fs::remove_dir_all(&self.server.options.dir).expect("remove");
        copy_folder(copy, &self.server.options.dir).expect("copy");
    }

    /// Asks JetStream as the admin; its answer.
    pub async fn ask(&self, verb: &str, body: &str) -> String {
        self.server.ask(verb, body).await
    }

    /// As [`ask`](Self::ask), where the answer has to be a yes.
    pub async fn order(&self, verb: &str, body: &str) -> String {
        let answer = self.ask(verb, body).await;
        assert!(!answer.contains("\"error\""), "{verb}: {answer}");
        answer
    }

    pub async fn log(&self) -> LogInfo {
        IngestLog::open(&self.core_bus, 0).info().await.expect("info")
    }

    pub async fn ticks(&self) -> Ticks {
        let ticks = self.edge_bus.subscribe_wildcard(&Filter::Ticks).await.expect("subscribe");
        self.edge_bus.flush().await.expect("flush");
        Ticks(ticks)
    }

    pub async fn sender(&self) -> Sender {
        let node = NodeId::new("e1").expect("id");
        let (publisher, signals) =
            IngestPublisher::start(&self.edge_bus, &node).await.expect("publisher");
        Sender { publisher, signals, sent: 0, attempts: 0 }
    }

    /// The first hour whose client ids are taken.
    pub async fn floor_hour(&self) -> u64 {
        let snapshot = self.store.snapshot().await.expect("snapshot");
        let row = snapshot.get(applied::key(0)).await.expect("read").expect("a row");
        Applied::decode(&row).expect("a row").floor_hour.into()
    }

    /// The seqs that the room's log holds.
    pub async fn seqs(&self) -> Vec<u64> {
        let snapshot = self.store.snapshot().await.expect("snapshot");
        let limit = Limit { entries_max: usize::MAX, bytes_max: usize::MAX };
        let read = log::read(&*snapshot, &room(), 0..u64::MAX, limit).await.expect("read");
        read.iter().map(|logged| logged.entry.seq).collect()
    }
}

pub struct Ticks(Subscription);

impl Ticks {
    pub async fn next(&mut self) -> Tick {
        let message = soon("a tick", self.0.next()).await.expect("open");
        Tick::decode(message.payload()).expect("a tick")
    }
}

/// Sends as an edge does: under one client id until it is answered.
pub struct Sender {
    publisher: IngestPublisher,
    signals: IngestSignals,
    sent: u64,
    attempts: u64,
}

impl Sender {
    /// Sends messages, one after the other. Each is acknowledged, as what the room has next.
    pub async fn send(&mut self, count: u64) {
        for _ in 0..count {
            self.sent += 1;
            let seq = soon("an ack", self.send_one()).await;
            assert_eq!(seq, self.sent, "no number is given twice, and none is left out");
        }
    }

    async fn send_one(&mut self) -> u64 {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now_ms = u64::try_from(now.expect("after 1970").as_millis()).expect("fits");
        let id = ClientId::from_parts(now_ms, u128::from(self.sent)).to_string();
        let body = Body::Text(Text { text: "x".into(), ..Text::default() }).to_json();
        let (alice, room) = (user("alice"), room());
        loop {
            self.attempts += 1;
            let (token, body) = (format!("t{}", self.attempts), body.clone().into());
            let command = (id.as_str(), None);
            let sent = self.publisher.publish(&token, &alice, &room, command, body);
            if sent.await.is_ok()
                && let Ok(Some(seq)) = timeout(RESEND_AFTER, self.answer(&token)).await
            {
                return seq;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// The seq of the ack; `None`: it was refused.
    async fn answer(&mut self, token: &str) -> Option<u64> {
        loop {
            match self.signals.next().await.expect("open") {
                Signal::Answered { token: answered, answer } if answered == token => {
                    let answer: serde_json::Value =
                        serde_json::from_slice(&answer.frame).expect("json");
                    assert_eq!(answer["type"], "ack", "{answer}");
                    return answer["seq"].as_u64();
                }
                Signal::Refused { token: refused, .. } if refused == token => return None,
                _ => {}
            }
        }
    }
}

fn core_options(
    bus: &Bus,
    (name, clock): (&str, &Arc<OffClock>),
    store: Store,
    assets: &AssetOptions,
) -> CoreOptions {
    CoreOptions {
        store,
        bus: bus.clone(),
        node: NodeId::new(name).expect("id"),
        assets: assets.clone(),
        bot_issuer: None,
        quota: QuotaLimits { rate_per_s: 1_000, burst: 1_000 },
        token_life: Duration::from_secs(60),
        tick_interval: Some(TICK_INTERVAL),
        retention: weft_core::Retention::default(),
        edit_window: Duration::ZERO,
        files: weft_core::FileLimits::default(),
        assignment: Assignment::Live,
        store_patience: StorePatience::default(),
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        feature_level: weft_core::FEATURE_LEVEL,
    }
}

fn room() -> RoomId {
    RoomId::new(ROOM).expect("id")
}
