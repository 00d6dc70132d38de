//! Ways into a group: links by which one joins, and asking to come in.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use weft_proto::frame::{self, WantedLink};
use weft_proto::kind::{Ask, Decline, Unlink};
use weft_proto::{Body, LinkId, RoomId, UserId};

use super::extract::{Caller, InRoom, Raw, Refusal, read, ready_made};
use crate::links;
use crate::logins::ANSWER_AGE_MAX;
use crate::shared::Shared;

type App = State<Arc<Shared>>;

/// `GET /v1/rooms/{room}/links`
pub(super) async fn list(
    State(shared): App,
    Caller(caller): Caller,
    InRoom(room): InRoom,
) -> Result<Response, Refusal> {
    read(&shared, &caller, frame::Query::Links { room }).await
}

/// `POST /v1/rooms/{room}/links`
pub(super) async fn make(
    State(shared): App,
    Caller(caller): Caller,
    InRoom(room): InRoom,
    Raw(body): Raw,
) -> Result<Response, Refusal> {
    shared.logins.check(&caller, ANSWER_AGE_MAX).await?;
    let wanted = WantedLink::from_json(&body)?;
    let reply = links::make(&shared, &caller, room, wanted).await?;
    let kept_by_nobody = [(header::CACHE_CONTROL, "no-store")];
    Ok((StatusCode::CREATED, kept_by_nobody, ready_made(reply.to_frame())).into_response())
}

/// `DELETE /v1/rooms/{room}/links/{link_id}`
pub(super) async fn take_back(
    State(shared): App,
    Caller(caller): Caller,
    Path((room, link_id)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    shared.logins.check(&caller, ANSWER_AGE_MAX).await?;
    let (room, unlink) = (RoomId::new(&room)?, Unlink { link_id: LinkId::new(&link_id)? });
    links::take_back(&shared, &caller, room, unlink).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /v1/rooms/{room}/asking`
pub(super) async fn ask(
    State(shared): App,
    Caller(caller): Caller,
    InRoom(room): InRoom,
    Raw(body): Raw,
) -> Result<StatusCode, Refusal> {
    shared.logins.check(&caller, ANSWER_AGE_MAX).await?;
    // A body says what `withdraw` says on a socket, but there is a method for that.
    let Ask { text, .. } = if body.is_empty() { Ask::default() } else { Ask::from_json(&body)? };
    links::ask(&shared, &caller, room, Body::Ask(Ask { text, withdraw: false })).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /v1/rooms/{room}/asking`
pub(super) async fn withdraw(
    State(shared): App,
    Caller(caller): Caller,
    InRoom(room): InRoom,
) -> Result<StatusCode, Refusal> {
    shared.logins.check(&caller, ANSWER_AGE_MAX).await?;
    let withdraw = Body::Ask(Ask { text: None, withdraw: true });
    links::ask(&shared, &caller, room, withdraw).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /v1/rooms/{room}/asking/{user}`, `DELETE /v1/rooms/{room}/invited/{user}`
pub(super) async fn decline(
    State(shared): App,
    Caller(caller): Caller,
    Path((room, user)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    shared.logins.check(&caller, ANSWER_AGE_MAX).await?;
    let (room, user) = (RoomId::new(&room)?, UserId::new(&user)?);
    links::ask(&shared, &caller, room, Body::Decline(Decline { user })).await?;
    Ok(StatusCode::NO_CONTENT)
}
