//! What an administrator of the installation does: closes rooms, and opens them again; suspends a user, and lets them back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::RngExt;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use weft_harness::account::Login;
use weft_harness::client::Client;
use weft_harness::history::{Attempt, Deed, Event, Wanted};

use super::people::{People, PlaceKind, SUSPENDED};
use super::talk::{Stop, long_pause, pause, post};
use super::world::World;

/// In silence, how soon all sockets of who is suspended must have ended, and what they ask be refused: an edge asks about
/// sessions once a minute where it did not hear of it.
const OUT_LIMIT: Duration = Duration::from_secs(70);
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// With which a session ends whose user is suspended.
const CLOSED_AS_SUSPENDED: u16 = 4104;

pub(super) struct Administrator {
    world: Arc<World>,
    login: Login,
    /// Those that are closed now and then.
    rooms: Vec<String>,
    /// Who is suspended now and then, and their devices.
    user: String,
    clients: Vec<Arc<Client>>,
}

impl Administrator {
    pub(super) fn of(world: &Arc<World>, people: &People) -> Self {
        let small = people.places.iter().filter(|place| place.kind != PlaceKind::Large);
        let own = people.persons.iter().filter(|person| person.user == SUSPENDED);
        Self {
            world: Arc::clone(world),
            login: people.administrator.clone(),
            rooms: small.map(|place| place.room.clone()).collect(),
            user: people.users[SUSPENDED].user.clone(),
            clients: own.map(|person| Arc::clone(&person.client)).collect(),
        }
    }

    pub(super) async fn close_rooms(self, stop: Stop) {
        while !stop.load(Ordering::Relaxed) {
            long_pause(3_000..10_000, &stop).await;
            let which = rand::rng().random_range(0..self.rooms.len());
            let room = self.rooms[which].as_str();
            // One that nobody has written in is refused.
            if self.close(room, true).await {
                pause(300..3_000).await;
                self.close(room, false).await;
            }
        }
    }

    async fn close(&self, room: &str, closed: bool) -> bool {
        let fields = json!({ "kind": "close", "closed": closed, "reason": "torture" });
        post(&self.world, &self.login, room, fields).await
    }

    /// In the end nobody is suspended.
    pub(super) async fn suspend(self, stop: Stop) {
        let mut is_long = true;
        while !stop.load(Ordering::Relaxed) {
            long_pause(15_000..40_000, &stop).await;
            suspend(&self.world, &self.login, &self.user, true).await;
            self.clients.iter().for_each(|client| client.is_told_suspended(true));
            // Once for longer than any session of theirs may live on.
            let time = if is_long { 165_000..180_000 } else { 2_000..30_000 };
            long_pause(time, &stop).await;
            suspend(&self.world, &self.login, &self.user, false).await;
            self.clients.iter().for_each(|client| client.is_told_suspended(false));
            is_long = false;
        }
    }
}

/// Says it until it is answered, at whichever edge answers.
async fn suspend(world: &World, by: &Login, user: &str, is_on: bool) {
    let action = if is_on { "suspend" } else { "unsuspend" };
    let path = format!("/v1/admin/users/{user}/{action}");
    let wanted = || Wanted::Suspend { user: user.into(), is_on };
    let mut door = rand::rng().random_range(0..world.shape.edges);
    loop {
        let attempt = Attempt(world.recorder.session(), 1);
        let said = |deed: Deed| world.recorder.record(Event::Deed(deed));
        said(Deed::Asked { wanted: wanted(), attempt });
        let body = json!({ "reason": "torture" });
        if let Ok(answer) = by.call(world.doors(door)[0], "POST", &path, &body).await {
            // It is so already by an attempt that had no answer.
            if answer.status == 204 || answer.code() == "unchanged" {
                return said(Deed::Done { wanted: wanted(), attempt });
            }
            if answer.body["error"]["temporary"] == false {
                let code = answer.code().into();
                return said(Deed::Refused { wanted: wanted(), attempt, code });
            }
        }
        door += 1;
        pause(100..500).await;
    }
}

/// In silence: who is suspended is out with all devices, at each edge.
pub(super) async fn look(world: &World, people: &People) {
    let login = &people.users[SUSPENDED];
    suspend(world, &people.administrator, &login.user, true).await;
    let own = || people.persons.iter().filter(|person| person.user == SUSPENDED);
    let limit = Instant::now() + OUT_LIMIT;
    let is_out = || {
        own().all(|person| {
            let closes = person.client.closes();
            !person.client.is_synced() && closes.last() == Some(&Some(CLOSED_AS_SUSPENDED))
        })
    };
    while !is_out() && Instant::now() < limit {
        sleep(LOOK_EVERY).await;
    }
    if !is_out() {
        let closes: Vec<_> = own().map(|it| (it.client.name(), it.client.closes().pop())).collect();
        world.found(format!("not out {OUT_LIMIT:?} after they were suspended: {closes:?}"));
    }
    let room = &people.places.iter().find(|place| place.users.contains(&SUSPENDED));
    let Some(room) = room.map(|place| place.room.as_str()) else { return };
    let path = format!("/v1/rooms/{room}/entries");
    for edge in world.system.edges() {
        let read = login.call(*edge, "GET", &path, &Value::Null).await;
        if !read.as_ref().is_ok_and(|read| read.code() == "suspended") {
            world.found(format!("{} is suspended, and reads {room}: {read:?}", login.user));
        }
    }
}
