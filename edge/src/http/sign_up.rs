//! Who may make an account, and invitations to do so: what administrators set.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use weft_proto::sign_up::SignUpMode;
use weft_proto::svc;

use super::extract::{Caller, Json, Query, Refusal, Word, json};
use crate::shared::Shared;

type App = State<Arc<Shared>>;

#[derive(Deserialize)]
pub(super) struct ModeBody {
    mode: String,
    reason: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct InvitationBody {
    expires_at: Option<u64>,
    uses: Option<u32>,
    reason: Option<String>,
}

#[derive(Serialize)]
struct Mode {
    mode: &'static str,
}

/// A new invitation, with its secret.
#[derive(Serialize)]
struct Invited {
    id: String,
    invitation: String,
}

#[derive(Serialize)]
struct Invitations {
    invitations: Vec<Invitation>,
}

#[derive(Serialize)]
struct Invitation {
    id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    by: String,
    time: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<u64>,
    uses: u32,
    used: u32,
}

/// `GET /v1/admin/sign-up`
pub(super) async fn get(State(shared): App, Caller(caller): Caller) -> Result<Response, Refusal> {
    let asked = svc::GetSignUp { token: caller.token.to_string() };
    let mode = shared.bus.call(&asked).await?.mode;
    let mode = SignUpMode::try_from(mode).unwrap_or(SignUpMode::Closed);
    Ok(json(&Mode { mode: mode.as_str() }))
}

/// `PUT /v1/admin/sign-up`
pub(super) async fn set(
    State(shared): App,
    Caller(caller): Caller,
    Json(body): Json<ModeBody>,
) -> Result<StatusCode, Refusal> {
    let (token, reason) = (caller.token.to_string(), body.reason.unwrap_or_default());
    let mode = SignUpMode::parse(&body.mode)?.into();
    shared.bus.call(&svc::SetSignUp { token, mode, reason }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /v1/admin/invitations`
pub(super) async fn invitations(
    State(shared): App,
    Caller(caller): Caller,
) -> Result<Response, Refusal> {
    let asked = svc::ListInvitations { token: caller.token.to_string() };
    let links = shared.bus.call(&asked).await?.links.into_iter();
    let shown = |it: svc::Link| Invitation {
        id: it.id,
        by: it.by,
        time: it.made_ms,
        expires_at: (it.expires_ms != 0).then_some(it.expires_ms),
        uses: it.uses_max,
        used: it.used,
    };
    Ok(json(&Invitations { invitations: links.map(shown).collect() }))
}

/// `POST /v1/admin/invitations`
pub(super) async fn invite(
    State(shared): App,
    Caller(caller): Caller,
    Json(body): Json<InvitationBody>,
) -> Result<Response, Refusal> {
    let request = svc::MakeInvitation {
        token: caller.token.to_string(),
        expires_ms: body.expires_at.unwrap_or_default(),
        uses: body.uses.unwrap_or(1),
        reason: body.reason.unwrap_or_default(),
    };
    let svc::Invitation { id, invitation } = shared.bus.call(&request).await?;
    let kept_by_nobody = [(header::CACHE_CONTROL, "no-store")];
    let answer = json(&Invited { id, invitation });
    Ok((StatusCode::CREATED, kept_by_nobody, answer).into_response())
}

/// `DELETE /v1/admin/invitations/{id}`
pub(super) async fn take_back(
    State(shared): App,
    Caller(caller): Caller,
    Word(id): Word,
    query: Query,
) -> Result<StatusCode, Refusal> {
    let (token, reason) = (caller.token.to_string(), query.text("reason")?);
    let reason = reason.unwrap_or_default().to_owned();
    shared.bus.call(&svc::RemoveInvitation { token, id, reason }).await?;
    Ok(StatusCode::NO_CONTENT)
}
