//! Commands of bots, buttons, and what bots answer.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use weft_proto::frame::{self, CommandShown, InteractionAnswer, Told};
use weft_proto::json::text_of;
use weft_proto::svc;

use super::entries::is_of_path;
use super::extract::{Caller, InRoom, Json, OfUser, Raw, Refusal, Word, read, ready_made};
use crate::interactions;
use crate::logins::ANSWER_AGE_MAX;
use crate::shared::Shared;

type App = State<Arc<Shared>>;

#[derive(Deserialize)]
pub(super) struct CommandsBody {
    commands: Vec<CommandShown>,
}

/// `PUT /v1/bots/{bot}/commands`
pub(super) async fn set(
    State(shared): App,
    Caller(caller): Caller,
    OfUser(bot): OfUser,
    Json(body): Json<CommandsBody>,
) -> Result<StatusCode, Refusal> {
    let commands = CommandShown::check(body.commands)?;
    shared
        .bus
        .call(&svc::SetBotCommands { token: caller.token.to_string(), bot, commands })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /v1/rooms/{room}/commands`
pub(super) async fn list(
    State(shared): App,
    Caller(caller): Caller,
    InRoom(room): InRoom,
) -> Result<Response, Refusal> {
    read(&shared, &caller, frame::Query::BotCommands { room }).await
}

/// `POST /v1/rooms/{room}/interactions`
pub(super) async fn tell(
    State(shared): App,
    Caller(caller): Caller,
    InRoom(room): InRoom,
    Raw(body): Raw,
) -> Result<Response, Refusal> {
    #[derive(Deserialize)]
    struct Envelope {
        room: Option<String>,
    }
    let Json(Envelope { room: named }) = read_body(&body)?;
    is_of_path(&room, named.as_deref())?;
    let told = Told::of_text(text_of(&body)?)?;
    Ok(ready_made(interactions::tell(&shared, &caller, room, told).await?))
}

fn read_body<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<Json<T>, Refusal> {
    Ok(Json(weft_proto::json::read_json(body)?))
}

/// `POST /v1/interactions/{token}`
pub(super) async fn answer(
    State(shared): App,
    Caller(caller): Caller,
    Word(id): Word,
    Raw(body): Raw,
) -> Result<Response, Refusal> {
    shared.logins.check(&caller, ANSWER_AGE_MAX).await?;
    let answer = InteractionAnswer::of_text(text_of(&body)?)?;
    let is_message = matches!(answer, InteractionAnswer::Message { .. });
    let frame = interactions::answer(&shared, &caller, id, answer).await?;
    match is_message {
        true => Ok((StatusCode::CREATED, ready_made(frame)).into_response()),
        false => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}
