//! How the caller wants rooms to be.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use weft_proto::Body;
use weft_proto::kind::Setting;

use super::extract::{Caller, InRoom, Raw, Refusal};
use crate::logins::ANSWER_AGE_MAX;
use crate::settings;
use crate::shared::Shared;

/// `PUT /v1/rooms/{room}/setting`
pub(super) async fn set(
    State(shared): State<Arc<Shared>>,
    Caller(caller): Caller,
    InRoom(room): InRoom,
    Raw(body): Raw,
) -> Result<StatusCode, Refusal> {
    shared.logins.check(&caller, ANSWER_AGE_MAX).await?;
    let setting = Body::Setting(Setting::of_room(&room, &body)?);
    settings::keep(&shared, &caller, &setting).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `PUT /v1/setting`
pub(super) async fn set_for_all_rooms(
    State(shared): State<Arc<Shared>>,
    Caller(caller): Caller,
    Raw(body): Raw,
) -> Result<StatusCode, Refusal> {
    shared.logins.check(&caller, ANSWER_AGE_MAX).await?;
    let setting = Body::Setting(Setting::of_all_rooms(&body)?);
    settings::keep(&shared, &caller, &setting).await?;
    Ok(StatusCode::NO_CONTENT)
}
