//! What an index is made from. One task: it follows the journal of all partitions for the index that answers; where
//! there is none, or another one is wanted, it makes one beside it, piece by piece: it notes where the journal is, reads
//! all rooms, follows from there, and then lets the new one answer.
//!
//! Everything is done at least once, and a message is written as core says that it is now: twice changes nothing.

mod pages;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use weft_nats::Bus;
use weft_proto::svc::{
    FollowJournal, IndexedMessage, ListIndexed, MoveFollower, Place, WalkMessages,
};
use weft_proto::{ErrorCode, FollowerId};

use crate::error::Error;
use crate::folder::{Folder, Indexes, Kept};
use crate::index::Document;
use crate::metrics::{BUILDING, COMMITS, DOCUMENTS, INDEXED, LAG};
use crate::node::Answering;
use crate::state::{FORMAT, State, Walk};

use self::pages::{Read, changed, number_of, store_of};

/// How often it looks for what is new: a message is found within a second.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// After something failed that may go better.
const PAUSE: Duration = Duration::from_secs(1);
/// How often core is told how far it is. It may see again what came since.
const MOVE_EVERY: Duration = Duration::from_secs(5);
/// How often it looks where messages have expired: rooms count in days.
const EXPIRED_EVERY: Duration = Duration::from_secs(600);
/// While it makes an index: how long it reads before it looks again for what is new, and how often it commits.
const WALK_FOR: Duration = Duration::from_millis(200);
const WALK_COMMIT_EVERY: Duration = Duration::from_secs(5);
/// Between two words to the operator about the same trouble.
const SAY_EVERY: Duration = Duration::from_secs(30);

pub(crate) struct Feed {
    bus: Bus,
    follower: FollowerId,
    folder: Folder,
    indexes: Indexes,
    answering: Arc<Answering>,
    /// By partition: the epoch under which it follows, and what core was told.
    following: BTreeMap<u32, (u64, u64)>,
    /// What came after some commit can't be told any more: the index is only replaced.
    is_expired: bool,
    /// By room: what was removed because it has expired.
    removed_before: HashMap<String, u64>,
    walk_committed_at: Instant,
    moved_at: Instant,
    expired_at: Option<Instant>,
}

impl Feed {
    pub(crate) fn new(
        bus: Bus,
        follower: FollowerId,
        (folder, indexes): (Folder, Indexes),
        answering: Arc<Answering>,
    ) -> Self {
        let now = Instant::now();
        Self {
            bus,
            follower,
            folder,
            indexes,
            answering,
            following: BTreeMap::new(),
            is_expired: false,
            removed_before: HashMap::new(),
            walk_committed_at: now,
            moved_at: now,
            expired_at: None,
        }
    }

