//! What others are to the caller.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use weft_proto::kind::Relation;
use weft_proto::{Body, UserId, frame};

use super::extract::{Caller, OfUser, Query, Raw, Refusal, read};
use crate::logins::ANSWER_AGE_MAX;
use crate::settings;
use crate::shared::Shared;

type App = State<Arc<Shared>>;

/// `PUT /v1/relations/{user}`
pub(super) async fn set(
    State(shared): App,
    Caller(caller): Caller,
    OfUser(user): OfUser,
    Raw(body): Raw,
) -> Result<StatusCode, Refusal> {
    shared.logins.check(&caller, ANSWER_AGE_MAX).await?;
    let relation = Body::Relation(Relation::of_user(&UserId::new(&user)?, &body)?);
    settings::keep(&shared, &caller, &relation).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /v1/relations`
pub(super) async fn list(
    State(shared): App,
    Caller(caller): Caller,
    query: Query,
) -> Result<Response, Refusal> {
    let (after, limit) = query.page()?;
    read(&shared, &caller, frame::Query::Relations { after, limit }).await
}
