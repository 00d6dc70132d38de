//! Up to where members have read a room.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use weft_proto::Body;
use weft_proto::frame::{self, entry_of};
use weft_proto::json::read_json;
use weft_proto::kind::Mark;

use super::entries::{answered, is_of_path};
use super::extract::{Caller, InRoom, Query, Raw, Refusal, read};
use crate::logins::ANSWER_AGE_MAX;
use crate::metrics;
use crate::sending::made_id;
use crate::shared::Shared;

type App = State<Arc<Shared>>;

/// The field that is not the mark's.
#[derive(Deserialize)]
struct Envelope {
    room: Option<String>,
}

/// `POST /v1/rooms/{room}/mark`
pub(super) async fn mark(
    State(shared): App,
    Caller(caller): Caller,
    InRoom(room): InRoom,
    Raw(body): Raw,
) -> Result<StatusCode, Refusal> {
    shared.logins.check(&caller, ANSWER_AGE_MAX).await?;
    let envelope: Envelope = read_json(&body)?;
    is_of_path(&room, envelope.room.as_deref())?;
    let mark = Body::Mark(Mark::from_json(&body)?);
    let command = caller.command(room, (made_id(), true), &mark)?;
    metrics::MARK_COMMANDS.increment();
    let answer = answered(&shared, &caller.user, command).await;
    metrics::MARKS.increment(answer.as_ref().map_or_else(|error| error.code.as_str(), |_| "ok"));
    answer?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /v1/rooms/{room}/receipts`
pub(super) async fn receipts(
    State(shared): App,
    Caller(caller): Caller,
    InRoom(room): InRoom,
    query: Query,
) -> Result<Response, Refusal> {
    let ((after, limit), seq) = (query.page()?, entry_of(query.number("seq")?)?);
    read(&shared, &caller, frame::Query::Receipts { room, seq, after, limit }).await
}
