//! Senders of all kinds, until they are told to stop.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use rand::RngExt;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::administrators::Administrator;
use super::blocks::{Blocker, PAIRS};
use super::groups::Group;
use super::later::Scheduler;
use super::people::{People, Person, PlaceKind, SUSPENDED};
use super::retention::Ager;
use super::words::Words;
use super::world::World;
use super::{files, search, strangers};
use weft_harness::account::Login;
use weft_harness::client::Client;
use weft_harness::history::{Device, Event, OfThread, Room, SessionId, hash};
use weft_harness::nats::Nats;
use weft_harness::system::BOT;
use weft_harness::ulid;

/// Texts of one device to one room without an answer.
const IN_FLIGHT: usize = 3;
/// So many users of a room are quiet there: one of this many.
const QUIET_EVERY: usize = 3;
/// So many of their own newest messages people come back to.
const OWN_MAX: usize = 5;
/// After this long without an answer the bot sends again.
const BOT_PATIENCE: Duration = Duration::from_secs(5);

/// True when all are to stop.
pub(super) type Stop = Arc<AtomicBool>;

/// Everybody who sends, changes rooms or comes and goes.
pub(super) fn start(world: &Arc<World>, people: &People, stop: &Stop) -> JoinSet<()> {
    let mut talkers = JoinSet::new();
    for (number, place) in people.places.iter().enumerate() {
        if place.kind == PlaceKind::Strangers {
            continue;
        }
        let busy = if place.kind == PlaceKind::Large { 700..1_600 } else { 100..450 };
        for person in people.persons.iter().filter(|person| place.users.contains(&person.user)) {
            let client = Arc::clone(&person.client);
            let room = Room::from(place.room.as_str());
            // Some say little and come to read late: for them there is much that is unread.
            let is_quiet = is_quiet(person.user, number);
            let pace = if is_quiet { 8_000..60_000 } else { busy.clone() };
            let reads = if is_quiet { 5_000..60_000 } else { 50..1_500 };
            let is_plain = place.kind == PlaceKind::Expiring;
            let of_reader = (Arc::clone(&client), room.clone(), is_plain);
            talkers.spawn(read(of_reader, reads, Arc::clone(stop)));
            talkers.spawn(prefer(Arc::clone(&client), room.clone(), Arc::clone(stop)));
            talkers.spawn(compose(Arc::clone(&client), room, Arc::clone(stop)));
            let words = Words::new(people, place, person);
            talkers.spawn(talk(client, words, pace, Arc::clone(stop)));
        }
        match place.kind {
            PlaceKind::Changing => {
                let group = Group::of(world, people, place);
                talkers.spawn(group.run(Arc::clone(stop)));
            }
            PlaceKind::BotGroup => {
                let (world, room) = (Arc::clone(world), place.room.clone());
                talkers.spawn(bot(world, room, Arc::clone(stop)));
            }
            PlaceKind::Group | PlaceKind::Direct => {
                // Whose login ends can't say over HTTP what a socket waits with.
                let may = |user: &&usize| !is_quiet(**user, number) && **user != SUSPENDED;
                let busy = place.users.iter().find(may);
                let person = busy.and_then(|user| people.first_of(*user)).cloned();
                if let (Some(person), true) = (person, place.users.len() > 1) {
                    let (world, room) = (Arc::clone(world), place.room.clone());
                    talkers.spawn(by_http(world, person, room, Arc::clone(stop)));
                }
            }
            PlaceKind::Large | PlaceKind::Expiring | PlaceKind::Strangers => {}
        }
    }
    strangers::start(world, people, stop, &mut talkers);
    people.away.start(world, stop, &mut talkers);
    files::start(world, people, stop, &mut talkers);
    let all = people.users.iter().enumerate();
    for (_, login) in all.filter(|(user, _)| *user != SUSPENDED) {
        talkers.spawn(search::run(Arc::clone(world), login.clone(), Arc::clone(stop)));
    }
    talkers.spawn(Administrator::of(world, people).close_rooms(Arc::clone(stop)));
    talkers.spawn(Administrator::of(world, people).suspend(Arc::clone(stop)));
    for scheduler in Scheduler::all(people) {
        talkers.spawn(scheduler.run(Arc::clone(stop)));
    }
    if let Some(ager) = Ager::of(world, people) {
        talkers.spawn(ager.run(Arc::clone(stop)));
    }
    for pair in PAIRS {
        talkers.spawn(Blocker::of(people, pair).run(Arc::clone(stop)));
    }
    // Every second device comes and goes.
    for person in people.persons.iter().skip(1).step_by(2) {
        talkers.spawn(come_and_go(Arc::clone(&person.client), Arc::clone(stop)));
    }
    talkers
}

