//! Of what a user wants to be notified.

use serde::{Deserialize, Serialize};

/// Of a room, or of all rooms.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, prost::Enumeration)]
#[serde(rename_all = "snake_case")]
#[repr(i32)]
pub enum Notify {
    /// Of a room: as the user has it for all rooms. Of all rooms: of messages.
    Default = 0,
    /// Of messages.
    All = 1,
    /// Of what mentions the user, and of threads that they follow.
    Mentions = 2,
    /// Of nothing.
    None = 3,
}

impl Notify {
    /// What holds of a room, by what the user has said of it, and of all rooms.
    #[must_use]
    pub fn of(room: Self, all_rooms: Self) -> Self {
        let said = [room, all_rooms].into_iter().find(|it| *it != Self::Default);
        said.unwrap_or(Self::All)
    }
}
