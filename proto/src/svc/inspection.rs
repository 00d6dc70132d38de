//! What administrators and operators see of any room (`weft.svc.admin.…`, `weft.svc.operator.…`).

use std::fmt;

use prost::Message;

use super::{LogPage, Members, Method, RoomSummary};

redacted! {
    InspectRoom { room }
    InspectMembers { room, after, limit }
    InspectLog { room, after, limit }
}

/// Looks at what a room is. That is told in the administrators' log, as the next two are.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct InspectRoom {
    #[prost(string, tag = "1")]
    pub token: String,
    #[prost(string, tag = "2")]
    pub room: String,
    /// Why, for the administrators' log.
    #[prost(string, tag = "3")]
    pub reason: String,
}
method!(InspectRoom, "admin", "inspect_room", RoomSummary);
operator!(OperatorInspectRoom, InspectRoom);

/// Lists a room's members.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct InspectMembers {
    #[prost(string, tag = "1")]
    pub token: String,
    #[prost(string, tag = "2")]
    pub room: String,
    /// Why, for the administrators' log.
    #[prost(string, tag = "3")]
    pub reason: String,
    /// Only users after this id; empty: from the first.
    #[prost(string, tag = "4")]
    pub after: String,
    /// Most of one page; 0: as many as a page holds.
    #[prost(uint32, tag = "5")]
    pub limit: u32,
}
method!(InspectMembers, "admin", "inspect_members", Members);
operator!(OperatorInspectMembers, InspectMembers);

/// Reads a page of a room's entries, oldest first.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct InspectLog {
    #[prost(string, tag = "1")]
    pub token: String,
    #[prost(string, tag = "2")]
    pub room: String,
    /// Why, for the administrators' log.
    #[prost(string, tag = "3")]
    pub reason: String,
    /// Only entries after this seq.
    #[prost(uint64, tag = "4")]
    pub after: u64,
    /// Most of one page; 0: as many as a page holds.
    #[prost(uint32, tag = "5")]
    pub limit: u32,
}
method!(InspectLog, "admin", "inspect_log", LogPage);
operator!(OperatorInspectLog, InspectLog);