fn is_quiet(user: usize, place: usize) -> bool {
    (user + place).is_multiple_of(QUIET_EVERY)
}

pub(super) async fn pause(ms: std::ops::Range<u64>) {
    let ms = rand::rng().random_range(ms);
    sleep(Duration::from_millis(ms)).await;
}

/// As [`pause`], but for the end of all: for pauses that are long.
pub(super) async fn long_pause(ms: std::ops::Range<u64>, stop: &Stop) {
    let ms = rand::rng().random_range(ms);
    let end = Instant::now() + Duration::from_millis(ms);
    while Instant::now() < end && !stop.load(Ordering::Relaxed) {
        let left = end.saturating_duration_since(Instant::now());
        sleep(left.min(Duration::from_secs(1))).await;
    }
}

async fn talk(client: Arc<Client>, words: Words, pace: std::ops::Range<u64>, stop: Stop) {
    let room = Room::from(words.room());
    let mut underway = JoinSet::new();
    let mut number = 0;
    // The seqs of its own newest messages.
    let mut own = VecDeque::new();
    while !stop.load(Ordering::Relaxed) {
        if underway.len() >= IN_FLIGHT
            && let Some(Ok(Some(seq))) = underway.join_next().await
        {
            own.push_back(seq);
            own.drain(..own.len().saturating_sub(OWN_MAX));
        }
        number += 1;
        let text = format!("{} says {number} in {room}", client.name());
        let entry = words.any(&text, &own, |room| client.has(room));
        let is_message = entry["kind"].is_null();
        let (client, room) = (Arc::clone(&client), room.clone());
        // A refusal is in the history: who was removed is not let in, and what is deleted stays so.
        underway.spawn(async move { client.entry(&room, entry).await.ok().filter(|_| is_message) });
        long_pause(pace.clone(), &stop).await;
    }
    while underway.join_next().await.is_some() {}
}

/// A reader, who says up to where they have read: mostly what is newest, now and then something older.
/// In a room that is plain, that is all that they say.
pub(super) async fn read(
    (client, room, is_plain): (Arc<Client>, Room, bool),
    pace: std::ops::Range<u64>,
    stop: Stop,
) {
    let is_direct = room.contains('~');
    let mut underway = JoinSet::new();
    while !stop.load(Ordering::Relaxed) {
        long_pause(pace.clone(), &stop).await;
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let head = client.has(&room);
        let (back, what, pick) = {
            let mut rng = rand::rng();
            (rng.random_range(0..6_u64), rng.random_range(0..12), rng.random_range(0..5))
        };
        let seq = head.saturating_sub(back);
        if seq == 0 || is_plain && matches!(what, 0 | 11) {
            continue;
        }
        if underway.len() >= IN_FLIGHT {
            underway.join_next().await;
        }
        let (client, room) = (Arc::clone(&client), room.clone());
        if what == 11 {
            let root = super::words::thread_near(seq);
            if root > head {
                continue;
            }
            let follow = [None, None, None, Some(true), Some(false)][pick];
            let thread = OfThread { root, follow };
            let read = if follow.is_none() { seq } else { 0 };
            underway.spawn(async move { client.mark_thread(&room, thread, read).await.is_ok() });
            continue;
        }
        if what == 0 {
            underway.spawn(async move { client.mark_unread(&room, seq).await.is_ok() });
            continue;
        }
        let (read, delivered) = match what {
            1..4 if is_direct => (0, seq),
            4..7 if is_direct => (seq, head),
            _ => (seq, 0),
        };
        // A refusal is right where the user was removed meanwhile; else the checker finds what is missing.
        underway.spawn(async move { client.mark(&room, read, delivered).await.is_ok() });
    }
    while underway.join_next().await.is_some() {}
}

