//! One round: people arrive, talk while things break, fall silent, and everything is compared.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::away::Notified;
use super::people::{People, Person, Place, PlaceKind, tells_receipts};
use super::schedule::Schedule;
use super::world::World;
use super::{administrators, blocks, faults, files, hostile, search, strangers, talk};
use weft_harness::account::Login;
use weft_harness::check::{Violation, check, read_by_writing, visible};
use weft_harness::history::{Change, ClientId, Deed, Entry, Event, History, Mark, Room};
use weft_harness::http;
use weft_harness::reading::{
    read_blocks, read_drafts, read_invitations, read_list, read_pins, read_room, read_room_marks,
    read_scheduled, read_threads, read_waiting,
};

/// How long sends are measured, without and with hostile clients.
const HOSTILE_PHASE_MAX: Duration = Duration::from_secs(30);
/// The silence after the last fault.
const QUIET: Duration = Duration::from_secs(20);
/// How long parts may take to serve again after the last fault.
const READY_LIMIT: Duration = Duration::from_secs(60);
/// How long a text may take to be settled after the last fault.
const SETTLED_LIMIT: Duration = Duration::from_secs(90);
/// How long devices may take, after the silence, to have everything.
const COMPLETE_LIMIT: Duration = Duration::from_secs(20);
/// How long everybody may take, after all else, to see each other online.
const SEEN_LIMIT: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A room with its whole log.
type Log = (Room, Vec<Entry>);

#[derive(Debug)]
pub(super) struct Judged {
    pub(super) history: History,
    pub(super) violations: Vec<Violation>,
    /// With hostile clients: how soon sends were acknowledged.
    pub(super) compared: Option<hostile::Compared>,
    pub(super) talked: super::outage::Span,
    pub(super) notified: Notified,
}

/// Lets everybody talk for `lasts`, while the schedule's faults are made. With `has_hostile` some of
/// that time is without faults, and hostile clients stay until the end of it.
pub(super) async fn run(
    world: &Arc<World>,
    crowd: &[String],
    schedule: &mut Schedule,
    lasts: Duration,
    has_hostile: bool,
) -> Result<Judged> {
    let end = Instant::now() + lasts;
    ready(world).await;
    let mut people = People::arrive(world, crowd).await?;
    let stop = talk::Stop::default();
    let from = world.recorder.now();
    let talkers = talk::start(world, &people, &stop);
    let mut joined = None;
    if has_hostile {
        let phase = (lasts / 6).min(HOSTILE_PHASE_MAX);
        joined = Some(hostile::join(world, &people, phase).await?);
    }
    faults::run(world, schedule, Instant::now(), end).await;
    let compared = joined.map(|(_, compared)| compared);
    let talked = super::outage::Span { from, to: world.recorder.now() };
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    eprintln!("{:9.3} the faults are over", talked.to.as_secs_f64());
    let quiet = Instant::now() + QUIET;
    ready(world).await;
    settle(world, talkers).await;
    people.return_suspended(world).await?;
    tokio::time::sleep_until(quiet).await;
    let logs = read_all(world, &people).await;
    show_all(world, &people, &logs).await;
    files::read_all(world, &people, &logs).await;
    search::find_all(world, &people, &logs).await;
    let marks = read_marks(world, &people).await;
    arrive_fresh(world, &mut people).await?;
    ask_lists(world, &people, &logs).await;
    let requests = strangers::requests(world, &people).await;
    complete(world, &people, (&logs, &marks, &requests)).await;
    see_each_other(world, &people, &requests).await;
    blocks::look(world, &people).await;
    administrators::look(world, &people).await;
    let notified = people.away.look(world).await;
    for person in people.persons {
        // One that still waits for an answer is not waited for: it is in the history.
        drop(person.client);
    }
    let history = world.recorder.take();
    let violations = check(&history);
    Ok(Judged { history, violations, compared, talked, notified })
}

/// Waits until every edge can serve.
async fn ready(world: &World) {
    let all = async {
        for edge in world.system.edges() {
            loop {
                let answer = http::call(*edge, "GET", "/readyz", None, &Value::Null).await;
                if answer.is_ok_and(|answer| answer.status == 200) {
                    break;
                }
                sleep(LOOK_EVERY).await;
            }
        }
    };
    if timeout(READY_LIMIT, all).await.is_err() {
        world.found(format!("not ready {READY_LIMIT:?} after the last fault"));
    }
}

