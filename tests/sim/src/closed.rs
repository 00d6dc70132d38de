//! Rooms that an administrator closes, by a model that takes the committed entries, one after the other.

use std::collections::BTreeSet;

use weft_proto::kind::Close;
use weft_proto::{Body, Entry, RoomId};

use super::check::Judged;
use super::world::World;

/// An administrator of the installation, who is in no room.
pub const ADMINISTRATOR: &str = "eve";

#[derive(Default)]
pub struct Closed(BTreeSet<RoomId>);

impl Closed {
    pub fn take(&mut self, entry: &Entry) -> Judged<()> {
        let Entry { room, seq, from, body, .. } = entry;
        match body {
            Body::Close(Close { closed, .. }) => {
                let is_new =
                    if *closed { self.0.insert(room.clone()) } else { self.0.remove(room) };
                if from.as_str() != ADMINISTRATOR || !is_new {
                    return Err(format!("{room} {seq} of {from} closes what it may not: {closed}"));
                }
                Ok(())
            }
            // Members may leave, and owners say who is owner.
            Body::Leave(_) | Body::ChangeRole(_) => Ok(()),
            _ if self.0.contains(room) => Err(format!("{room} {seq} is in a room that is closed")),
            _ => Ok(()),
        }
    }
}

pub fn any_close(world: &World) -> Body {
    Body::Close(Close { closed: world.below(2) == 0, reason: None })
}