/// How somebody wants a room to be: another thing every few seconds.
async fn prefer(client: Arc<Client>, room: Room, stop: Stop) {
    let mut underway = JoinSet::new();
    while !stop.load(Ordering::Relaxed) {
        long_pause(500..12_000, &stop).await;
        let (muted_until, pinned) = {
            let mut rng = rand::rng();
            // By a number that nobody else says, another user's is known.
            let until =
                if rng.random_range(0..4) == 0 { 0 } else { rng.random_range(1 << 50..1 << 53) };
            match rng.random_range(0..3) {
                0 => (Some(until), None),
                1 => (None, Some(rng.random())),
                _ => (Some(until), Some(rng.random())),
            }
        };
        if underway.len() >= IN_FLIGHT {
            underway.join_next().await;
        }
        let (client, room) = (Arc::clone(&client), room.clone());
        underway.spawn(async move { client.set(&room, muted_until, pinned).await.is_ok() });
    }
    while underway.join_next().await.is_some() {}
}

/// What somebody types and does not send; now and then they dismiss it. One at a time, after what the device has seen.
async fn compose(client: Arc<Client>, room: Room, stop: Stop) {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        long_pause(500..8_000, &stop).await;
        number += 1;
        let text = format!("{} types {number} in {room}", client.name());
        let text = Some(text).filter(|_| rand::rng().random_range(0..4) > 0);
        // Where another device was first, the next one is said after what that one said.
        let _ = client.draft(&room, text).await;
    }
}

async fn come_and_go(client: Arc<Client>, stop: Stop) {
    while !stop.load(Ordering::Relaxed) {
        pause(3_000..12_000).await;
        let (ms, back) = {
            let mut rng = rand::rng();
            (rng.random_range(0..5_000), rng.random_range(0..3))
        };
        if client.away(Duration::from_millis(ms), back).await.is_err() {
            return;
        }
    }
}

/// What an attempt came to.
enum Answer {
    Ack { room: Room, client_id: Arc<str>, seq: u64 },
    Refused { code: Arc<str>, temporary: bool },
    None,
}

impl Answer {
    fn read(body: &Value) -> Self {
        let error = &body["error"];
        if let (Some(code), Some(temporary)) =
            (error["code"].as_str(), error["temporary"].as_bool())
        {
            return Self::Refused { code: code.into(), temporary };
        }
        let text = |name: &str| body[name].as_str().map(Arc::from);
        match (text("room"), text("client_id"), body["seq"].as_u64()) {
            (Some(room), Some(client_id), Some(seq)) => Self::Ack { room, client_id, seq },
            _ => Self::None,
        }
    }

    /// Writes it down; true where the text is settled.
    fn record(self, world: &World, device: &Device, id: &Arc<str>, session: SessionId) -> bool {
        let device = device.clone();
        match self {
            Self::Ack { room, client_id, seq } => {
                world.recorder.record(Event::Acked { device, session, room, client_id, seq });
                true
            }
            Self::Refused { code, temporary } => {
                let client_id = id.clone();
                world.recorder.record(Event::Refused { device, client_id, code, temporary });
                !temporary
            }
            Self::None => false,
        }
    }
}

