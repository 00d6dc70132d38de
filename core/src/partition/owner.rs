//! Which partitions are this node's, and the workers that own them.
//!
//! One task per partition: it waits until the live nodes make the partition this node's, works, and
//! starts again after it lost it, the store was away, or it panicked.
//!
//! A node that says that it does not work (see [`NodeInfo::works`](weft_nats::NodeInfo)) has nothing while
//! another one says that it does. Where none does, everything waits where it is: nobody else could do
//! better.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::FutureExt as _;
use rand::RngExt as _;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};
use weft_nats::nodes::Nodes;
use weft_nats::{AssetOptions, Bus, EventPublisher, NodeInfo, assign};
use weft_proto::{NodeId, Partition};
use weft_runtime::{Clock, Shutdown, lock};
use weft_storage::{BatchId, Store};

use super::clocks::Clocks;
use super::groups::GroupCounts;
use super::ports::{EventBus, NatsBus, NatsLog, NatsOutside, Streams};
use super::quarantine::Quarantine;
use super::quota::Quota;
use super::retention::{Keeper, Retention};
use super::worker::Worker;
use crate::error::Error;
use crate::metrics;
use crate::store_health::StoreHealth;

/// Before a partition is taken anew whose log went back or has a hole, or whose store has another
/// layout. Nobody fights for it; the pause bounds what it costs where that happens again and again.
const TAKE_ANEW_PAUSE: Duration = Duration::from_millis(100);
/// Before a task begins again that panicked.
const PANIC_PAUSE: Duration = Duration::from_secs(1);
/// What a node has to give up because it does not work, it keeps for this long, and nobody takes it: where
/// the store is away for all, the others say the same a moment later, and all are back together.
pub const GIVE_UP_PAUSE: Duration = Duration::from_secs(3);
/// How long a partition may take to be left. A commit that the store does not answer then counts as
/// unknown, as after a crash.
const LEAVE_MAX: Duration = Duration::from_secs(10);
/// Between two signs of life of a partition's task.
const BEAT: Duration = Duration::from_secs(1);
/// A task that gives none for this long hangs.
const BEAT_SILENCE_MAX: Duration = Duration::from_secs(15);

/// What rooms in memory may take in a process that owns all partitions.
const ROOMS_BYTES_MAX: usize = 256 << 20;
/// The least for one partition.
const ROOMS_BYTES_MIN: usize = 4 << 20;

/// What every worker of this node shares.
#[derive(Clone)]
pub struct Owners {
    pub bus: Bus,
    pub events: EventPublisher,
    pub store: Store,
    pub health: StoreHealth,
    pub clock: Arc<dyn Clock>,
    pub node: NodeId,
    pub partitions: Partition,
    /// The newest feature level of a store that this node serves.
    pub feature_level: u32,
    /// How much one sender may ask.
    pub quota: Arc<Quota>,
    /// In how many groups users are.
    pub groups: Arc<GroupCounts>,
    /// The streams, should one have to be made again.
    pub assets: Arc<AssetOptions>,
    /// Between two ticks of a partition; `None`: none.
    pub tick_interval: Option<Duration>,
    pub retention: Retention,
    /// See [`crate::CoreOptions::edit_window`].
    pub edit_window: Duration,
    /// See [`FileLimits::days`](crate::FileLimits::days).
    pub file_days: u32,
}

#[derive(Clone)]
pub struct Progress {
    pub taken: watch::Receiver<BTreeSet<Partition>>,
    /// Set where a partition can't be served until a person has looked.
    pub failed: watch::Receiver<Option<Arc<Error>>>,
    tell: Arc<Tell>,
}

impl Progress {
    /// Nothing can be served any more until a person has looked.
    pub fn fail(&self, error: Error) {
        self.tell.failed.send_replace(Some(Arc::new(error)));
    }

    /// A partition of this node whose task hangs, where there is one.
    #[must_use]
    pub fn stuck(&self) -> Option<Partition> {
        let beats = self.tell.beats();
        let mut silent = beats.iter().filter(|(_, at)| at.elapsed() >= BEAT_SILENCE_MAX);
        silent.next().map(|(partition, _)| *partition)
    }
}

struct Tell {
    taken: watch::Sender<BTreeSet<Partition>>,
    failed: watch::Sender<Option<Arc<Error>>>,
    /// The last sign of life of each task that has a partition.
    beats: Mutex<BTreeMap<Partition, Instant>>,
}

