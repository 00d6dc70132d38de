//! Nodes: each works while it believes to own the partition, as `partition::owner` has it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use weft_core::partition::clocks::Clocks;
use weft_core::partition::ports::EventBus;
use weft_core::partition::quarantine::Quarantine;
use weft_core::partition::worker::Worker;
use weft_core::{Error, StoreHealth};
use weft_proto::NodeId;
use weft_storage::Store;
use weft_storage::tables::layout::FEATURE_LEVEL;

use super::bus::SimBus;
use super::life::Life;
use super::log::SimLog;
use super::store::SimStore;
use super::world::{SkewedClock, World};

/// A node that comes and goes.
pub struct Node {
    name: String,
    is_mine: watch::Sender<bool>,
    life: Mutex<Option<Arc<Life>>>,
}

enum End {
    Crashed,
    Worked(Result<(), Error>),
}

impl Node {
    pub fn start(world: &Arc<World>, name: &str, is_mine: bool) -> Arc<Self> {
        let is_mine = watch::channel(is_mine).0;
        let node = Arc::new(Self { name: name.into(), is_mine, life: Mutex::default() });
        tokio::spawn(keep(Arc::clone(world), Arc::clone(&node)));
        node
    }

    /// Tells it whether it owns the partition.
    pub fn assign(&self, is_mine: bool) {
        self.is_mine.send_replace(is_mine);
    }

    pub fn with_life(&self, then: impl FnOnce(&Life)) {
        if let Some(life) = &*self.life.lock().expect("life") {
            then(life);
        }
    }
}

async fn keep(world: Arc<World>, node: Arc<Node>) {
    let mut mine = node.is_mine.subscribe();
    loop {
        let _ = mine.wait_for(|mine| *mine).await;
        let life = Life::new(&world, &node.name);
        *node.life.lock().expect("life") = Some(Arc::clone(&life));
        let end = tokio::spawn(live(Arc::clone(&life), mine.clone())).await;
        *node.life.lock().expect("life") = None;
        match end {
            Ok(End::Crashed) => world.sleep_below(3_000).await,
            Ok(End::Worked(Ok(()) | Err(Error::Stopped))) => {
                world.say(format_args!("{} has left", life.name));
            }
            Ok(End::Worked(Err(error @ (Error::LogBack { .. } | Error::LogHole { .. })))) => {
                world.say(format_args!("{} takes it anew: {error}", life.name));
                sleep(Duration::from_millis(100)).await;
            }
            Ok(End::Worked(Err(error))) if error.is_retryable() => {
                world.say(format_args!("{} ends: {error}", life.name));
                sleep(Duration::from_millis(1_000 + world.below(1_000))).await;
            }
            Ok(End::Worked(Err(error))) => {
                world.violate(format!("{} gives up for good: {error}", life.name));
                return;
            }
            Err(_) => {
                world.violate(format!("{} panics", life.name));
                return;
            }
        }
    }
}

async fn live(life: Arc<Life>, mut mine: watch::Receiver<bool>) -> End {
    let stop = CancellationToken::new();
    let work = Box::pin(worker(&life).run(stop.clone(), || {}));
    let watch_nodes = async {
        let _ = mine.wait_for(|mine| !*mine).await;
        stop.cancel();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        () = life.dead.cancelled() => End::Crashed,
        result = work => End::Worked(result),
        () = watch_nodes => End::Worked(Ok(())),
    }
}

fn worker(life: &Arc<Life>) -> Worker<SimLog> {
    let world = &life.world;
    Worker {
        partition: 0,
        partitions: 1,
        feature_level: FEATURE_LEVEL,
        owner: NodeId::new(&life.name.replace('.', "-")).expect("node"),
        store: Store::new(SimStore { life: Arc::clone(life) }),
        health: StoreHealth::default(),
        log: SimLog::new(life),
        bus: Arc::new(SimBus { life: Arc::clone(life) }) as Arc<dyn EventBus>,
        clocks: Clocks::new(Arc::new(SkewedClock(Arc::clone(life)))),
        new_batch_id: life.batch_ids(),
        quota: world.quota(),
        groups: Arc::default(),
        rooms_bytes_max: world.config.rooms_bytes_max,
        quarantine: Quarantine::default(),
        tick_interval: Some(weft_core::TICK_INTERVAL),
        journal_age: Duration::from_secs(30 * 86_400),
        edit_window: Duration::ZERO,
        file_days: 30,
        outside: None,
    }
}
