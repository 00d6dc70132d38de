//! How many commands to a room may be underway at once: one at first, one more with each `ack`, and
//! one again after a refusal.
//!
//! Core applies nothing whose predecessor it has not applied. So where the first of a row is
//! refused, the whole row behind it comes back and has to be published a second time, and once more
//! for each refusal within it. A window that grows by one per `ack` has lost, at each refusal, at
//! most as many places as there were acks before it: what comes back never doubles what is sent.

use weft_proto::RoomId;

/// Most rooms that are remembered. Beyond them all begin anew, which costs a row one more round trip.
const ROOMS_MAX: usize = 64;

/// The windows of one session. Without one: 1.
#[derive(Default)]
pub(super) struct Windows(Vec<(RoomId, usize)>);

impl Windows {
    pub(super) fn of(&self, room: &RoomId) -> usize {
        self.0.iter().find(|(of, _)| of == room).map_or(1, |(_, window)| *window)
    }

    /// A command to the room was acknowledged.
    pub(super) fn widen(&mut self, room: &RoomId) {
        if let Some((_, window)) = self.0.iter_mut().find(|(of, _)| of == room) {
            *window = window.saturating_add(1);
            return;
        }
        if self.0.len() >= ROOMS_MAX {
            self.0.clear();
        }
        self.0.push((room.clone(), 2));
    }

    /// A command to the room was refused.
    pub(super) fn narrow(&mut self, room: &RoomId) {
        self.0.retain(|(of, _)| of != room);
    }
}