impl Tell {
    fn beats(&self) -> MutexGuard<'_, BTreeMap<Partition, Instant>> {
        // Nothing panics while it is held.
        lock(&self.beats)
    }

    fn beat(&self, partition: Partition) {
        self.beats().insert(partition, Instant::now());
    }

    /// The partition is not this task's any more.
    fn left(&self, partition: Partition) {
        self.beats().remove(&partition);
        self.taken.send_modify(|taken| {
            taken.remove(&partition);
            metrics::PARTITIONS.set(taken.len() as f64);
        });
    }
}

#[must_use]
pub fn partitions_of(nodes: &Nodes, partitions: Partition, node: &NodeId) -> BTreeSet<Partition> {
    let able = nodes.keys().filter(|node| !is_passed_over(nodes, node));
    let owners = assign(able, partitions);
    owners.into_iter().filter(|(_, owner)| owner == node).map(|(partition, _)| partition).collect()
}

/// True where others do the work of this node, since it says that it does not work and one of them
/// says that it does.
#[must_use]
pub fn is_passed_over(nodes: &Nodes, node: &NodeId) -> bool {
    let says = |works| move |info: &NodeInfo| info.works == Some(works);
    nodes.get(node).is_some_and(says(false)) && nodes.values().any(says(true))
}

/// Waits until others do the work of this node, and not for a moment alone.
pub async fn passed_over(nodes: &mut watch::Receiver<Nodes>, node: &NodeId) {
    loop {
        if nodes.wait_for(|nodes| is_passed_over(nodes, node)).await.is_err() {
            std::future::pending::<()>().await;
        }
        let back = nodes.wait_for(|nodes| !is_passed_over(nodes, node));
        if timeout(GIVE_UP_PAUSE, back).await.is_err() {
            return;
        }
    }
}

impl Owners {
    #[must_use]
    pub fn start(self, nodes: &watch::Receiver<Nodes>, shutdown: &Shutdown) -> Progress {
        let share = share_quota(self.clone(), nodes.clone());
        let stop = shutdown.token().clone();
        shutdown.spawn("quota", async move {
            stop.run_until_cancelled(share).await;
        });
        let (taken, taken_rx) = watch::channel(BTreeSet::new());
        let (failed, failed_rx) = watch::channel(None);
        let tell = Arc::new(Tell { taken, failed, beats: Mutex::default() });
        for partition in 0..self.partitions {
            let keep = keep_on(
                self.clone(),
                partition,
                nodes.clone(),
                Arc::clone(&tell),
                shutdown.token().clone(),
            );
            shutdown.spawn("partition", keep);
        }
        Progress { taken: taken_rx, failed: failed_rx, tell }
    }
}

/// A task that panicked begins again: this node goes on to claim its partition, so nobody else would
/// take it.
async fn keep_on(
    owners: Owners,
    partition: Partition,
    nodes: watch::Receiver<Nodes>,
    tell: Arc<Tell>,
    stop: CancellationToken,
) {
    loop {
        let kept = keep(&owners, partition, nodes.clone(), &tell, stop.clone());
        // Boxed: the owner's future lives on stacks.
        if AssertUnwindSafe(Box::pin(kept)).catch_unwind().await.is_ok() {
            return;
        }
        error!(partition, "the partition's task panicked: it begins again");
        tell.left(partition);
        pause(PANIC_PAUSE, &stop).await;
    }
}

/// Gives senders this node's share, as the partitions are shared out.
async fn share_quota(owners: Owners, mut nodes: watch::Receiver<Nodes>) {
    let partitions = owners.partitions;
    loop {
        let owned = partitions_of(&nodes.borrow_and_update(), partitions, &owners.node).len();
        owners.quota.set_share(owned, partitions.into());
        if nodes.changed().await.is_err() {
            return;
        }
    }
}

