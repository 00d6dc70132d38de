//! What the store keeps: choices are read, and when users were last seen is written, in batches.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep};
use weft_nats::Bus;
use weft_proto::UserId;
use weft_proto::limits::PRESENCE_USERS_MAX;
use weft_proto::svc::{Active, KeptStatus, LoadStatuses, NoteActive};
use weft_runtime::when_some;

/// Reads underway at once.
const LOADS_MAX: usize = 4;
/// Before what failed is tried again.
const PAUSE: Duration = Duration::from_millis(500);
/// How long last-seen times wait to be written together.
const NOTE_EVERY: Duration = Duration::from_secs(5);

type Loading = BoxFuture<'static, (Vec<UserId>, Option<Vec<KeptStatus>>)>;
type Noting = BoxFuture<'static, Option<BTreeMap<UserId, u64>>>;

pub(super) struct Kept {
    bus: Bus,
    waiting: VecDeque<UserId>,
    loading: FuturesUnordered<Loading>,
    seen: BTreeMap<UserId, u64>,
    noting: Option<Noting>,
    note_at: Instant,
}

impl Kept {
    pub(super) fn new(bus: Bus) -> Self {
        Self {
            bus,
            waiting: VecDeque::new(),
            loading: FuturesUnordered::new(),
            seen: BTreeMap::new(),
            noting: None,
            note_at: Instant::now() + NOTE_EVERY,
        }
    }

    /// These users' choices are wanted.
    pub(super) fn load(&mut self, users: Vec<UserId>) {
        self.waiting.extend(users);
        self.ask();
    }

    /// Nothing is to be loaded.
    pub(super) fn is_loaded(&self) -> bool {
        self.waiting.is_empty() && self.loading.is_empty()
    }

    /// Users were last seen then.
    pub(super) fn note(&mut self, seen: Vec<(UserId, u64)>) {
        for (user, at_ms) in seen {
            let known = self.seen.entry(user).or_default();
            *known = at_ms.max(*known);
        }
    }

    fn ask(&mut self) {
        while self.loading.len() < LOADS_MAX && !self.waiting.is_empty() {
            let count = self.waiting.len().min(PRESENCE_USERS_MAX);
            let users: Vec<UserId> = self.waiting.drain(..count).collect();
            let bus = self.bus.clone();
            self.loading.push(Box::pin(async move {
                let names = users.iter().map(UserId::to_string).collect();
                match bus.call(&LoadStatuses { users: names }).await {
                    Ok(kept) if kept.users.len() == users.len() => (users, Some(kept.users)),
                    Ok(_) => {
                        tracing::error!("core answered for other users than were asked for");
                        sleep(PAUSE).await;
                        (users, None)
                    }
                    Err(error) => {
                        tracing::debug!(%error, "choices can't be loaded yet");
                        sleep(PAUSE).await;
                        (users, None)
                    }
                }
            }));
        }
    }

    /// The next users that are loaded; writes what is to be written meanwhile. Cancel-safe.
    pub(super) async fn next(&mut self) -> Vec<(UserId, KeptStatus)> {
        loop {
            let is_due = self.noting.is_none() && !self.seen.is_empty();
            tokio::select! {
                Some((users, kept)) = self.loading.next(), if !self.loading.is_empty() => {
                    match kept {
                        Some(kept) => {
                            self.ask();
                            return users.into_iter().zip(kept).collect();
                        }
                        None => self.waiting.extend(users),
                    }
                    self.ask();
                }
                failed = when_some(self.noting.as_mut()) => {
                    self.noting = None;
                    if let Some(failed) = failed {
                        // Also where more was waiting: core is away.
                        self.note_at = Instant::now() + NOTE_EVERY;
                        self.note(failed.into_iter().collect());
                    }
                }
                () = tokio::time::sleep_until(self.note_at), if is_due => self.begin_note(),
            }
        }
    }

    fn begin_note(&mut self) {
        self.note_at = Instant::now() + NOTE_EVERY;
        let mut batch = BTreeMap::new();
        while batch.len() < PRESENCE_USERS_MAX
            && let Some((user, at_ms)) = self.seen.pop_first()
        {
            batch.insert(user, at_ms);
        }
        if !self.seen.is_empty() {
            self.note_at = Instant::now();
        }
        self.noting = Some(Box::pin(write(self.bus.clone(), batch)));
    }

    /// Writes what is still to be written.
    pub(super) async fn finish(mut self) {
        if let Some(noting) = self.noting.take() {
            let failed = noting.await;
            self.note(failed.unwrap_or_default().into_iter().collect());
        }
        while !self.seen.is_empty() {
            self.begin_note();
            if when_some(self.noting.as_mut()).await.is_some() {
                return;
            }
        }
    }
}

async fn write(bus: Bus, batch: BTreeMap<UserId, u64>) -> Option<BTreeMap<UserId, u64>> {
    let active =
        |(user, at_ms): (&UserId, &u64)| Active { user: user.to_string(), last_active_ms: *at_ms };
    let users = batch.iter().map(active).collect();
    match bus.call(&NoteActive { users }).await {
        Ok(_) => None,
        Err(error) => {
            tracing::debug!(%error, "last-seen times are not kept yet");
            Some(batch)
        }
    }
}
