//! What people schedule to be sent later, and now and then take back: on another device, and in the very moment in which
//! it is due.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::RngExt;
use tokio::task::JoinSet;
use tokio::time::sleep;
use weft_harness::client::Client;
use weft_harness::history::{ClientId, Room};
use weft_harness::socket::now_ms;
use weft_harness::ulid;

use super::people::{People, PlaceKind};
use super::talk::{Stop, long_pause};

/// How long before its time something is scheduled at the most.
const AHEAD_MS_MAX: u64 = 10_000;

/// One user and one of their rooms.
pub(super) struct Scheduler {
    /// The user's devices.
    clients: Vec<Arc<Client>>,
    room: Room,
}

impl Scheduler {
    /// Of each room the first two users.
    pub(super) fn all(people: &People) -> Vec<Self> {
        let is_small =
            |kind| !matches!(kind, PlaceKind::Large | PlaceKind::Expiring | PlaceKind::Strangers);
        let small = people.places.iter().filter(|place| is_small(place.kind));
        let pairs = small.flat_map(|place| place.users.iter().take(2).map(move |it| (place, *it)));
        let scheduler = |(place, user): (&super::people::Place, usize)| {
            let own = people.persons.iter().filter(|person| person.user == user);
            let clients = own.map(|person| Arc::clone(&person.client)).collect();
            Self { clients, room: place.room.as_str().into() }
        };
        pairs.map(scheduler).collect()
    }

    pub(super) async fn run(self, stop: Stop) {
        let (mut underway, mut number) = (JoinSet::new(), 0);
        loop {
            long_pause(4_000..20_000, &stop).await;
            if stop.load(Ordering::Relaxed) {
                break;
            }
            number += 1;
            let (ahead_ms, device, other, back) = {
                let mut rng = rand::rng();
                let mut device = || rng.random_range(0..self.clients.len());
                let (device, other) = (device(), device());
                (rng.random_range(1_000..AHEAD_MS_MAX), device, other, rng.random_range(0..4))
            };
            let client = Arc::clone(&self.clients[device]);
            let text = format!("{} has scheduled {number} for {}", client.name(), self.room);
            // Half of those that are taken back are so when they are due.
            let after_ms = match back {
                0 => Some(ahead_ms / 2),
                1 => Some(ahead_ms + 500),
                _ => None,
            };
            let back = after_ms.map(|ms| (Arc::clone(&self.clients[other]), ms));
            underway.spawn(one(client, self.room.clone(), (ahead_ms, text), back));
        }
        while underway.join_next().await.is_some() {}
    }
}

async fn one(
    client: Arc<Client>,
    room: Room,
    (ahead_ms, text): (u64, String),
    back: Option<(Arc<Client>, u64)>,
) {
    let id: ClientId = ulid::fresh().into();
    // What is refused, or sent already where it is taken back, is in the history.
    let kept = client.schedule(&room, &id, now_ms() + ahead_ms, &text).await;
    if let (Ok(()), Some((other, after_ms))) = (kept, back) {
        sleep(Duration::from_millis(after_ms)).await;
        let _ = other.unschedule(&room, &id).await;
    }
}
