//! How far a feed has handed on each room, and each thing that changes beside entries. Of a room it is only
//! to spare sessions notices that say nothing new: what is forgotten costs a look of the session, no more. Of
//! a change that is forgotten a session may hear twice.

use std::collections::HashMap;
use std::hash::Hash;

use weft_nats::Subject;
use weft_proto::{ChangeHead, EventHead, Position, RoomId};

/// The memory of one feed.
#[derive(Debug)]
pub(super) enum Seen {
    /// A group's feed has one room. What changes there beside entries has no position.
    Group(u64),
    /// A user's feed has many; those of the last two generations are remembered.
    User { rooms: Generations<RoomId, u64>, changes: Generations<String, Position> },
}

#[derive(Debug)]
pub(super) struct Generations<K, V> {
    number: u64,
    newer: HashMap<K, V>,
    older: HashMap<K, V>,
}

impl Seen {
    pub(super) fn of(subject: &Subject) -> Self {
        match subject {
            Subject::EventGroup { .. } => Self::Group(0),
            _ => Self::User { rooms: Generations::new(), changes: Generations::new() },
        }
    }

    /// An entry was handed on.
    pub(super) fn hand_on(&mut self, head: &EventHead, generation: u64) {
        match self {
            Self::Group(seq) => *seq = head.seq.max(*seq),
            Self::User { rooms, .. } => rooms.note(&head.room, head.seq, generation),
        }
    }

    /// The highest seq of the room that was handed on, as far as is remembered.
    pub(super) fn seq(&self, room: &RoomId) -> u64 {
        match self {
            Self::Group(seq) => *seq,
            Self::User { rooms, .. } => rooms.get(room).unwrap_or(0),
        }
    }

    /// A change is to be handed on, and counts as handed on then. False where that, or a newer one of
    /// its key, was.
    pub(super) fn is_new(&mut self, head: &ChangeHead, generation: u64) -> bool {
        let (Self::User { changes, .. }, Some(position)) = (self, head.position) else {
            return true;
        };
        changes.turn_over(generation);
        let is_new = changes.get(&head.key).is_none_or(|seen| seen < position);
        if is_new {
            changes.note(&head.key, position, generation);
        }
        is_new
    }
}

impl<K: Clone + Eq + Hash, V: Copy + Ord> Generations<K, V> {
    fn new() -> Self {
        Self { number: 0, newer: HashMap::new(), older: HashMap::new() }
    }

    fn get(&self, key: &K) -> Option<V> {
        self.newer.get(key).max(self.older.get(key)).copied()
    }

    fn note(&mut self, key: &K, value: V, generation: u64) {
        self.turn_over(generation);
        match self.newer.get_mut(key) {
            Some(seen) => *seen = value.max(*seen),
            None => {
                self.newer.insert(key.clone(), value);
            }
        }
    }

    fn turn_over(&mut self, generation: u64) {
        if self.number != generation {
            self.older.clear();
            if self.number + 1 == generation {
                std::mem::swap(&mut self.older, &mut self.newer);
            }
            self.newer.clear();
            self.number = generation;
        }
    }
}

#[cfg(test)]
mod tests {
    use weft_proto::UserId;

    use super::*;
    use crate::feeds::tests::event;

    fn of_user() -> Seen {
        Seen::of(&Subject::User(UserId::new("alice").expect("id")))
    }

    #[test]
    fn a_room_is_forgotten_after_two_generations() {
        let mut seen = of_user();
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

    #[test]
    fn of_a_change_the_newest_is_handed_on_once() {
        let mut seen = of_user();
        let head = |key: &str, version| {
            let position = Some(Position::new(version, 0));
            ChangeHead { key: key.to_owned(), position, receipts: None }
        };
        let mut is_new = |head, generation| seen.is_new(&head, generation);
        assert!(is_new(head("a", 7), 1));
        assert!(!is_new(head("a", 7), 1) && !is_new(head("a", 6), 1));
        assert!(is_new(head("b", 6), 1));
        assert!(!is_new(head("a", 7), 2), "one generation later");
        assert!(is_new(head("a", 8), 2));
        // What has no position can't be compared.
        let unplaced = ChangeHead { key: "a".to_owned(), position: None, receipts: None };
        assert!(is_new(unplaced.clone(), 2) && is_new(unplaced, 2));
        assert!(!is_new(head("a", 8), 3));
        assert!(is_new(head("a", 1), 4), "forgotten");
        let mut group = Seen::Group(0);
        assert!(group.is_new(&head("a", 7), 1) && group.is_new(&head("a", 7), 1));
    }
}
