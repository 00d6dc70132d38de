//! What an edge says of its users: one key per user with sessions here, written when the first session
//! opens, the last one ends, or what is to be seen changes, and again now and then, so that it does
//! not expire.
//!
//! What is written is the state at the moment of writing, so a connection that comes and goes costs
//! at most one write at a time. What the bucket has not acknowledged is written again; and everything
//! is where the bucket has lost what it acknowledged, because nats-server came back with older data.
//! Then whoever has left of late is written again too: the older data may say that they are here.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use weft_nats::assets::USER_KEY_TTL;
use weft_nats::{Bus, Error, UserKeys};
use weft_proto::presence::{DevicePresence, EdgePresence, PresenceSettings};
use weft_proto::{DeviceId, NodeId, UserId};
use weft_runtime::{Clock, SystemClock, lock};

/// Keys that are written at once.
const BATCH_MAX: usize = 256;
/// A key is written again after this long, give or take a fifth: three times before it expires.
const REFRESH_AFTER: Duration = Duration::from_secs(600);
/// Whoever has left is remembered for so long: what the bucket had of them before has expired then.
const REMEMBER_LEFT: Duration = USER_KEY_TTL;
/// How often it is looked for keys to refresh.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// Before what failed is tried again.
const PAUSE: Duration = Duration::from_millis(300);
/// So long a device counts as attended that does not say it again: one that hangs holds nothing back for longer.
pub const ATTENDED_FOR: Duration = Duration::from_secs(60);
/// How long the last write may take.
const FINISH_TIMEOUT: Duration = Duration::from_millis(500);

/// Announces the users of one edge. Cheap to clone.
#[derive(Clone)]
pub struct Announcer(Arc<Inner>);

struct Inner {
    node: NodeId,
    boot: String,
    table: Mutex<Table>,
    wake: Notify,
}

#[derive(Default)]
struct Table {
    users: HashMap<UserId, Local>,
    /// Each once: those of which the bucket has to be told something.
    dirty: VecDeque<UserId>,
    visits: u64,
    number: u64,
}

/// A user with sessions here, or who had some of late.
struct Local {
    visitors: Vec<Visitor>,
    chosen: Option<PresenceSettings>,
    logged_out: bool,
    last_active_ms: u64,
    is_dirty: bool,
    /// What the bucket has; `None`: nothing, or it is not known.
    written: Option<Announced>,
    /// It is written again then; or forgotten, where nobody is here.
    refresh_at: Instant,
}

struct Visitor {
    visit: u64,
    device: DeviceId,
    is_idle: bool,
    attended_until: Option<Instant>,
    used_ms: Arc<AtomicU64>,
}

impl Visitor {
    fn is_attended(&self) -> bool {
        self.attended_until.is_some_and(|until| until > Instant::now())
    }
}

/// What others could tell from a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Announced {
    is_here: bool,
    is_idle: bool,
    is_attended: bool,
    chosen_at_ms: u64,
    logged_out: bool,
}

impl Local {
    fn new() -> Self {
        Self {
            visitors: Vec::new(),
            chosen: None,
            logged_out: false,
            last_active_ms: 0,
            is_dirty: false,
            written: None,
            refresh_at: Instant::now() + REFRESH_AFTER,
        }
    }

    fn announced(&self) -> Announced {
        Announced {
            is_here: !self.visitors.is_empty(),
            is_idle: self.visitors.iter().all(|visitor| visitor.is_idle),
            is_attended: self.is_attended(),
            chosen_at_ms: self.chosen.as_ref().map_or(0, |chosen| chosen.at_ms),
            logged_out: self.logged_out,
        }
    }

    fn is_attended(&self) -> bool {
        self.visitors.iter().any(Visitor::is_attended)
    }

    fn presence(&self, boot: &str, number: u64) -> EdgePresence {
        let mut devices: Vec<DevicePresence> = Vec::with_capacity(self.visitors.len());
        for visitor in &self.visitors {
            let device = visitor.device.to_string();
            match devices.iter_mut().find(|known| known.device == device) {
                Some(known) => known.idle &= visitor.is_idle,
                None => devices.push(DevicePresence { device, idle: visitor.is_idle }),
            }
        }
        devices.sort_unstable_by(|a, b| a.device.cmp(&b.device));
        let used = self.visitors.iter().map(|visitor| visitor.used_ms.load(Ordering::Relaxed));
        EdgePresence {
            boot: boot.to_owned(),
            number,
            devices,
            logged_out: self.logged_out,
            chosen: self.chosen.clone(),
            last_active_ms: used.fold(self.last_active_ms, u64::max),
            attended: self.is_attended(),
        }
    }
}

