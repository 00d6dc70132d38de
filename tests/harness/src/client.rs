//! A device that does the protocol's whole duty: it keeps its cursor and its entries, reconnects to
//! any edge with a jittered back-off, resumes, loads anew where it is told to, and sends each text
//! with one client id until that is answered. Everything that it sees goes into a history.

mod beside;
mod deeds;
mod live;
mod shelf;
mod told;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rand::RngExt;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use self::beside::{Beside, PendingBeside};
use self::shelf::Shelf;
use crate::account::{self, Login};
use crate::history::{Device, Draft, Mark, OfThread, Recorder, Room, Wish, hash};
use crate::socket::Closed;
use crate::ulid;
use crate::wait::until;

/// Entries that may wait for their ack in one client.
const PENDING_MAX: usize = 64;
/// After a login that was refused.
const LOGIN_PAUSE: Duration = Duration::from_secs(3);
/// The same, for who has heard that they are suspended.
const SUSPENDED_PAUSE: Duration = Duration::from_secs(40);
const SUSPENDED_LOOK: Duration = Duration::from_millis(250);

#[derive(Clone, Debug)]
pub struct ClientOptions {
    pub login: Login,
    /// Where it may connect; it begins with the first.
    pub edges: Vec<SocketAddr>,
    /// Where it writes down what it sees.
    pub recorder: Recorder,
    /// From an earlier life of the device.
    pub cursor: Option<String>,
    /// How long it waits before it connects again: the first time, and at most.
    pub back_off: (Duration, Duration),
}

impl ClientOptions {
    /// A new device. The protocol allows a back-off of up to 30 s; a test has less time.
    pub fn new(login: Login, edges: Vec<SocketAddr>, recorder: Recorder) -> Self {
        let back_off = (Duration::from_millis(500), Duration::from_secs(2));
        Self { login, edges, recorder, cursor: None, back_off }
    }
}

#[derive(Debug)]
pub struct Client {
    name: Device,
    orders: mpsc::Sender<Order>,
    shared: Arc<Mutex<Shared>>,
    task: JoinHandle<()>,
}

#[derive(Default, Debug)]
struct Shared {
    shelf: Shelf,
    /// The next one is tried first.
    edges: VecDeque<SocketAddr>,
    /// The live socket has been synced, and all is loaded.
    is_synced: bool,
    /// Attempts to connect that brought no `welcome`.
    failed: u64,
    /// Its user has heard that they are suspended.
    is_suspended: bool,
    /// What no edge may say.
    defects: Vec<String>,
    /// How often somebody was said to be offline.
    offline: u64,
    /// What `synced` said, one after the other: `None` for recovered, else why not.
    syncs: Vec<Option<String>>,
    closes: Vec<Option<u16>>,
    /// What the live socket has said of others: user and status.
    statuses: BTreeMap<String, String>,
    /// When the last socket ended, until the next `welcome`.
    away_since: Option<Instant>,
    longest_away: Duration,
}

impl Shared {
    fn gone(&mut self, code: Option<u16>) {
        self.closes.push(code);
        self.is_synced = false;
        self.away_since = Some(Instant::now());
    }

    fn back(&mut self) {
        if let Some(since) = self.away_since.take() {
            self.longest_away = self.longest_away.max(since.elapsed());
        }
    }
}

#[derive(Debug)]
enum Order {
    Send { room: Room, fields: Value, done: oneshot::Sender<Result<u64>> },
    Say { what: Beside, done: oneshot::Sender<Result<()>> },
    Away { time: Duration, back: usize },
}

/// An entry without its final answer.
#[derive(Debug)]
struct Pending {
    room: Room,
    client_id: Arc<str>,
    fields: Value,
    done: Option<oneshot::Sender<Result<u64>>>,
    /// Its request on the live socket.
    request: Option<u64>,
    /// When it is sent (again).
    due: Instant,
}

/// The order to go away has ended a socket.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("told to be away for {time:?}")]
struct WentAway {
    time: Duration,
    back: usize,
}

impl Client {
    pub fn start(options: ClientOptions) -> Self {
        let (orders, taken) = mpsc::channel(1);
        let shared = Arc::<Mutex<Shared>>::default();
        if let Ok(mut shared) = shared.lock() {
            shared.shelf = Shelf::from_cursor(options.cursor);
            shared.edges = options.edges.into();
        }
        let name = options.login.name();
        let task = Task {
            name: name.clone(),
            back_off: options.back_off,
            login: options.login,
            recorder: options.recorder,
            pending: BTreeMap::new(),
            beside: BTreeMap::new(),
            sent: 0,
            orders: taken,
            stopping: false,
            shared: Arc::clone(&shared),
        };
        Self { name, orders, shared, task: tokio::spawn(task.run()) }
    }

    /// The device's name in the history.
    pub fn name(&self) -> &Device {
        &self.name
    }

    /// Sends a text until it is acknowledged; its seq.
    pub async fn send(&self, room: &str, text: &str) -> Result<u64> {
        self.entry(room, json!({ "text": text })).await
    }

