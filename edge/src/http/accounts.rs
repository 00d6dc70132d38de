//! Accounts, logins, profiles. All of it is core's: the edge hands it on.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use weft_proto::check::missing;
use weft_proto::frame::{self, Profile, ProfileChange, profiles_of};
use weft_proto::svc::{self, WrittenMessages};

use super::extract::{AccountRate, Caller, Device, Json, OfUser, Query, Refusal, json, read};
use crate::shared::Shared;

type App = State<Arc<Shared>>;

#[derive(Deserialize)]
pub(super) struct SignupBody {
    user: String,
    password: String,
    display_name: Option<String>,
    invitation: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct LoginBody {
    user: String,
    password: String,
    device: String,
    new_password: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct RefreshBody {
    refresh_token: String,
}

#[derive(Deserialize)]
pub(super) struct ChangePasswordBody {
    old: String,
    new: String,
}

#[derive(Deserialize)]
pub(super) struct DeleteAccountBody {
    password: String,
    messages: Option<WrittenMessages>,
}

#[derive(Serialize)]
struct Tokens {
    user: String,
    device: String,
    token: String,
    expires_at: u64,
    refresh_token: String,
}

fn profile_answer(profile: svc::Profile) -> Response {
    json(&Profile::from(profile))
}

fn tokens_answer(tokens: svc::Tokens) -> Response {
    let svc::Tokens { user, device, token, expires_at_ms, refresh_token } = tokens;
    let answer = json(&Tokens { user, device, token, expires_at: expires_at_ms, refresh_token });
    // No cache on the way may keep them.
    ([(header::CACHE_CONTROL, "no-store")], answer).into_response()
}

/// `POST /v1/accounts`
pub(super) async fn signup(
    State(shared): App,
    _rate: AccountRate,
    Json(body): Json<SignupBody>,
) -> Result<Response, Refusal> {
    let SignupBody { user, password, display_name, invitation } = body;
    let (display_name, invitation) =
        (display_name.unwrap_or_default(), invitation.unwrap_or_default());
    let request = svc::Signup { user, password, display_name, invitation };
    let profile = shared.bus.call(&request).await?;
    Ok((StatusCode::CREATED, profile_answer(profile)).into_response())
}

/// `POST /v1/login`
pub(super) async fn login(
    State(shared): App,
    AccountRate(network): AccountRate,
    Json(body): Json<LoginBody>,
) -> Result<Response, Refusal> {
    let LoginBody { user, password, device, new_password } = body;
    let new_password = new_password.unwrap_or_default();
    let request = svc::Login { user, password, device, network, new_password };
    Ok(tokens_answer(shared.bus.call(&request).await?))
}

/// `POST /v1/refresh`
pub(super) async fn refresh(
    State(shared): App,
    AccountRate(network): AccountRate,
    Json(body): Json<RefreshBody>,
) -> Result<Response, Refusal> {
    let RefreshBody { refresh_token } = body;
    Ok(tokens_answer(shared.bus.call(&svc::Refresh { refresh_token, network }).await?))
}

/// `POST /v1/logout`
pub(super) async fn logout(
    State(shared): App,
    Caller(caller): Caller,
) -> Result<StatusCode, Refusal> {
    let request = svc::Logout { token: caller.token.to_string(), ..svc::Logout::default() };
    shared.bus.call(&request).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /v1/devices`
pub(super) async fn devices(
    State(shared): App,
    Caller(caller): Caller,
) -> Result<Response, Refusal> {
    read(&shared, &caller, frame::Query::Devices).await
}

/// `DELETE /v1/devices/{device}`
pub(super) async fn log_device_out(
    State(shared): App,
    Caller(caller): Caller,
    Device(device): Device,
) -> Result<StatusCode, Refusal> {
    let token = caller.token.to_string();
    shared.bus.call(&svc::Logout { token, device: device.to_string() }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /v1/password`
pub(super) async fn change_password(
    State(shared): App,
    _rate: AccountRate,
    Caller(caller): Caller,
    Json(body): Json<ChangePasswordBody>,
) -> Result<StatusCode, Refusal> {
    let ChangePasswordBody { old, new } = body;
    let token = caller.token.to_string();
    shared.bus.call(&svc::ChangePassword { token, old, new }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /v1/delete-account`
pub(super) async fn delete_account(
    State(shared): App,
    _rate: AccountRate,
    Caller(caller): Caller,
    Json(body): Json<DeleteAccountBody>,
) -> Result<StatusCode, Refusal> {
    let DeleteAccountBody { password, messages } = body;
    let (token, messages) = (caller.token.to_string(), messages.unwrap_or_default().into());
    shared.bus.call(&svc::DeleteAccount { token, password, messages }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /v1/profile`
pub(super) async fn own_profile(
    State(shared): App,
    Caller(caller): Caller,
) -> Result<Response, Refusal> {
    let request = svc::GetProfile { token: caller.token.to_string(), user: String::new() };
    Ok(profile_answer(shared.bus.call(&request).await?))
}

/// `GET /v1/users/{user}`
pub(super) async fn profile(
    State(shared): App,
    Caller(caller): Caller,
    OfUser(user): OfUser,
) -> Result<Response, Refusal> {
    let request = svc::GetProfile { token: caller.token.to_string(), user };
    Ok(profile_answer(shared.bus.call(&request).await?))
}

/// `GET /v1/users`
pub(super) async fn find(
    State(shared): App,
    Caller(caller): Caller,
    query: Query,
) -> Result<Response, Refusal> {
    let prefix = query.text("prefix")?.ok_or_else(|| missing("prefix"))?.to_owned();
    let (after, limit) = query.page()?;
    read(&shared, &caller, frame::Query::FindUsers { prefix, after, limit }).await
}

/// `GET /v1/profiles`
pub(super) async fn profiles(
    State(shared): App,
    Caller(caller): Caller,
    query: Query,
) -> Result<Response, Refusal> {
    let users: Vec<&str> =
        query.text("users")?.ok_or_else(|| missing("users"))?.split(',').collect();
    read(&shared, &caller, frame::Query::Profiles { users: profiles_of(&users)? }).await
}

/// `PATCH /v1/profile`
pub(super) async fn set_profile(
    State(shared): App,
    Caller(caller): Caller,
    Json(change): Json<ProfileChange>,
) -> Result<Response, Refusal> {
    let request = change.request(caller.token.to_string());
    Ok(profile_answer(shared.bus.call(&request).await?))
}
