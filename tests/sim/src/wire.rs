//! The wire from core to edges. What goes over it is stored nowhere: it gets lost, comes twice, or
//! late, after what was sent later; and nobody is told.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use weft_nats::subject::{WEFT_CHANGE, WEFT_ENTRY};
use weft_nats::{EventMessage, Message, Subject};
use weft_proto::svc::Change;
use weft_proto::{RoomId, Tick, UserId};

use super::config::Fault;
use super::edge::{Subscribed, Topic};
use super::world::World;

impl World {
    /// Brings an event to the edges that listen.
    pub fn put_on_wire(self: &Arc<Self>, event: &EventMessage) {
        let group = match &event.subject {
            Subject::EventGroup { .. } => Some(event.subject.clone()),
            _ => None,
        };
        let users = event.also.iter().cloned().map(Subject::User);
        for subject in group.into_iter().chain(users) {
            let headers = [(WEFT_ENTRY, event.head.as_str())];
            let made = Message::new(&subject, &headers, event.frame.clone());
            self.carry_to_all(&Topic::Subject(subject), &made.expect("a subject"));
        }
    }

    /// Brings a change to the edges that listen.
    pub fn put_change_on_wire(self: &Arc<Self>, change: &Change) {
        let users =
            change.users.iter().map(|user| Subject::User(UserId::new(user).expect("a user")));
        let room = RoomId::new(&change.group).ok();
        let group = room.map(|room| Subject::EventGroup { partition: 0, room });
        for subject in users.chain(group) {
            let headers = [(WEFT_CHANGE, change.head.as_str())];
            let made = Message::new(&subject, &headers, change.frame.clone());
            self.carry_to_all(&Topic::Subject(subject), &made.expect("a subject"));
        }
    }

    pub fn put_tick_on_wire(self: &Arc<Self>, tick: &Tick) {
        let subject = Subject::Tick { partition: 0 };
        let message = Message::new(&subject, &[], tick.encode().into()).expect("a subject");
        self.carry_to_all(&Topic::Ticks, &message);
    }

    fn carry_to_all(self: &Arc<Self>, topic: &Topic, message: &Message) {
        let edges = self.edges.lock().expect("edges").clone();
        for edge in edges.iter().filter(|edge| !edge.wire.is_deaf()) {
            for listener in edge.wire.listeners(topic) {
                self.carry(&listener, message);
            }
        }
    }

    fn carry(self: &Arc<Self>, to: &Arc<Subscribed>, message: &Message) {
        if self.hit(Fault::WireLost) {
            return;
        }
        if self.hit(Fault::WireTwice) {
            self.carry_later(to, message);
        }
        if self.hit(Fault::WireLate) {
            self.carry_later(to, message);
        } else {
            to.arrive(self, message.clone());
        }
    }

    fn carry_later(self: &Arc<Self>, to: &Arc<Subscribed>, message: &Message) {
        let (world, to, message) = (Arc::clone(self), Arc::clone(to), message.clone());
        let delay = Duration::from_millis(self.below(3_000));
        tokio::spawn(async move {
            sleep(delay).await;
            to.arrive(&world, message);
        });
    }
}
