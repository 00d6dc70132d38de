//! A place in a room that a user wants to find again.

use serde::{Deserialize, Serialize};
use weft_proto::{RoomId, UserId};

use super::Tag;
use super::table::Table;

/// A place in a room.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bookmark {
    /// The entry's seq.
    #[prost(uint64, tag = "1")]
    pub seq: u64,
    /// When it was set, Unix milliseconds.
    #[prost(uint64, tag = "2")]
    pub set_ms: u64,
}

impl Table for Bookmark {
    const TAG: Tag = Tag::Bookmark;
    const NAME: &str = "bookmark";
    type Key = (UserId, RoomId);
    type Row = Self;
}
