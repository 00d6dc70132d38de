//! The roles of a group's members. What each may do, core's table says.

use serde::{Deserialize, Serialize};

/// A member's role.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, prost::Enumeration,
)]
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
