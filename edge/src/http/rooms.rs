//! The caller's rooms and their members.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use weft_proto::frame::Reply;
use weft_proto::{ApiError, svc};

use super::extract::{Caller, InRoom, Query, Refusal, ready_made};
use crate::shared::Shared;

type App = State<Arc<Shared>>;

/// After which id or cursor a page begins (empty: none), and how many it may hold.
fn page(query: &Query) -> Result<(String, u32), ApiError> {
    Ok((query.text("after")?.unwrap_or_default().to_owned(), query.limit()?))
}

/// `GET /v1/rooms`
pub(super) async fn list(
    State(shared): App,
    Caller(caller): Caller,
    query: Query,
) -> Result<Response, Refusal> {
    let (after, limit) = page(&query)?;
    let token = caller.token.to_string();
    let page = shared.bus.call(&svc::ListRooms { token, after, limit }).await?;
    Ok(ready_made(Reply::rooms(page).to_frame()))
}

/// `GET /v1/rooms/{room}`
pub(super) async fn get(
    State(shared): App,
    Caller(caller): Caller,
    InRoom(room): InRoom,
) -> Result<Response, Refusal> {
    let request = svc::GetRoom { token: caller.token.to_string(), room: room.to_string() };
    let room = Box::new(shared.bus.call(&request).await?.into());
    Ok(ready_made(Reply::Room { room }.to_frame()))
}

/// `GET /v1/rooms/{room}/members`
pub(super) async fn members(
    State(shared): App,
    Caller(caller): Caller,
    InRoom(room): InRoom,
    query: Query,
) -> Result<Response, Refusal> {
    let (after, limit) = page(&query)?;
    let token = caller.token.to_string();
    let room = room.to_string();
    let page = shared.bus.call(&svc::ListMembers { token, room, after, limit }).await?;
    let members = page.members.into_iter().map(Into::into).collect();
    Ok(ready_made(Reply::Members { members, more: page.more }.to_frame()))
}

/// `GET /v1/rooms/{room}/banned`
pub(super) async fn banned(
    State(shared): App,
    Caller(caller): Caller,
    InRoom(room): InRoom,
    query: Query,
) -> Result<Response, Refusal> {
    let (after, limit) = page(&query)?;
    let (token, room) = (caller.token.to_string(), room.to_string());
    let page = shared.bus.call(&svc::ListBanned { token, room, after, limit }).await?;
    Ok(ready_made(Reply::banned(page).to_frame()))
}

/// `POST /v1/rooms/{room}/typing`
pub(super) async fn typing(
    State(shared): App,
    Caller(caller): Caller,
    InRoom(room): InRoom,
) -> Result<StatusCode, Refusal> {
    shared.typing.tell(&shared.bus, &caller, room).await?;
    Ok(StatusCode::NO_CONTENT)
}
