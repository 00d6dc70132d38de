//! The caller's rooms and their members.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use weft_proto::frame::Reply;
use weft_proto::svc;

use super::extract::{Caller, InRoom, Query, Refusal, ready_made};
use crate::shared::Shared;

type App = State<Arc<Shared>>;

#[derive(Deserialize)]
pub(super) struct Page {
    #[serde(default)]
    after: String,
    #[serde(default)]
    limit: u32,
}

/// `GET /v1/rooms`
pub(super) async fn list(
    State(shared): App,
    Caller(caller): Caller,
    Query(Page { after, limit }): Query<Page>,
) -> Result<Response, Refusal> {
    let token = caller.token.to_string();
    let page = shared.bus.call(&svc::ListRooms { token, after, limit }).await?;
    let rooms = page.rooms.into_iter().map(Into::into).collect();
    Ok(ready_made(Reply::Rooms { rooms, more: page.more }.to_frame()))
}

/// `GET /v1/rooms/{room}`
pub(super) async fn get(
    State(shared): App,
    Caller(caller): Caller,
    InRoom(room): InRoom,
) -> Result<Response, Refusal> {
    let request = svc::GetRoom { token: caller.token.to_string(), room: room.to_string() };
    let room = shared.bus.call(&request).await?.into();
    Ok(ready_made(Reply::Room { room }.to_frame()))
}

/// `GET /v1/rooms/{room}/members`
pub(super) async fn members(
    State(shared): App,
    Caller(caller): Caller,
    InRoom(room): InRoom,
    Query(Page { after, limit }): Query<Page>,
) -> Result<Response, Refusal> {
    let token = caller.token.to_string();
    let room = room.to_string();
    let page = shared.bus.call(&svc::ListMembers { token, room, after, limit }).await?;
    let members = page.members.into_iter().map(Into::into).collect();
    Ok(ready_made(Reply::Members { members, more: page.more }.to_frame()))
}
