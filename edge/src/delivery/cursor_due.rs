//! Whether a new cursor says anything to a session: one is due for what was put out since the
//! last.

use weft_proto::Position;

/// What the session's cursor does not speak of yet.
#[derive(Debug)]
pub(super) struct CursorDue {
    /// The next cursor is worth telling from here on; `None`: the last one speaks of everything.
    from: Option<Position>,
    /// The last position that was put out.
    last: Position,
    /// The last cursor that was told.
    told: Position,
}

impl CursorDue {
    pub(super) fn new() -> Self {
        Self { from: None, last: Position::MIN, told: Position::MIN }
    }

    /// An entry was put out.
    pub(super) fn put(&mut self, position: Position) {
        self.last = self.last.max(position);
        self.from.get_or_insert(position);
    }

    /// A sync's cursor is told, which speaks of everything. The store may be another one now, whose
    /// positions say nothing to those of the old one.
    pub(super) fn settle(&mut self, position: Position) {
        (self.from, self.told) = (None, position);
    }

    /// True where a cursor at this position is worth telling: then it counts as told.
    pub(super) fn tell(&mut self, position: Position) -> bool {
        assert!(position >= self.told, "a cursor at {position} after {}", self.told);
        if self.from.is_none_or(|from| position < from) {
            return false;
        }
        // One that speaks of a part is followed by one for the rest, not by one for each entry.
        self.from = (position < self.last).then_some(self.last);
        self.told = position;
        true
    }

    /// From where on a cursor is worth telling.
    pub(super) fn from(&self) -> Option<Position> {
        self.from
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_told_where_it_speaks_of_something() {
        let at = |version| Position::new(version, 0);
        let mut due = CursorDue::new();
        assert!(!due.tell(at(9)));
        for version in [11, 12, 13] {
            due.put(at(version));
        }
        assert!(!due.tell(at(10)));
        assert!(due.tell(at(11)));
        // One more for all the rest.
        assert!(!due.tell(at(12)));
        due.put(at(14));
        assert!(due.tell(at(13)));
        assert!(due.tell(at(14)));
        assert!(!due.tell(at(15)));
        due.put(at(16));
        due.settle(at(17));
        assert_eq!(due.from(), None);
    }

    #[test]
    #[should_panic(expected = "a cursor at")]
    fn a_cursor_never_goes_back() {
        let mut due = CursorDue::new();
        due.settle(Position::new(9, 0));
        due.tell(Position::new(8, 0));
    }
}