    /// Sends an entry of any kind until it is acknowledged; its seq.
    pub async fn entry(&self, room: &str, fields: Value) -> Result<u64> {
        let (done, answer) = oneshot::channel();
        self.order(Order::Send { room: room.into(), fields, done }).await?;
        answer.await.with_context(|| format!("{} has stopped", self.name))?
    }

    /// Says up to where its user has read a room (0: nothing), and got it, until it is answered.
    pub async fn mark(&self, room: &str, read: u64, delivered: u64) -> Result<()> {
        self.say(Mark { room: room.into(), read, delivered, ..Mark::default() }).await
    }

    /// Says from where on its user wants a room to count as unread, until it is answered.
    pub async fn mark_unread(&self, room: &str, unread_from: u64) -> Result<()> {
        self.say(Mark { room: room.into(), unread_from, ..Mark::default() }).await
    }

    /// Says what its user has read of a thread (`follow`: `None`), or whether they follow it, until it is answered.
    pub async fn mark_thread(&self, room: &str, thread: OfThread, read: u64) -> Result<()> {
        self.say(Mark { room: room.into(), thread: Some(thread), read, ..Mark::default() }).await
    }

    /// Says how its user wants a room to be (`None`: as it is), until it is answered.
    pub async fn set(
        &self,
        room: &str,
        muted_until: Option<u64>,
        pinned: Option<bool>,
    ) -> Result<()> {
        let (room, user) = (room.into(), self.user());
        self.say_beside(Beside::Setting(Wish { room, user, muted_until, pinned })).await
    }

    /// Says what its user has typed for a room (`None`: that it is dismissed), after what the device has seen, until
    /// it is answered.
    pub async fn draft(&self, room: &str, text: Option<String>) -> Result<()> {
        let version = self.shared().shelf.draft_version(room);
        let (room, user, hashed) = (room.into(), self.user(), text.as_deref().map_or(0, hash));
        let draft = Draft { room, user, version, text: hashed };
        self.say_beside(Beside::Draft(draft, text)).await
    }

    async fn say(&self, mark: Mark) -> Result<()> {
        self.say_beside(Beside::Mark(Mark { user: self.user(), ..mark })).await
    }

    fn user(&self) -> Arc<str> {
        self.name.split('/').next().unwrap_or_default().into()
    }

    async fn say_beside(&self, what: Beside) -> Result<()> {
        let (done, answer) = oneshot::channel();
        self.order(Order::Say { what, done }).await?;
        answer.await.with_context(|| format!("{} has stopped", self.name))?
    }

    /// Up to where it knows that a user has read a room, and got it, by what it was told.
    pub fn mark_of(&self, room: &str, user: &str) -> (u64, u64) {
        self.shared().shelf.mark_of(room, user)
    }

    /// Ends the socket without a word, and stays away for a time. `back` is how many of its newest
    /// cursors it then forgets, with all that came after the one before them.
    pub async fn away(&self, time: Duration, back: usize) -> Result<()> {
        self.order(Order::Away { time, back }).await
    }

    async fn order(&self, order: Order) -> Result<()> {
        self.orders.send(order).await.map_err(|_| anyhow!("{} has stopped", self.name))
    }

    /// Up to which seq it has the room without a hole, from the first entry.
    pub fn has(&self, room: &str) -> u64 {
        self.shared().shelf.contiguous(room)
    }

    /// True where it has each of these entries of the room.
    pub fn has_all(&self, room: &str, seqs: impl IntoIterator<Item = u64>) -> bool {
        let shared = self.shared();
        seqs.into_iter().all(|seq| shared.shelf.has(room, seq))
    }

    /// Waits until it has the room up to a seq without a hole, from the first entry.
    pub async fn wait_for(&self, room: &str, seq: u64, limit: Duration) {
        let what = format!("{} has {room} up to {seq}", self.name);
        until(&what, limit, async || (self.has(room) >= seq).then_some(())).await;
    }

    pub fn cursor(&self) -> Option<String> {
        self.shared().shelf.cursor()
    }

    /// What each `synced` said: `None` for recovered, else why not.
    pub fn syncs(&self) -> Vec<Option<String>> {
        self.shared().syncs.clone()
    }

    /// The close codes of its ended sockets; `None` where one was cut.
    pub fn closes(&self) -> Vec<Option<u16>> {
        self.shared().closes.clone()
    }

    /// The longest time from a socket's end to the next `welcome`.
    pub fn longest_away(&self) -> Duration {
        let shared = self.shared();
        let away = shared.away_since.map_or(Duration::ZERO, |since| since.elapsed());
        shared.longest_away.max(away)
    }

    /// From now on it connects to these alone.
    pub fn go_to(&self, edges: impl IntoIterator<Item = SocketAddr>) {
        self.shared().edges = edges.into_iter().collect();
    }

    /// Its user hears that they are suspended, or not any more.
    pub fn is_told_suspended(&self, is_suspended: bool) {
        self.shared().is_suspended = is_suspended;
    }

