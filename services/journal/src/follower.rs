//! The loop of a follower.

use std::collections::BTreeMap;
use std::future::{Future, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use weft_nats::Bus;
use weft_nats::nodes::Nodes;
use weft_proto::svc::{FollowJournal, JournalCommit, ListFollowers, MoveFollower, ReadJournal};
use weft_proto::{ApiError, ErrorCode};

use crate::error::Error;
use crate::place::{Place, Underway};

/// How often it looks for what is new, where there was nothing.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// After something failed that may go better.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two words to the operator about the same trouble.
const SAY_EVERY: Duration = Duration::from_secs(30);

/// Who follows.
pub struct FollowerOptions {
    pub bus: Bus,
    /// The name under which the journal is followed: one, whichever process does it.
    pub name: &'static str,
    /// The live nodes that may follow under it.
    pub nodes: watch::Receiver<Nodes>,
    /// Set when somebody follows: what is written from then on is seen, whatever is killed.
    pub is_followed: Arc<AtomicBool>,
    /// How often core is told of what is done. What came since is seen again after a kill.
    pub move_every: Duration,
}

/// A part of a partition's journal, as its follower reads it.
pub struct Page<T> {
    /// The store's id.
    pub store: Vec<u8>,
    /// The journal does not reach back to where it was asked from.
    pub expired: bool,
    /// Up to this commit it was read.
    pub through: u64,
    /// There is more now.
    pub more: bool,
    pub items: T,
}

/// What is done with the journal.
pub trait Follow: Send + Sync {
    type Items: Send;

    /// Called before the first page, of each time that this node begins to follow.
    fn begin(&self) -> impl Future<Output = Result<(), Error>> + Send {
        ready(Ok(()))
    }

    /// Reads what was committed after a number. [`read`] does it where all of it is wanted.
    fn read(
        &self,
        partition: u32,
        after: u64,
    ) -> impl Future<Output = Result<Page<Self::Items>, ApiError>> + Send;

    /// Takes what was read. It is done when this has returned, and all clones of `work` are dropped. An error: the same comes again.
    fn take(
        &self,
        items: Self::Items,
        work: &Underway,
    ) -> impl Future<Output = Result<(), Error>> + Send;

    /// What was committed before can't be told, of some partition: the name is new, or the journal does not reach back. Called before it goes on
    /// with what is committed from now on; an error: again.
    fn anew(&self) -> impl Future<Output = Result<(), Error>> + Send {
        ready(Ok(()))
    }

    /// Called after each look at all partitions.
    fn after_look(&self) -> impl Future<Output = Result<(), Error>> + Send {
        ready(Ok(()))
    }
}

/// Reads a page of the journal as it is.
///
/// # Errors
/// What core answers.
pub async fn read(
    bus: &Bus,
    partition: u32,
    after: u64,
) -> Result<Page<Vec<JournalCommit>>, ApiError> {
    let page = bus.call(&ReadJournal { partition, after }).await?;
    let through = page.commits.last().map_or(after, |commit| commit.commit_no);
    Ok(Page {
        store: page.store,
        expired: page.expired,
        through,
        more: page.more,
        items: page.commits,
    })
}

/// Follows until it is stopped, or can't go on.
///
/// # Errors
/// What no patience mends.
pub async fn run<F: Follow>(
    options: FollowerOptions,
    follow: F,
    stop: CancellationToken,
) -> Result<(), Error> {
    let follower = Follower { options, follow, places: BTreeMap::new(), moved_at: Instant::now() };
    stop.run_until_cancelled(follower.run()).await.unwrap_or(Ok(()))
}

struct Follower<F> {
    options: FollowerOptions,
    follow: F,
    /// By partition; empty: it does not follow.
    places: BTreeMap<u32, Place>,
    moved_at: Instant,
}

impl<F: Follow> Follower<F> {
    async fn run(mut self) -> Result<(), Error> {
        let mut said_at: Option<Instant> = None;
        loop {
            if !self.is_first() {
                self.options.is_followed.store(true, Ordering::Relaxed);
                self.places.clear();
                sleep(LOOK_EVERY).await;
                continue;
            }
            let wait = match self.pass().await {
                Ok(true) => Duration::ZERO,
                Ok(false) => LOOK_EVERY,
                // For a moment two may believe that they are the first: the later one has the name.
                Err(Error::Replaced) => {
                    self.places.clear();
                    PAUSE
                }
                Err(error) if error.is_retryable() => {
                    if said_at.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
                        said_at = Some(Instant::now());
                        let follower = self.options.name;
                        tracing::warn!(follower, %error, "what is new in the journal waits: trying again");
                    }
                    PAUSE
                }
                Err(error) => return Err(error),
            };
            sleep(wait).await;
        }
    }

    fn is_first(&self) -> bool {
        let nodes = self.options.nodes.borrow();
        nodes.keys().next().is_none_or(|first| first == self.options.bus.node())
    }

    /// One look at all partitions; true: there is more now.
    async fn pass(&mut self) -> Result<bool, Error> {
        if self.places.is_empty() {
            self.begin().await?;
            self.options.is_followed.store(true, Ordering::Relaxed);
        }
        let Self { options, follow, places, moved_at } = self;
        let is_move_due = moved_at.elapsed() >= options.move_every;
        let mut more = false;
        for (partition, place) in places.iter_mut() {
            let page = follow.read(*partition, place.read).await?;
            if page.store != place.store || page.expired {
                *place = pass_over(options, follow, (*partition, place.read)).await?;
                continue;
            }
            more |= page.more;
            if page.through > place.read {
                let work = Underway::default();
                follow.take(page.items, &work).await?;
                place.read_through(page.through, work);
            }
            if is_move_due && let Some(done) = place.news() {
                move_on(options, *partition, (place, done)).await?;
            }
        }
        if is_move_due {
            *moved_at = Instant::now();
        }
        follow.after_look().await?;
        Ok(more)
    }

    async fn begin(&mut self) -> Result<(), Error> {
        let Self { options, follow, .. } = self;
        let partitions = options.bus.call(&ListFollowers { partition: 0 }).await?.partitions;
        let mut newest = BTreeMap::new();
        for partition in 0..partitions {
            let followers = options.bus.call(&ListFollowers { partition }).await?;
            if followers.followers.iter().all(|it| it.follower != options.name) {
                newest.insert(partition, followers.newest);
            }
        }
        if !newest.is_empty() {
            follow.anew().await?;
        }
        let mut places = BTreeMap::new();
        for partition in 0..partitions {
            let after = newest.get(&partition).copied();
            places.insert(partition, begin_at(options, partition, after).await?);
        }
        // After the places: what is committed from now on is read in any case.
        self.follow.begin().await?;
        self.places = places;
        Ok(())
    }
}

