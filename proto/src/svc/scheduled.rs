//! Messages that users have scheduled (`weft.svc.rooms.scheduled`).

use std::fmt;

use prost::Message;

use super::Method;

redacted! {
    ListScheduled { after }
    ScheduledPage { cursor }
}

/// Asks for the caller's scheduled messages.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct ListScheduled {
    #[prost(string, tag = "1")]
    pub token: String,
    /// The `cursor` of the page before; empty: from the first.
    #[prost(string, tag = "2")]
    pub after: String,
}
method!(ListScheduled, "rooms", "scheduled", ScheduledPage);

#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct ScheduledPage {
    /// The bytes of their frames, by room and id.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub scheduled: Vec<bytes::Bytes>,
    /// Of the next page; empty: there is none.
    #[prost(string, tag = "2")]
    pub cursor: String,
}
