//! What the caller has typed for rooms and not sent.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use weft_proto::Body;
use weft_proto::frame::drafts_frame;
use weft_proto::kind::Draft;
use weft_proto::svc::ListDrafts;

use super::extract::{Caller, InRoom, Query, Raw, Refusal, ready_made};
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
    Ok(ready_made(settings::keep(&shared, &caller.user, &Body::Draft(draft)).await?))
}

/// `GET /v1/drafts`
pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    Caller(caller): Caller,
    query: Query,
) -> Result<Response, Refusal> {
    let after = query.text("after")?.unwrap_or_default().to_owned();
    let (token, limit) = (caller.token.to_string(), query.limit()?);
    let page = shared.bus.call(&ListDrafts { token, after, limit }).await?;
    Ok(ready_made(drafts_frame(&page)))
}
