//! What a node knows of its store: every call that goes through it tells.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tracing::{info, warn};
use weft_runtime::lock;
use weft_storage::tables::layout;
use weft_storage::{Batch, BatchId, Engine, Error, Outcome, Snapshot, Store};

use crate::metrics;

/// A commit without an answer for this long is trouble.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks at the store.
const PROBE_PAUSE: Duration = Duration::from_secs(1);
/// Trouble is said to the operator after this long: a failed attempt alone is none.
const SAY_AFTER: Duration = Duration::from_secs(2);

#[derive(Clone, Debug)]
pub struct Trouble {
    /// No call has succeeded since.
    pub since: Instant,
    /// What the last one said.
    pub reason: String,
    /// It answers, and has no room.
    pub is_full: bool,
}

/// How long a store may be in trouble.
#[derive(Clone, Copy, Debug)]
pub struct StorePatience {
    /// A store that is away: then new commands are refused.
    pub stalled: Duration,
    /// The same for a store without room, which does not come back by itself.
    pub stalled_full: Duration,
    /// Then partitions and services are given up, where another node's store is well.
    pub gives_up: Duration,
    /// A store that has been well for this long counts as well.
    pub recovers: Duration,
}

impl Default for StorePatience {
    fn default() -> Self {
        Self {
            stalled: Duration::from_secs(20),
            stalled_full: Duration::from_secs(10),
            gives_up: Duration::from_secs(10),
            recovers: Duration::from_secs(3),
        }
    }
}

/// How a store does. Cheap to clone; all clones are of one store.
#[derive(Clone, Default)]
pub struct StoreHealth(Arc<Shared>);

#[derive(Default)]
struct Shared {
    patience: StorePatience,
    state: Mutex<State>,
    /// A hint, so that reads which succeed cost nothing.
    reads_fail: AtomicBool,
}

#[derive(Default)]
struct State {
    reads: Option<Trouble>,
    commits: Option<Trouble>,
    /// Commits without an answer yet: when each began.
    underway: BTreeMap<u64, Instant>,
    next_commit: u64,
}

impl StoreHealth {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(patience: StorePatience) -> Self {
        Self(Arc::new(Shared { patience, ..Shared::default() }))
    }

    /// How long trouble may last.
    #[must_use]
    pub fn patience(&self) -> StorePatience {
        self.0.patience
    }

    /// True where new commands are to be refused.
    #[must_use]
    pub fn is_stalled(&self) -> bool {
        let StorePatience { stalled, stalled_full, .. } = self.0.patience;
        self.trouble().is_some_and(|Trouble { since, is_full, .. }| {
            since.elapsed() >= if is_full { stalled_full } else { stalled }
        })
    }

    /// A handle on the store whose calls tell how it does.
    #[must_use]
    pub fn watched(&self, store: Store) -> Store {
        Store::new(Watched { store, health: self.clone() })
    }

    /// What is wrong; `None`: nothing.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        let state = self.lock();
        let first = state.underway.values().min().filter(|at| at.elapsed() >= ANSWER_PATIENCE);
        let unanswered = first.map(|since| Trouble {
            since: *since,
            reason: "a commit has no answer".to_owned(),
            is_full: false,
        });
        let all = [&state.commits, &state.reads, &unanswered];
        all.into_iter().flatten().min_by_key(|trouble| trouble.since).cloned()
    }

    /// Looks at the store every second, so that a node which works on nothing knows it too, and says
    /// what changes. Never ends.
    pub async fn watch(self, store: Store) {
        tokio::join!(self.probe_reads(&store), self.probe_commits(&store), self.say());
    }

    async fn probe_reads(&self, store: &Store) {
        let mut looks = interval(PROBE_PAUSE);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let began = Instant::now();
            let read = async { store.snapshot().await?.get(layout::key()).await };
            let failed = match timeout(ANSWER_PATIENCE, read).await {
                Ok(Ok(_)) => None,
                Ok(Err(error)) => Some(error),
                Err(_) => Some(Error::Unavailable("no answer to a read".to_owned())),
            };
            self.note_read(began, failed.as_ref());
        }
    }

    /// A commit that nobody tries again must not count for ever.
    async fn probe_commits(&self, store: &Store) {
        let mut looks = interval(PROBE_PAUSE);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            if self.lock().commits.is_some() {
                // Without operations. What it says, it tells by itself.
                let _ = store.commit(Batch::new(rand::random::<BatchId>())).await;
            }
        }
    }

    async fn say(&self) {
        let mut looks = interval(PROBE_PAUSE);
        let mut told: Option<Trouble> = None;
        loop {
            looks.tick().await;
            let trouble = self.trouble();
            let lasted = trouble.as_ref().map_or(Duration::ZERO, |trouble| trouble.since.elapsed());
            metrics::STORE_TROUBLE.set(lasted.as_secs_f64());
            let trouble = trouble.filter(|_| lasted >= SAY_AFTER);
            match (&told, &trouble) {
                (None, Some(Trouble { reason, .. })) => {
                    warn!(reason, "the store takes nothing: what is sent waits");
                }
                (Some(Trouble { since, .. }), None) => {
                    info!(after = ?since.elapsed(), "the store is well again");
                }
                _ => continue,
            }
            told = trouble;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        lock(&self.0.state)
    }

    fn note_read(&self, began: Instant, failed: Option<&Error>) {
        if failed.is_none() && !self.0.reads_fail.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.lock();
        note(&mut state.reads, began, failed);
        self.0.reads_fail.store(state.reads.is_some(), Ordering::Relaxed);
    }
}

