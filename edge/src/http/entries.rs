//! A room's entries: reading them, and sending one.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::time::{Instant, sleep_until};
use weft_proto::check::missing;
use weft_proto::frame::{self, HistoryPlace, history_thread};
use weft_proto::json::read_json;
use weft_proto::kind::Create;
use weft_proto::{ApiError, Body, ClientId, ErrorCode, RoomId, UserId};

use super::extract::{AtEntry, Caller, InRoom, Query, Raw, Refusal, read, ready_made};
use crate::logins::ANSWER_AGE_MAX;
use crate::metrics;
use crate::outbox::{Command, unknown};
use crate::sending::made_id;
use crate::shared::Shared;

type App = State<Arc<Shared>>;

/// `GET /v1/rooms/{room}/entries`
pub(super) async fn history(
    State(shared): App,
    Caller(caller): Caller,
    InRoom(room): InRoom,
    query: Query,
) -> Result<Response, Refusal> {
    let place = HistoryPlace {
        before: query.number("before")?,
        after: query.number("after")?,
        around: query.number("around")?,
        at: query.number("at")?,
    };
    let (from, limit) = (place.try_into()?, query.limit()?);
    let thread = history_thread(query.number("thread")?)?;
    read(&shared, &caller, frame::Query::History { room, thread, from, limit }).await
}

/// `GET /v1/rooms/{room}/entries/{seq}/versions`
pub(super) async fn versions(
    State(shared): App,
    Caller(caller): Caller,
    AtEntry(room, target): AtEntry,
    query: Query,
) -> Result<Response, Refusal> {
    let after = query.number("after")?.unwrap_or(0);
    read(&shared, &caller, frame::Query::Versions { room, target, after }).await
}

/// `GET /v1/rooms/{room}/entries/{seq}/reactions`
pub(super) async fn reactions(
    State(shared): App,
    Caller(caller): Caller,
    AtEntry(room, target): AtEntry,
    query: Query,
) -> Result<Response, Refusal> {
    let emoji = query.text("emoji")?.ok_or_else(|| missing("emoji"))?.to_owned();
    let (after, limit) = query.page()?;
    let query = frame::Query::Reactions { room, target, emoji, after, limit };
    read(&shared, &caller, query).await
}

/// `GET /v1/rooms/{room}/pins`
pub(super) async fn pins(
    State(shared): App,
    Caller(caller): Caller,
    InRoom(room): InRoom,
    query: Query,
) -> Result<Response, Refusal> {
    let (before, limit) = query.part()?;
    read(&shared, &caller, frame::Query::Pins { room, before, limit }).await
}

/// `GET /v1/rooms/{room}/threads`
pub(super) async fn threads(
    State(shared): App,
    Caller(caller): Caller,
    InRoom(room): InRoom,
    query: Query,
) -> Result<Response, Refusal> {
    let (before, limit) = query.part()?;
    read(&shared, &caller, frame::Query::Threads { room, before, limit }).await
}

/// The fields of a send that are not the entry's.
#[derive(Deserialize)]
struct Envelope {
    room: Option<String>,
    client_id: Option<String>,
}

impl Envelope {
    /// The client id that was given, or one that was made; then it is said.
    fn client_id(&self) -> Result<(ClientId, bool), ApiError> {
        let given = self.client_id.as_deref().map(ClientId::parse).transpose()?;
        Ok((given.unwrap_or_else(made_id), given.is_none()))
    }
}

/// `POST /v1/rooms/{room}/entries`
pub(super) async fn send(
    State(shared): App,
    Caller(caller): Caller,
    InRoom(room): InRoom,
    Raw(body): Raw,
) -> Result<Response, Refusal> {
    shared.logins.check(&caller, ANSWER_AGE_MAX).await?;
    let envelope: Envelope = read_json(&body)?;
    is_of_path(&room, envelope.room.as_deref())?;
    let (client_id, is_made) = envelope.client_id()?;
    let command = caller.command(room, (client_id, is_made), &Body::from_json(&body)?)?;
    sent(&shared, &caller.user, command).await
}

/// `POST /v1/rooms`
pub(super) async fn create(
    State(shared): App,
    Caller(caller): Caller,
    Raw(body): Raw,
) -> Result<Response, Refusal> {
    shared.logins.check(&caller, ANSWER_AGE_MAX).await?;
    let envelope: Envelope = read_json(&body)?;
    let (client_id, is_made) = envelope.client_id()?;
    let room = envelope.room.as_deref().map(RoomId::new).transpose()?;
    let room = room.unwrap_or_else(|| RoomId::of_creation(&caller.user, &client_id));
    let body = Body::Create(Create::from_json(&body)?);
    sent(&shared, &caller.user, caller.command(room, (client_id, is_made), &body)?).await
}

/// Sends an entry and waits for its answer.
async fn sent(shared: &Shared, user: &UserId, command: Command) -> Result<Response, Refusal> {
    let answer = acked(shared, user, command).await?;
    Ok((StatusCode::CREATED, ready_made(answer)).into_response())
}

/// The same, for the answer as core has made it.
pub(super) async fn acked(
    shared: &Shared,
    user: &UserId,
    command: Command,
) -> Result<Bytes, ApiError> {
    let began = Instant::now();
    metrics::SENDS.increment("http");
    let answer = answered(shared, user, command).await;
    match &answer {
        Ok(_) => {
            metrics::ACKS.increment("ok");
            metrics::ACK_DURATION.record_time(began.elapsed());
        }
        Err(error) => metrics::ACKS.increment(error.code.as_str()),
    }
    answer
}

/// A body may leave the room out, and names no other one than the path.
pub(super) fn is_of_path(room: &RoomId, named: Option<&str>) -> Result<(), ApiError> {
    if named.is_some_and(|named| named != room.as_str()) {
        let message = "the field room names another room than the path";
        return Err(ApiError::new(ErrorCode::BadRequest, message));
    }
    Ok(())
}

/// Sends and waits, publishing again as a session does, for core's answer.
pub(crate) async fn answered(
    shared: &Shared,
    sender: &UserId,
    command: Command,
) -> Result<Bytes, ApiError> {
    let token = shared.life.front.token().clone();
    tokio::select! {
        biased; // the end first
        // What was sent may be committed.
        () = token.cancelled() => Err(unknown()),
        answer = answer_to(shared, sender, command) => answer,
    }
}

async fn answer_to(shared: &Shared, sender: &UserId, command: Command) -> Result<Bytes, ApiError> {
    let mut sends = shared.sending.open_for(sender.clone(), shared.limits.http_send_timeout);
    sends.send(0, command).await?;
    while let Some(due_at) = sends.due_at() {
        let told = tokio::select! {
            biased; // an answer before its time-out
            answer = sends.next_answer() => sends.on_answer(answer).await,
            () = sleep_until(due_at) => sends.on_time(Instant::now()).await,
        };
        if let Some(told) = told.into_iter().next() {
            return told.outcome.map(|(frame, _)| frame);
        }
    }
    Err(unknown())
}
