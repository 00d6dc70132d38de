//! What travels beside the frame of a change that is not an entry: all that an edge needs.

use std::fmt;
use std::str::FromStr;

use crate::client_id::ClientId;
use crate::ids::UserId;
use crate::position::Position;
use crate::room::RoomId;

const MARKS: &str = "marks/";
const INTERACTION: &str = "interaction/";
const RECEIPTS_ON: &str = "receipts=on";
const RECEIPTS_OFF: &str = "receipts=off";

/// The head of a change, in header `Weft-Change` as `<key> <position | -> [receipts=on | receipts=off]`. A newer Weft
/// may have further words: they are passed over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChangeHead {
    /// What has changed. For comparison alone: this Weft need not know it.
    pub key: String,
    /// The place of the change in commit order: of two with the same key the later one is newer. `None`:
    /// it has none, and is handed on whatever came before it.
    pub position: Option<Position>,
    /// From then on the user who hears of it wants to hear how far others have read, or no more.
    pub receipts: Option<bool>,
}

impl ChangeHead {
    fn new(key: String, position: Option<Position>) -> Self {
        Self { key, position, receipts: None }
    }

    /// That of a user's mark in a room.
    #[must_use]
    pub fn mark(room: &RoomId, user: &UserId, position: Position) -> Self {
        Self::new(format!("mark/{room}/{user}"), Some(position))
    }

    /// That of how a user wants a room to be, for their own devices; of their notebook with what it says of `receipts`.
    #[must_use]
    pub fn setting(
        user: &UserId,
        room: &RoomId,
        position: Position,
        receipts: Option<bool>,
    ) -> Self {
        Self { receipts, ..Self::new(format!("setting/{user}/{room}"), Some(position)) }
    }

    /// That of what a user has typed for a room and not sent, for their own devices.
    #[must_use]
    pub fn draft(user: &UserId, room: &RoomId, position: Position) -> Self {
        Self::new(format!("draft/{user}/{room}"), Some(position))
    }

    /// That of what another user is to a user, for the own devices of the latter.
    #[must_use]
    pub fn relation(user: &UserId, other: &UserId, position: Position) -> Self {
        Self::new(format!("relation/{user}/{other}"), Some(position))
    }

    /// That of whether two users may see each other. It is for the edges of the first one, and has no frame.
    #[must_use]
    pub fn sight(user: &UserId, other: &UserId, position: Position) -> Self {
        Self::new(format!("sight/{user}/{other}"), Some(position))
    }

    /// Whom a user may see, or see no longer, where it is that of [`sight`](Self::sight).
    #[must_use]
    pub fn in_sight(&self) -> Option<UserId> {
        let mut words = self.key.strip_prefix("sight/")?.split('/');
        UserId::new(words.nth(1)?).ok()
    }

    /// That of a message that a user has scheduled, for their own devices.
    #[must_use]
    pub fn scheduled(user: &UserId, room: &RoomId, id: &ClientId, position: Position) -> Self {
        Self::new(format!("schedule/{user}/{room}/{id}"), Some(position))
    }

    /// That of what others see of a user. It is nowhere in the order of commits: profiles have versions.
    #[must_use]
    pub fn profile(user: &UserId) -> Self {
        Self::new(format!("profile/{user}"), None)
    }

    /// That of what a user has said of a thread, or of their following it; `root`: how it begins.
    #[must_use]
    pub fn thread(room: &RoomId, root: u64, user: &UserId, position: Position) -> Self {
        Self::new(format!("mark/{room}/{user}/{root}"), Some(position))
    }

    /// That of somebody's asking to come into a group, for those who decide it and for themselves.
    #[must_use]
    pub fn asking(group: &RoomId, user: &UserId) -> Self {
        Self::new(format!("asking/{group}/{user}"), None)
    }

    /// That of whether a user is invited to come into a group, for their own devices.
    #[must_use]
    pub fn invitation(user: &UserId, group: &RoomId, position: Position) -> Self {
        Self::new(format!("invitation/{user}/{group}"), Some(position))
    }

