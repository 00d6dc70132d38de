//! What a device keeps: its entries and others' marks, and with each cursor what it had when that came. So it can lose
//! its newest days, as a phone does that is restored from a copy.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::history::{Mark, Room};

/// How many cursors are kept.
const CURSORS_MAX: usize = 4;

/// Entries (by their places) and cursors.
#[derive(Default, Debug)]
pub(super) struct Shelf {
    rooms: BTreeMap<Room, BTreeSet<u64>>,
    /// The newest cursors, and what came after each, before the next.
    cursors: VecDeque<Kept>,
    marks: Marks,
    /// The newest version of each room's draft that it has seen. It never goes back: what was seen was seen.
    drafts: BTreeMap<Room, u64>,
}

/// By room and user: read, and delivered.
type Marks = BTreeMap<(Room, Arc<str>), (u64, u64)>;

/// A cursor.
#[derive(Debug)]
struct Kept {
    cursor: String,
    /// Entries that came since.
    since: Vec<(Room, u64)>,
    /// Marks when it came.
    marks: Marks,
}

impl Kept {
    fn new(cursor: String, marks: Marks) -> Self {
        Self { cursor, since: Vec::new(), marks }
    }
}

impl Shelf {
    pub(super) fn from_cursor(cursor: Option<String>) -> Self {
        let cursors = cursor.into_iter().map(|cursor| Kept::new(cursor, Marks::new())).collect();
        Self { cursors, ..Self::default() }
    }

    pub(super) fn cursor(&self) -> Option<String> {
        self.cursors.back().map(|kept| kept.cursor.clone())
    }

    pub(super) fn keep_mark(&mut self, mark: &Mark) {
        let known = self.marks.entry((mark.room.clone(), mark.user.clone())).or_default();
        *known = (known.0.max(mark.read), known.1.max(mark.delivered).max(mark.read));
    }

    pub(super) fn mark_of(&self, room: &str, user: &str) -> (u64, u64) {
        self.marks.get(&(room.into(), user.into())).copied().unwrap_or_default()
    }

    pub(super) fn keep_draft(&mut self, room: &Room, version: u64) {
        let known = self.drafts.entry(room.clone()).or_default();
        *known = version.max(*known);
    }

    pub(super) fn draft_version(&self, room: &str) -> u64 {
        self.drafts.get(room).copied().unwrap_or(0)
    }

    pub(super) fn keep(&mut self, room: &Room, seq: u64) {
        let is_new = self.rooms.entry(room.clone()).or_default().insert(seq);
        if let (true, Some(kept)) = (is_new, self.cursors.back_mut()) {
            kept.since.push((room.clone(), seq));
        }
    }

    pub(super) fn keep_cursor(&mut self, cursor: String) {
        if self.cursors.back().is_some_and(|newest| newest.cursor == cursor) {
            return;
        }
        self.cursors.push_back(Kept::new(cursor, self.marks.clone()));
        if self.cursors.len() > CURSORS_MAX {
            self.cursors.pop_front();
        }
    }

    /// Goes back to an earlier cursor, and to what was there when it came. Without any cursor
    /// nothing is lost: nothing could bring it again.
    pub(super) fn forget(&mut self, back: usize) {
        for _ in 0..back {
            if self.cursors.len() > 1 {
                self.forget_newest();
                self.cursors.pop_back();
            }
        }
        self.forget_newest();
    }

    fn forget_newest(&mut self) {
        let Some(kept) = self.cursors.back_mut() else { return };
        self.marks.clone_from(&kept.marks);
        for (room, seq) in kept.since.drain(..) {
            if let Some(seqs) = self.rooms.get_mut(&room) {
                seqs.remove(&seq);
            }
        }
    }

    /// Up to which seq it has the room without a hole, from the first entry.
    pub(super) fn contiguous(&self, room: &str) -> u64 {
        let Some(seqs) = self.rooms.get(room) else { return 0 };
        seqs.iter().zip(1..).take_while(|(seq, expected)| **seq == *expected).count() as u64
    }

    pub(super) fn has(&self, room: &str, seq: u64) -> bool {
        self.rooms.get(room).is_some_and(|seqs| seqs.contains(&seq))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shelf_goes_back_to_what_was_there_with_a_cursor() {
        let mut shelf = Shelf::from_cursor(None);
        let room = Room::from("a~b");
        shelf.keep(&room, 1);
        shelf.forget(1);
        assert!(shelf.has("a~b", 1), "without a cursor nothing is lost");
        shelf.keep_cursor("x".to_owned());
        shelf.keep(&room, 2);
        let mark = |read, delivered| {
            let (room, user) = (room.clone(), "bob".into());
            Mark { room, user, read, delivered, ..Mark::default() }
        };
        shelf.keep_mark(&mark(1, 0));
        shelf.keep_cursor("y".to_owned());
        shelf.keep_mark(&mark(0, 3));
        shelf.keep_cursor("y".to_owned());
        shelf.keep(&room, 3);
        shelf.keep(&room, 3);
        assert_eq!(shelf.mark_of("a~b", "bob"), (1, 3));
        assert_eq!(shelf.contiguous("a~b"), 3);
        shelf.forget(0);
        assert_eq!((shelf.contiguous("a~b"), shelf.cursor().as_deref()), (2, Some("y")));
        assert_eq!(shelf.mark_of("a~b", "bob"), (1, 1));
        shelf.keep(&room, 3);
        shelf.forget(1);
        assert_eq!((shelf.contiguous("a~b"), shelf.cursor().as_deref()), (1, Some("x")));
        assert_eq!(shelf.mark_of("a~b", "bob"), (0, 0));
        shelf.forget(5);
        assert_eq!((shelf.contiguous("a~b"), shelf.cursor().as_deref()), (1, Some("x")));
    }
}
