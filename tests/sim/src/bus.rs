//! The bus as one life of a node sees it. What it was given is on its way, whatever becomes of the
//! sender; some of it gets lost.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::oneshot;
use tokio::time::sleep;
use weft_core::Error;
use weft_core::partition::ports::{EventBus, Stored};
use weft_nats::{Answer, EventMessage, ReplyTo};
use weft_proto::svc::Change;
use weft_proto::{Partition, Tick};

use super::config::Fault;
use super::life::Life;
use super::world::World;

/// As long as a real sender waits for the stream's word.
const STORED_TIMEOUT: Duration = Duration::from_secs(5);

pub struct SimBus {
    pub life: Arc<Life>,
}

impl SimBus {
    fn world(&self) -> &Arc<World> {
        &self.life.world
    }
}

#[async_trait]
impl EventBus for SimBus {
    async fn answer(&self, to: &ReplyTo, answer: Answer) -> Result<(), Error> {
        self.life.step().await;
        let (world, to) = (self.world(), to.clone());
        let (ReplyTo::Edge { token, .. } | ReplyTo::User { token, .. }) = &to;
        let judged = world.check.lock().expect("check").answered(world, token, &answer);
        let told = match judged {
            Ok(told) => told,
            Err(violation) => {
                world.violate(violation);
                return Ok(());
            }
        };
        let bring = move |world: &World| match told {
            Some((client, told)) => world.tell(client, told),
            None => world.tell_edge(&to, answer),
        };
        if world.hit(Fault::AnswerLost) {
            if world.below(2) == 0 {
                return Ok(());
            }
            let (world, delay) = (Arc::clone(world), Duration::from_millis(world.below(6_000)));
            tokio::spawn(async move {
                sleep(delay).await;
                bring(&world);
            });
        } else {
            bring(world);
        }
        Ok(())
    }

    async fn send(&self, events: Vec<EventMessage>) -> Result<Stored, Error> {
        self.life.step().await;
        let world = self.world();
        let is_away = world.is_bus_away() || world.hit(Fault::BusAway);
        // Where the bus goes away, what it took before is on its way.
        let taken = if is_away { world.below(events.len() as u64 + 1) } else { u64::MAX };
        let mut on_the_way = Vec::new();
        let mut is_told = true;
        for (event, _) in events.iter().zip(0..taken) {
            let judged = world.check.lock().expect("check").sent(&self.life, event);
            let place = match judged {
                Ok(place) => place,
                Err(violation) => {
                    world.violate(violation);
                    break;
                }
            };
            world.put_on_wire(event);
            // The event is lost, or the stream's word on it.
            let is_lost = world.hit(Fault::EventsLost);
            is_told &= !is_lost;
            if !is_lost || world.below(2) == 0 {
                on_the_way.push(place);
            }
        }
        let (done, stored) = oneshot::channel();
        let delay_ms = if world.has(Fault::Slow) { world.below(40) } else { 0 };
        if delay_ms == 0 {
            world.check.lock().expect("check").stored(on_the_way);
            let _ = done.send(());
        } else {
            let world = Arc::clone(world);
            tokio::spawn(async move {
                sleep(Duration::from_millis(delay_ms)).await;
                world.check.lock().expect("check").stored(on_the_way);
                let _ = done.send(());
            });
        }
        if is_away {
            self.world().sleep_below(1_000).await;
            return Err(weft_nats::Error::Timeout("on purpose").into());
        }
        Ok(Box::pin(async move {
            if is_told && stored.await.is_ok() {
                return Ok(());
            }
            sleep(STORED_TIMEOUT).await;
            let reason = "on purpose".into();
            Err(weft_nats::Error::NotStored { missing: Vec::new(), reason }.into())
        }))
    }

    async fn change(&self, _: Partition, change: &Change) -> Result<(), Error> {
        self.life.step().await;
        let world = self.world();
        if world.is_bus_away() || world.hit(Fault::BusAway) {
            return Err(weft_nats::Error::Timeout("on purpose").into());
        }
        world.put_change_on_wire(change);
        Ok(())
    }

    async fn tick(&self, _: Partition, tick: &Tick) -> Result<(), Error> {
        self.life.step().await;
        let world = self.world();
        let judged = world.check.lock().expect("check").ticks(&self.life, tick);
        if let Err(violation) = judged {
            world.violate(violation);
        }
        if world.is_bus_away() || world.hit(Fault::BusAway) {
            return Err(weft_nats::Error::Timeout("on purpose").into());
        }
        world.put_tick_on_wire(tick);
        Ok(())
    }
}
