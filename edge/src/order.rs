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

use weft_proto::{EventHead, Position, RoomId, RoomKind, UserId};

/// The delivery state of one session.
#[derive(Debug)]
pub struct Order {
    user: UserId,
    /// What is at or before it was covered by a sync or an audit.
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

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Forget it.
    Drop,
    /// Put it out now. The order counts it as out.
    Put,
    /// Read this first, then offer the event (or the notice) again.
    Repair(Missing),
}

/// What an audit says of a room: up to there it is committed, and the wire has not brought all of
/// it, as far as the edge knows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notice {
    pub room: RoomId,
    pub seq: u64,
    /// That entry's position.
    pub position: Position,
    /// Groups: the first of the entries audited that concerns this user.
    pub concerned: Option<u64>,
}

/// What is missing before an event, or up to what a notice says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Missing {
    pub room: RoomId,
    pub since: Since,
    /// The last seq that is missing.
    pub to: u64,
    /// The user was no member of the group at its start: the room goes on at the next joining, which
    /// is after this position, and what lies before that is not for the socket.
    pub joined_after: Option<Position>,
}

/// The exclusive start of what is missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Since {
    /// Entries with a greater seq.
    Seq(u64),
    /// Entries with a greater position.
    Position(Position),
}

impl Order {
    /// Of a user's session that is in no room yet.
    #[must_use]
    pub fn new(user: UserId) -> Self {
        Self { user, read: Position::MIN, rooms: HashMap::new(), moved: Vec::new() }
    }

    /// The user's groups, listed anew: what is known of every room is forgotten. Right before a
    /// sync alone, which says what changed since.
    pub fn restart(&mut self, groups: impl IntoIterator<Item = RoomId>) {
        self.moved.clear();
        self.rooms.clear();
        // The store may be another one now, whose positions say nothing to those of the old one.
        self.read = Position::MIN;
        self.rooms.extend(groups.into_iter().map(|room| (room, Place::Fresh)));
    }

    /// A sync or an audit has covered everything up to here: what is at or before it is out.
    pub fn synced(&mut self, read: Position) {
        self.read = self.read.max(read);
    }

    /// Up to where a sync or an audit has covered everything.
    #[must_use]
    pub fn read(&self) -> Position {
        self.read
    }

    /// An event from the wire.
    pub fn offer(&mut self, head: &EventHead) -> Verdict {
        let place = self.rooms.get(&head.room).copied();
        let is_member = matches!(place, Some(Place::Fresh | Place::At(_)));
        let is_foreign = !is_member && head.room.kind() == RoomKind::Group;
        let joined_after = is_foreign.then_some(self.read);
        let missing = |since| {
            let to = head.seq - 1;
            Verdict::Repair(Missing { room: head.room.clone(), since, to, joined_after })
        };
        match place {
            Some(Place::At(last)) if head.seq <= last => return Verdict::Drop,
            Some(Place::At(last)) if head.seq > last + 1 => return missing(Since::Seq(last)),
            Some(Place::At(_)) => {}
            Some(Place::Left(last)) => {
                if head.seq <= last || !self.joins(head) {
                    return Verdict::Drop;
                }
                // Between may lie what is lost: another joining and leaving.
                if head.seq > last + 1 {
                    return missing(Since::Seq(last));
                }
            }
            None | Some(Place::Fresh) => {
                // Who is not known to be a member of a group gets nothing of it but the joining.
                let starts = place.is_none() && self.joins(head);
                let is_foreign = place.is_none() && head.room.kind() == RoomKind::Group && !starts;
                if is_foreign || head.position <= self.read {
                    return Verdict::Drop;
                }
                let before = head.position_before.unwrap_or(Position::MIN);
                if head.seq > 1 && before > self.read {
                    let missing = missing(Since::Position(self.read));
                    if starts {
                        // Another joining and leaving may lie between, both lost on the wire.
                        self.rooms.insert(head.room.clone(), Place::Left(0));
                    }
                    return missing;
                }
            }
        }
        self.put(head, false);
        Verdict::Put
    }

    /// An audit's word on a room. Notice it again after a repair, until nothing is missing.
    pub fn notice(&mut self, notice: &Notice) -> Option<Missing> {
        let Notice { room, seq, position, concerned } = notice;
        let is_covered = *position <= self.read;
        let was_in = self.is_in(room) || room.kind() == RoomKind::Direct;
        let joined_after = (!was_in).then_some(self.read);
        let since = match (self.rooms.get(room).copied(), concerned) {
            (Some(Place::At(last)), _) if *seq > last => Since::Seq(last),
            // Only an entry that concerns the user can bring them back.
            (Some(Place::Left(last)), Some(_)) if *seq > last => Since::Seq(last),
            (Some(Place::Fresh), _) if !is_covered => Since::Position(self.read),
            (None, None) if !is_covered && room.kind() == RoomKind::Direct => {
                Since::Position(self.read)
            }
            // No member at the last sync or marker; perhaps from here on.
            (None, Some(first)) if !is_covered => {
                let before = first.saturating_sub(1);
                self.rooms.insert(room.clone(), Place::Left(before));
                Since::Seq(before)
            }
            _ => return None,
        };
        Some(Missing { room: room.clone(), since, to: *seq, joined_after })
    }

    /// An entry of a sync's or a repair's page: true where it goes out.
    pub fn offer_stored(&mut self, head: &EventHead) -> bool {
        match self.rooms.get(&head.room) {
            Some(Place::At(last)) if head.seq <= *last => return false,
            Some(Place::Left(last)) if head.seq <= *last || !self.joins(head) => return false,
            Some(Place::At(_)) => {}
            // A sync has brought it, or it was not for this user then.
            _ if head.position <= self.read => return false,
            _ => {}
        }
        self.put(head, true);
        true
    }

    /// The store has spoken of the room up to this seq; what did not come is hidden.
    pub fn cover(&mut self, room: &RoomId, through: u64) {
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
    pub fn refuse(&mut self, room: &RoomId, through: u64) {
        if room.kind() == RoomKind::Direct {
            return self.cover(room, through);
        }
        self.rooms.insert(room.clone(), Place::Left(through));
        self.moved.push(room.clone());
    }

    /// Rooms in which the user's membership changed since the last call.
    pub fn take_moved(&mut self) -> Vec<RoomId> {
        std::mem::take(&mut self.moved)
    }

    /// The user is a member, as far as is known.
    #[must_use]
    pub fn is_in(&self, room: &RoomId) -> bool {
        matches!(self.rooms.get(room), Some(Place::Fresh | Place::At(_)))
    }

    /// From where on the rest of the room has to be read.
    #[must_use]
    pub fn since(&self, room: &RoomId) -> Since {
        match self.rooms.get(room) {
            Some(Place::At(last) | Place::Left(last)) => Since::Seq(*last),
            None | Some(Place::Fresh) => Since::Position(self.read),
        }
    }

    /// What comes after the last entry goes out. What the store leaves out between is hidden from the
    /// user; what the wire leaves out is lost.
    fn put(&mut self, head: &EventHead, is_stored: bool) {
        if let Some(Place::At(last) | Place::Left(last)) = self.rooms.get(&head.room) {
            let follows = head.seq == last + 1 || is_stored && head.seq > *last;
            assert!(follows, "{} {} goes out after {last}", head.room, head.seq);
        }
        let leaves = head.leaves(&self.user);
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

    /// The entry makes the user a member.
    fn joins(&self, head: &EventHead) -> bool {
        head.joins(&self.user)
    }
}

#[cfg(test)]
mod tests;
