//! Who blocks whom, in the middle of what they say to each other, on all of their devices.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Result, ensure};
use rand::RngExt;
use serde_json::json;
use tokio::time::{Instant, sleep};
use weft_harness::account::Login;
use weft_harness::client::Client;
use weft_harness::onlooker::Onlooker;
use weft_harness::system::direct;

use super::people::{People, Place};
use super::talk::{Stop, long_pause, post};
use super::world::World;

/// Who blocks whom: both of the two of direct rooms, and one who comes and goes the owner of that group.
pub(super) const PAIRS: [(usize, usize); 5] = [(0, 6), (6, 0), (2, 3), (3, 2), (9, 0)];
/// How soon those who look in silence must see nothing any more of whom they block.
const UNSEEN_LIMIT: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// One user who blocks another one now and then.
pub(super) struct Blocker {
    /// The user's devices.
    clients: Vec<Arc<Client>>,
    other: String,
}

impl Blocker {
    pub(super) fn of(people: &People, (user, other): (usize, usize)) -> Self {
        let own = people.persons.iter().filter(|person| person.user == user);
        let clients = own.map(|person| Arc::clone(&person.client)).collect();
        Self { clients, other: people.users[other].user.clone() }
    }

    /// In the end nobody blocks the other.
    pub(super) async fn run(self, stop: Stop) {
        while !stop.load(Ordering::Relaxed) {
            long_pause(6_000..40_000, &stop).await;
            if self.says(true).await {
                long_pause(1_000..12_000, &stop).await;
                self.says(false).await;
            }
        }
    }

    async fn says(&self, is_on: bool) -> bool {
        let which = rand::rng().random_range(0..self.clients.len());
        self.clients[which].block(&self.other, is_on).await.is_ok()
    }
}

/// True where one of the two of a direct room blocks the other now and then: a mark of the time when they do is told with the
/// next one.
pub(super) fn may_lack(place: &Place) -> bool {
    PAIRS.iter().any(|(user, other)| place.users == [*user.min(other), *user.max(other)])
}

/// In silence: of two of whom one blocks the other nothing comes, at once.
pub(super) async fn look(world: &World, people: &People) {
    let (user, other) = PAIRS[2];
    let blocker = Blocker::of(people, (user, other));
    if !blocker.says(true).await {
        world.found(format!("{} can't be blocked in silence", blocker.other));
        return;
    }
    let (one, two) = (&people.users[user], &people.users[other]);
    let room = direct(one, two);
    for from in [one, two] {
        if post(world, from, &room, json!({ "text": "nobody gets this" })).await {
            world.found(format!("{} writes in {room} though one blocks the other", from.user));
        }
    }
    for (from, to) in [(one, two), (two, one)] {
        if let Err(error) = is_unseen(world, from, to).await {
            world.found(format!("{} and {}: {error:#}", from.user, to.user));
        }
    }
    blocker.says(false).await;
}

async fn is_unseen(world: &World, from: &Login, to: &Login) -> Result<()> {
    let device = world.system.device(&from.user, "looks").await?;
    let looks = Onlooker::open(world.system.edge(), &device).await?;
    let limit = Instant::now() + UNSEEN_LIMIT;
    loop {
        let answer = looks.done(json!({ "type": "presence.get", "users": [to.user] })).await?;
        let seen = answer["users"].as_array().is_some_and(|users| !users.is_empty());
        if !seen {
            break;
        }
        ensure!(Instant::now() < limit, "seen {UNSEEN_LIMIT:?} after the block: {answer}");
        sleep(LOOK_EVERY).await;
    }
    let shown = looks.statuses(&to.user);
    ensure!(shown.iter().all(|status| status == "offline"), "shown as {shown:?} on a new socket");
    Ok(())
}
