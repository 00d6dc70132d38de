//! Room ids, and what a room is. Who may write to a direct room is read off its id.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::client_id::ClientId;
use crate::error::{ApiError, ErrorCode};
use crate::ids::{UserId, is_name};

/// Separates the two users in the id of a direct room.
const DIRECT_SEPARATOR: char = '~';

/// What the ids of groups begin with whose creators gave none.
const MADE_PREFIX: &str = "g-";
/// So many characters of five bits follow: more than the random part of a client id has.
const MADE_CHARS: usize = 26;

/// The first characters of bytes in base 32, in lower case.
fn base32(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let bit = |at: usize| usize::from(bytes[at / 8] >> (7 - at % 8) & 1);
    let digit = |at: usize| (5 * at..5 * at + 5).fold(0, |digit, at| digit << 1 | bit(at));
    (0..MADE_CHARS).map(|at| char::from(DIGITS[digit(at)])).collect()
}

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
    /// Who asks, and whom a member brings in then. Everybody finds the group.
    Ask = 3,
}

impl JoinRule {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invitation => "invitation",
            Self::Open => "open",
            Self::Ask => "ask",
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

    /// The id of a group whose creator gives none: the same for each resend of the `create`, at whichever edge.
    #[must_use]
    pub fn of_creation(sender: &UserId, client_id: &ClientId) -> Self {
        let mut hash = Sha256::new();
        hash.update(sender.as_str());
        // No user id has a zero byte.
        hash.update([0]);
        hash.update(client_id.to_bytes());
        Self(Arc::from(format!("{MADE_PREFIX}{}", base32(&hash.finalize()))))
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
    fn a_creation_names_its_group_whatever_its_client_id_looks_like() {
        let (alice, bob) = (UserId::new("alice").expect("id"), UserId::new("bob").expect("id"));
        let id = |text: &str| ClientId::parse(text).expect("id");
        let made = RoomId::of_creation(&alice, &id("01ARZ3NDEKTSV4RRFFQ69G5FAV"));
        // It may never change: resends go on over a new version.
        assert_eq!(made.as_str(), "g-gw26ixhnbfc4kcwlew7lskpuga");
        assert_eq!(RoomId::new(made.as_str()).expect("an id"), made);
        assert_eq!(made, RoomId::of_creation(&alice, &id("01arz3ndektsv4rrffq69g5fav")));
        assert_ne!(made, RoomId::of_creation(&bob, &id("01ARZ3NDEKTSV4RRFFQ69G5FAV")));
        assert_ne!(made, RoomId::of_creation(&alice, &id("01ARZ3NDEKTSV4RRFFQ69G5FAW")));
    }

    #[test]
    fn malformed_rooms_are_refused() {
        for bad in ["", "~", "a~", "~a", "bob~alice", "a~b~c", "a.b", "*", ">", "a~b.c", "Team"] {
            assert_eq!(RoomId::new(bad).expect_err(bad).code, ErrorCode::BadId);
        }
    }
}