impl Announcer {
    /// Nobody is here. `boot` is the edge's among the live nodes.
    #[must_use]
    pub fn new(node: NodeId, boot: String) -> Self {
        let (table, wake) = (Mutex::default(), Notify::new());
        Self(Arc::new(Inner { node, boot, table, wake }))
    }

    /// A session of a user opens, on a device that somebody looks at or not.
    #[must_use]
    pub fn enter(&self, user: UserId, device: DeviceId, is_idle: bool) -> Visit {
        let used_ms = Arc::new(AtomicU64::new(SystemClock.now_ms()));
        let mut table = self.lock();
        let visit = table.visits;
        table.visits += 1;
        let local = table.users.entry(user.clone()).or_insert_with(Local::new);
        local.logged_out = false;
        let used = Arc::clone(&used_ms);
        local.visitors.push(Visitor {
            visit,
            device,
            is_idle,
            attended_until: None,
            used_ms: used,
        });
        self.tell(&mut table, &user);
        drop(table);
        let announcer = self.clone();
        Visit { announcer, user, visit, used_ms, logged_out: AtomicBool::new(false) }
    }

    /// A user has chosen how to be seen; the store has it. They may have no session here that shows
    /// them.
    pub fn choose(&self, user: &UserId, chosen: PresenceSettings) {
        let mut table = self.lock();
        let local = table.users.entry(user.clone()).or_insert_with(Local::new);
        if local.chosen.as_ref().is_none_or(|known| known.at_ms < chosen.at_ms) {
            local.chosen = Some(chosen);
        }
        self.tell(&mut table, user);
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing panics while it is held.
        lock(&self.0.table)
    }

    /// The bucket has to be told of a user, where it would be something new.
    fn tell(&self, table: &mut Table, user: &UserId) {
        let Table { users, dirty, .. } = table;
        let Some(local) = users.get_mut(user) else { return };
        if !local.is_dirty && local.written != Some(local.announced()) {
            local.is_dirty = true;
            dirty.push_back(user.clone());
            self.0.wake.notify_one();
        }
    }

    fn change(&self, user: &UserId, change: impl FnOnce(&mut Local)) {
        let mut table = self.lock();
        if let Some(local) = table.users.get_mut(user) {
            change(local);
        }
        self.tell(&mut table, user);
    }

