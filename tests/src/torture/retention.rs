//! A group that keeps its entries for two days: now and then all that it has is three days older, while core is away.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::Result;
use serde_json::json;
use weft_harness::history::{Deed, Event};
use weft_harness::system::Engine;
use weft_proto::RoomId;

use super::faults;
use super::people::{People, Person, PlaceKind};
use super::talk::{Stop, long_pause, pause};
use super::world::World;
use crate::aging::age;

/// So often in a round: for what was made older last there is time then to expire.
const TIMES: usize = 3;
const DAYS_3_MS: u64 = 3 * 86_400_000;
/// How often a rule is said: an administrator may have closed the group for a moment.
const TRIES: usize = 20;

pub(super) struct Ager {
    world: Arc<World>,
    owner: Person,
    room: String,
}

impl Ager {
    /// `None`: the store is not this process's to open.
    pub(super) fn of(world: &Arc<World>, people: &People) -> Option<Self> {
        let place = people.places.iter().find(|place| place.kind == PlaceKind::Expiring)?;
        let is_ours = world.shape.cores == 1 && world.engine == Engine::Embedded;
        let owner = people.first_of(place.users[0])?.clone();
        is_ours.then(|| Self { world: Arc::clone(world), owner, room: place.room.clone() })
    }

    pub(super) async fn run(self, stop: Stop) {
        for _ in 0..TIMES {
            long_pause(10_000..30_000, &stop).await;
            if stop.load(Ordering::Relaxed) {
                return;
            }
            // A rule that is new finds what is old already.
            if !self.keeps(0).await {
                continue;
            }
            if let Err(error) = self.ages().await {
                self.world.found(format!("{} can't be made older: {error:#}", self.room));
            }
            self.keeps(2).await;
        }
    }

    async fn keeps(&self, days: u64) -> bool {
        let rule = json!({ "kind": "update", "retention_days": days });
        for _ in 0..TRIES {
            match self.owner.client.entry(&self.room, rule.clone()).await {
                Ok(_) => return true,
                Err(error) if error.to_string().contains("unchanged") => return true,
                Err(_) => pause(300..1_500).await,
            }
        }
        false
    }

    async fn ages(&self) -> Result<()> {
        let (world, room) = (&self.world, RoomId::new(&self.room)?);
        let path = world.system.path().join("store");
        let up_to = faults::while_down(world, "core", async || {
            let up_to = age(&path, &room, DAYS_3_MS).await?;
            let room = self.room.as_str().into();
            world.recorder.record(Event::Deed(Deed::Aged { room, up_to }));
            Ok(up_to)
        });
        eprintln!(
            "{:9.3} {room} is older up to {}",
            world.recorder.now().as_secs_f64(),
            up_to.await?
        );
        Ok(())
    }
}
