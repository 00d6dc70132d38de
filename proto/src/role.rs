//! The roles of a group's members. What each may do, core's table says.

use serde::{Deserialize, Serialize};

/// A member's role. Roles are not ordered: a new one need not be between two others.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, prost::Enumeration)]
#[serde(rename_all = "snake_case")]
#[repr(i32)]
pub enum Role {
    /// Reads and writes.
    Member = 1,
    /// Also renames the room, adds and removes members.
    Admin = 2,
    /// Also gives and takes roles. A group's creator is its first owner.
    Owner = 3,
}

impl Role {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }
}
