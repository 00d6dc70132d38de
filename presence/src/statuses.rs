//! What an edge knows of the users whom its sessions watch.
//!
//! One subscription brings all statuses of all users to an edge, whoever watches whom: with some
//! dozen watchers per user nearly every edge has one of them, and thousands of subscriptions per
//! edge would cost more than the messages that nobody here waits for. It also makes losses
//! countable: a presence node numbers what it publishes, and its ticks tell the last number.
//! After a loss the presence nodes are asked for all users who are watched here.

mod losses;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};
use weft_nats::subject::WEFT_PRESENCE;
use weft_nats::{Bus, Filter, Message, subscribed};
use weft_proto::limits::PRESENCE_USERS_MAX;
use weft_proto::presence::{PresenceTick, Status};
use weft_proto::svc::GetPresence;
use weft_proto::{ApiError, Presence, UserId};
use weft_runtime::lock;

use self::losses::Losses;

/// Questions underway at once.
const ASKS_MAX: usize = 4;
/// Statuses that are taken in at once.
const BATCH_MAX: usize = 256;
/// Most users that are told to a session at once.
const TOLD_MAX: usize = 200;
/// Before what failed is tried again.
const PAUSE: Duration = Duration::from_millis(500);
/// Everything is asked for again so often, whatever was lost or not.
const AUDIT_EVERY: Duration = Duration::from_secs(300);

/// The users who are watched at an edge. Cheap to clone.
#[derive(Clone)]
pub struct Statuses(Arc<Inner>);

struct Inner {
    bus: Bus,
    table: Mutex<Table>,
    /// There is somebody to ask for.
    wake: Notify,
}

#[derive(Default)]
struct Table {
    users: HashMap<UserId, Watched>,
    to_ask: VecDeque<UserId>,
    next_watcher: u64,
}

struct Watched {
    /// `None`: not known yet.
    known: Option<Known>,
    /// It is in [`Table::to_ask`].
    is_queued: bool,
    watchers: Vec<(u64, Arc<Changes>)>,
}

struct Known {
    /// As it is told: with a version that grows with each change.
    presence: Presence,
    /// As it was published.
    version: u64,
    heard_at: Instant,
}

/// Whose presence a watcher has to be told.
#[derive(Default)]
struct Changes {
    users: Mutex<BTreeSet<UserId>>,
    notify: Notify,
}

impl Changes {
    fn add(&self, user: &UserId) {
        lock(&self.users).insert(user.clone());
        self.notify.notify_one();
    }
}

type Asked = BoxFuture<'static, (Vec<UserId>, Instant, Result<Vec<Presence>, ApiError>)>;

impl Statuses {
    /// Nobody is watched.
    #[must_use]
    pub fn new(bus: Bus) -> Self {
        Self(Arc::new(Inner { bus, table: Mutex::default(), wake: Notify::new() }))
    }

    /// Somebody who will watch users.
    #[must_use]
    pub fn watcher(&self) -> Watcher {
        let mut table = lock(&self.0.table);
        let number = table.next_watcher;
        table.next_watcher += 1;
        drop(table);
        let (statuses, changes) = (self.clone(), Arc::default());
        Watcher { statuses, number, changes, users: Mutex::default() }
    }

    /// What is known of users, asking for whom nothing is known. At most
    /// [`PRESENCE_USERS_MAX`]; in their order.
    ///
    /// # Errors
    /// Where no presence node answers.
    pub async fn get(&self, users: &[UserId]) -> Result<Vec<Presence>, ApiError> {
        let mut known: HashMap<UserId, Presence> = {
            let table = lock(&self.0.table);
            let known = |user: &UserId| table.users.get(user)?.known.as_ref();
            let known = users.iter().filter_map(known);
            known.map(|known| (known.presence.user.clone(), known.presence.clone())).collect()
        };
        let missing: Vec<UserId> =
            users.iter().filter(|user| !known.contains_key(*user)).cloned().collect();
        if !missing.is_empty() {
            let answer = ask(&self.0.bus, &missing).await?;
            known.extend(answer.into_iter().map(|presence| (presence.user.clone(), presence)));
        }
        Ok(users
            .iter()
            .map(|user| known.get(user).cloned().unwrap_or_else(|| Presence::unknown(user.clone())))
            .collect())
    }

