//! How far a feed has handed on each room. Only to spare sessions notices that say nothing new:
//! what is forgotten costs a look of the session, no more.

use std::collections::HashMap;

use weft_nats::Subject;
use weft_proto::{EventHead, RoomId};

/// The memory of one feed.
#[derive(Debug)]
pub(super) enum SeenEntries {
    /// A group's feed has one room.
    Group(u64),
    /// A user's feed has many; those of the last two generations are remembered.
    User(Generations),
}

#[derive(Default, Debug)]
pub(super) struct Generations {
    number: u64,
    newer: HashMap<RoomId, u64>,
    older: HashMap<RoomId, u64>,
}

impl SeenEntries {
    pub(super) fn of(subject: &Subject) -> Self {
        match subject {
            Subject::EventGroup { .. } => Self::Group(0),
            _ => Self::User(Generations::default()),
        }
    }

    /// An entry was handed on.
    pub(super) fn hand_on(&mut self, head: &EventHead, generation: u64) {
        match self {
            Self::Group(seq) => *seq = head.seq.max(*seq),
            Self::User(rooms) => rooms.hand_on(head, generation),
        }
    }

    /// The highest seq of the room that was handed on, as far as is remembered.
    pub(super) fn seq(&self, room: &RoomId) -> u64 {
        match self {
            Self::Group(seq) => *seq,
            Self::User(Generations { newer, older, .. }) => {
                newer.get(room).max(older.get(room)).copied().unwrap_or(0)
            }
        }
    }
}

impl Generations {
    fn hand_on(&mut self, head: &EventHead, generation: u64) {
        if self.number != generation {
            self.older.clear();
            if self.number + 1 == generation {
                std::mem::swap(&mut self.older, &mut self.newer);
            }
            self.newer.clear();
            self.number = generation;
        }
        match self.newer.get_mut(&head.room) {
            Some(seq) => *seq = head.seq.max(*seq),
            None => {
                self.newer.insert(head.room.clone(), head.seq);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use weft_proto::UserId;

    use super::*;
    use crate::feeds::tests::event;

    #[test]
    fn a_room_is_forgotten_after_two_generations() {
        let mut seen = SeenEntries::of(&Subject::User(UserId::new("alice").expect("id")));
        let head = |room: &str, seq| EventHead {
            room: RoomId::new(room).expect("id"),
            ..event(seq, "{}").head
        };
        let (a, b) = (head("a~b", 7), head("a~c", 3));
        assert_eq!(seen.seq(&a.room), 0);
        seen.hand_on(&a, 4);
        seen.hand_on(&head("a~b", 5), 4);
        assert_eq!(seen.seq(&a.room), 7);
        seen.hand_on(&b, 5);
        assert_eq!((seen.seq(&a.room), seen.seq(&b.room)), (7, 3));
        seen.hand_on(&head("a~c", 4), 6);
        assert_eq!((seen.seq(&a.room), seen.seq(&b.room)), (0, 4));
        seen.hand_on(&a, 9);
        assert_eq!((seen.seq(&a.room), seen.seq(&b.room)), (7, 0));
    }
}