    /// True where its socket lives and has brought all that it missed.
    pub fn is_synced(&self) -> bool {
        self.shared().is_synced
    }

    /// How often it has tried to connect in vain.
    pub fn failed(&self) -> u64 {
        self.shared().failed
    }

    /// What came that no edge may send.
    pub fn defects(&self) -> Vec<String> {
        self.shared().defects.clone()
    }

    /// How many others it sees as anything but offline.
    pub fn seen(&self) -> usize {
        let me = self.name.split('/').next().unwrap_or_default();
        let is_seen = |(user, status): &(&String, &String)| *user != me && *status != "offline";
        self.shared().statuses.iter().filter(is_seen).count()
    }

    /// How often it was told that somebody else is offline.
    pub fn told_offline(&self) -> u64 {
        self.shared().offline
    }

    /// How it sees another user; `None`: nothing was said, so they are offline.
    pub fn status_of(&self, user: &str) -> Option<String> {
        self.shared().statuses.get(user).cloned()
    }

    /// Ends it, after the answers that it still waits for.
    pub async fn stop(self) -> Result<()> {
        drop(self.orders);
        Ok(self.task.await?)
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Task {
    name: Device,
    back_off: (Duration, Duration),
    login: Login,
    recorder: Recorder,
    /// By the order in which they were given.
    pending: BTreeMap<u64, Pending>,
    beside: BTreeMap<u64, PendingBeside>,
    sent: u64,
    orders: mpsc::Receiver<Order>,
    stopping: bool,
    shared: Arc<Mutex<Shared>>,
}

impl Task {
    async fn run(mut self) {
        let mut back_off = Duration::ZERO;
        while !self.is_finished() {
            let mut welcomed = false;
            let ended = self.live(&mut welcomed).await;
            if self.is_finished() {
                return;
            }
            let ended = ended.as_ref().err();
            self.note(ended, welcomed);
            let went = ended.and_then(|error| error.downcast_ref::<WentAway>());
            // It keeps what it had when its cursor came: the resume has to bring the rest.
            self.shared().shelf.forget(went.map_or(0, |went| went.back));
            if let Some(went) = went {
                sleep(went.time).await;
            }
            let code = ended.and_then(Closed::code_in);
            if matches!(code, Some(4100..=4199)) {
                self.log_in_again().await;
            }
            // The next edge of the list.
            self.shared().edges.rotate_left(1);
            for pending in self.pending.values_mut() {
                (pending.request, pending.due) = (None, Instant::now());
            }
            for pending in self.beside.values_mut() {
                (pending.request, pending.due) = (None, Instant::now());
            }
            back_off = match welcomed {
                true => self.back_off.0,
                false => (back_off * 2).clamp(self.back_off.0, self.back_off.1),
            };
            let jitter = rand::rng().random_range(0.0..1.0);
            sleep(back_off.mul_f64(jitter)).await;
        }
    }

    /// By the refresh token, or as somebody who was suspended for a while does. Where this fails too, the next round
    /// tries again.
    async fn log_in_again(&mut self) {
        let edge = self.edge();
        let mut login = self.login.refresh(edge).await;
        if login.is_err() {
            login = account::login(edge, &self.login.user, &self.login.device).await;
        }
        match login {
            Ok(login) => self.login = login,
            Err(_) => self.wait_to_log_in().await,
        }
    }

    /// The service takes few attempts for an account: who is suspended does not try again and again.
    async fn wait_to_log_in(&self) {
        sleep(LOGIN_PAUSE).await;
        let end = Instant::now() + SUSPENDED_PAUSE;
        while self.shared().is_suspended && Instant::now() < end {
            sleep(SUSPENDED_LOOK).await;
        }
    }

    /// Why there is no socket, or no longer one.
    fn note(&self, ended: Option<&anyhow::Error>, welcomed: bool) {
        let mut shared = self.shared();
        match ended {
            Some(_) if !welcomed => shared.failed += 1,
            Some(error) if !error.is::<Closed>() && !error.is::<WentAway>() => {
                shared.defects.push(format!("{error:#}"));
            }
            _ => {}
        }
    }

    fn edge(&self) -> SocketAddr {
        self.shared().edges[0]
    }

    fn is_finished(&self) -> bool {
        self.stopping && self.pending.is_empty() && self.beside.is_empty()
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an order; `None`: there will be no more.
    fn take(&mut self, order: Option<Order>) -> Result<(), WentAway> {
        let (room, fields, done) = match order {
            Some(Order::Send { room, fields, done }) => (room, fields, done),
            Some(Order::Away { time, back }) => return Err(WentAway { time, back }),
            Some(Order::Say { what, done }) => {
                self.sent += 1;
                self.beside.insert(self.sent, PendingBeside::new(what, done));
                return Ok(());
            }
            None => {
                self.stopping = true;
                return Ok(());
            }
        };
        self.sent += 1;
        let pending = Pending {
            room,
            client_id: ulid::fresh().into(),
            fields,
            done: Some(done),
            request: None,
            due: Instant::now(),
        };
        self.pending.insert(self.sent, pending);
        Ok(())
    }
}
