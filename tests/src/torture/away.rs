//! Who is away and is notified by `weft push`, while all is broken: one who reads nothing, one who reads soon, and one
//! who wants to hear nothing.
//!
//! In silence: everything that was acknowledged has notified who reads nothing, unless a nats-server's data went back
//! meanwhile, and with it the queue; and nobody was notified of what they had read long before, or of what they don't want
//! to hear.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rand::RngExt;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;
use weft_harness::account::Login;
use weft_harness::gateway::{Gateway, TAKEN};
use weft_harness::system::{direct, unique};
use weft_harness::ulid;
use weft_runtime::lock;

use super::schedule::Act;
use super::talk::{Stop, pause};
use super::world::World;

/// Options of the push nodes.
pub(super) const PUSH_ARGS: [&str; 4] = ["--push-delay-ms", "1000", "--push-allow", "127.0.0.0/8"];
/// A request is made of what holds at most so long before it: a gateway has 10 s, and who is frozen has 30.
const LATE: Duration = Duration::from_secs(60);
/// A nats-server's data may go back to a copy of so long before.
const COPY_AGE: Duration = Duration::from_secs(100);
/// How long it may take in silence. What failed waits for half of its age, and what a killed node had taken for a minute.
const TOLD_LIMIT: Duration = Duration::from_secs(420);
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Where a message is.
type Place = (String, u64);

/// Who is away, and who writes to them.
#[derive(Debug)]
pub(super) struct Away {
    gateway: Arc<Gateway>,
    writers: Vec<Login>,
    /// Reads nothing.
    sleeper: Login,
    /// Reads soon.
    reader: Login,
    /// The rooms that they are in, with who writes there.
    rooms: Vec<(String, usize)>,
    /// Those of who wants to hear nothing.
    muted: String,
    state: Mutex<State>,
}

#[derive(Default, Debug)]
struct State {
    /// When it was acknowledged.
    said: BTreeMap<Place, Instant>,
    /// When the mark of who reads soon was acknowledged.
    read: BTreeMap<Place, Instant>,
}

/// What came of it.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Notified {
    /// Messages to who reads nothing.
    pub(super) messages: usize,
    /// Of these, those that were notified again.
    pub(super) doubles: usize,
    /// What the queue lost when a nats-server's data went back.
    pub(super) lost_with_queue: usize,
    /// Messages that were read soon, and how many of them were notified before.
    pub(super) read: usize,
    pub(super) before_read: usize,
}

impl Notified {
    pub(super) fn add(&mut self, other: Self) {
        self.messages += other.messages;
        self.doubles += other.doubles;
        self.lost_with_queue += other.lost_with_queue;
        self.read += other.read;
        self.before_read += other.before_read;
    }

    pub(super) fn line(self) -> Value {
        json!({
            "messages": self.messages,
            "doubles": self.doubles,
            "lost_with_queue": self.lost_with_queue,
            "read": self.read,
            "before_read": self.before_read,
        })
    }
}

impl Away {
    /// Makes them, while nothing is broken.
    pub(super) async fn arrive(world: &World) -> Result<Arc<Self>> {
        let (at, gateway) = Gateway::start().await?;
        let mut logins = Vec::new();
        for name in ["writer", "writer", "sleeper", "reader", "muted"] {
            logins.push(world.system.user(name).await?);
        }
        let [first, second, sleeper, reader, muted] = &logins[..] else { unreachable!() };
        let edge = world.system.edge();
        for (login, path) in [(sleeper, "/sleeper"), (reader, "/reader"), (muted, "/muted")] {
            let secret = "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
            let push =
                json!({ "kind": "webhook", "url": format!("http://{at}{path}"), "secret": secret });
            done(login, edge, "PUT", &format!("/v1/devices/{}/push", login.device), &push).await?;
        }
        done(muted, edge, "PUT", "/v1/setting", &json!({ "notify": "none" })).await?;
        let group = unique("away");
        let members: Vec<_> = logins[1..].iter().map(|login| &login.user).collect();
        let create = json!({ "kind": "create", "title": "away", "members": members });
        done(first, edge, "POST", &format!("/v1/rooms/{group}/entries"), &create).await?;
        let rooms = vec![
            (direct(first, sleeper), 0),
            (direct(second, sleeper), 1),
            (direct(first, reader), 0),
            (group.clone(), 0),
            (group, 1),
        ];
        let (writers, state) = (vec![first.clone(), second.clone()], Mutex::default());
        let (sleeper, reader, muted) = (sleeper.clone(), reader.clone(), direct(second, muted));
        Ok(Arc::new(Self { gateway, writers, sleeper, reader, rooms, muted, state }))
    }

