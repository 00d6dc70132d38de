//! A core that can't do its work: another one does, if that one can. Beside it: a partition's task that
//! panics.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use weft_core::partition::owner::{GIVE_UP_PAUSE, Owners};
use weft_core::partition::quota::Quota;
use weft_core::partition::take::read_row;
use weft_core::{
    Core, CoreOptions, FEATURE_LEVEL, QuotaLimits, StoreHealth, StorePatience, TICK_INTERVAL,
};
use weft_nats::EventPublisher;
use weft_nats::nodes::{Nodes, live_nodes};
use weft_proto::{NodeId, svc};
use weft_runtime::{Clock, Shutdown, SystemClock};
use weft_storage::{Batch, Engine, Error, Outcome, Snapshot, Store};

use crate::wire::{Fixture, eventually, soon};

/// One core's way to the store of all, which can be cut.
struct Way {
    store: Store,
    is_cut: Arc<AtomicBool>,
}

impl Way {
    fn check(&self) -> Result<(), Error> {
        match self.is_cut.load(Ordering::SeqCst) {
            true => Err(Error::Unavailable("on purpose".into())),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl Engine for Way {
    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, Error> {
        self.check()?;
        self.store.snapshot().await
    }

    async fn commit(&self, batch: Batch) -> Result<Outcome, Error> {
        self.check()?;
        self.store.commit(batch).await
    }
}

/// Two cores on one store, each with a way of its own.
struct Two {
    fixture: Fixture,
    cores: Vec<(NodeId, Core, Arc<AtomicBool>)>,
}

impl Two {
    async fn start() -> Self {
        let mut fixture = Fixture::new().await;
        fixture.end_core().await;
        let patience = StorePatience {
            gives_up: Duration::from_millis(500),
            recovers: Duration::from_millis(500),
            ..StorePatience::default()
        };
        let mut cores = Vec::new();
        for name in ["c2", "c3"] {
            let is_cut = Arc::new(AtomicBool::new(false));
            let way = Way { store: fixture.store.clone(), is_cut: Arc::clone(&is_cut) };
            let options = fixture.core_options(name, Store::new(way));
            let core = Core::start(CoreOptions { store_patience: patience, ..options }).await;
            let core = core.expect("core");
            soon("the partition", core.ready()).await.expect("ready");
            cores.push((NodeId::new(name).expect("id"), core, is_cut));
        }
        let two = Self { fixture, cores };
        eventually("both know each other", async || two.works(true).await == 2).await;
        eventually("the partition is where it belongs", async || {
            two.cores.iter().all(|(_, core, _)| core.readiness()().is_none())
        })
        .await;
        two
    }

    /// How many say so of themselves.
    async fn works(&self, works: bool) -> usize {
        let admin = self.fixture.bus("admin").await;
        let nodes = live_nodes(&admin).await.expect("read").remove("core").unwrap_or_default();
        admin.close().await;
        nodes.values().filter(|info| info.works == Some(works)).count()
    }

    /// Whose the partition is, and how often it was taken.
    async fn owner(&self) -> (String, u64) {
        let row = read_row(&self.fixture.store, 0).await.expect("row");
        (row.owner, row.epoch)
    }

    fn cut(&self, name: &str, is_cut: bool) {
        let (.., cut) = self.cores.iter().find(|(node, ..)| node.as_str() == name).expect("core");
        cut.store(is_cut, Ordering::SeqCst);
    }

    async fn end(self) {
        for (_, core, _) in self.cores {
            assert!(core.shutdown(Duration::from_secs(5)).await.is_empty());
        }
        self.fixture.end().await;
    }
}

#[tokio::test]
async fn who_loses_the_store_alone_leaves_its_work_to_others_until_it_is_back() {
    let two = Box::pin(Two::start()).await;
    let mut sender = two.fixture.sender().await;
    sender.send(1).await;
    let (first, _) = two.owner().await;
    two.cut(&first, true);
    sender.send(1).await;
    let (second, epoch) = two.owner().await;
    assert_ne!(first, second);
    // Calls too are left to the other: with half of them at the first, one of these would fail.
    let edge = two.fixture.bus("edge").await;
    let ask = async || edge.call(&svc::Audit { partition: 0, since: None }).await.is_ok();
    eventually("calls are answered", async || {
        let mut answered = 0;
        while answered < 20 && ask().await {
            answered += 1;
        }
        answered == 20
    })
    .await;
    let lacks = |name: &str| {
        let (_, core, _) = two.cores.iter().find(|(node, ..)| node.as_str() == name).expect("core");
        core.readiness()()
    };
    eventually("the first one says why", async || {
        lacks(&first).is_some_and(|reason| reason.contains("on purpose"))
    })
    .await;
    assert_eq!(lacks(&second), None);
    two.cut(&first, false);
    eventually("it is back", async || two.owner().await.0 == first).await;
    sender.send(1).await;
    assert!(two.owner().await.1 > epoch);
    assert_eq!(two.fixture.seqs().await, [1, 2, 3]);
    two.end().await;
}

#[tokio::test]
async fn where_the_store_is_away_for_all_everything_waits_where_it_is() {
    let two = Box::pin(Two::start()).await;
    let mut sender = two.fixture.sender().await;
    sender.send(1).await;
    let before = two.owner().await;
    for name in ["c2", "c3"] {
        two.cut(name, true);
    }
    eventually("both say so", async || two.works(false).await == 2).await;
    // The owner goes on for longer than it keeps what it has to give up.
    let mut ticks = two.fixture.ticks().await;
    for _ in 0..=GIVE_UP_PAUSE.as_secs() + 1 {
        ticks.next().await;
    }
    for name in ["c2", "c3"] {
        two.cut(name, false);
    }
    eventually("both are back", async || two.works(true).await == 2).await;
    sender.send(1).await;
    assert_eq!(two.owner().await, before, "nobody took the partition anew");
    two.end().await;
}

/// A clock that panics once, when it is told to.
#[derive(Default)]
struct Touchy(AtomicBool);

impl Clock for Touchy {
    fn now_ms(&self) -> u64 {
        assert!(!self.0.swap(false, Ordering::SeqCst), "on purpose");
        SystemClock.now_ms()
    }
}

#[tokio::test]
async fn a_partitions_task_that_panics_begins_again() {
    let mut fixture = Fixture::new().await;
    fixture.end_core().await;
    let node = NodeId::new("c2").expect("id");
    let clock = Arc::new(Touchy::default());
    let owners = Owners {
        bus: fixture.core_bus.clone(),
        events: EventPublisher::start(&fixture.core_bus).await.expect("publisher"),
        store: fixture.store.clone(),
        health: StoreHealth::default(),
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        node: node.clone(),
        partitions: 1,
        feature_level: FEATURE_LEVEL,
        quota: Arc::new(Quota::new(QuotaLimits { rate_per_s: 1_000, burst: 1_000 })),
        groups: Arc::default(),
        assets: Arc::new(fixture.assets.clone()),
        tick_interval: Some(TICK_INTERVAL),
        retention: weft_core::Retention::default(),
        edit_window: Duration::ZERO,
        file_days: 30,
    };
    let nodes = Nodes::from([(node, Default::default())]);
    let (_nodes, nodes) = tokio::sync::watch::channel(nodes);
    let shutdown = Shutdown::new();
    let _progress = owners.start(&nodes, &shutdown);
    let mut sender = fixture.sender().await;
    sender.send(1).await;
    clock.0.store(true, Ordering::SeqCst);
    sender.send(2).await;
    assert!(!clock.0.load(Ordering::SeqCst), "it has panicked");
    assert_eq!(fixture.seqs().await, [1, 2, 3]);
    assert!(shutdown.finish(Duration::from_secs(5)).await.is_empty());
    fixture.end().await;
}
