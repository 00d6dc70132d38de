//! What travels beside an entry's bytes: all that an edge needs, so that it never parses the frame,
//! and hands on entries of kinds that it does not know.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use crate::entry::Entry;
use crate::ids::UserId;
use crate::kind::{Kind, Membership};
use crate::position::Position;
use crate::room::RoomId;

/// The head of an event, in header `Weft-Entry` as
/// `<room> <seq> <kind> <position> <position before | -> <user | -> <marks | ->`. A newer Weft may
/// have further words and further marks: they are passed over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EventHead {
    pub room: RoomId,
    /// The entry's place in the room.
    pub seq: u64,
    /// The word for what it is. Not for decisions: this Weft need not know it.
    pub kind: Cow<'static, str>,
    /// The entry's place in commit order.
    pub position: Position,
    /// The place of the room's entry before it. `None` for the room's first entry, and where the
    /// head comes from reading the log, which does not need it.
    pub position_before: Option<Position>,
    /// Whom a membership entry concerns; `None`, where it is one: all whom it reaches.
    pub user: Option<UserId>,
    /// What becomes of them: mark `j` (they join) or `l` (they leave).
    pub membership: Membership,
    /// It counts as unread: mark `u`.
    pub is_unread: bool,
}

impl EventHead {
    #[must_use]
    pub fn of(entry: &Entry, position: Position, position_before: Option<Position>) -> Self {
        let kind = entry.body.kind();
        Self {
            room: entry.room.clone(),
            seq: entry.seq,
            kind: Cow::Borrowed(kind.word),
            position,
            position_before,
            user: entry.user().cloned(),
            membership: entry.body.membership(),
            is_unread: entry.counts(),
        }
    }

    /// The entry makes this user a member.
    #[must_use]
    pub fn joins(&self, user: &UserId) -> bool {
        self.membership == Membership::Joins && self.user.as_ref().is_none_or(|joins| joins == user)
    }

    /// The entry ends this user's membership.
    #[must_use]
    pub fn leaves(&self, user: &UserId) -> bool {
        self.membership == Membership::Leaves
            && self.user.as_ref().is_none_or(|leaves| leaves == user)
    }

    fn marks(&self) -> &'static str {
        match (self.membership, self.is_unread) {
            (Membership::Stays, false) => "-",
            (Membership::Stays, true) => "u",
            (Membership::Joins, false) => "j",
            (Membership::Joins, true) => "ju",
            (Membership::Leaves, false) => "l",
            (Membership::Leaves, true) => "lu",
        }
    }
}

impl fmt::Display for EventHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {} ", self.room, self.seq, self.kind, self.position)?;
        match self.position_before {
            Some(before) => write!(f, "{before} ")?,
            None => f.write_str("- ")?,
        }
        f.write_str(self.user.as_ref().map_or("-", UserId::as_str))?;
        write!(f, " {}", self.marks())
    }
}

/// A header that is not an [`EventHead`].
#[derive(Debug, thiserror::Error)]
#[error("malformed Weft-Entry header")]
pub struct HeadError;

impl FromStr for EventHead {
    type Err = HeadError;

    fn from_str(text: &str) -> Result<Self, HeadError> {
        let mut words = text.split(' ');
        let mut next = || words.next().filter(|word| !word.is_empty()).ok_or(HeadError);
        let room = RoomId::new(next()?).map_err(|_| HeadError)?;
        let seq = next()?.parse().map_err(|_| HeadError)?;
        let kind = Kind::word(next()?);
        let position = next()?.parse().map_err(|_| HeadError)?;
        let position_before = match next()? {
            "-" => None,
            before => Some(before.parse().map_err(|_| HeadError)?),
        };
        let user = match next()? {
            "-" => None,
            user => Some(UserId::new(user).map_err(|_| HeadError)?),
        };
        let marks = next()?;
        let membership = match (marks.contains('j'), marks.contains('l')) {
            (true, _) => Membership::Joins,
            (false, true) => Membership::Leaves,
            (false, false) => Membership::Stays,
        };
        let is_unread = marks.contains('u');
        Ok(Self { room, seq, kind, position, position_before, user, membership, is_unread })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> EventHead {
        EventHead {
            room: RoomId::new("team").expect("id"),
            seq: 12,
            kind: "add".into(),
            position: Position::new(4, 2),
            position_before: None,
            user: None,
            membership: Membership::Stays,
            is_unread: false,
        }
    }

    #[test]
    fn header_round_trips() {
        let bob = UserId::new("bob").expect("id");
        for (position_before, user) in [(None, None), (Some(Position::new(3, 1)), Some(bob))] {
            for membership in [Membership::Stays, Membership::Joins, Membership::Leaves] {
                for is_unread in [false, true] {
                    let (position_before, user) = (position_before, user.clone());
                    let head = EventHead { position_before, user, membership, is_unread, ..head() };
                    assert_eq!(head.to_string().parse::<EventHead>().expect("parse"), head);
                }
            }
        }
        let position = "000000000000000000000000";
        for bad in ["", "team", "team 1 add 00 - - -", &format!("team 1 add {position} - -")] {
            assert!(bad.parse::<EventHead>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_head_of_a_newer_version_is_read() {
        let newer = "team 12 dance 000000000000000000040002 - bob xju 7 more";
        let read: EventHead = newer.parse().expect("parse");
        assert_eq!(read.kind, "dance");
        assert!(read.is_unread && read.joins(&UserId::new("bob").expect("id")));
        assert!(!read.joins(&UserId::new("alice").expect("id")));
    }

    #[test]
    fn without_a_user_all_whom_it_reaches_join() {
        let head = EventHead { membership: Membership::Joins, ..head() };
        assert!(head.joins(&UserId::new("alice").expect("id")));
        assert!(!head.leaves(&UserId::new("alice").expect("id")));
    }
}
