//! The journal, and the jobs that are made of it: each at least once, and the queue knows those that come again.

use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use weft_journal::{Error, Follow, Page, Underway};
use weft_nats::Bus;
use weft_nats::jobs::{self, Lane};
use weft_proto::svc::{
    Invited, JournalCommit, ListInvitedTargets, ListPushTargets, Place, PushTarget,
};
use weft_proto::{ApiError, UserId};
use weft_runtime::Clock;

use crate::job::Job;
use crate::metrics::{JOBS, LAG, LEFT_OUT};

/// Entries that one call asks of.
const PLACES_PER_CALL: usize = 128;
/// Jobs that are put into the queue at once.
const PUTS_AT_ONCE: usize = 64;

pub(crate) struct Follower {
    pub(crate) bus: Bus,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Follow for Follower {
    type Items = Vec<JournalCommit>;

    async fn read(&self, partition: u32, after: u64) -> Result<Page<Self::Items>, ApiError> {
        weft_journal::read(&self.bus, partition, after).await
    }

    /// Returns when the queue has all jobs.
    async fn take(&self, commits: Self::Items, _: &Underway) -> Result<(), Error> {
        self.make_jobs(commits).await
    }
}

impl Follower {
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
            let invited = commit.invitations.into_iter();
            let invited = invited.map(|it| Invited { user: it.user, room: it.room });
            let invited: Vec<Invited> = invited.collect();
            for some in invited.chunks(PLACES_PER_CALL) {
                let asked = ListInvitedTargets { invited: some.to_vec() };
                self.put(self.bus.call(&asked).await?.targets, at_ms).await?;
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
