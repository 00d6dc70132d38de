//! What administrators see of any room. Each look is told in their log.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use weft_proto::frame::{Reply, history_frame};
use weft_proto::{ApiError, RoomKind, svc};

use super::extract::{Caller, InRoom, Query, Refusal, json, ready_made};
use crate::shared::Shared;

type App = State<Arc<Shared>>;

/// A room, without what is a member's own.
#[derive(Serialize)]
struct Room {
    room: String,
    room_kind: RoomKind,
    #[serde(skip_serializing_if = "String::is_empty")]
    title: String,
    seq: u64,
    ordinal: u64,
    time: u64,
    member_count: u32,
    large: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    history: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    topic: String,
    /// A file's id.
    #[serde(skip_serializing_if = "String::is_empty")]
    avatar: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    join: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    write: String,
    archived: bool,
    closed: bool,
}

fn reason(query: &Query) -> Result<String, ApiError> {
    Ok(query.text("reason")?.unwrap_or_default().to_owned())
}

/// `GET /v1/admin/rooms/{room}`
pub(super) async fn room(
    State(shared): App,
    Caller(caller): Caller,
    InRoom(room): InRoom,
    query: Query,
) -> Result<Response, Refusal> {
    let (token, reason, room_kind) = (caller.token.to_string(), reason(&query)?, room.kind());
    let asked = svc::InspectRoom { token, room: room.to_string(), reason };
    let it = shared.bus.call(&asked).await?;
    Ok(json(&Room {
        room: it.room,
        room_kind,
        title: it.title,
        seq: it.seq,
        ordinal: it.ordinal,
        time: it.time_ms,
        member_count: it.member_count,
        large: it.large,
        history: it.history,
        topic: it.topic,
        avatar: it.avatar,
        join: it.join,
        write: it.write,
        archived: it.archived,
        closed: it.closed,
    }))
}

/// `GET /v1/admin/rooms/{room}/members`
pub(super) async fn members(
    State(shared): App,
    Caller(caller): Caller,
    InRoom(room): InRoom,
    query: Query,
) -> Result<Response, Refusal> {
    let (token, room, reason) = (caller.token.to_string(), room.to_string(), reason(&query)?);
    let after = query.text("after")?.unwrap_or_default().to_owned();
    let limit = query.limit()?;
    let page = shared.bus.call(&svc::InspectMembers { token, room, reason, after, limit }).await?;
    let members = page.members.into_iter().map(Into::into).collect();
    Ok(ready_made(Reply::Members { members, more: page.more }.to_frame()))
}

/// `GET /v1/admin/rooms/{room}/entries`
pub(super) async fn entries(
    State(shared): App,
    Caller(caller): Caller,
    InRoom(room): InRoom,
    query: Query,
) -> Result<Response, Refusal> {
    let (token, named, reason) = (caller.token.to_string(), room.to_string(), reason(&query)?);
    let (after, limit) = (query.number("after")?.unwrap_or(0), query.limit()?);
    let asked = svc::InspectLog { token, room: named, reason, after, limit };
    Ok(ready_made(history_frame(&room, None, &shared.bus.call(&asked).await?)))
}