async fn settle(world: &World, mut talkers: JoinSet<()>) {
    let all = async {
        while let Some(ended) = talkers.join_next().await {
            if let Err(error) = ended {
                world.found(format!("a sender failed: {error}"));
            }
        }
    };
    if timeout(SETTLED_LIMIT, all).await.is_err() {
        let history = world.recorder.history();
        let open = unsettled(&history);
        let some: Vec<_> = open.iter().take(5).collect();
        world.found(format!(
            "{} texts without an answer {SETTLED_LIMIT:?} after the last fault, as {some:?}",
            open.len()
        ));
    }
}

/// What was sent and neither acknowledged nor refused for good, in the order of first sends.
fn unsettled(history: &History) -> Vec<&ClientId> {
    let mut settled = HashSet::new();
    for event in &history.events {
        if let Event::Acked { client_id, .. } | Event::Refused { client_id, temporary: false, .. } =
            event
        {
            settled.insert(client_id);
        }
    }
    let sent = history.events.iter().filter_map(|event| match event {
        // Each once.
        Event::Sent { client_id, .. } => settled.insert(client_id).then_some(client_id),
        _ => None,
    });
    sent.collect()
}

/// Each room's whole log, as a stranger reads it.
async fn read_all(world: &World, people: &People) -> Vec<Log> {
    let mut logs = Vec::new();
    for place in &people.places {
        let reader = &people.users[place.users[0]];
        match read(world, reader, place).await {
            Some(log) => {
                let room = Room::from(place.room.as_str());
                let log = with_expired(world, place, &room, log);
                let (final_room, entries) = (room.clone(), log.clone());
                world.recorder.record(Event::Final { room: final_room, entries });
                logs.push((room, log));
            }
            None => world.found(format!("{} can't be read", place.room)),
        }
    }
    logs
}

/// A log with what has expired, as it was seen before.
fn with_expired(world: &World, place: &Place, room: &Room, log: Vec<Entry>) -> Vec<Entry> {
    let first = log.first().map_or(1, |entry| entry.seq);
    if place.kind != PlaceKind::Expiring {
        return log;
    }
    world.recorder.record(Event::Deed(Deed::Begins { room: room.clone(), first }));
    [world.recorder.history().seen_before(room, first), log].concat()
}

/// Asks until there is an answer.
pub(super) async fn asked<T>(ask: impl AsyncFn() -> Result<T>) -> Option<T> {
    let answer = async {
        loop {
            match ask().await {
                Ok(answer) => break answer,
                Err(_) => sleep(LOOK_EVERY).await,
            }
        }
    };
    timeout(READY_LIMIT, answer).await.ok()
}

async fn read(world: &World, reader: &Login, place: &Place) -> Option<Vec<Entry>> {
    asked(async || read_room(world.system.edge(), reader, &place.room).await).await
}

/// Each room's whole log, as each of those sees it who are or were its members.
async fn show_all(world: &World, people: &People, logs: &[Log]) {
    for (place, (room, _)) in people.places.iter().zip(logs) {
        for reader in place.users.iter().map(|user| &people.users[*user]) {
            let (user, room) = (reader.user.as_str().into(), room.clone());
            match read(world, reader, place).await {
                Some(entries) => world.recorder.record(Event::Shown { user, room, entries }),
                None => world.found(format!("{user} can't read {room}")),
            }
        }
    }
}

/// The marks of all members of each room, as the store has them.
async fn read_marks(world: &World, people: &People) -> Vec<Mark> {
    let mut all = Vec::new();
    for place in &people.places {
        let tell = place.users.iter().filter(|user| tells_receipts(**user));
        let (room, is_request) = (place.room.as_str(), place.kind == PlaceKind::Strangers);
        // Of two who may not be shown the other one's, each tells their own.
        for reader in tell.take(if is_request { 2 } else { 1 }) {
            let reader = &people.users[*reader];
            let is_told = |mark: &Mark| !is_request || *mark.user == *reader.user;
            match asked(async || read_room_marks(world.system.edge(), reader, room).await).await {
                Some(marks) => all.extend(marks.into_iter().filter(is_told)),
                None => world.found(format!("the marks of {room} can't be read")),
            }
        }
    }
    all.extend(read_own_marks(world, people).await);
    for mark in all.iter().cloned() {
        world.recorder.record(Event::FinalMark { mark });
    }
    all
}

