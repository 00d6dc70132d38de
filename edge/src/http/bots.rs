//! Bots, and the tokens by which they come in. All of it is core's.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use weft_proto::{ApiError, DeviceId, ErrorCode, Scope, UserId, svc};

use super::extract::{AccountRate, Caller, Json, OfUser, Query, Refusal, json};
use crate::shared::Shared;

type App = State<Arc<Shared>>;

#[derive(Deserialize)]
pub(super) struct MakeBody {
    bot: String,
    display_name: Option<String>,
    /// It is the installation's, not the caller's.
    of_installation: Option<bool>,
}

#[derive(Deserialize)]
pub(super) struct TokenBody {
    name: Option<String>,
    scope: Option<Scope>,
    expires_s: Option<u64>,
    nkey: Option<String>,
}

#[derive(Serialize)]
struct Bot {
    bot: String,
    display_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    owner: String,
    made_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    suspended_at: Option<u64>,
}

#[derive(Serialize)]
struct Bots {
    bots: Vec<Bot>,
    more: bool,
}

#[derive(Serialize)]
struct MadeToken {
    id: String,
    token: String,
    expires_at: u64,
}

#[derive(Serialize)]
struct Tokens {
    tokens: Vec<Token>,
}

#[derive(Serialize)]
struct Token {
    id: String,
    name: String,
    scope: Scope,
    made_at: u64,
    expires_at: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    nkey: String,
}

impl From<svc::Bot> for Bot {
    fn from(svc::Bot { bot, display_name, owner, made_ms, suspended_ms }: svc::Bot) -> Self {
        let suspended_at = (suspended_ms != 0).then_some(suspended_ms);
        Self { bot, display_name, owner, made_at: made_ms, suspended_at }
    }
}

impl TryFrom<svc::BotToken> for Token {
    type Error = ApiError;

    fn try_from(it: svc::BotToken) -> Result<Self, ApiError> {
        let svc::BotToken { id, name, scope, made_ms: made_at, expires_ms: expires_at, nkey } = it;
        let scope = scope.unwrap_or_default().try_into()?;
        Ok(Self { id, name, scope, made_at, expires_at, nkey })
    }
}

/// A token of a bot, by the bot and its own id.
pub(super) struct OfToken(UserId, DeviceId);

impl<S: Send + Sync> FromRequestParts<S> for OfToken {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let words = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Path((bot, id)) = words
            .map_err(|_| ApiError::new(ErrorCode::BadId, "the ids in the path are no text"))?;
        Ok(Self(UserId::new(&bot)?, DeviceId::new(&id)?))
    }
}

/// `POST /v1/bots`
pub(super) async fn make(
    State(shared): App,
    _rate: AccountRate,
    Caller(caller): Caller,
    Json(body): Json<MakeBody>,
) -> Result<Response, Refusal> {
    let MakeBody { bot, display_name, of_installation } = body;
    let request = svc::MakeBot {
        token: caller.token.to_string(),
        bot,
        display_name: display_name.unwrap_or_default(),
        of_installation: of_installation.unwrap_or_default(),
    };
    let made = shared.bus.call(&request).await?;
    Ok((StatusCode::CREATED, json(&Bot::from(made))).into_response())
}

/// `GET /v1/bots`
pub(super) async fn list(
    State(shared): App,
    Caller(caller): Caller,
    query: Query,
) -> Result<Response, Refusal> {
    let ((after, limit), all) = (query.page()?, query.flag("all")?);
    let request = svc::ListBots { token: caller.token.to_string(), all, after, limit };
    let svc::Bots { bots, more } = shared.bus.call(&request).await?;
    Ok(json(&Bots { bots: bots.into_iter().map(Into::into).collect(), more }))
}

/// `DELETE /v1/bots/{bot}`
pub(super) async fn delete(
    State(shared): App,
    Caller(caller): Caller,
    OfUser(bot): OfUser,
) -> Result<StatusCode, Refusal> {
    shared.bus.call(&svc::DeleteBot { token: caller.token.to_string(), bot }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /v1/bots/{bot}/tokens`
pub(super) async fn make_token(
    State(shared): App,
    _rate: AccountRate,
    Caller(caller): Caller,
    OfUser(bot): OfUser,
    Json(body): Json<TokenBody>,
) -> Result<Response, Refusal> {
    let TokenBody { name, scope, expires_s, nkey } = body;
    if expires_s == Some(0) {
        let message = "the field expires_s is a whole number from 1";
        return Err(ApiError::new(ErrorCode::BadRequest, message).into());
    }
    let request = svc::MakeBotToken {
        token: caller.token.to_string(),
        bot,
        name: name.unwrap_or_default(),
        scope: Some(scope.unwrap_or_default().checked()?.into()),
        life_s: expires_s.unwrap_or_default(),
        nkey: nkey.unwrap_or_default(),
    };
    let svc::MadeBotToken { id, token, expires_ms } = shared.bus.call(&request).await?;
    // No cache on the way may keep it.
    let headers = [(header::CACHE_CONTROL, "no-store")];
    let made = json(&MadeToken { id, token, expires_at: expires_ms });
    Ok((StatusCode::CREATED, headers, made).into_response())
}

/// `GET /v1/bots/{bot}/tokens`
pub(super) async fn tokens(
    State(shared): App,
    Caller(caller): Caller,
    OfUser(bot): OfUser,
) -> Result<Response, Refusal> {
    let request = svc::ListBotTokens { token: caller.token.to_string(), bot };
    let tokens = shared.bus.call(&request).await?.tokens.into_iter();
    let tokens = tokens.map(Token::try_from).collect::<Result<_, _>>()?;
    Ok(json(&Tokens { tokens }))
}

/// `DELETE /v1/bots/{bot}/tokens/{token}`
pub(super) async fn revoke(
    State(shared): App,
    Caller(caller): Caller,
    OfToken(bot, id): OfToken,
) -> Result<StatusCode, Refusal> {
    let (token, bot, id) = (caller.token.to_string(), bot.to_string(), id.to_string());
    shared.bus.call(&svc::RevokeBotToken { token, bot, id }).await?;
    Ok(StatusCode::NO_CONTENT)
}
