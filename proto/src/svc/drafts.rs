//! What users have typed and not sent (`weft.svc.rooms.drafts`).

use std::fmt;

use prost::Message;

use super::Method;

redacted! {
    ListDrafts { after, limit }
    Drafts { more }
}

/// Asks for the caller's drafts.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct ListDrafts {
    #[prost(string, tag = "1")]
    pub token: String,
    /// Only those of rooms after this id; empty: from the first.
    #[prost(string, tag = "2")]
    pub after: String,
    /// Most of one page; 0: as many as a page holds.
    #[prost(uint32, tag = "3")]
    pub limit: u32,
}
method!(ListDrafts, "rooms", "drafts", Drafts);

#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct Drafts {
    /// The bytes of their frames, ascending by room.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub drafts: Vec<bytes::Bytes>,
    /// There are more: ask again with `after` = the last one's room.
    #[prost(bool, tag = "2")]
    pub more: bool,
}
