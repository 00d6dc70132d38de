//! What travels beside an entry's bytes: all that an edge needs, so that it never parses the frame.

use std::fmt;
use std::str::FromStr;

use crate::body::Kind;
use crate::ids::UserId;
use crate::position::Position;
use crate::room::RoomId;

/// The head of an event, in header `Weft-Entry` as
/// `<room> <seq> <kind> <position> <position before | -> <user | ->`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EventHead {
    /// The entry's room.
    pub room: RoomId,
    /// The entry's place in the room.
    pub seq: u64,
    /// What the entry is.
    pub kind: Kind,
    /// The entry's place in commit order.
    pub position: Position,
    /// The place of the room's entry before it. `None` for the room's first entry, and where the
    /// head comes from reading the log, which does not need it.
    pub position_before: Option<Position>,
    /// Whom a membership entry concerns.
    pub user: Option<UserId>,
}

impl fmt::Display for EventHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {} ", self.room, self.seq, self.kind.as_str(), self.position)?;
        match self.position_before {
            Some(before) => write!(f, "{before} ")?,
            None => f.write_str("- ")?,
        }
        f.write_str(self.user.as_ref().map_or("-", UserId::as_str))
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
        let mut next = || words.next().ok_or(HeadError);
        let head = Self {
            room: RoomId::new(next()?).map_err(|_| HeadError)?,
            seq: next()?.parse().map_err(|_| HeadError)?,
            kind: Kind::from_word(next()?).ok_or(HeadError)?,
            position: next()?.parse().map_err(|_| HeadError)?,
            position_before: match next()? {
                "-" => None,
                before => Some(before.parse().map_err(|_| HeadError)?),
            },
            user: match next()? {
                "-" => None,
                user => Some(UserId::new(user).map_err(|_| HeadError)?),
            },
        };
        words.next().is_none().then_some(head).ok_or(HeadError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_round_trips() {
        for (position_before, user) in [(None, None), (Some(Position::new(3, 1)), Some("bob"))] {
            let head = EventHead {
                room: RoomId::new("team").expect("id"),
                seq: 12,
                kind: Kind::Add,
                position: Position::new(4, 2),
                position_before,
                user: user.map(|name| UserId::new(name).expect("id")),
            };
            assert_eq!(head.to_string().parse::<EventHead>().expect("parse"), head);
        }
        for bad in ["", "team", "team 1 add 00 - -", "team 1 add 000000000000000000000000 - - x"] {
            assert!(bad.parse::<EventHead>().is_err(), "{bad}");
        }
    }
}
