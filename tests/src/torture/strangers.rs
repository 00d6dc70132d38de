//! First messages of strangers: two users who want to be asked, now and then, and those who write to them. Some are answered, some
//! become contacts (for a while), some are blocked, and some wait in vain.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rand::RngExt;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use weft_harness::account::Login;
use weft_harness::client::Client;
use weft_harness::history::{Attempt, Deed, Event, Room};
use weft_harness::reading::read_requests;

use super::people::{People, Person, Place, PlaceKind};
use super::round::asked;
use super::search::with_word;
use super::talk::{Stop, long_pause, read};
use super::world::World;

/// Those who want to be asked.
pub(super) const HOSTS: [usize; 2] = [11, 12];
/// Who writes to whom: no two of them share anything else.
pub(super) const PAIRS: [(usize, usize); 6] =
    [(0, 11), (3, 11), (6, 11), (1, 12), (5, 12), (7, 12)];

/// A stranger, and who is asked.
struct Meeting {
    world: Arc<World>,
    room: Room,
    stranger: Person,
    host: Person,
}

/// All that they do.
pub(super) fn start(world: &Arc<World>, people: &People, stop: &Stop, talkers: &mut JoinSet<()>) {
    for host in HOSTS.iter().filter_map(|host| people.first_of(*host)) {
        talkers.spawn(change_mind(Arc::clone(&host.client), Arc::clone(stop)));
    }
    for (stranger, host) in PAIRS {
        let (Some(stranger), Some(host)) = (people.first_of(stranger), people.first_of(host))
        else {
            continue;
        };
        let room = Room::from(weft_harness::system::direct(&stranger.login, &host.login));
        for person in [stranger, host] {
            let client = || Arc::clone(&person.client);
            let reader = (client(), room.clone(), true);
            talkers.spawn(read(reader, 1_000..6_000, Arc::clone(stop)));
            talkers.spawn(types(client(), room.clone(), Arc::clone(stop)));
        }
        let meeting = || Meeting {
            world: Arc::clone(world),
            room: room.clone(),
            stranger: stranger.clone(),
            host: host.clone(),
        };
        talkers.spawn(meeting().ask(Arc::clone(stop)));
        talkers.spawn(meeting().look(Arc::clone(stop)));
        talkers.spawn(meeting().decide(Arc::clone(stop)));
    }
}

/// Everybody is welcome for a few seconds, and in the end nobody is.
async fn change_mind(client: Arc<Client>, stop: Stop) {
    let _ = client.ask_strangers(true).await;
    while !stop.load(Ordering::Relaxed) {
        long_pause(15_000..45_000, &stop).await;
        let _ = client.ask_strangers(false).await;
        long_pause(1_000..6_000, &stop).await;
        let _ = client.ask_strangers(true).await;
    }
}

async fn types(client: Arc<Client>, room: Room, stop: Stop) {
    while !stop.load(Ordering::Relaxed) {
        long_pause(3_000..10_000, &stop).await;
        let _ = client.types(&room).await;
    }
}

impl Meeting {
    /// The stranger writes, and now and then takes something back; whatever becomes of it is in the history.
    async fn ask(self, stop: Stop) {
        let (client, mut own) = (&self.stranger.client, Vec::new());
        let mut number = 0;
        while !stop.load(Ordering::Relaxed) {
            number += 1;
            let text = format!("{} asks {number} in {}", client.name(), self.room);
            let text = with_word(&text);
            let takes_back = rand::rng().random_range(0..12) == 0;
            let entry = match own.pop().filter(|_| takes_back) {
                Some(seq) => json!({ "kind": "delete", "target": seq }),
                None => json!({ "text": text }),
            };
            own.extend(client.entry(&self.room, entry).await.ok());
            long_pause(800..5_000, &stop).await;
        }
    }

    /// The stranger asks how far their messages were read.
    async fn look(self, stop: Stop) {
        let login = &self.stranger.login;
        while !stop.load(Ordering::Relaxed) {
            long_pause(2_000..9_000, &stop).await;
            let which = rand::rng().random_range(0..self.world.shape.edges);
            let edge = self.world.doors(which)[0];
            let (user, room) = (|| login.user.as_str().into(), || self.room.clone());
            let attempt = Attempt(self.world.recorder.session(), 1);
            let said = |deed: Deed| self.world.recorder.record(Event::Deed(deed));
            said(Deed::Looks { user: user(), room: room(), attempt });
            let path = format!("/v1/rooms/{}", self.room);
            let answer = login.call(edge, "GET", &path, &Value::Null).await;
            if let Some(shown) = answer.ok().filter(|answer| answer.status == 200) {
                let partner = &shown.body["partner"];
                let is_shown = partner["read"].is_u64() || partner["delivered"].is_u64();
                said(Deed::Sees { user: user(), room: room(), attempt, is_shown });
            }
        }
    }

    /// What the one who is asked makes of it. In the end nobody is blocked.
    async fn decide(self, stop: Stop) {
        let (host, room) = (&self.host.client, &self.room);
        let stranger = self.stranger.login.user.as_str();
        let mut has_answered = false;
        long_pause(5_000..60_000, &stop).await;
        while !stop.load(Ordering::Relaxed) {
            let what = rand::rng().random_range(0..4);
            match what {
                0 => {
                    let text = json!({ "text": format!("{} answers in {room}", host.name()) });
                    has_answered |= host.entry(room, text).await.is_ok();
                }
                1 if host.contact(stranger, true).await.is_ok() => {
                    long_pause(3_000..25_000, &stop).await;
                    let _ = host.contact(stranger, false).await;
                }
                2 if host.block(stranger, true).await.is_ok() => {
                    long_pause(1_000..8_000, &stop).await;
                    let _ = host.block(stranger, false).await;
                }
                _ => {}
            }
            let pause = if has_answered { 2_000..10_000 } else { 10_000..40_000 };
            long_pause(pause, &stop).await;
        }
        self.say_goodbye().await;
    }

    /// Once more each of them says, and the other one reads: who hears of it has to know it in the end.
    async fn say_goodbye(&self) {
        let text = json!({ "text": format!("{} says goodbye in {}", self.stranger.client.name(), self.room) });
        if let Ok(seq) = self.stranger.client.entry(&self.room, text).await {
            let _ = self.host.client.mark(&self.room, seq, seq).await;
        }
    }
}

/// In silence: the rooms that are a request, as those find them who are asked.
pub(super) async fn requests(world: &World, people: &People) -> HashSet<Room> {
    let mut all = HashSet::new();
    let asks = PAIRS.iter().map(|(stranger, _)| *stranger);
    for login in HOSTS.into_iter().chain(asks).map(|user| &people.users[user]) {
        match asked(async || read_requests(world.system.edge(), login).await).await {
            Some(rooms) => {
                let user = login.user.as_str().into();
                all.extend(rooms.iter().cloned());
                world.recorder.record(Event::Deed(Deed::Requests { user, rooms }));
            }
            None => world.found(format!("{} can't list their requests", login.user)),
        }
    }
    all
}

/// The rooms of strangers, in which they have written before anything is broken: else nobody could read them.
pub(super) fn places(users: &[Login]) -> impl Iterator<Item = (Place, &Login)> {
    PAIRS.into_iter().map(|(stranger, host)| {
        let room = weft_harness::system::direct(&users[stranger], &users[host]);
        let place = Place { room, users: vec![stranger, host], kind: PlaceKind::Strangers };
        (place, &users[stranger])
    })
}