fn record_send(
    world: &World,
    device: &Device,
    session: SessionId,
    (room, id, text): (&str, &Arc<str>, u64),
) {
    world.recorder.record(Event::Sent {
        device: device.clone(),
        session,
        room: room.into(),
        client_id: id.clone(),
        text,
        said: None,
    });
}

/// Texts by HTTP, each with one client id until it is answered, at whichever edge answers.
async fn by_http(world: Arc<World>, person: Person, room: String, stop: Stop) {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let text = format!("{}/http says {number} in {room}", person.login.user);
        post(&world, &person.login, &room, json!({ "text": text })).await;
        pause(500..1_500).await;
    }
}

/// Sends an entry by HTTP, with one client id until it is answered, at whichever edge answers. True where it was taken.
pub(super) async fn post(world: &World, login: &Login, room: &str, mut body: Value) -> bool {
    let device: Device = format!("{}/http", login.user).into();
    let path = format!("/v1/rooms/{room}/entries");
    let id: Arc<str> = ulid::fresh().into();
    let text = body["text"].as_str().map_or(0, hash);
    body["client_id"] = (*id).into();
    let mut door = rand::rng().random_range(0..world.shape.edges);
    loop {
        // No order is promised among requests: each is sent alone.
        let session = world.recorder.session();
        record_send(world, &device, session, (room, &id, text));
        let edge = world.doors(door)[0];
        let answer = match login.call(edge, "POST", &path, &body).await {
            Ok(answer) => Answer::read(&answer.body),
            Err(_) => Answer::None,
        };
        let is_taken = matches!(answer, Answer::Ack { .. });
        if answer.record(world, &device, &id, session) {
            return is_taken;
        }
        door += 1;
        pause(100..500).await;
    }
}

/// Texts on NATS, by hand, each with one `Weft-Id` until it is answered.
async fn bot(world: Arc<World>, room: String, stop: Stop) {
    let device: Device = format!("{BOT}/nats").into();
    let (mut number, mut server) = (0, 0);
    let mut nats = None;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let id: Arc<str> = ulid::fresh().into();
        let text = format!("{device} says {number} in {room}");
        let mut settled = false;
        while !settled {
            let Some(connection) = &mut nats else {
                server += 1;
                nats = connect_bot(&world, server).await.ok();
                pause(100..500).await;
                continue;
            };
            let session = world.recorder.session();
            record_send(&world, &device, session, (&room, &id, hash(&text)));
            match ask_bot(connection, (&room, &id, &text)).await {
                Ok(answer) => settled = answer.record(&world, &device, &id, session),
                Err(_) => nats = None,
            }
            if !settled {
                pause(100..500).await;
            }
        }
        pause(300..1_000).await;
    }
}

async fn connect_bot(world: &World, server: usize) -> Result<Nats> {
    let servers = world.system.servers();
    let address = servers[server % servers.len()];
    let token = &world.system.bot(BOT).await?.token;
    let mut nats = Nats::connect(address, BOT, token).await?;
    nats.subscribe(&format!("weft.ack.u.{BOT}.*")).await?;
    nats.flush().await?;
    Ok(nats)
}

async fn ask_bot(nats: &mut Nats, (room, id, text): (&str, &str, &str)) -> Result<Answer> {
    let token = ulid::fresh();
    let headers = [("Weft-Id", id), ("Weft-Reply", token.as_str())];
    nats.publish(&format!("weft.in.{BOT}.{room}"), None, &headers, text.as_bytes()).await?;
    let wanted = format!("weft.ack.u.{BOT}.{token}");
    let limit = Instant::now() + BOT_PATIENCE;
    loop {
        let left = limit.saturating_duration_since(Instant::now());
        // Cutting it off may lose half a message: then the connection is of no use.
        let Ok(message) = timeout(left, nats.next()).await else {
            anyhow::bail!("no answer");
        };
        let message = message?;
        if message.subject == wanted {
            return Ok(Answer::read(&message.json()));
        }
    }
}
