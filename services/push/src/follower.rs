//! The journal, and the jobs that are made of it: each at least once, and the queue knows those that come again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use weft_nats::Bus;
use weft_nats::jobs::{self, Lane};
use weft_nats::nodes::Nodes;
use weft_proto::svc::{
    FollowJournal, JournalCommit, ListFollowers, ListPushTargets, MoveFollower, Place, PushTarget,
    ReadJournal,
};
use weft_proto::{ErrorCode, UserId};
use weft_runtime::Clock;

use crate::error::Error;
use crate::job::Job;
use crate::metrics::{JOBS, LAG, LEFT_OUT};
use crate::node::FOLLOWER;

/// How often it looks for what is new, where there was nothing.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// After something failed that may go better.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two words to the operator about the same trouble.
const SAY_EVERY: Duration = Duration::from_secs(30);
/// Entries that one call asks of.
const PLACES_PER_CALL: usize = 128;
/// Jobs that are put into the queue at once.
const PUTS_AT_ONCE: usize = 64;

pub(crate) struct Follower {
    pub(crate) bus: Bus,
    /// The live push nodes. The first by name follows, and all work on the jobs.
    pub(crate) nodes: watch::Receiver<Nodes>,
    /// Somebody follows: what is written from now on is notified, whatever is killed.
    pub(crate) is_followed: Arc<AtomicBool>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// Where a partition is.
#[derive(Clone, Debug)]
struct At {
    store: Vec<u8>,
    epoch: u64,
    commit_no: u64,
}

impl Follower {
    /// Runs until it is stopped, or can't go on.
    pub(crate) async fn run(self, stop: CancellationToken) -> Result<(), Error> {
        let work = self.follow();
        stop.run_until_cancelled(work).await.unwrap_or(Ok(()))
    }

    async fn follow(&self) -> Result<(), Error> {
        let (mut places, mut said_at): (BTreeMap<u32, At>, Option<Instant>) = Default::default();
        loop {
            if !self.is_first() {
                self.is_followed.store(true, Ordering::Relaxed);
                places.clear();
                sleep(LOOK_EVERY).await;
                continue;
            }
            let wait = match self.pass(&mut places).await {
                Ok(true) => Duration::ZERO,
                Ok(false) => LOOK_EVERY,
                // For a moment two may believe that they are the first: the later one has the name.
                Err(Error::Replaced) => {
                    places.clear();
                    PAUSE
                }
                Err(error) if error.is_retryable() => {
                    if said_at.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
                        said_at = Some(Instant::now());
                        tracing::warn!(%error, "devices are not notified of what is new: trying again");
                    }
                    PAUSE
                }
                Err(error) => return Err(error),
            };
            sleep(wait).await;
        }
    }

    fn is_first(&self) -> bool {
        let nodes = self.nodes.borrow();
        nodes.keys().next().is_none_or(|first| first == self.bus.node())
    }

    /// One look at all partitions; true: there is more now.
    async fn pass(&self, places: &mut BTreeMap<u32, At>) -> Result<bool, Error> {
        if places.is_empty() {
            let partitions = self.bus.call(&ListFollowers { partition: 0 }).await?.partitions;
            let mut all = BTreeMap::new();
            for partition in 0..partitions {
                all.insert(partition, self.begin(partition, None).await?);
            }
            *places = all;
            self.is_followed.store(true, Ordering::Relaxed);
        }
        let mut more = false;
        for (partition, at) in places.iter_mut() {
            let asked = ReadJournal { partition: *partition, after: at.commit_no };
            let page = self.bus.call(&asked).await?;
            if page.store != at.store || page.expired {
                let newest = self.bus.call(&ListFollowers { partition: *partition }).await?.newest;
                tracing::warn!(
                    partition,
                    from = at.commit_no,
                    to = newest,
                    "the journal does not reach back: what was between is not notified"
                );
                *at = self.begin(*partition, Some(newest)).await?;
                continue;
            }
            let Some(last) = page.commits.last().map(|commit| commit.commit_no) else { continue };
            more |= page.more;
            self.make_jobs(page.commits).await?;
            self.move_on(*partition, at, last).await?;
        }
        Ok(more)
    }

    async fn begin(&self, partition: u32, after: Option<u64>) -> Result<At, Error> {
        let asked = FollowJournal { follower: FOLLOWER.to_owned(), partition, after };
        let place = self.bus.call(&asked).await?;
        Ok(At { store: place.store, epoch: place.epoch, commit_no: place.commit_no })
    }

    async fn move_on(&self, partition: u32, at: &mut At, commit_no: u64) -> Result<(), Error> {
        let (follower, epoch) = (FOLLOWER.to_owned(), at.epoch);
        let moved = self.bus.call(&MoveFollower { follower, partition, epoch, commit_no }).await;
        match moved {
            Ok(_) => at.commit_no = commit_no,
            Err(error) if error.code == ErrorCode::Conflict => return Err(Error::Replaced),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    async fn make_jobs(&self, commits: Vec<JournalCommit>) -> Result<(), Error> {
        let now_ms = self.clock.now_ms();
        for commit in commits {
            let at_ms = if commit.time_ms == 0 { now_ms } else { commit.time_ms };
            LAG.set(now_ms.saturating_sub(at_ms) as f64 / 1_000.0);
            let entries = commit.entries.into_iter().filter(|entry| may_notify(&entry.kind));
            let entries = entries.map(|entry| Place { room: entry.room, seq: entry.seq });
            let places: Vec<Place> = entries.collect();
            for some in places.chunks(PLACES_PER_CALL) {
                self.of_places(some, at_ms).await?;
            }
        }
        Ok(())
    }

    async fn of_places(&self, places: &[Place], at_ms: u64) -> Result<(), Error> {
        let (mut left, mut after) = (places, String::new());
        while !left.is_empty() {
            let page = self.bus.call(&ListPushTargets { places: left.to_vec(), after }).await?;
            self.put(page.targets, at_ms).await?;
            left = &left[(page.done as usize).min(left.len())..];
            after = page.after;
            if page.done == 0 && after.is_empty() {
                // Whatever it says, this ends.
                left = &left[1..];
            }
        }
        Ok(())
    }

    async fn put(&self, targets: Vec<PushTarget>, at_ms: u64) -> Result<(), Error> {
        let puts = targets.into_iter().map(|target| async move {
            let job = Job::new(target, at_ms);
            let lane = if job.first { Lane::First } else { Lane::Rest };
            let bytes = serde_json::to_vec(&job).map_err(|_| weft_nats::Error::Malformed("job"))?;
            let user = UserId::new(&job.user)?;
            let is_kept = jobs::put(&self.bus, lane, &user, &job.id(), bytes.into()).await?;
            if is_kept {
                JOBS.increment()
            } else {
                LEFT_OUT.increment()
            }
            Ok::<_, Error>(())
        });
        stream::iter(puts).buffer_unordered(PUTS_AT_ONCE).try_collect().await
    }
}

/// Whether an entry of a kind may be something to tell of. Core knows those that this does not.
fn may_notify(kind: &str) -> bool {
    !matches!(
        kind,
        "create"
            | "rename"
            | "remove"
            | "leave"
            | "role"
            | "unreact"
            | "pin"
            | "unpin"
            | "update"
            | "ban"
            | "unban"
            | "join"
            | "close"
            | "delete"
            | "deleted"
            | "preview"
            | "unpreview"
    )
}