/// An error that speaks of the call alone says nothing of the store.
fn note(trouble: &mut Option<Trouble>, began: Instant, failed: Option<&Error>) {
    match failed {
        None => *trouble = None,
        Some(Error::Limit { .. } | Error::Corrupt(_)) => {}
        Some(error) => {
            let since = trouble.as_ref().map_or(began, |trouble| trouble.since);
            let is_full = matches!(error, Error::Full(_));
            *trouble = Some(Trouble { since, reason: error.to_string(), is_full });
        }
    }
}

/// The engine that tells.
struct Watched {
    store: Store,
    health: StoreHealth,
}

/// A commit that is underway, also where its future is dropped.
struct Underway<'a> {
    health: &'a StoreHealth,
    number: u64,
    began: Instant,
}

impl<'a> Underway<'a> {
    fn begin(health: &'a StoreHealth) -> Self {
        let began = Instant::now();
        let mut state = health.lock();
        let number = state.next_commit;
        state.next_commit += 1;
        state.underway.insert(number, began);
        Self { health, number, began }
    }
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        self.health.lock().underway.remove(&self.number);
    }
}

#[async_trait]
impl Engine for Watched {
    async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, Error> {
        let began = Instant::now();
        let snapshot = self.store.snapshot().await;
        self.health.note_read(began, snapshot.as_ref().err());
        snapshot
    }

    async fn commit(&self, batch: Batch) -> Result<Outcome, Error> {
        let underway = Underway::begin(&self.health);
        let outcome = self.store.commit(batch).await;
        note(&mut self.health.lock().commits, underway.began, outcome.as_ref().err());
        outcome
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU8;

    use weft_storage::memory::Memory;

    use super::*;

    const WELL: u8 = 0;
    const AWAY: u8 = 1;
    const FULL: u8 = 2;
    const HANGS: u8 = 3;

    /// A store that is as it is told to be.
    struct Moody(Memory, Arc<AtomicU8>);

    impl Moody {
        async fn mood(&self) -> Result<u8, Error> {
            match self.1.load(Ordering::SeqCst) {
                AWAY => Err(Error::Unavailable("on purpose".into())),
                HANGS => std::future::pending().await,
                mood => Ok(mood),
            }
        }
    }

    #[async_trait]
    impl Engine for Moody {
        async fn snapshot(&self) -> Result<Arc<dyn Snapshot>, Error> {
            self.mood().await?;
            self.0.snapshot().await
        }

        async fn commit(&self, batch: Batch) -> Result<Outcome, Error> {
            match self.mood().await? {
                FULL => Err(Error::Full("on purpose".into())),
                _ => self.0.commit(batch).await,
            }
        }
    }

    fn moody() -> (Store, StoreHealth, Arc<AtomicU8>) {
        let (mood, health) = (Arc::new(AtomicU8::new(WELL)), StoreHealth::default());
        let store = health.watched(Store::new(Moody(Memory::new(), Arc::clone(&mood))));
        (store, health, mood)
    }

    async fn wait(seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_without_work_notices_that_its_store_is_away_and_is_back() {
        let (store, health, mood) = moody();
        let watching = tokio::spawn(health.clone().watch(store));
        wait(3).await;
        assert!(health.trouble().is_none());
        for bad in [AWAY, HANGS] {
            mood.store(bad, Ordering::SeqCst);
            wait(15).await;
            let trouble = health.trouble().expect("it is away");
            assert!(!trouble.is_full);
            let seconds = trouble.since.elapsed().as_secs();
            assert!((9..=16).contains(&seconds), "{seconds}");
            mood.store(WELL, Ordering::SeqCst);
            wait(7).await;
            assert!(health.trouble().is_none(), "{:?}", health.trouble());
        }
        watching.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_store_can_be_read_and_is_in_trouble_until_something_is_committed() {
        let (store, health, mood) = moody();
        let watching = tokio::spawn(health.clone().watch(store.clone()));
        mood.store(FULL, Ordering::SeqCst);
        wait(3).await;
        assert!(health.trouble().is_none(), "nobody has committed anything");
        assert!(store.commit(Batch::new([1; 16])).await.is_err());
        wait(3).await;
        store.snapshot().await.expect("a read");
        let trouble = health.trouble().expect("it is full");
        assert!(trouble.is_full && trouble.since.elapsed().as_secs() == 3, "{trouble:?}");
        mood.store(WELL, Ordering::SeqCst);
        // Nobody tries that commit again.
        wait(2).await;
        assert!(health.trouble().is_none());
        watching.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_commit_without_an_answer_is_trouble_until_it_is_given_up() {
        let (store, health, mood) = moody();
        mood.store(HANGS, Ordering::SeqCst);
        let hanging = tokio::spawn(async move { store.commit(Batch::new([1; 16])).await });
        wait(4).await;
        assert!(health.trouble().is_none());
        wait(1).await;
        assert_eq!(health.trouble().expect("no answer").since.elapsed(), ANSWER_PATIENCE);
        hanging.abort();
        let _ = hanging.await;
        assert!(health.trouble().is_none());
    }
}
