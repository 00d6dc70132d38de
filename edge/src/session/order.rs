//! Which entry may go out on a socket, and what must be read first. Pure: no clock, no IO.
//!
//! The wire may lose, repeat and (between two subscriptions) reorder events; the store does
//! neither. So an event goes out where it follows what is already out; where something is missing
//! between, the store is asked first. What the store says is put out as it comes: what it leaves
//! out inside of the range that it speaks of is hidden from this user.
//!
//! What holds after every call: per room, the seqs that went out grow, and between two of them
//! nothing is missing that the user may see.

use std::collections::HashMap;

use weft_proto::{EventHead, Kind, Position, RoomId, RoomKind, UserId};

/// The delivery state of one session.
#[derive(Debug)]
pub(crate) struct Order {
    user: UserId,
    /// What is at or before it was covered by a sync.
    read: Position,
    rooms: HashMap<RoomId, Place>,
    /// Rooms in which the user's membership changed since [`Order::take_moved`].
    moved: Vec<RoomId>,
}

/// How far a room is. A direct room in which nothing came yet has none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// The user is a member; nothing of it came since the sync.
    Fresh,
    /// Out up to this seq.
    At(u64),
    /// The user has left; out, or not theirs, up to this seq.
    Left(u64),
}

/// What to do with an event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// Forget it.
    Drop,
    /// Put it out now. The order counts it as out.
    Put,
    /// Read this first, then offer the event again.
    Repair(Missing),
}

/// What is missing before an event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Missing {
    /// Where.
    pub room: RoomId,
    /// From where on.
    pub since: Since,
    /// The last seq that is missing.
    pub to: u64,
}

/// The exclusive start of what is missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Since {
    /// Entries with a greater seq.
    Seq(u64),
    /// Entries with a greater position.
    Position(Position),
}

impl Order {
    pub(crate) fn new(user: UserId) -> Self {
        Self { user, read: Position::MIN, rooms: HashMap::new(), moved: Vec::new() }
    }

    /// The user's groups, listed anew: what is known of every room is forgotten. Right before a
    /// sync alone, which says what changed since.
    pub(crate) fn restart(&mut self, groups: impl IntoIterator<Item = RoomId>) {
        self.moved.clear();
        self.rooms.clear();
        self.rooms.extend(groups.into_iter().map(|room| (room, Place::Fresh)));
    }

    /// A sync has covered everything up to here.
    pub(crate) fn synced(&mut self, read: Position) {
        self.read = self.read.max(read);
    }

    /// An event from the wire.
    pub(crate) fn offer(&mut self, head: &EventHead) -> Verdict {
        let place = self.rooms.get(&head.room).copied();
        let missing = |since| {
            let to = head.seq - 1;
            Verdict::Repair(Missing { room: head.room.clone(), since, to })
        };
        match place {
            Some(Place::At(last)) if head.seq <= last => return Verdict::Drop,
            Some(Place::At(last)) if head.seq > last + 1 => return missing(Since::Seq(last)),
            Some(Place::At(_)) => {}
            Some(Place::Left(last)) => {
                if head.seq <= last || !self.joins(head) {
                    return Verdict::Drop;
                }
                // Another joining and leaving may lie between, both lost on the wire.
                if head.seq > last + 1 {
                    return missing(Since::Seq(last));
                }
            }
            None | Some(Place::Fresh) => {
                // Who is not known to be a member of a group gets nothing of it but the joining,
                // and has missed nothing before it.
                let starts = place.is_none() && self.joins(head);
                let is_foreign = place.is_none() && head.room.kind() == RoomKind::Group && !starts;
                if is_foreign || head.position <= self.read {
                    return Verdict::Drop;
                }
                let before = head.position_before.unwrap_or(Position::MIN);
                if !starts && head.seq > 1 && before > self.read {
                    return missing(Since::Position(self.read));
                }
            }
        }
        self.put(head);
        Verdict::Put
    }

    /// An entry of a sync's or a repair's page: true where it goes out.
    pub(crate) fn offer_stored(&mut self, head: &EventHead) -> bool {
        match self.rooms.get(&head.room) {
            Some(Place::At(last)) if head.seq <= *last => return false,
            Some(Place::Left(last)) if head.seq <= *last || !self.joins(head) => return false,
            _ => {}
        }
        self.put(head);
        true
    }

    /// The store has spoken of the room up to this seq; what did not come is hidden.
    pub(crate) fn cover(&mut self, room: &RoomId, through: u64) {
        match self.rooms.get_mut(room) {
            Some(Place::At(last) | Place::Left(last)) => *last = through.max(*last),
            Some(fresh @ Place::Fresh) => *fresh = Place::At(through),
            None => {
                self.rooms.insert(room.clone(), Place::At(through));
            }
        }
    }

    /// The store shows this user nothing of the room: what came of it up to this seq is not theirs,
    /// nor what will come, until they join.
    pub(crate) fn refuse(&mut self, room: &RoomId, through: u64) {
        if room.kind() == RoomKind::Direct {
            return self.cover(room, through);
        }
        self.rooms.insert(room.clone(), Place::Left(through));
        self.moved.push(room.clone());
    }

    /// Rooms in which the user's membership changed since the last call.
    pub(crate) fn take_moved(&mut self) -> Vec<RoomId> {
        std::mem::take(&mut self.moved)
    }

    /// The user is a member, as far as is known.
    pub(crate) fn is_in(&self, room: &RoomId) -> bool {
        matches!(self.rooms.get(room), Some(Place::Fresh | Place::At(_)))
    }

    /// From where on the rest of the room has to be read.
    pub(crate) fn since(&self, room: &RoomId) -> Since {
        match self.rooms.get(room) {
            Some(Place::At(last) | Place::Left(last)) => Since::Seq(*last),
            None | Some(Place::Fresh) => Since::Position(self.read),
        }
    }

    fn put(&mut self, head: &EventHead) {
        let leaves = matches!(head.kind, Kind::Remove | Kind::Leave) && self.is_me(head);
        let place = if leaves { Place::Left(head.seq) } else { Place::At(head.seq) };
        if leaves || self.joins(head) {
            self.moved.push(head.room.clone());
        }
        match self.rooms.get_mut(&head.room) {
            Some(known) => *known = place,
            None => {
                self.rooms.insert(head.room.clone(), place);
            }
        }
    }

    /// The entry makes the user a member. A `create` reaches only those whom it names.
    fn joins(&self, head: &EventHead) -> bool {
        head.kind == Kind::Create || (head.kind == Kind::Add && self.is_me(head))
    }

    fn is_me(&self, head: &EventHead) -> bool {
        head.user.as_ref() == Some(&self.user)
    }
}

#[cfg(test)]
#[path = "order_tests.rs"]
mod tests;