/// The marks of those who tell them to nobody, as they see them themselves.
async fn read_own_marks(world: &World, people: &People) -> Vec<Mark> {
    let (mut own, edge) = (Vec::new(), world.system.edge());
    let numbers = 0..people.users.len();
    for login in numbers.filter(|user| !tells_receipts(*user)).map(|user| &people.users[user]) {
        match asked(async || read_list(edge, login).await).await {
            Some(list) => own.extend(list.into_iter().map(|(room, listed)| {
                let (user, read) = (login.user.as_str().into(), listed.read);
                Mark { room, user, read, ..Mark::default() }
            })),
            None => world.found(format!("{} can't list their rooms", login.user)),
        }
    }
    own
}

/// What fresh devices find when they ask for their lists of rooms, and for what is pinned and followed in them.
async fn ask_lists(world: &World, people: &People, logs: &[Log]) {
    let edge = world.system.edge();
    for Person { login, .. } in people.persons.iter().filter(|it| it.login.device == "fresh") {
        let user = || login.user.as_str().into();
        match asked(async || read_list(edge, login).await).await {
            Some(list) => {
                for (room, listed) in list {
                    world.recorder.record(Event::Listed { user: user(), room, listed });
                }
            }
            None => world.found(format!("{} can't list their rooms", login.user)),
        }
        match asked(async || read_blocks(edge, login).await).await {
            Some(others) => {
                world.recorder.record(Event::Deed(Deed::Blocks { user: user(), others }));
            }
            None => world.found(format!("{} can't list whom they block", login.user)),
        }
        match asked(async || read_scheduled(edge, login).await).await {
            Some(all) => {
                world.recorder.record(Event::Deed(Deed::Scheduled { user: user(), all }));
            }
            None => world.found(format!("{} can't list what they schedule", login.user)),
        }
        match asked(async || read_invitations(edge, login).await).await {
            Some(rooms) => {
                world.recorder.record(Event::Deed(Deed::Invitations { user: user(), rooms }));
            }
            None => world.found(format!("{} can't list their invitations", login.user)),
        }
        match asked(async || read_drafts(edge, login).await).await {
            Some(drafts) => world.recorder.record(Event::Drafts { user: user(), drafts }),
            None => world.found(format!("{} can't list their drafts", login.user)),
        }
    }
    for place in people.places.iter().filter(|place| place.kind == PlaceKind::Changing) {
        let (owner, room) = (&people.users[place.users[0]], Room::from(place.room.as_str()));
        for what in ["asking", "invited"] {
            let room = room.clone();
            match asked(async || read_waiting(edge, owner, &room, what).await).await {
                Some(users) if what == "asking" => {
                    world.recorder.record(Event::Deed(Deed::Asking { room, users }));
                }
                Some(users) => {
                    world.recorder.record(Event::Deed(Deed::Invited { room, users }));
                }
                None => world.found(format!("who is {what} in {room} can't be read")),
            }
        }
    }
    for (place, (room, log)) in people.places.iter().zip(logs) {
        let readers = place.users.iter().map(|user| &people.users[*user]);
        for reader in readers.filter(|reader| is_member(log, &reader.user)) {
            let (user, room) = (Arc::<str>::from(reader.user.as_str()), room.clone());
            match asked(async || read_pins(edge, reader, &room).await).await {
                Some(pins) => {
                    let (user, room) = (user.clone(), room.clone());
                    world.recorder.record(Event::Pinned { user, room, pins });
                }
                None => world.found(format!("the pins of {room} can't be read by {user}")),
            }
            match asked(async || read_threads(edge, reader, &room).await).await {
                Some(threads) => world.recorder.record(Event::Threads { user, room, threads }),
                None => world.found(format!("the threads of {room} can't be read by {user}")),
            }
        }
    }
}

/// A new device of each user, without a cursor.
async fn arrive_fresh(world: &World, people: &mut People) -> Result<()> {
    for user in 0..people.users.len() {
        let name = people.users[user].user.clone();
        let login = world.system.device(&name, "fresh").await.context("a fresh device")?;
        people.connect(world, user, login);
    }
    Ok(())
}

/// Where rooms begin of which entries have expired.
fn begins(history: &History) -> HashMap<Room, u64> {
    let begins = history.events.iter().filter_map(|event| match event {
        Event::Deed(Deed::Begins { room, first }) => Some((room.clone(), *first)),
        _ => None,
    });
    begins.collect()
}

