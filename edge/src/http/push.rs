//! How devices are notified.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use weft_proto::frame::DeviceShown;
use weft_proto::{ApiError, ErrorCode, svc};

use super::extract::{Caller, Device, Raw, Refusal, json};
use crate::shared::Shared;

type App = State<Arc<Shared>>;

/// `GET /v1/push`
pub(super) async fn key(State(shared): App, Caller(_): Caller) -> Result<Response, Refusal> {
    #[derive(Serialize)]
    struct Gateways {
        webpush: Key,
        /// By which devices can be notified.
        kinds: BTreeSet<String>,
    }
    #[derive(Serialize)]
    struct Key {
        key: String,
    }
    let key = shared.life.members.push_key().ok_or_else(|| {
        ApiError::new(ErrorCode::Unavailable, "nobody notifies devices at the moment")
    })?;
    let kinds = shared.life.members.push_kinds();
    Ok(json(&Gateways { webpush: Key { key }, kinds }))
}

/// `PUT /v1/devices/{device}/push`
pub(super) async fn set(
    State(shared): App,
    Caller(caller): Caller,
    Device(device): Device,
    Raw(body): Raw,
) -> Result<StatusCode, Refusal> {
    if device != caller.device {
        let message = "a device registers itself: the token is of another one";
        return Err(ApiError::new(ErrorCode::BadRequest, message).into());
    }
    let push = svc::Push::of_body(&body)?;
    shared.life.members.check_push(&push)?;
    let (token, push) = (caller.token.to_string(), Some(push));
    shared.bus.call(&svc::SetPush { token, push }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /v1/devices/{device}/push`
pub(super) async fn get(
    State(shared): App,
    Caller(caller): Caller,
    Device(device): Device,
) -> Result<Response, Refusal> {
    let list = svc::ListDevices { token: caller.token.to_string() };
    let devices = shared.bus.call(&list).await?.devices;
    let found = devices.into_iter().find(|it| it.device == device.as_str());
    let push = found.and_then(|it| DeviceShown::from(it).push);
    let push = push.ok_or_else(|| {
        ApiError::new(ErrorCode::NotFound, "nothing is registered for this device")
    })?;
    Ok(json(&push))
}

/// `DELETE /v1/devices/{device}/push`
pub(super) async fn remove(
    State(shared): App,
    Caller(caller): Caller,
    Device(device): Device,
) -> Result<StatusCode, Refusal> {
    let (token, device) = (caller.token.to_string(), device.to_string());
    shared.bus.call(&svc::RemovePush { token, device }).await?;
    Ok(StatusCode::NO_CONTENT)
}