    /// Listens, asks, and tells the watchers, until the connection is closed for good.
    pub async fn run(self) {
        let bus = &self.0.bus;
        let statuses = subscribed(|| bus.subscribe_wildcard(&Filter::Statuses)).await;
        let ticks = subscribed(|| bus.subscribe_wildcard(&Filter::PresenceTicks)).await;
        let (Some(mut statuses), Some(mut ticks)) = (statuses, ticks) else { return };
        let (mut connection, mut dropped) = (self.0.bus.connection(), self.0.bus.losses());
        let mut generation = connection.borrow_and_update().generation;
        let mut losses = Losses::new(Instant::now(), AUDIT_EVERY);
        let mut asked: FuturesUnordered<Asked> = FuturesUnordered::new();
        loop {
            let ask_all_at = losses.ask_at();
            tokio::select! {
                biased; // signs of losses before what is concluded without them
                Ok(()) = connection.changed() => {
                    let now = connection.borrow_and_update().generation;
                    if std::mem::replace(&mut generation, now) != now {
                        losses.lost(Instant::now());
                    }
                }
                Ok(()) = dropped.changed() => losses.lost(Instant::now()),
                message = statuses.next() => {
                    let Some(message) = message else { return };
                    self.on_status(&message, &mut losses);
                    for _ in 1..BATCH_MAX {
                        let Some(message) = statuses.try_next() else { break };
                        self.on_status(&message, &mut losses);
                    }
                }
                tick = ticks.next() => {
                    let Some(tick) = tick else { return };
                    if let Some(tick) = PresenceTick::decode(tick.payload()) {
                        losses.on_tick(&tick, Instant::now());
                    }
                }
                Some((users, asked_at, answer)) = asked.next(), if !asked.is_empty() => {
                    if self.on_answer(users, asked_at, answer) {
                        losses.lost(Instant::now());
                    }
                }
                () = self.0.wake.notified() => {}
                () = sleep_until(ask_all_at) => {
                    losses.asked(Instant::now());
                    lock(&self.0.table).ask_for_all();
                }
            }
            while asked.len() < ASKS_MAX
                && let Some(asking) = self.next_ask()
            {
                asked.push(asking);
            }
        }
    }

    fn next_ask(&self) -> Option<Asked> {
        let mut guard = lock(&self.0.table);
        let Table { users, to_ask, .. } = &mut *guard;
        let mut wanted = Vec::new();
        while wanted.len() < PRESENCE_USERS_MAX
            && let Some(user) = to_ask.pop_front()
        {
            // Nobody may watch them any more.
            if let Some(watched) = users.get_mut(&user) {
                watched.is_queued = false;
                wanted.push(user);
            }
        }
        drop(guard);
        if wanted.is_empty() {
            return None;
        }
        let (bus, asked_at) = (self.0.bus.clone(), Instant::now());
        Some(Box::pin(async move {
            let answer = ask(&bus, &wanted).await;
            if let Err(error) = &answer {
                tracing::debug!(%error, "no presence node answers");
                sleep(PAUSE).await;
            }
            (wanted, asked_at, answer)
        }))
    }

    fn on_status(&self, message: &Message, losses: &mut Losses) {
        losses.on_status(message.header(WEFT_PRESENCE), Instant::now());
        // Most of them nobody here waits for.
        let user = message.subject().rsplit('.').next().unwrap_or_default();
        if !lock(&self.0.table).users.contains_key(user) {
            return;
        }
        match Presence::from_json(message.payload()) {
            Ok(presence) => {
                let now = Instant::now();
                lock(&self.0.table).apply(presence, now, now);
            }
            Err(error) => tracing::error!(%error, "a status can't be read"),
        }
    }

    /// True where something of it is to be asked for once more.
    fn on_answer(
        &self,
        users: Vec<UserId>,
        asked_at: Instant,
        answer: Result<Vec<Presence>, ApiError>,
    ) -> bool {
        let mut table = lock(&self.0.table);
        let mut is_doubtful = false;
        match answer {
            Ok(answer) => {
                for presence in answer {
                    let taken = table.apply(presence, asked_at, Instant::now());
                    is_doubtful |= taken == Taken::Doubtful;
                }
            }
            Err(_) => users.into_iter().for_each(|user| table.ask_for(user)),
        }
        is_doubtful
    }
}

impl Table {
    fn ask_for(&mut self, user: UserId) {
        if let Some(watched) = self.users.get_mut(&user)
            && !std::mem::replace(&mut watched.is_queued, true)
        {
            self.to_ask.push_back(user);
        }
    }

    fn ask_for_all(&mut self) {
        let users: Vec<UserId> = self.users.keys().cloned().collect();
        users.into_iter().for_each(|user| self.ask_for(user));
    }

