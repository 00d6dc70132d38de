//! Outgoing webhooks: those of a group, and the caller's own.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use weft_proto::{ApiError, ErrorCode, RoomId, WebhookId, frame, svc};

use super::extract::{Caller, Json, Refusal, json};
use crate::auth;
use crate::shared::Shared;

type App = State<Arc<Shared>>;

/// The word for Weft's own form.
const WEFT: &str = "weft";

#[derive(Deserialize)]
pub(super) struct Wanted {
    url: String,
    kinds: Option<Vec<String>>,
    format: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Changed {
    url: Option<String>,
    paused: Option<bool>,
}

#[derive(Serialize)]
struct List {
    webhooks: Vec<Webhook>,
}

#[derive(Serialize)]
struct Webhook {
    id: String,
    url: String,
    kinds: Vec<String>,
    format: String,
    by: String,
    time: u64,
    state: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    failing_since: Option<u64>,
    missed: u64,
    /// Of one that was just made, or renewed.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

impl From<svc::Webhook> for Webhook {
    fn from(it: svc::Webhook) -> Self {
        Self {
            state: it.state().as_str(),
            secret: (!it.secret.is_empty()).then(|| frame::webhook_secret_text(&it.secret)),
            format: if it.format.is_empty() { WEFT.to_owned() } else { it.format },
            failing_since: (it.failing_since_ms != 0).then_some(it.failing_since_ms),
            id: it.id,
            url: it.url,
            kinds: it.kinds,
            by: it.by,
            time: it.made_ms,
            reason: it.reason,
            missed: it.missed,
        }
    }
}

/// Of which group; empty: the caller's own. Of a path with a room in it, or without.
pub(super) struct Of(String);

/// The same, and which one.
pub(super) struct At(String, String);

impl FromRequestParts<Arc<Shared>> for Of {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Refusal> {
        match &words(parts, shared).await?[..] {
            [] => Ok(Self(String::new())),
            [room] => Ok(Self(RoomId::new(room)?.to_string())),
            _ => Err(no_place().into()),
        }
    }
}

impl FromRequestParts<Arc<Shared>> for At {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Refusal> {
        match &words(parts, shared).await?[..] {
            [id] => Ok(Self(String::new(), WebhookId::new(id)?.to_string())),
            [room, id] => {
                let (room, id) = (RoomId::new(room)?, WebhookId::new(id)?);
                Ok(Self(room.to_string(), id.to_string()))
            }
            _ => Err(no_place().into()),
        }
    }
}

async fn words(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Vec<String>, Refusal> {
    let words = Path::<Vec<(String, String)>>::from_request_parts(parts, shared).await;
    let Path(words) = words.map_err(|_| no_place())?;
    Ok(words.into_iter().map(|(_, word)| word).collect())
}

fn no_place() -> ApiError {
    ApiError::new(ErrorCode::BadId, "the id in the path is no text")
}

fn with_secret(status: StatusCode, made: svc::Webhook) -> Response {
    let kept_by_nobody = [(header::CACHE_CONTROL, "no-store")];
    (status, kept_by_nobody, json(&Webhook::from(made))).into_response()
}

/// Whether those who deliver would ask this address. Nobody else knows what the operator allows.
async fn check(shared: &Shared, url: &str) -> Result<(), ApiError> {
    let asked = svc::CheckWebhookUrl { url: url.to_owned() };
    let checked = shared.bus.call(&asked).await;
    checked.map(drop).map_err(|error| match error.code {
        ErrorCode::Unavailable => {
            ApiError::new(ErrorCode::Unavailable, "nobody delivers to webhooks at the moment")
        }
        _ => error,
    })
}

fn token(caller: &auth::Caller) -> String {
    caller.token.to_string()
}

/// `GET /v1/rooms/{room}/webhooks`, `GET /v1/webhooks`
pub(super) async fn list(
    State(shared): App,
    Caller(caller): Caller,
    Of(room): Of,
) -> Result<Response, Refusal> {
    let asked = svc::ListWebhooks { token: token(&caller), room };
    let webhooks = shared.bus.call(&asked).await?.webhooks;
    Ok(json(&List { webhooks: webhooks.into_iter().map(Into::into).collect() }))
}

/// `POST /v1/rooms/{room}/webhooks`, `POST /v1/webhooks`
pub(super) async fn make(
    State(shared): App,
    Caller(caller): Caller,
    Of(room): Of,
    Json(Wanted { url, kinds, format }): Json<Wanted>,
) -> Result<Response, Refusal> {
    let format = format.filter(|format| format != WEFT).unwrap_or_default();
    let kinds = kinds.unwrap_or_default();
    let asked = svc::MakeWebhook { token: token(&caller), room, url, kinds, format };
    asked.check()?;
    check(&shared, &asked.url).await?;
    Ok(with_secret(StatusCode::CREATED, shared.bus.call(&asked).await?))
}

/// `PATCH /v1/rooms/{room}/webhooks/{id}`, `PATCH /v1/webhooks/{id}`
pub(super) async fn change(
    State(shared): App,
    Caller(caller): Caller,
    At(room, id): At,
    Json(Changed { url, paused }): Json<Changed>,
) -> Result<Response, Refusal> {
    let asked = svc::ChangeWebhook { token: token(&caller), room, id, url, paused };
    asked.check()?;
    if let Some(url) = &asked.url {
        check(&shared, url).await?;
    }
    Ok(json(&Webhook::from(shared.bus.call(&asked).await?)))
}

/// `DELETE /v1/rooms/{room}/webhooks/{id}`, `DELETE /v1/webhooks/{id}`
pub(super) async fn remove(
    State(shared): App,
    Caller(caller): Caller,
    At(room, id): At,
) -> Result<StatusCode, Refusal> {
    shared.bus.call(&svc::RemoveWebhook { token: token(&caller), room, id }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /v1/rooms/{room}/webhooks/{id}/secret`, `POST /v1/webhooks/{id}/secret`
pub(super) async fn renew(
    State(shared): App,
    Caller(caller): Caller,
    At(room, id): At,
) -> Result<Response, Refusal> {
    let asked = svc::RenewWebhook { token: token(&caller), room, id };
    Ok(with_secret(StatusCode::OK, shared.bus.call(&asked).await?))
}

/// `POST /v1/rooms/{room}/webhooks/{id}/test`, `POST /v1/webhooks/{id}/test`
pub(super) async fn test(
    State(shared): App,
    Caller(caller): Caller,
    At(room, id): At,
) -> Result<StatusCode, Refusal> {
    shared.bus.call(&svc::TestWebhook { token: token(&caller), room, id }).await?;
    Ok(StatusCode::ACCEPTED)
}