    pub(super) fn start(
        self: &Arc<Self>,
        world: &Arc<World>,
        stop: &Stop,
        talkers: &mut JoinSet<()>,
    ) {
        for room in 0..=self.rooms.len() {
            let (away, world, stop) = (Arc::clone(self), Arc::clone(world), Arc::clone(stop));
            talkers.spawn(async move { away.write(&world, room, stop).await });
        }
    }

    /// Writes into a room, and lets who reads soon read what is written there. Whatever the gateway says meanwhile.
    async fn write(self: Arc<Self>, world: &Arc<World>, number: usize, stop: Stop) {
        let muted = (self.muted.clone(), 1);
        let (room, writer) = self.rooms.get(number).unwrap_or(&muted).clone();
        let (writer, of_reader) = (&self.writers[writer], !room.contains(&self.sleeper.user));
        let mut reading = JoinSet::new();
        while !stop.load(Ordering::Relaxed) {
            pause(400..2_500).await;
            let (door, trouble, mention) = {
                let mut rng = rand::rng();
                let doors = world.shape.edges;
                (rng.random_range(0..doors), rng.random_range(0..40), rng.random_bool(0.2))
            };
            self.misbehave(trouble);
            let client_id = ulid::fresh();
            let mut entry = json!({ "text": "are you there?", "client_id": client_id });
            if mention && !room.contains('~') {
                entry["mentions"] = json!([self.sleeper.user]);
            }
            let path = format!("/v1/rooms/{room}/entries");
            let Some(answer) = until_taken(world, writer, door, &path, &entry, &stop).await else {
                continue;
            };
            let Some(seq) = answer["seq"].as_u64() else {
                world.found(format!("an answer without a seq to {entry}: {answer}"));
                continue;
            };
            lock(&self.state).said.insert((room.clone(), seq), Instant::now());
            if of_reader && room != self.muted {
                let (away, world, stop) = (Arc::clone(&self), Arc::clone(world), Arc::clone(&stop));
                let room = room.clone();
                reading.spawn(async move { away.read(&world, room, seq, stop).await });
            }
        }
        while reading.join_next().await.is_some() {}
    }

    fn misbehave(&self, trouble: u32) {
        let says = match trouble {
            0 => "503 Service Unavailable",
            1 => "429 Too Many Requests\r\nretry-after: 2",
            2 => "silence",
            _ => return,
        };
        for path in ["/sleeper", "/reader"] {
            self.gateway.answer(path, &[says]);
        }
    }

    /// At once, about when they would be notified, or later.
    async fn read(&self, world: &World, room: String, seq: u64, stop: Stop) {
        pause(0..6_000).await;
        let path = format!("/v1/rooms/{room}/mark");
        let door = seq as usize % world.shape.edges;
        let read = json!({ "read": seq });
        if until_taken(world, &self.reader, door, &path, &read, &stop).await.is_some() {
            lock(&self.state).read.insert((room, seq), Instant::now());
        }
    }

    /// What the gateway has taken. What it refuses, or answers not, comes again.
    fn got(&self, path: &str) -> BTreeMap<Place, Vec<Instant>> {
        let mut all: BTreeMap<Place, Vec<Instant>> = BTreeMap::new();
        for got in self.gateway.at(path).into_iter().filter(|got| got.said == TAKEN) {
            let told: Value = serde_json::from_slice(&got.body).unwrap_or_default();
            let room = told["room"].as_str().unwrap_or_default().to_owned();
            all.entry((room, told["seq"].as_u64().unwrap_or_default())).or_default().push(got.at);
        }
        all
    }

