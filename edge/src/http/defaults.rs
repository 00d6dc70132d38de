//! What holds for users who have not said it themselves, and what they may not say otherwise, as administrators set it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use weft_proto::consent::{AddBy, Strangers};
use weft_proto::svc::{self, WrittenMessages};

use super::extract::{Caller, Json, Refusal, json};
use crate::shared::Shared;

type App = State<Arc<Shared>>;

#[derive(Deserialize)]
pub(super) struct DefaultBody {
    add_by: Option<String>,
    strangers: Option<String>,
    messages: Option<String>,
    reason: Option<String>,
}

#[derive(Serialize)]
struct Defaults {
    add_by: &'static str,
    strangers: &'static str,
    messages: &'static str,
}

/// `GET /v1/admin/defaults`
pub(super) async fn get(State(shared): App, Caller(caller): Caller) -> Result<Response, Refusal> {
    let asked = svc::GetDefaults { token: caller.token.to_string() };
    let defaults = shared.bus.call(&asked).await?;
    let (add_by, strangers) = (defaults.add_by().as_str(), defaults.strangers().as_str());
    Ok(json(&Defaults { add_by, strangers, messages: defaults.messages().as_str() }))
}

/// `PUT /v1/admin/defaults`
pub(super) async fn set(
    State(shared): App,
    Caller(caller): Caller,
    Json(body): Json<DefaultBody>,
) -> Result<StatusCode, Refusal> {
    let DefaultBody { add_by, strangers, messages, reason } = body;
    let (token, reason) = (caller.token.to_string(), reason.unwrap_or_default());
    let add_by = add_by.as_deref().map(AddBy::parse).transpose()?.map(Into::into);
    let strangers = strangers.as_deref().map(Strangers::parse).transpose()?.map(Into::into);
    let messages = messages.as_deref().map(WrittenMessages::parse).transpose()?.map(Into::into);
    shared.bus.call(&svc::SetDefault { token, add_by, strangers, reason, messages }).await?;
    Ok(StatusCode::NO_CONTENT)
}
