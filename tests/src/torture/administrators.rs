//! What an administrator of the installation does: closes rooms, and opens them again.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rand::RngExt;
use serde_json::json;
use weft_harness::account::Login;

use super::people::{People, PlaceKind};
use super::talk::{Stop, long_pause, pause, post};
use super::world::World;

pub(super) struct Administrator {
    world: Arc<World>,
    login: Login,
    /// Those that are closed now and then.
    rooms: Vec<String>,
}

impl Administrator {
    pub(super) fn of(world: &Arc<World>, people: &People) -> Self {
        let small = people.places.iter().filter(|place| place.kind != PlaceKind::Large);
        let rooms = small.map(|place| place.room.clone()).collect();
        Self { world: Arc::clone(world), login: people.administrator.clone(), rooms }
    }

    pub(super) async fn run(self, stop: Stop) {
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
}
