//! The caller's rooms and their members.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use weft_proto::frame;

use super::extract::{Caller, InRoom, Query, Refusal, read};
use crate::shared::Shared;

type App = State<Arc<Shared>>;

/// `GET /v1/rooms`
pub(super) async fn list(
    State(shared): App,
    Caller(caller): Caller,
    query: Query,
) -> Result<Response, Refusal> {
    let ((after, limit), hidden) = (query.page()?, query.flag("hidden")?);
    read(&shared, &caller, frame::Query::Rooms { after, limit, hidden }).await
}

/// `GET /v1/rooms/{room}`
pub(super) async fn get(
    State(shared): App,
    Caller(caller): Caller,
    InRoom(room): InRoom,
) -> Result<Response, Refusal> {
    read(&shared, &caller, frame::Query::Room { room }).await
}

/// `GET /v1/rooms/{room}/members`
pub(super) async fn members(
    State(shared): App,
    Caller(caller): Caller,
    InRoom(room): InRoom,
    query: Query,
) -> Result<Response, Refusal> {
    let (after, limit) = query.page()?;
    read(&shared, &caller, frame::Query::Members { room, after, limit }).await
}

/// `GET /v1/rooms/{room}/banned`
pub(super) async fn banned(
    State(shared): App,
    Caller(caller): Caller,
    InRoom(room): InRoom,
    query: Query,
) -> Result<Response, Refusal> {
    let (after, limit) = query.page()?;
    read(&shared, &caller, frame::Query::Banned { room, after, limit }).await
}

/// `GET /v1/groups`
pub(super) async fn find(
    State(shared): App,
    Caller(caller): Caller,
    query: Query,
) -> Result<Response, Refusal> {
    let text = frame::searched(query.text("text")?.unwrap_or_default().to_owned())?;
    let (after, limit) = query.page()?;
    read(&shared, &caller, frame::Query::FindGroups { text, after, limit }).await
}

/// `GET /v1/rooms/{room}/asking`
pub(super) async fn asking(
    State(shared): App,
    Caller(caller): Caller,
    InRoom(room): InRoom,
    query: Query,
) -> Result<Response, Refusal> {
    let (after, limit) = query.page()?;
    read(&shared, &caller, frame::Query::Asking { room, after, limit }).await
}

/// `GET /v1/invitations`
pub(super) async fn invitations(
    State(shared): App,
    Caller(caller): Caller,
    query: Query,
) -> Result<Response, Refusal> {
    let (after, limit) = query.page()?;
    read(&shared, &caller, frame::Query::Invitations { after, limit }).await
}

/// `GET /v1/rooms/{room}/invited`
pub(super) async fn invited(
    State(shared): App,
    Caller(caller): Caller,
    InRoom(room): InRoom,
    query: Query,
) -> Result<Response, Refusal> {
    let (after, limit) = query.page()?;
    read(&shared, &caller, frame::Query::Invited { room, after, limit }).await
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
