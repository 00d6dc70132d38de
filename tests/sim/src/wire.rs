//! The wire from core to edges. What goes over it is stored nowhere: it gets lost, comes twice, or
//! late, behind what was sent after it; and nobody is told.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use weft_nats::{EventMessage, Subject};
use weft_proto::{EventHead, RoomId, Tick, UserId};

use super::config::Fault;
use super::edge::Edge;
use super::world::World;

/// What an edge subscribes to. Ticks it always hears.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Topic {
    User(UserId),
    Group(RoomId),
}

#[derive(Clone)]
enum Parcel {
    Event(Topic, Arc<EventHead>),
    Tick(Tick),
}

impl World {
    /// Brings an event to the edges that listen.
    pub fn put_on_wire(self: &Arc<Self>, event: &EventMessage) {
        let edges = self.edges.lock().expect("edges").clone();
        if edges.is_empty() {
            return;
        }
        let head: Arc<EventHead> = Arc::new(event.head.parse().expect("judged"));
        let group = match &event.subject {
            Subject::EventGroup { room, .. } => Some(Topic::Group(room.clone())),
            _ => None,
        };
        let topics = group.into_iter().chain(event.also.iter().cloned().map(Topic::User));
        for topic in topics {
            for edge in edges.iter().filter(|edge| edge.listens(&topic)) {
                self.carry(edge, &Parcel::Event(topic.clone(), Arc::clone(&head)));
            }
        }
    }

    /// Brings a tick to all edges, and to those of the sessions that send.
    pub fn put_tick_on_wire(self: &Arc<Self>, tick: &Tick) {
        let edges = self.edges.lock().expect("edges").clone();
        for edge in &edges {
            self.carry(edge, &Parcel::Tick(tick.clone()));
        }
        if !self.hit(Fault::WireLost) {
            self.ticked.lock().expect("ticked").note(tick);
        }
    }

    fn carry(self: &Arc<Self>, edge: &Arc<Edge>, parcel: &Parcel) {
        if edge.is_deaf() || self.hit(Fault::WireLost) {
            return;
        }
        if self.hit(Fault::WireTwice) {
            self.carry_later(edge, parcel.clone());
        }
        if self.hit(Fault::WireLate) {
            self.carry_later(edge, parcel.clone());
        } else {
            arrive(edge, parcel.clone());
        }
    }

    fn carry_later(&self, edge: &Arc<Edge>, parcel: Parcel) {
        let (edge, delay) = (Arc::clone(edge), Duration::from_millis(self.below(3_000)));
        tokio::spawn(async move {
            sleep(delay).await;
            arrive(&edge, parcel);
        });
    }
}

fn arrive(edge: &Edge, parcel: Parcel) {
    match parcel {
        Parcel::Event(topic, head) => edge.hear(&topic, &head),
        Parcel::Tick(tick) => edge.hear_tick(&tick),
    }
}
