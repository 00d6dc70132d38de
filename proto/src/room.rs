//! Room ids, and what a room is. Who may write to a direct room is read off its id.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{ApiError, ErrorCode};
use crate::ids::{UserId, is_name};

/// Separates the two users in the id of a direct room.
const DIRECT_SEPARATOR: char = '~';

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RoomKind {
    /// Two users (or one: a notebook). It exists as soon as somebody writes.
    Direct,
    /// Many users; it exists from its `create` entry on.
    Group,
}

/// From where on a member sees a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, prost::Enumeration)]
#[serde(rename_all = "snake_case")]
#[repr(i32)]
pub enum History {
    /// From the first entry: the default.
    All = 1,
    /// From the member's own joining.
    Joined = 2,
}

impl History {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Joined => "joined",
        }
    }
}

/// Who may come into a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, prost::Enumeration)]
#[serde(rename_all = "snake_case")]
#[repr(i32)]
pub enum JoinRule {
    /// Whom a member brings in: the default.
    Invitation = 1,
    /// Everybody, by themselves.
    Open = 2,
}

impl JoinRule {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invitation => "invitation",
            Self::Open => "open",
        }
    }
}

/// Who may write in a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, prost::Enumeration)]
#[serde(rename_all = "snake_case")]
#[repr(i32)]
pub enum WriteRule {
    /// All members: the default.
    All = 1,
    /// Owners and admins. Others read, and react.
    Admins = 2,
}

impl WriteRule {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Admins => "admins",
        }
    }
}

/// The id of a room: a group's name, or two user ids, sorted and joined by `~`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomId(Arc<str>);

impl RoomId {
    /// Reads either form.
    ///
    /// # Errors
    /// [`ErrorCode::BadId`] for a wrong alphabet or length, or users in the wrong order.
    pub fn new(text: &str) -> Result<Self, ApiError> {
        let valid = match text.split_once(DIRECT_SEPARATOR) {
            None => is_name(text),
            Some((a, b)) => is_name(a) && is_name(b) && a <= b,
        };
        if valid {
            return Ok(Self(Arc::from(text)));
        }
        Err(ApiError::new(
            ErrorCode::BadId,
            "a room id is a group id (1 to 64 of a-z, 0-9, _ and -) \
             or two user ids, sorted and joined by ~",
        ))
    }

    /// The direct room of two users (of one, where both are the same).
    #[must_use]
    pub fn direct(a: &UserId, b: &UserId) -> Self {
        let (low, high) = if a <= b { (a, b) } else { (b, a) };
        Self(Arc::from(format!("{low}{DIRECT_SEPARATOR}{high}")))
    }

    /// Direct or group, as the id says.
    #[must_use]
    pub fn kind(&self) -> RoomKind {
        if self.0.contains(DIRECT_SEPARATOR) { RoomKind::Direct } else { RoomKind::Group }
    }

    /// The two users of a direct room, sorted (equal in a notebook); `None` for a group.
    #[must_use]
    pub fn direct_users(&self) -> Option<(UserId, UserId)> {
        let (a, b) = self.0.split_once(DIRECT_SEPARATOR)?;
        // Both were checked when the id was made.
        Some((UserId::new(a).ok()?, UserId::new(b).ok()?))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for RoomId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RoomId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_name_the_same_direct_room() {
        let (a, b) = (UserId::new("alice").expect("id"), UserId::new("bob").expect("id"));
        assert_eq!(RoomId::direct(&a, &b), RoomId::direct(&b, &a));
        assert_eq!(RoomId::direct(&a, &b).as_str(), "alice~bob");
        assert_eq!(RoomId::direct(&a, &a).as_str(), "alice~alice");
        assert_eq!(RoomId::direct(&a, &b).direct_users(), Some((a, b)));
        assert_eq!(RoomId::new("team").expect("id").direct_users(), None);
    }

    #[test]
    fn malformed_rooms_are_refused() {
        for bad in ["", "~", "a~", "~a", "bob~alice", "a~b~c", "a.b", "*", ">", "a~b.c", "Team"] {
            assert_eq!(RoomId::new(bad).expect_err(bad).code, ErrorCode::BadId);
        }
    }
}
