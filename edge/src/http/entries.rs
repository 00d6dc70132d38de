//! A room's entries: reading them, and sending one.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::time::{Instant, sleep_until};
use weft_proto::frame::{history_frame, history_from};
use weft_proto::json::read_json;
use weft_proto::{ApiError, Body, ClientId, ErrorCode, UserId};

use super::extract::{Caller, InRoom, Query, Raw, Refusal, ready_made};
use crate::answers::{Answer, Outcome};
use crate::logins::ANSWER_AGE_MAX;
use crate::metrics;
use crate::outbox::{Command, Due, Outbox, Patience, unknown};
use crate::shared::Shared;

type App = State<Arc<Shared>>;

/// `GET /v1/rooms/{room}/entries`
pub(super) async fn history(
    State(shared): App,
    Caller(caller): Caller,
    InRoom(room): InRoom,
    query: Query,
) -> Result<Response, Refusal> {
    let from = history_from(query.number("before")?, query.number("after")?)?;
    let page = shared.reading.history(&caller.token, &room, from, query.limit()?).await?;
    Ok(ready_made(history_frame(&room, &page)))
}

/// The fields of a send that are not the entry's.
#[derive(Deserialize)]
struct Envelope {
    room: Option<String>,
    client_id: Option<String>,
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
    if envelope.room.is_some_and(|named| named != room.as_str()) {
        let message = "the field room names another room than the path";
        return Err(ApiError::new(ErrorCode::BadRequest, message).into());
    }
    let given = envelope.client_id.map(|text| ClientId::parse(&text)).transpose()?;
    let made = || ClientId::from_parts(shared.now_ms(), rand::random());
    let payload = Body::from_json(&body)?.to_json().into();
    let (client_id, is_made) = (given.unwrap_or_else(made), given.is_none());
    let command = Command { room, client_id, is_made, payload };
    let token = shared.front.token().clone();
    let began = Instant::now();
    metrics::SENDS.increment("http");
    let answer = tokio::select! {
        biased; // the end first
        // What was sent may stand.
        () = token.cancelled() => Err(unknown().into()),
        answer = answered(&shared, &caller.user, command) => answer,
    };
    match &answer {
        Ok(_) => {
            metrics::ACKS.increment("ok");
            metrics::ACK_DURATION.record_time(began.elapsed());
        }
        Err(Refusal(error)) => metrics::ACKS.increment(error.code.as_str()),
    }
    answer
}

/// Sends and waits, publishing again as a session does.
async fn answered(shared: &Shared, sender: &UserId, command: Command) -> Result<Response, Refusal> {
    let mut answers = shared.answers.open();
    let patience = shared.patience();
    let give_up_after = patience.give_up_after.min(shared.limits.http_send_timeout);
    let mut outbox = Outbox::new(Patience { give_up_after, ..patience });
    let share = shared.admit(sender, &outbox, &command)?;
    if let Some(attempt) = outbox.add(0, command, share, Instant::now()) {
        shared.publish(sender, &answers, &attempt).await?;
    }
    while let Some(due_at) = outbox.due_at() {
        tokio::select! {
            biased; // an answer before its time-out
            Answer { outcome, command, attempt } = answers.next() => {
                let mut refused = |error| refused(&mut outbox, (command, attempt), error);
                match outcome {
                    Outcome::Frame(frame) => return framed(frame).map_err(refused),
                    Outcome::Refused(error) => return Err(refused(error)),
                }
            },
            () = sleep_until(due_at) => {
                for due in shared.look_at(&mut outbox, &answers, Instant::now()) {
                    let Due::Publish(attempt) = due else { continue };
                    let sent = shared.publish(sender, &answers, &attempt).await;
                    let number = (attempt.number, attempt.attempt);
                    sent.map_err(|error| refused(&mut outbox, number, error))?;
                }
            }
        }
    }
    Err(unknown().into())
}

fn refused(outbox: &mut Outbox, attempt: (u64, u32), error: ApiError) -> Refusal {
    let refused = outbox.refuse(attempt, error);
    refused.map_or_else(unknown, |(_, error)| error).into()
}

/// Core's frame as an HTTP answer.
fn framed(frame: bytes::Bytes) -> Result<Response, ApiError> {
    #[derive(Deserialize)]
    struct Framed {
        error: Option<ApiError>,
    }
    let framed: Framed = serde_json::from_slice(&frame).map_err(|error| {
        tracing::error!(%error, "core's answer can't be read");
        ApiError::new(ErrorCode::Unknown, "the answer can't be read")
    })?;
    match framed.error {
        Some(error) => Err(error),
        None => Ok((StatusCode::CREATED, ready_made(frame)).into_response()),
    }
}