    /// In silence: waits until who reads nothing was notified of all, and judges by it.
    pub(super) async fn look(&self, world: &World) -> Notified {
        let (said, read) = {
            let state = lock(&self.state);
            (state.said.clone(), state.read.clone())
        };
        let is_of_sleeper =
            |place: &Place| !place.0.contains('~') || place.0.contains(&self.sleeper.user);
        let wanted: BTreeSet<&Place> = said.keys().filter(|it| is_of_sleeper(it)).collect();
        let may_lack: BTreeSet<&Place> =
            wanted.iter().copied().filter(|it| went_back(world, said[*it])).collect();
        let limit = Instant::now() + TOLD_LIMIT;
        let got = loop {
            let got = self.got("/sleeper");
            let lacks = wanted.iter().any(|it| !got.contains_key(*it) && !may_lack.contains(it));
            if !lacks || Instant::now() > limit {
                break got;
            }
            sleep(LOOK_EVERY).await;
        };
        let messages = wanted.len();
        let lacking: Vec<&Place> = wanted.into_iter().filter(|it| !got.contains_key(*it)).collect();
        let (lost, forgotten): (Vec<&Place>, Vec<&Place>) =
            lacking.into_iter().partition(|it| may_lack.contains(it));
        if !forgotten.is_empty() {
            let some: Vec<_> = forgotten.iter().take(5).collect();
            world.found(format!("{} of {messages} notified nobody, as {some:?}", forgotten.len()));
        }
        let of_reader = self.got("/reader");
        for (place, times) in &of_reader {
            let (Some(read), Some(last)) = (read.get(place), times.last()) else { continue };
            if last.saturating_duration_since(*read) > LATE {
                world.found(format!("{place:?} notified {LATE:?} and more after it was read"));
            }
        }
        if let Some((place, _)) = self.got("/muted").first_key_value() {
            world.found(format!("{place:?} notified who wants to hear nothing"));
        }
        Notified {
            messages,
            doubles: got.values().filter(|times| times.len() > 1).count(),
            lost_with_queue: lost.len(),
            read: read.len(),
            before_read: of_reader.keys().filter(|place| read.contains_key(*place)).count(),
        }
    }
}

/// Whether the queue of jobs may have gone back to before this.
fn went_back(world: &World, at: Instant) -> bool {
    let ago = at.elapsed();
    let now = world.recorder.now();
    let at = now.saturating_sub(ago);
    world.faults().iter().filter(|fault| fault.planned.act == Act::OlderCopy).any(|fault| {
        at + COPY_AGE >= fault.from && fault.to.is_none_or(|to| at <= to + Duration::from_secs(5))
    })
}

async fn done(login: &Login, edge: SocketAddr, verb: &str, path: &str, body: &Value) -> Result<()> {
    let answer = login.call(edge, verb, path, body).await?;
    ensure!(matches!(answer.status, 200..=299), "{verb} {path}: {answer:?}");
    Ok(())
}

/// Asks until it is done; `None`: it is over, or it is refused for good.
async fn until_taken(
    world: &World,
    login: &Login,
    door: usize,
    path: &str,
    body: &Value,
    stop: &Stop,
) -> Option<Value> {
    let mut after_stop = None;
    loop {
        let edge = world.doors(door)[0];
        match login.call(edge, "POST", path, body).await {
            Ok(answer) if matches!(answer.status, 200..=299) => return Some(answer.body),
            Ok(answer) if matches!(answer.status, 400..=499) && answer.status != 429 => {
                world.found(format!("{} of {path} is refused: {answer:?}", login.user));
                return None;
            }
            _ => {}
        }
        if stop.load(Ordering::Relaxed) {
            let since = *after_stop.get_or_insert_with(Instant::now);
            if since.elapsed() > Duration::from_secs(60) {
                world.found(format!("{} gets no answer to {path}", login.user));
                return None;
            }
        }
        sleep(LOOK_EVERY).await;
    }
}