    /// Takes in what a presence node says, where it is newer than what is known.
    fn apply(&mut self, mut presence: Presence, asked_at: Instant, now: Instant) -> Taken {
        let Some(watched) = self.users.get_mut(&presence.user) else { return Taken::No };
        let version = presence.version;
        let Some(known) = &mut watched.known else {
            let is_news = presence.status != Status::Offline;
            watched.tell(&presence.user, is_news);
            watched.known = Some(Known { presence, version, heard_at: now });
            return Taken::Yes;
        };
        let is_news = !presence.shows_the_same(&known.presence);
        // Nothing is published of whom nobody has seen for long; and what a presence node knows and
        // has not heard published has the last version. It holds, unless somebody has said otherwise
        // since the question; and it may be wrong.
        let is_doubtful = version <= known.version
            && is_news
            && known.heard_at < asked_at
            && (version == 0 || version == known.version);
        if version <= known.version && !is_doubtful {
            return Taken::No;
        }
        if is_news {
            // Clients go by versions.
            presence.version = version.max(known.presence.version + 1);
        } else {
            presence.version = known.presence.version;
        }
        *known = Known { presence, version: version.max(known.version), heard_at: now };
        let user = known.presence.user.clone();
        watched.tell(&user, is_news);
        if is_doubtful { Taken::Doubtful } else { Taken::Yes }
    }
}

impl Watched {
    fn tell(&self, user: &UserId, is_news: bool) {
        if is_news {
            self.watchers.iter().for_each(|(_, changes)| changes.add(user));
        }
    }
}

/// What became of a presence node's word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Taken {
    /// It is older than what is known, or says nothing new.
    No,
    /// It is newer.
    Yes,
    /// It has no newer version, but is another: whoever answered may lag.
    Doubtful,
}

/// A session that watches users. Dropping it ends that.
pub struct Watcher {
    statuses: Statuses,
    number: u64,
    changes: Arc<Changes>,
    users: Mutex<HashSet<UserId>>,
}

impl Watcher {
    /// Watches these too. Whoever is not offline is told at once.
    pub fn watch(&self, users: impl IntoIterator<Item = UserId>) {
        let mut guard = lock(&self.statuses.0.table);
        let mut own = lock(&self.users);
        let Table { users: watched, to_ask, .. } = &mut *guard;
        for user in users {
            if !own.insert(user.clone()) {
                continue;
            }
            let entry = watched.entry(user.clone()).or_insert_with(|| {
                to_ask.push_back(user.clone());
                Watched { known: None, is_queued: true, watchers: Vec::new() }
            });
            entry.watchers.push((self.number, Arc::clone(&self.changes)));
            let is_here = |known: &Known| known.presence.status != Status::Offline;
            if entry.known.as_ref().is_some_and(is_here) {
                self.changes.add(&user);
            }
        }
        if !to_ask.is_empty() {
            self.statuses.0.wake.notify_one();
        }
    }

    /// Watches these no longer.
    pub fn unwatch<'a>(&self, users: impl IntoIterator<Item = &'a UserId>) {
        let mut table = lock(&self.statuses.0.table);
        let mut own = lock(&self.users);
        for user in users {
            if own.remove(user) {
                self.leave(&mut table, user);
            }
        }
    }

    #[must_use]
    pub fn watches(&self, user: &UserId) -> bool {
        lock(&self.users).contains(user)
    }

    /// Waits until something of the watched users has changed: as they are now. Cancel-safe.
    pub async fn changed(&self) -> Vec<Presence> {
        loop {
            let told = self.take();
            if !told.is_empty() {
                return told;
            }
            self.changes.notify.notified().await;
        }
    }

    fn take(&self) -> Vec<Presence> {
        let table = lock(&self.statuses.0.table);
        let mut users = lock(&self.changes.users);
        let mut told = Vec::new();
        while told.len() < TOLD_MAX
            && let Some(user) = users.pop_first()
        {
            let is_own = lock(&self.users).contains(&user);
            let known = table.users.get(&user).and_then(|watched| watched.known.as_ref());
            told.extend(known.filter(|_| is_own).map(|known| known.presence.clone()));
        }
        if !users.is_empty() {
            self.changes.notify.notify_one();
        }
        told
    }

    fn leave(&self, table: &mut Table, user: &UserId) {
        if let Some(watched) = table.users.get_mut(user) {
            watched.watchers.retain(|(number, _)| *number != self.number);
            if watched.watchers.is_empty() {
                table.users.remove(user);
            }
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut table = lock(&self.statuses.0.table);
        for user in lock(&self.users).drain() {
            self.leave(&mut table, &user);
        }
    }
}

async fn ask(bus: &Bus, users: &[UserId]) -> Result<Vec<Presence>, ApiError> {
    let users = users.iter().map(UserId::to_string).collect();
    let answer = bus.call(&GetPresence { users }).await?;
    Ok(answer.users.into_iter().filter_map(weft_proto::svc::UserPresence::read).collect())
}

#[cfg(test)]
mod tests;