    /// Runs until it is stopped, or can't go on.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut said_at: Option<Instant> = None;
        loop {
            let pass = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                pass = self.pass() => pass,
            };
            let wait = match pass {
                Ok(true) => Duration::ZERO,
                Ok(false) => LOOK_EVERY,
                Err(error) if error.is_retryable() => {
                    if said_at.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
                        said_at = Some(Instant::now());
                        tracing::warn!(%error, "the index waits");
                    }
                    PAUSE
                }
                Err(error) => {
                    tracing::error!(%error, "the index can't go on");
                    self.answering.fail(error);
                    return;
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = self.answering.reindex.notified() => self.begin_anew(),
                () = sleep(wait) => {}
            }
        }
        if let Some(current) = &self.indexes.current
            && let Err(error) = commit(current).await
        {
            tracing::warn!(%error, "the index is not committed at the end: it reads again from its last commit");
        }
    }

    /// Someone wants the index to be made anew.
    fn begin_anew(&mut self) {
        if self.indexes.next.is_none() {
            self.answering.reindexing.store(true, Ordering::Relaxed);
        }
    }

    /// Does what there is to do; true: there is more.
    async fn pass(&mut self) -> Result<bool, Error> {
        if self.following.is_empty() {
            self.follow().await?;
        }
        self.answer();
        let mut more = false;
        if let Some(mut current) = self.indexes.current.take() {
            if !self.is_expired {
                let read = self.read_journal(&mut current).await;
                self.indexes.current = Some(current);
                match read? {
                    Read::Expired => {
                        self.is_expired = true;
                        self.answer();
                    }
                    Read::OtherStore => return self.forget_all().map(|()| true),
                    Read::Part { more: is_more } => {
                        more |= is_more;
                        if !is_more {
                            self.answering.is_up_to_date();
                        }
                    }
                }
                self.move_on().await?;
                self.remove_expired().await?;
            } else {
                self.indexes.current = Some(current);
            }
        }
        let is_wanted = self.indexes.current.is_none()
            || self.is_expired
            || self.answering.reindexing.load(Ordering::Relaxed);
        if self.indexes.next.is_none() && is_wanted {
            self.indexes.next = Some(self.begin().await?);
        }
        if let Some(mut next) = self.indexes.next.take() {
            more = true;
            let built = self.build(&mut next).await;
            self.indexes.next = Some(next);
            match built? {
                Read::Part { more: true } => {}
                Read::Part { more: false } => self.replace().await?,
                Read::Expired => {
                    tracing::warn!(
                        "the journal does not reach back to where the new index began: once more"
                    );
                    self.drop_next()?;
                }
                Read::OtherStore => self.forget_all()?,
            }
        }
        LAG.set(self.answering.behind().as_secs_f64());
        Ok(more)
    }

    /// Begins to follow all partitions under this node's name.
    async fn follow(&mut self) -> Result<(), Error> {
        let partitions = number_of(&self.bus).await?;
        for partition in 0..partitions {
            let follower = self.follower.to_string();
            let asked = FollowJournal { follower, partition, after: None };
            let place = self.bus.call(&asked).await?;
            self.following.insert(partition, (place.epoch, place.commit_no));
        }
        Ok(())
    }

    /// Lets the current index answer.
    fn answer(&self) {
        let current = self.indexes.current.as_ref().map(|kept| Arc::clone(&kept.index));
        if let Some(index) = &current {
            DOCUMENTS.set(index.documents() as f64);
        }
        self.answering.set(current, self.is_expired);
        BUILDING.set(if self.indexes.next.is_some() { 1.0 } else { 0.0 });
        let walk =
            self.indexes.next.as_ref().map(|next| next.state.walk.clone().unwrap_or_default());
        self.answering.building(walk.map(|walk| walk.messages));
    }

    /// Takes a part of what was committed since; commits it.
    async fn read_journal(&self, kept: &mut Kept) -> Result<Read, Error> {
        let mut state = kept.state.clone();
        let (read, places) = pages::read(&self.bus, &mut state).await?;
        if places.is_empty() {
            // Numbers of commits without messages are kept with the next one that has some.
            kept.state = state;
            return Ok(read);
        }
        let (messages, deleted) = changed(&self.bus, places).await?;
        kept.state = state;
        write(kept, messages, deleted).await?;
        commit(kept).await?;
        Ok(read)
    }

    /// Tells core how far it is: what was committed to the disk.
    async fn move_on(&mut self) -> Result<(), Error> {
        let Some(current) = &self.indexes.current else { return Ok(()) };
        if self.moved_at.elapsed() < MOVE_EVERY {
            return Ok(());
        }
        commit_if_moved(current).await?;
        for (partition, (epoch, told)) in &mut self.following {
            let Some(commit_no) = current.state.commits.get(partition).copied() else { continue };
            if commit_no <= *told {
                continue;
            }
            let follower = self.follower.to_string();
            let (partition, epoch) = (*partition, *epoch);
            let asked = MoveFollower { follower, partition, epoch, commit_no };
            match self.bus.call(&asked).await {
                Ok(_) => *told = commit_no,
                Err(error) if error.code == ErrorCode::Conflict => return Err(Error::Replaced),
                Err(error) => return Err(error.into()),
            }
        }
        self.moved_at = Instant::now();
        Ok(())
    }

    /// Removes what has expired in its room. The journal does not name it, so the rooms are asked now and then: it is
    /// shown to nobody meanwhile.
    async fn remove_expired(&mut self) -> Result<(), Error> {
        let Some(current) = &self.indexes.current else { return Ok(()) };
        if self.expired_at.is_some_and(|at| at.elapsed() < EXPIRED_EVERY) {
            return Ok(());
        }
        let (mut after, mut rooms) = (String::new(), Vec::new());
        loop {
            let page = self.bus.call(&ListIndexed { after }).await?;
            let Some(last) = page.rooms.last() else { break };
            after = last.room.clone();
            rooms.extend(page.rooms.into_iter().filter(|room| {
                room.first_seq > self.removed_before.get(&room.room).copied().unwrap_or(1)
            }));
            if !page.more {
                break;
            }
        }
        for room in &rooms {
            current.index.remove_before(&room.room, room.first_seq)?;
        }
        if !rooms.is_empty() {
            commit(current).await?;
        }
        self.removed_before.extend(rooms.into_iter().map(|room| (room.room, room.first_seq)));
        self.expired_at = Some(Instant::now());
        Ok(())
    }

    /// Begins an index: with where the journal is at this moment.
    async fn begin(&mut self) -> Result<Kept, Error> {
        let (store, commits) = pages::newest(&self.bus, self.following.len()).await?;
        tracing::info!("an index is made from the store");
        let walk = Some(Walk::default());
        let kept = self.folder.make(State { format: FORMAT, store, commits, walk })?;
        commit(&kept).await?;
        self.walk_committed_at = Instant::now();
        Ok(kept)
    }

    /// Reads a part of all rooms; or, when that is done, of what was committed meanwhile.
    async fn build(&mut self, next: &mut Kept) -> Result<Read, Error> {
        let began_at = Instant::now();
        while let Some(walk) = next.state.walk.clone() {
            if began_at.elapsed() >= WALK_FOR {
                if self.walk_committed_at.elapsed() >= WALK_COMMIT_EVERY {
                    commit(next).await?;
                    self.walk_committed_at = Instant::now();
                }
                return Ok(Read::Part { more: true });
            }
            let Walk { room, seq, messages } = walk;
            let after = (!room.is_empty()).then_some(Place { room, seq });
            let page = self.bus.call(&WalkMessages { after }).await?;
            if store_of(&page.store) != next.state.store {
                return Ok(Read::OtherStore);
            }
            let messages = messages + page.messages.len() as u64;
            write(next, page.messages, Vec::new()).await?;
            next.state.walk = page.through.map(|Place { room, seq }| Walk { room, seq, messages });
        }
        self.read_journal(next).await
    }

    /// The new index has everything: it answers, and the one before goes.
    async fn replace(&mut self) -> Result<(), Error> {
        let Some(next) = self.indexes.next.take() else { return Ok(()) };
        commit(&next).await?;
        tracing::info!(messages = next.index.documents(), "an index is complete");
        let before = self.indexes.current.replace(next);
        self.is_expired = false;
        self.removed_before.clear();
        self.expired_at = None;
        self.answering.reindexing.store(false, Ordering::Relaxed);
        self.answering.is_up_to_date();
        self.answer();
        self.answering.built.fetch_add(1, Ordering::Relaxed);
        if let Some(before) = before {
            let number = before.number;
            drop(before);
            self.folder.remove(number)?;
        }
        Ok(())
    }

    fn drop_next(&mut self) -> Result<(), Error> {
        let Some(next) = self.indexes.next.take() else { return Ok(()) };
        let number = next.number;
        drop(next);
        self.folder.remove(number)
    }

    /// The store is another one, restored or imported: nothing of what it has is of it.
    fn forget_all(&mut self) -> Result<(), Error> {
        tracing::warn!("the store is another one: the index is made anew");
        self.drop_next()?;
        self.following.clear();
        self.is_expired = false;
        self.removed_before.clear();
        if let Some(current) = self.indexes.current.take() {
            let number = current.number;
            drop(current);
            self.answer();
            self.folder.remove(number)?;
        }
        Ok(())
    }
}

