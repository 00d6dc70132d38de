//! What the caller has typed for rooms and not sent, or has scheduled.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use weft_proto::frame;
use weft_proto::kind::Draft;
use weft_proto::{Body, RoomId};

use super::extract::{Caller, InRoom, Query, Raw, Refusal, read, ready_made};
use crate::logins::ANSWER_AGE_MAX;
use crate::settings;
use crate::shared::Shared;

/// `PUT /v1/rooms/{room}/draft`
pub(super) async fn set(
    State(shared): State<Arc<Shared>>,
    Caller(caller): Caller,
    InRoom(room): InRoom,
    Raw(body): Raw,
) -> Result<Response, Refusal> {
    shared.logins.check(&caller, ANSWER_AGE_MAX).await?;
    let draft = Draft::of_room(&room, &body)?;
    Ok(ready_made(settings::keep(&shared, &caller, &Body::Draft(draft)).await?))
}

/// `GET /v1/drafts`
pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    Caller(caller): Caller,
    query: Query,
) -> Result<Response, Refusal> {
    let (after, limit) = query.page()?;
    let after = (!after.is_empty()).then(|| RoomId::new(&after)).transpose()?;
    read(&shared, &caller, frame::Query::Drafts { after, limit }).await
}

/// `GET /v1/scheduled`
pub(super) async fn list_scheduled(
    State(shared): State<Arc<Shared>>,
    Caller(caller): Caller,
    query: Query,
) -> Result<Response, Refusal> {
    let after = query.text("after")?.unwrap_or_default().to_owned();
    read(&shared, &caller, frame::Query::Scheduled { after }).await
}