async fn keep(
    owners: &Owners,
    partition: Partition,
    mut nodes: watch::Receiver<Nodes>,
    tell: &Tell,
    stop: CancellationToken,
) {
    loop {
        let is_mine = |nodes: &Nodes| {
            partitions_of(nodes, owners.partitions, &owners.node).contains(&partition)
        };
        // As if all worked.
        let is_mine_by_right = |nodes: &Nodes| {
            assign(nodes.keys(), owners.partitions).get(&partition) == Some(&owners.node)
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            given = given(&mut nodes, is_mine, is_mine_by_right) => if given.is_err() { return },
        }
        let not_mine = stop.child_token();
        let work = Quarantine::run_workers(|quarantine| {
            own(owners, partition, tell, not_mine.clone(), quarantine)
        });
        let leave = async {
            given_away(&mut nodes, &owners.node, is_mine).await;
            not_mine.cancel();
            sleep(LEAVE_MAX).await;
        };
        let result = tokio::select! {
            result = work => result,
            () = leave => Ok(()),
            never = beat(tell, partition) => match never {},
        };
        tell.left(partition);
        match result {
            Err(Error::Stopped) if !not_mine.is_cancelled() => {
                error!(partition, "the partition's publisher ended: it begins again");
                pause(PANIC_PAUSE, &stop).await;
            }
            Ok(()) | Err(Error::Stopped) => {}
            Err(
                error @ (Error::LogBack { .. } | Error::LogHole { .. } | Error::LayoutChanged(_)),
            ) => {
                warn!(partition, %error, "taking the partition anew");
                pause(TAKE_ANEW_PAUSE, &stop).await;
            }
            Err(error) if error.is_retryable() => {
                // That the store is away, the node says, once for all partitions.
                match owners.health.trouble() {
                    Some(_) => debug!(partition, %error, "partition lost, trying again"),
                    None => warn!(partition, %error, "partition lost, trying again"),
                }
                // Two owners that fight for a partition would keep each other from working: both
                // step back.
                let wait_ms = rand::rng().random_range(1_000..2_000);
                pause(Duration::from_millis(wait_ms), &stop).await;
            }
            Err(error) => {
                error!(partition, %error, "partition can't be served");
                tell.failed.send_replace(Some(Arc::new(error)));
                return;
            }
        }
    }
}

/// Waits until a partition is this node's. What it gets only because another node does not work, not for
/// a moment.
async fn given(
    nodes: &mut watch::Receiver<Nodes>,
    is_mine: impl Fn(&Nodes) -> bool,
    is_mine_by_right: impl Fn(&Nodes) -> bool,
) -> Result<(), watch::error::RecvError> {
    loop {
        let given = nodes.wait_for(|nodes| is_mine(nodes)).await;
        let by_right = given.map(|nodes| is_mine_by_right(&nodes))?;
        let taken_back = nodes.wait_for(|nodes| !is_mine(nodes));
        if by_right || timeout(GIVE_UP_PAUSE, taken_back).await.is_err() {
            return Ok(());
        }
    }
}

/// Waits until a partition is somebody else's. What this node has to give up for its own sake alone, not
/// for a moment.
async fn given_away(
    nodes: &mut watch::Receiver<Nodes>,
    node: &NodeId,
    is_mine: impl Fn(&Nodes) -> bool,
) {
    loop {
        let lost = nodes.wait_for(|nodes| !is_mine(nodes)).await;
        // An error says that the node has ended.
        let passed_over = lost.is_ok_and(|nodes| is_passed_over(&nodes, node));
        let back = nodes.wait_for(|nodes| is_mine(nodes));
        if !passed_over || timeout(GIVE_UP_PAUSE, back).await.is_err() {
            return;
        }
    }
}

/// Says that the task is alive: it is polled with the work.
async fn beat(tell: &Tell, partition: Partition) -> std::convert::Infallible {
    let mut beats = interval(BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beats.tick().await;
        tell.beat(partition);
    }
}

async fn pause(wait: Duration, stop: &CancellationToken) {
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = sleep(wait) => {}
    }
}