/// Waits until every device has everything; then, or when the time is over, it is judged by it.
async fn complete(
    world: &World,
    people: &People,
    (logs, marks, requests): (&[Log], &[Mark], &HashSet<Room>),
) {
    let places = people.by_room();
    let begins = begins(&world.recorder.history());
    let mut wanted = Vec::new();
    for person in &people.persons {
        let is_fresh = person.login.device == "fresh";
        for (room, log) in logs {
            let Some(place) = places.get(&**room) else { continue };
            if !place.users.contains(&person.user) {
                continue;
            }
            let mut seqs = visible(log, &person.login.user);
            seqs.retain(|seq| *seq >= begins.get(room).copied().unwrap_or(1));
            // Who has left does not find the room in the list of rooms.
            if !is_fresh || is_member(log, &person.login.user) {
                wanted.push((person, *place, seqs));
            }
        }
    }
    let limit = Instant::now() + COMPLETE_LIMIT;
    let logs: HashMap<&Room, &Vec<Entry>> = logs.iter().map(|(room, log)| (room, log)).collect();
    let knows = |person: &Person, mark: &Mark| {
        let written = logs.get(&mark.room).map_or(0, |log| read_by_writing(log, &mark.user));
        let (read, delivered) = person.client.mark_of(&mark.room, &mark.user);
        read.max(written) >= mark.read && delivered.max(written) >= mark.delivered
    };
    let has = |(person, place, seqs): &(&Person, &Place, Vec<u64>)| {
        let is_direct = match place.kind {
            PlaceKind::Direct => true,
            PlaceKind::Strangers => !requests.contains(place.room.as_str()),
            _ => false,
        };
        let tells = |user: &str| {
            let number = people.users.iter().position(|login| login.user == user);
            number.is_some_and(tells_receipts)
        };
        let hears = |mark: &&Mark| {
            let is_told = is_direct && tells(&person.login.user) && tells(&mark.user);
            let is_told = is_told && !blocks::may_lack(place);
            *mark.room == *place.room && (is_told || *mark.user == *person.login.user)
        };
        person.client.has_all(&place.room, seqs.iter().copied())
            && marks.iter().filter(hears).all(|mark| knows(person, mark))
    };
    while !wanted.iter().all(has) && Instant::now() < limit {
        sleep(LOOK_EVERY).await;
    }
    for (person, place, _) in wanted {
        let (device, room) = (person.client.name().clone(), place.room.as_str().into());
        world.recorder.record(Event::Settled { device, room });
    }
}

/// Waits until all who share a small room see each other online, on sockets that have lived through
/// the faults and on new ones.
async fn see_each_other(world: &World, people: &People, requests: &HashSet<Room>) {
    let small = |place: &&Place| match place.kind {
        PlaceKind::Direct | PlaceKind::Group | PlaceKind::BotGroup => true,
        PlaceKind::Strangers => !requests.contains(place.room.as_str()),
        PlaceKind::Changing | PlaceKind::Large | PlaceKind::Expiring => false,
    };
    let limit = Instant::now() + SEEN_LIMIT;
    loop {
        let mut unseen = Vec::new();
        for place in people.places.iter().filter(small) {
            for person in people.persons.iter().filter(|it| place.users.contains(&it.user)) {
                for user in place.users.iter().map(|user| &people.users[*user].user) {
                    let status = person.client.status_of(user);
                    if status.as_deref() != Some("online") {
                        unseen.push(format!("{} sees {user} as {status:?}", person.client.name()));
                    }
                }
            }
        }
        if unseen.is_empty() {
            return;
        }
        if Instant::now() > limit {
            let (count, some) = (unseen.len(), unseen.iter().take(5).collect::<Vec<_>>());
            world.found(format!("{count} wrong statuses {SEEN_LIMIT:?} after all else: {some:?}"));
            return;
        }
        sleep(LOOK_EVERY).await;
    }
}

/// In the end, by what the log says.
pub(super) fn is_member(log: &[Entry], user: &str) -> bool {
    let changes = log.iter().rev().filter_map(|entry| entry.change.as_deref());
    let mut own = changes.filter_map(|change| match change {
        Change::Joined(users) => users.iter().any(|one| **one == *user).then_some(true),
        Change::Left(one) => (**one == *user).then_some(false),
    });
    // A direct room has no such entries.
    own.next().unwrap_or(true)
}
