//! How many commands to a room may be underway at once: some at first, one more with each `ack`, and
//! one after a refusal.
//!
//! Core applies nothing whose predecessor it has not applied. So where the first of a row is
//! refused, the whole row after it comes back and has to be published a second time, and once more
//! for each refusal within it. A window that begins with a few, and then grows by one per `ack`, has
//! lost, at each refusal, at most as many places as there were acks before it, and those few once:
//! what comes back never doubles what is sent.

use weft_proto::RoomId;

/// Where a room that the session has not written to begins. With one place its first row would pay
/// a round trip for each of its first commands.
const FIRST: usize = 16;

/// Most rooms that are remembered. Beyond them all begin anew, with one place each: a refusal may
/// be forgotten, and must not give the room the first places once more.
const ROOMS_MAX: usize = 64;

pub(super) struct Windows {
    rooms: Vec<(RoomId, usize)>,
    /// Of a room that is not remembered.
    first: usize,
}

impl Windows {
    pub(super) fn new() -> Self {
        Self { rooms: Vec::new(), first: FIRST }
    }

    pub(super) fn of(&self, room: &RoomId) -> usize {
        self.rooms.iter().find(|(of, _)| of == room).map_or(self.first, |(_, window)| *window)
    }

    /// A command to the room was acknowledged.
    pub(super) fn widen(&mut self, room: &RoomId) {
        self.set(room, self.of(room).saturating_add(1));
    }

    /// A command to the room was refused.
    pub(super) fn narrow(&mut self, room: &RoomId) {
        self.set(room, 1);
    }

    fn set(&mut self, room: &RoomId, window: usize) {
        if let Some((_, old)) = self.rooms.iter_mut().find(|(of, _)| of == room) {
            *old = window;
            return;
        }
        if self.rooms.len() >= ROOMS_MAX {
            self.rooms.clear();
            self.first = 1;
        }
        self.rooms.push((room.clone(), window));
    }
}
