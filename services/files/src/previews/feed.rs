//! Follows the journal under one name, whichever files node does it. A place is told to core when all links before it are done: so after
//! a kill some are read again, and what has a preview gets none again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep};
use weft_nats::nodes::Nodes;
use weft_proto::svc::{
    FindLinks, FollowJournal, FoundLink, ListFollowers, MoveFollower, PutPreview,
};
use weft_proto::{ApiError, ErrorCode};

use super::links::Links;
use crate::app::App;
use crate::metrics;

const FOLLOWER: &str = "previews";
/// Between two looks at the journal.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Before the next attempt where NATS or core is away.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// How often core is told where it is.
const MOVE_EVERY: Duration = Duration::from_secs(5);
/// Links that are read at once.
const LINKS_MAX: usize = 64;
/// How often a preview is given to core that can't take it.
const ATTEMPTS_MAX: usize = 5;

pub(super) struct Feed {
    app: Arc<App>,
    nodes: watch::Receiver<Nodes>,
    links: Arc<Links>,
    places: Arc<Semaphore>,
}

/// Where it is in a partition's journal.
struct Place {
    epoch: u64,
    store: Vec<u8>,
    /// What was read.
    read: u64,
    /// What is done, and what core knows of that.
    done: u64,
    told: u64,
    /// What was read and is not done: up to where, and a token of which each link has one until it is done.
    underway: VecDeque<(u64, Arc<()>)>,
}

impl Place {
    fn settle(&mut self) {
        while let Some((through, links)) = self.underway.front()
            && Arc::strong_count(links) == 1
        {
            self.done = *through;
            self.underway.pop_front();
        }
    }
}

impl Feed {
    pub(super) fn new(app: Arc<App>, nodes: watch::Receiver<Nodes>, links: Arc<Links>) -> Self {
        Self { app, nodes, links, places: Arc::new(Semaphore::new(LINKS_MAX)) }
    }

    pub(super) async fn run(self) {
        loop {
            if self.is_first()
                && let Err(error) = self.follow().await
            {
                tracing::debug!(
                    code = error.code.as_str(),
                    message = error.message,
                    "previews wait"
                );
            }
            sleep(RETRY_PAUSE).await;
        }
    }

    /// Of the live files nodes the first by name makes previews. For a moment two may believe that they are it: the second one takes
    /// over the name.
    fn is_first(&self) -> bool {
        let nodes = self.nodes.borrow();
        nodes.keys().next().is_none_or(|first| first == self.app.bus.node())
    }

    /// Follows until another node is to, or something fails.
    async fn follow(&self) -> Result<(), ApiError> {
        let mut places = BTreeMap::new();
        let partitions = self.app.bus.call(&ListFollowers { partition: 0 }).await?.partitions;
        for partition in 0..partitions {
            places.insert(partition, self.begin(partition, false).await?);
        }
        let mut moved_at = Instant::now();
        while self.is_first() {
            let mut more = false;
            for (partition, place) in &mut places {
                more |= self.look(*partition, place).await?;
                place.settle();
            }
            if moved_at.elapsed() >= MOVE_EVERY {
                self.tell(&mut places).await?;
                moved_at = Instant::now();
            }
            if !more {
                sleep(LOOK_EVERY).await;
            }
        }
        Ok(())
    }

    /// `anew`: with what comes from now on. Else where the name is.
    async fn begin(&self, partition: u32, anew: bool) -> Result<Place, ApiError> {
        let follower = FOLLOWER.to_owned();
        let asked = FollowJournal { follower, partition, after: None };
        let mut place = self.app.bus.call(&asked).await?;
        if anew {
            let asked = FollowJournal { after: Some(place.newest), ..asked };
            place = self.app.bus.call(&asked).await?;
        }
        let (epoch, store, read) = (place.epoch, place.store, place.commit_no);
        Ok(Place { epoch, store, read, done: read, told: read, underway: VecDeque::new() })
    }

    /// Begins with the links that came; true: there are more.
    async fn look(&self, partition: u32, place: &mut Place) -> Result<bool, ApiError> {
        let found = self.app.bus.call(&FindLinks { partition, after: place.read }).await?;
        if found.expired || found.store != place.store {
            *place = self.begin(partition, true).await?;
            return Ok(false);
        }
        let token = Arc::new(());
        for link in found.links {
            // Where too many are underway, the journal waits.
            let Ok(permit) = Arc::clone(&self.places).acquire_owned().await else { break };
            let (app, links, token) =
                (Arc::clone(&self.app), Arc::clone(&self.links), Arc::clone(&token));
            self.app.tasks.spawn("preview", async move {
                let stop = app.tasks.token().clone();
                let _ = stop.run_until_cancelled(one(&app, &links, link)).await;
                drop((token, permit));
            });
        }
        if found.through > place.read {
            place.read = found.through;
            place.underway.push_back((found.through, token));
        }
        Ok(found.more)
    }

    async fn tell(&self, places: &mut BTreeMap<u32, Place>) -> Result<(), ApiError> {
        for (partition, place) in places {
            if place.done > place.told {
                let (follower, partition) = (FOLLOWER.to_owned(), *partition);
                let (epoch, commit_no) = (place.epoch, place.done);
                let asked = MoveFollower { follower, partition, epoch, commit_no };
                self.app.bus.call(&asked).await?;
                place.told = place.done;
            }
        }
        Ok(())
    }
}

/// Reads what a link leads to, and gives it to the message.
async fn one(app: &App, links: &Links, FoundLink { room, seq, edit, url }: FoundLink) {
    let Some(preview) = links.read(&url).await else { return };
    let link = Some(weft_proto::kind::LinkPreview { url, ..preview });
    let put = PutPreview { room, seq, edit, link };
    for _ in 0..ATTEMPTS_MAX {
        match app.bus.call(&put).await {
            Ok(_) => return metrics::PREVIEWS.increment("made"),
            // Twice is as once: the second one is refused.
            Err(error) if error.code.is_temporary() || error.code == ErrorCode::Unknown => {
                sleep(RETRY_PAUSE).await;
            }
            // The message has changed meanwhile.
            Err(error) if error.code == ErrorCode::NotFound => return,
            Err(error) => {
                tracing::warn!(
                    code = error.code.as_str(),
                    message = error.message,
                    "core takes no preview"
                );
                return;
            }
        }
    }
}
