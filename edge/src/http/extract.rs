//! What handlers take out of a request, and how they say no.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{ConnectInfo, FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use weft_proto::body::read_json;
use weft_proto::{ApiError, ErrorCode, RoomId};

use crate::auth;
use crate::listener::Peer;
use crate::shared::Shared;

/// An error answer.
#[derive(Debug)]
pub(super) struct Refusal(pub(super) ApiError);

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.code.http_status());
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, error_body(&self.0)).into_response();
        if let Some(wait_ms) = self.0.retry_after_ms {
            response.headers_mut().insert(header::RETRY_AFTER, wait_ms.div_ceil(1_000).into());
        }
        response
    }
}

/// `{"error":{…}}`
pub(super) fn error_body(error: &ApiError) -> Response {
    #[derive(Serialize)]
    struct Body<'a> {
        error: &'a ApiError,
    }
    json(&Body { error })
}

/// An answer in JSON.
pub(super) fn json(value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(bytes) => ready_made(bytes),
        Err(error) => {
            tracing::error!(%error, "an answer can't be made");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// An answer that is JSON already.
pub(super) fn ready_made(bytes: impl Into<Bytes>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], bytes.into()).into_response()
}

/// Who calls, by the token in `Authorization`.
pub(super) struct Caller(pub(super) auth::Caller);

impl FromRequestParts<Arc<Shared>> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Refusal> {
        let value = parts.headers.get(header::AUTHORIZATION);
        let token = value
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim())
            .ok_or_else(|| ApiError::new(ErrorCode::Unauthorized, "a bearer token is needed"))?;
        Ok(Self(shared.auth.verify(token).await?))
    }
}

/// The caller's address may do one more of what costs core a password hash.
pub(super) struct AccountRate;

impl FromRequestParts<Arc<Shared>> for AccountRate {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Refusal> {
        if let Some(ConnectInfo(Peer(peer))) = parts.extensions.get::<ConnectInfo<Peer>>() {
            shared.account_rate.take(peer.ip(), Instant::now())?;
        }
        Ok(Self)
    }
}

/// A body's bytes.
pub(super) struct Raw(pub(super) Bytes);

impl<S: Send + Sync> FromRequest<S> for Raw {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let bytes = Bytes::from_request(request, state).await;
        Ok(Self(bytes.map_err(body_refused)?))
    }
}

/// A body in JSON, whatever its `Content-Type` says.
pub(super) struct Json<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let Raw(bytes) = Raw::from_request(request, state).await?;
        Ok(Self(read_json(&bytes)?))
    }
}

fn body_refused(rejection: BytesRejection) -> ApiError {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return ApiError::new(ErrorCode::TooLarge, "the body is too large");
    }
    ApiError::new(ErrorCode::BadRequest, rejection.body_text())
}

/// The query's fields.
pub(super) struct Query<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let query = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        match query {
            Ok(axum::extract::Query(query)) => Ok(Self(query)),
            Err(error) => Err(ApiError::new(ErrorCode::BadRequest, error.body_text()).into()),
        }
    }
}

/// The room in the path.
pub(super) struct InRoom(pub(super) RoomId);

impl<S: Send + Sync> FromRequestParts<S> for InRoom {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        Ok(Self(RoomId::new(&path_word(parts, state).await?)?))
    }
}

/// The user in the path.
pub(super) struct OfUser(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for OfUser {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let word = path_word(parts, state).await?;
        Ok(Self(weft_proto::UserId::new(&word)?.to_string()))
    }
}

async fn path_word<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<String, ApiError> {
    let word = Path::<String>::from_request_parts(parts, state).await;
    word.map(|Path(word)| word).map_err(|e| ApiError::new(ErrorCode::BadId, e.body_text()))
}