async fn own(
    owners: &Owners,
    partition: Partition,
    tell: &Tell,
    stop: CancellationToken,
    quarantine: Quarantine,
) -> Result<(), Error> {
    let (bus, assets) = (owners.bus.clone(), Arc::clone(&owners.assets));
    let streams = Streams { bus, assets, partition };
    let clocks = Clocks::new(Arc::clone(&owners.clock));
    let worker = Worker {
        partition,
        partitions: owners.partitions,
        feature_level: owners.feature_level,
        owner: owners.node.clone(),
        store: owners.store.clone(),
        health: owners.health.clone(),
        log: NatsLog::new(streams.clone()),
        outside: Some(Box::new(NatsOutside::new(streams.clone()))),
        bus: Arc::new(NatsBus::new(owners.events.clone(), streams)) as Arc<dyn EventBus>,
        clocks: clocks.clone(),
        new_batch_id: Box::new(rand::random::<BatchId>),
        quota: Arc::clone(&owners.quota),
        groups: Arc::clone(&owners.groups),
        rooms_bytes_max: (ROOMS_BYTES_MAX / usize::from(owners.partitions)).max(ROOMS_BYTES_MIN),
        quarantine,
        tick_interval: owners.tick_interval,
        journal_age: owners.retention.journal,
        edit_window: owners.edit_window,
        file_days: owners.file_days,
    };
    let taken = || {
        tell.taken.send_modify(|taken| {
            taken.insert(partition);
            metrics::PARTITIONS.set(taken.len() as f64);
        })
    };
    let keeper = Keeper {
        store: owners.store.clone(),
        clocks,
        partition,
        partitions: owners.partitions,
        retention: owners.retention,
        feature_level: owners.feature_level,
    };
    // The worker first: it ends the other with it.
    tokio::select! {
        biased;
        ended = worker.run(stop, taken) => ended,
        never = keeper.run() => match never {},
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> NodeId {
        NodeId::new(name).expect("id")
    }

    fn nodes(all: &[(&str, Option<bool>)]) -> Nodes {
        let info = |works| NodeInfo { works, ..NodeInfo::default() };
        all.iter().map(|(node, works)| (name(node), info(*works))).collect()
    }

    fn count(nodes: &Nodes, node: &str) -> usize {
        partitions_of(nodes, 16, &name(node)).len()
    }

    #[test]
    fn who_does_not_work_has_nothing_while_another_one_does() {
        let all = nodes(&[("a", Some(true)), ("b", Some(false)), ("c", None)]);
        assert_eq!([count(&all, "a"), count(&all, "b"), count(&all, "c")], [8, 0, 8]);
        // Where nobody says that it works, nobody could do better.
        let all = nodes(&[("a", Some(false)), ("b", Some(false))]);
        assert_eq!([count(&all, "a"), count(&all, "b")], [8, 8]);
        let all = nodes(&[("a", None), ("b", Some(false))]);
        assert_eq!([count(&all, "a"), count(&all, "b")], [8, 8]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_given_up_or_got_for_a_moment_stays_where_it_is() {
        let well = nodes(&[("a", Some(true)), ("b", Some(true))]);
        let (sender, mut seen) = watch::channel(well.clone());
        let partition = *partitions_of(&well, 16, &name("b")).first().expect("one");
        let is_of =
            |node| move |nodes: &Nodes| partitions_of(nodes, 16, &name(node)).contains(&partition);
        let by_right = |nodes: &Nodes| assign(nodes.keys(), 16)[&partition] == name("a");
        let (mut also_seen, b) = (seen.clone(), name("b"));
        let mut leaves = std::pin::pin!(given_away(&mut seen, &b, is_of("b")));
        let mut comes = std::pin::pin!(given(&mut also_seen, is_of("a"), by_right));
        let b_fails = nodes(&[("a", Some(true)), ("b", Some(false))]);
        for change in [&b_fails, &well, &b_fails] {
            sender.send_replace(change.clone());
            let soon = GIVE_UP_PAUSE / 2;
            assert!(timeout(soon, &mut leaves).await.is_err());
            assert!(timeout(soon / 2, &mut comes).await.is_err());
        }
        assert!(timeout(GIVE_UP_PAUSE, &mut leaves).await.is_ok());
        assert!(timeout(GIVE_UP_PAUSE, &mut comes).await.is_ok_and(|given| given.is_ok()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_is_not_polled_stands_still() {
        let (taken, taken_rx) = watch::channel(BTreeSet::new());
        let (failed, failed_rx) = watch::channel(None);
        let tell = Arc::new(Tell { taken, failed, beats: Mutex::default() });
        let progress = Progress { taken: taken_rx, failed: failed_rx, tell: Arc::clone(&tell) };
        let alive = timeout(BEAT_SILENCE_MAX * 2, beat(&tell, 3)).await;
        assert!(alive.is_err() && progress.stuck().is_none());
        tokio::time::advance(BEAT_SILENCE_MAX).await;
        assert_eq!(progress.stuck(), Some(3));
        tell.left(3);
        assert_eq!(progress.stuck(), None);
    }
}