/// Writes what was read, off the threads that others wait for.
async fn write(
    kept: &Kept,
    messages: Vec<IndexedMessage>,
    deleted: Vec<Place>,
) -> Result<(), Error> {
    let index = Arc::clone(&kept.index);
    INDEXED.add("written", messages.len() as u64);
    INDEXED.add("removed", deleted.len() as u64);
    blocking(move || {
        messages.into_iter().try_for_each(|message| index.put(&document(message)))?;
        // After them: what was deleted while they were read stays so.
        for place in deleted {
            index.remove(&place.room, place.seq);
        }
        Ok(())
    })
    .await
}

async fn commit(kept: &Kept) -> Result<(), Error> {
    let (index, state) = (Arc::clone(&kept.index), kept.state.clone());
    let began_at = Instant::now();
    blocking(move || index.commit(&state)).await?;
    COMMITS.record(began_at.elapsed().as_secs_f64());
    Ok(())
}

/// Commits where only numbers of commits have moved.
async fn commit_if_moved(kept: &Kept) -> Result<(), Error> {
    if kept.index.state()?.as_ref() == Some(&kept.state) {
        return Ok(());
    }
    commit(kept).await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| std::io::Error::other(error.to_string()))?
}

fn document(message: IndexedMessage) -> Document {
    let IndexedMessage {
        room,
        seq,
        time_ms,
        from,
        thread,
        texts,
        mentions,
        mentions_everyone,
        has,
    } = message;
    Document { room, seq, time_ms, from, thread, texts, mentions, mentions_everyone, has }
}