    /// That of what a bot is told in a room, or answers to it. It is nowhere in the order of commits: who does not hear of
    /// it in time has not been told.
    #[must_use]
    pub fn interaction(room: &RoomId, name: &str) -> Self {
        Self::new(format!("{INTERACTION}{room}/{name}"), None)
    }

    /// The name of the interaction that it is of.
    #[must_use]
    pub fn interaction_name(&self) -> Option<&str> {
        self.key.strip_prefix(INTERACTION)?.split('/').nth(1)
    }

    /// The room of somebody's mark in it, or of an interaction, as text.
    #[must_use]
    pub fn room_of_scope(&self) -> Option<&str> {
        let rest = self.key.strip_prefix("mark/").or_else(|| self.key.strip_prefix(INTERACTION))?;
        rest.split('/').next()
    }

    /// That of some members' marks in a group, for the others.
    #[must_use]
    pub fn marks(group: &RoomId) -> Self {
        Self::new(format!("{MARKS}{group}"), None)
    }

    /// It tells a group how far members have read.
    #[must_use]
    pub fn is_marks(&self) -> bool {
        self.key.starts_with(MARKS)
    }
}

impl fmt::Display for ChangeHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some(position) => write!(f, "{} {position}", self.key)?,
            None => write!(f, "{} -", self.key)?,
        }
        match self.receipts {
            Some(true) => write!(f, " {RECEIPTS_ON}"),
            Some(false) => write!(f, " {RECEIPTS_OFF}"),
            None => Ok(()),
        }
    }
}

/// A header that is not a [`ChangeHead`].
#[derive(Debug, thiserror::Error)]
#[error("malformed Weft-Change header")]
pub struct ChangeHeadError;

impl FromStr for ChangeHead {
    type Err = ChangeHeadError;

    fn from_str(text: &str) -> Result<Self, ChangeHeadError> {
        let mut words = text.split(' ');
        let mut next = || words.next().filter(|word| !word.is_empty()).ok_or(ChangeHeadError);
        let key = next()?.to_owned();
        let position = match next()? {
            "-" => None,
            position => Some(position.parse().map_err(|_| ChangeHeadError)?),
        };
        let receipts = words.find_map(|word| match word {
            RECEIPTS_ON => Some(true),
            RECEIPTS_OFF => Some(false),
            _ => None,
        });
        Ok(Self { key, position, receipts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_round_trips() {
        let (room, user) = (RoomId::new("alice~bob").expect("id"), UserId::new("bob").expect("id"));
        let mark = ChangeHead::mark(&room, &user, Position::new(7, 0x8001));
        let text = "mark/alice~bob/bob 000000000000000700008001";
        let marks = ChangeHead::marks(&RoomId::new("team").expect("id"));
        let thread = ChangeHead::thread(&room, 9, &user, Position::new(7, 0x8001));
        let of_thread = "mark/alice~bob/bob/9 000000000000000700008001";
        assert!(marks.is_marks() && !mark.is_marks() && !thread.is_marks());
        let off = ChangeHead::setting(&user, &room, Position::new(7, 3), Some(false));
        let of_setting = "setting/bob/alice~bob 000000000000000700000003 receipts=off";
        for (head, text) in
            [(mark, text), (marks, "marks/team -"), (thread, of_thread), (off, of_setting)]
        {
            assert_eq!(head.to_string(), text);
            assert_eq!(text.parse::<ChangeHead>().expect("parse"), head);
            assert_eq!(format!("{text} of tomorrow").parse::<ChangeHead>().expect("newer"), head);
        }
        let sight = ChangeHead::sight(&user, &UserId::new("alice").expect("id"), Position::MIN);
        assert_eq!(sight.in_sight().as_ref().map(UserId::as_str), Some("alice"));
        assert_eq!(ChangeHead::marks(&room).in_sight(), None);
        for bad in ["", " -", "draft", "draft 7", "draft  -"] {
            assert!(bad.parse::<ChangeHead>().is_err(), "{bad}");
        }
    }
}
