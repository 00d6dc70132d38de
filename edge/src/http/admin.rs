//! What administrators of the installation do. All of it is core's, and core looks whether the caller is one.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use weft_proto::svc::{self, AccountAction, Administer, WrittenMessages};

use super::extract::{AccountRate, Caller, Json, OfUser, Query, Refusal, json};
use crate::shared::Shared;

type App = State<Arc<Shared>>;

#[derive(Deserialize)]
pub(super) struct MakeBody {
    user: String,
    display_name: Option<String>,
    reason: Option<String>,
}

/// Why it is done.
#[derive(Deserialize)]
pub(super) struct ReasonBody {
    reason: Option<String>,
    /// Where an account is deleted.
    messages: Option<WrittenMessages>,
}

/// A password for one login.
#[derive(Serialize)]
struct OneTime {
    user: String,
    password: String,
    expires_at: u64,
}

#[derive(Serialize)]
struct Accounts {
    users: Vec<Account>,
    more: bool,
}

#[derive(Serialize)]
struct Account {
    user: String,
    display_name: String,
    is_bot: bool,
    created_at: u64,
    is_admin: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    suspended_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    one_time_until: Option<u64>,
}

#[derive(Serialize)]
struct Log {
    rows: Vec<Row>,
    more: bool,
}

/// Something that was done.
#[derive(Serialize)]
struct Row {
    id: String,
    time: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    by: String,
    action: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    user: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    room: String,
    #[serde(skip_serializing_if = "is_none")]
    seq: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    invitation: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it in so")]
fn is_none(seq: &u64) -> bool {
    *seq == 0
}

fn at(time_ms: u64) -> Option<u64> {
    (time_ms != 0).then_some(time_ms)
}

impl From<svc::AccountState> for Account {
    fn from(it: svc::AccountState) -> Self {
        Self {
            user: it.user,
            display_name: it.display_name,
            is_bot: it.is_bot,
            created_at: it.created_ms,
            is_admin: it.is_admin,
            suspended_at: at(it.suspended_ms),
            deleted_at: at(it.deleted_ms),
            one_time_until: at(it.one_time_until_ms),
        }
    }
}

impl From<svc::AdminLogRow> for Row {
    fn from(it: svc::AdminLogRow) -> Self {
        let svc::AdminLogRow { id, time_ms: time, by, action, .. } = it;
        let svc::AdminLogRow { user, room, seq, reason, invitation, .. } = it;
        Self { id, time, by, action, user, room, seq, reason, invitation }
    }
}

fn one_time(user: String, done: svc::Administered) -> Response {
    let svc::Administered { password, password_until_ms: expires_at } = done;
    let kept_by_nobody = [(header::CACHE_CONTROL, "no-store")];
    (kept_by_nobody, json(&OneTime { user, password, expires_at })).into_response()
}

/// `GET /v1/admin/users`
pub(super) async fn list(
    State(shared): App,
    Caller(caller): Caller,
    query: Query,
) -> Result<Response, Refusal> {
    let after = query.text("after")?.unwrap_or_default().to_owned();
    let (token, limit) = (caller.token.to_string(), query.limit()?);
    let page = shared.bus.call(&svc::ListAccounts { token, after, limit }).await?;
    let users = page.accounts.into_iter().map(Into::into).collect();
    Ok(json(&Accounts { users, more: page.more }))
}

/// `POST /v1/admin/users`
pub(super) async fn make(
    State(shared): App,
    _rate: AccountRate,
    Caller(caller): Caller,
    Json(body): Json<MakeBody>,
) -> Result<Response, Refusal> {
    let MakeBody { user, display_name, reason } = body;
    let request = Administer {
        token: caller.token.to_string(),
        action: AccountAction::Make.into(),
        user: user.clone(),
        reason: reason.unwrap_or_default(),
        display_name: display_name.unwrap_or_default(),
        ..Administer::default()
    };
    let done = shared.bus.call(&request).await?;
    Ok((StatusCode::CREATED, one_time(user, done)).into_response())
}

/// `POST /v1/admin/users/{user}/reset`
pub(super) async fn reset(
    State(shared): App,
    _rate: AccountRate,
    Caller(caller): Caller,
    OfUser(user): OfUser,
    Json(body): Json<ReasonBody>,
) -> Result<Response, Refusal> {
    let request = act(&caller.token, AccountAction::Reset, user.clone(), body);
    Ok(one_time(user, shared.bus.call(&request).await?))
}

/// `POST /v1/admin/users/{user}/suspend`
pub(super) async fn suspend(
    State(shared): App,
    Caller(caller): Caller,
    OfUser(user): OfUser,
    Json(body): Json<ReasonBody>,
) -> Result<StatusCode, Refusal> {
    shared.bus.call(&act(&caller.token, AccountAction::Suspend, user, body)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /v1/admin/users/{user}/unsuspend`
pub(super) async fn unsuspend(
    State(shared): App,
    Caller(caller): Caller,
    OfUser(user): OfUser,
    Json(body): Json<ReasonBody>,
) -> Result<StatusCode, Refusal> {
    shared.bus.call(&act(&caller.token, AccountAction::Unsuspend, user, body)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /v1/admin/users/{user}/delete`
pub(super) async fn delete(
    State(shared): App,
    Caller(caller): Caller,
    OfUser(user): OfUser,
    Json(body): Json<ReasonBody>,
) -> Result<StatusCode, Refusal> {
    shared.bus.call(&act(&caller.token, AccountAction::Delete, user, body)).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn act(token: &str, action: AccountAction, user: String, body: ReasonBody) -> Administer {
    let (token, action) = (token.to_owned(), action.into());
    let reason = body.reason.unwrap_or_default();
    let messages = body.messages.unwrap_or_default().into();
    Administer { token, action, user, reason, messages, ..Administer::default() }
}

/// `GET /v1/admin/log`
pub(super) async fn log(
    State(shared): App,
    Caller(caller): Caller,
    query: Query,
) -> Result<Response, Refusal> {
    let before = query.text("before")?.unwrap_or_default().to_owned();
    let (token, limit) = (caller.token.to_string(), query.limit()?);
    let page = shared.bus.call(&svc::ReadAdminLog { token, before, limit }).await?;
    let rows = page.rows.into_iter().map(Into::into).collect();
    Ok(json(&Log { rows, more: page.more }))
}