    /// Writes until `stop`, and then what is still to be written, once.
    pub async fn run(self, bus: Bus, stop: CancellationToken) {
        let mut connection = bus.connection();
        let Some(mut keys) = self.open(&bus, &stop).await else { return };
        let mut sweep_at = Instant::now() + SWEEP_EVERY;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = self.0.wake.notified() => {}
                // What came back may have lost keys.
                Ok(()) = connection.changed() => {}
                () = sleep_until(sweep_at) => {
                    sweep_at = Instant::now() + SWEEP_EVERY;
                    self.sweep();
                }
            }
            // What a write has begun is forgotten where the edge ends: its key among the live nodes
            // goes with it, and that says more.
            while stop.run_until_cancelled(self.write(&mut keys)).await == Some(false) {
                stop.run_until_cancelled(sleep(PAUSE)).await;
            }
        }
        let _ = timeout(FINISH_TIMEOUT, self.write(&mut keys)).await;
    }

    async fn open(&self, bus: &Bus, stop: &CancellationToken) -> Option<UserKeys> {
        loop {
            let opened = stop.run_until_cancelled(UserKeys::start(bus, &self.0.node)).await?;
            match opened {
                Ok(keys) => return Some(keys),
                Err(Error::Closed) => return None,
                Err(error) => tracing::debug!(%error, "users can't be announced yet"),
            }
            stop.run_until_cancelled(sleep(PAUSE)).await?;
        }
    }

    /// Writes what is to be written; false where some of it failed.
    async fn write(&self, keys: &mut UserKeys) -> bool {
        loop {
            match keys.has_all().await {
                Ok(true) => {}
                Ok(false) => self.write_all_again(),
                Err(error) => {
                    tracing::debug!(%error, "it is not known yet whether the bucket has all users");
                    return false;
                }
            }
            let (batch, announced) = self.take();
            if batch.is_empty() {
                return true;
            }
            let missing = match keys.put(&batch).await {
                Ok(()) => Vec::new(),
                Err(Error::NotStored { missing, reason }) => {
                    tracing::debug!(reason, count = missing.len(), "users are not announced yet");
                    missing
                }
                Err(error) => {
                    tracing::debug!(%error, "users are not announced yet");
                    (0..batch.len()).collect()
                }
            };
            let has_all = missing.is_empty();
            self.settle(&batch, &announced, &missing);
            if !has_all {
                return false;
            }
        }
    }

    /// What the bucket has is not known.
    fn write_all_again(&self) {
        let mut table = self.lock();
        let users: Vec<UserId> = table.users.keys().cloned().collect();
        tracing::info!(
            users = users.len(),
            "the bucket of users may have lost some: all are announced again"
        );
        for user in users {
            self.write_again(&mut table, &user);
        }
    }

    fn write_again(&self, table: &mut Table, user: &UserId) {
        if let Some(local) = table.users.get_mut(user) {
            local.written = None;
        }
        self.tell(table, user);
    }

    fn take(&self) -> (Vec<(UserId, EdgePresence)>, Vec<Announced>) {
        let mut guard = self.lock();
        let Table { users, dirty, number, .. } = &mut *guard;
        let (mut batch, mut announced) = (Vec::new(), Vec::new());
        while batch.len() < BATCH_MAX
            && let Some(user) = dirty.pop_front()
        {
            let Some(local) = users.get_mut(&user) else { continue };
            local.is_dirty = false;
            let now = local.announced();
            if local.written == Some(now) {
                continue;
            }
            *number += 1;
            batch.push((user, local.presence(&self.0.boot, *number)));
            announced.push(now);
        }
        (batch, announced)
    }

    fn settle(&self, batch: &[(UserId, EdgePresence)], announced: &[Announced], missing: &[usize]) {
        let mut table = self.lock();
        for (i, ((user, _), now)) in batch.iter().zip(announced).enumerate() {
            let Some(local) = table.users.get_mut(user) else { continue };
            if missing.contains(&i) {
                local.written = None;
            } else {
                local.written = Some(*now);
                let jitter = 0.8 + 0.4 * rand::random::<f64>();
                let refresh_after = REFRESH_AFTER.mul_f64(jitter);
                let after = if now.is_here { refresh_after } else { REMEMBER_LEFT };
                local.refresh_at = Instant::now() + after;
            }
            self.tell(&mut table, user);
        }
    }

    /// Has keys written again before they expire, and where a device is attended no longer, and forgets who has left long ago.
    fn sweep(&self) {
        let now = Instant::now();
        let mut table = self.lock();
        let is_over = |local: &Local| local.visitors.is_empty() && !local.is_dirty;
        table.users.retain(|_, local| local.refresh_at > now || !is_over(local));
        let is_stale =
            |local: &Local| local.written.is_some_and(|it| it.is_attended && !local.is_attended());
        let due = table.users.iter();
        let due = due.filter(|(_, local)| local.refresh_at <= now || is_stale(local));
        let due: Vec<UserId> = due.map(|(user, _)| user.clone()).collect();
        for user in due {
            self.write_again(&mut table, &user);
        }
    }
}

/// A session of a user. Dropping it says that the session has ended.
pub struct Visit {
    announcer: Announcer,
    user: UserId,
    visit: u64,
    used_ms: Arc<AtomicU64>,
    logged_out: AtomicBool,
}

impl Visit {
    /// Something came from the device, at this time (Unix milliseconds).
    pub fn touch(&self, now_ms: u64) {
        self.used_ms.store(now_ms, Ordering::Relaxed);
    }

    /// Whether somebody looks at the device.
    pub fn set_idle(&self, is_idle: bool) {
        self.announcer.change(&self.user, |local| {
            let own = local.visitors.iter_mut().find(|visitor| visitor.visit == self.visit);
            if let Some(visitor) = own {
                visitor.is_idle = is_idle;
            }
        });
    }

    /// Whether the user looks at the device and uses it: for a while ([`ATTENDED_FOR`]), and then it has to be said again.
    pub fn set_attended(&self, is_attended: bool) {
        let until = is_attended.then(|| Instant::now() + ATTENDED_FOR);
        self.announcer.change(&self.user, |local| {
            let own = local.visitors.iter_mut().find(|visitor| visitor.visit == self.visit);
            if let Some(visitor) = own {
                visitor.attended_until = until;
            }
        });
    }

    /// The session is about to end because the device has logged out.
    pub fn log_out(&self) {
        self.logged_out.store(true, Ordering::Relaxed);
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let has_logged_out = self.logged_out.load(Ordering::Relaxed);
        self.announcer.change(&self.user, |local| {
            let used_ms = self.used_ms.load(Ordering::Relaxed);
            local.last_active_ms = local.last_active_ms.max(used_ms);
            local.visitors.retain(|visitor| visitor.visit != self.visit);
            local.logged_out = has_logged_out && local.visitors.is_empty();
        });
    }
}

#[cfg(test)]
mod tests;