/// `after`: another place than the name has.
async fn begin_at(
    options: &FollowerOptions,
    partition: u32,
    after: Option<u64>,
) -> Result<Place, Error> {
    let follower = options.name.to_owned();
    let following = options.bus.call(&FollowJournal { follower, partition, after }).await?;
    Ok(Place::new(following))
}

/// Goes on with what is committed from now on.
async fn pass_over<F: Follow>(
    options: &FollowerOptions,
    follow: &F,
    (partition, from): (u32, u64),
) -> Result<Place, Error> {
    let to = options.bus.call(&ListFollowers { partition }).await?.newest;
    let follower = options.name;
    tracing::warn!(
        follower,
        partition,
        from,
        to,
        "the journal does not reach back: what was between is passed over"
    );
    follow.anew().await?;
    begin_at(options, partition, Some(to)).await
}

/// Tells core what is done.
async fn move_on(
    options: &FollowerOptions,
    partition: u32,
    (place, done): (&mut Place, u64),
) -> Result<(), Error> {
    let (follower, epoch) = (options.name.to_owned(), place.epoch);
    let asked = MoveFollower { follower, partition, epoch, commit_no: done };
    match options.bus.call(&asked).await {
        Ok(_) => place.told = done,
        Err(error) if error.code == ErrorCode::Conflict => return Err(Error::Replaced),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
