//! What handlers take out of a request, and how they say no.

use std::str::FromStr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use weft_proto::frame::{self, page_limit};
use weft_proto::json::read_json;
use weft_proto::{ApiError, DeviceId, ErrorCode, RoomId, UserId};
use weft_runtime::network;

use super::serve::Peer;
use crate::auth;
use crate::limited::LimitKind;
use crate::proxies;
use crate::queries;
use crate::rate::rate_limited;
use crate::shared::Shared;

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
        if status == StatusCode::UNAUTHORIZED {
            let challenge = match self.0.code {
                ErrorCode::TokenExpired => r#"Bearer realm="weft", error="invalid_token""#,
                _ => r#"Bearer realm="weft""#,
            };
            let value = HeaderValue::from_static(challenge);
            response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
        }
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

/// What core answers to a query.
pub(super) async fn read(
    shared: &Shared,
    caller: &auth::Caller,
    query: frame::Query,
) -> Result<Response, Refusal> {
    Ok(ready_made(queries::answer(shared, caller.token.to_string(), query).await?))
}

/// Who calls, by the token in `Authorization`.
pub(super) struct Caller(pub(super) auth::Caller);

impl FromRequestParts<Arc<Shared>> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Refusal> {
        // Checked before the body was read (`admit`).
        if let Some(caller) = parts.extensions.get::<auth::Caller>() {
            return Ok(Self(caller.clone()));
        }
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

/// The caller's address may do one more of what costs core a password hash. With the network that it
/// belongs to.
pub(super) struct AccountRate(pub(super) String);

impl FromRequestParts<Arc<Shared>> for AccountRate {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Refusal> {
        let Peer { address, .. } = Peer::from_request_parts(parts, shared).await?;
        let Some(client) = proxies::client(&shared.proxies, address, &parts.headers) else {
            return Ok(Self(String::new()));
        };
        let client = network(client);
        shared.account_rate.take(&client, 1).map_err(|wait| {
            shared.limited.note(LimitKind::Accounts);
            rate_limited("too many requests from this address", wait)
        })?;
        Ok(Self(client.to_string()))
    }
}

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
    ApiError::new(ErrorCode::BadRequest, "the body can't be read")
}

/// The query's fields, in the order in which they came.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// A field's text, where it is given.
    ///
    /// # Errors
    /// [`ErrorCode::BadRequest`] where it is given twice.
    pub(super) fn text(&self, field: &str) -> Result<Option<&str>, ApiError> {
        let mut values = self.0.iter().filter(|(name, _)| name == field).map(|(_, value)| value);
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(bad_field(field, "comes twice")),
            (value, None) => Ok(value.map(String::as_str)),
        }
    }

    /// A field's number, where it is given.
    ///
    /// # Errors
    /// [`ErrorCode::BadRequest`] where it is none, or given twice.
    pub(super) fn number<N: FromStr>(&self, field: &str) -> Result<Option<N>, ApiError> {
        let number =
            |text: &str| number(text).ok_or_else(|| bad_field(field, "has to be a whole number"));
        self.text(field)?.map(number).transpose()
    }

    /// Whether a field is `true`; not, where it is left out.
    ///
    /// # Errors
    /// [`ErrorCode::BadRequest`] where it is neither `true` nor `false`, or given twice.
    pub(super) fn flag(&self, field: &str) -> Result<bool, ApiError> {
        match self.text(field)? {
            Some("true") => Ok(true),
            Some("false") | None => Ok(false),
            Some(_) => Err(bad_field(field, "has to be true or false")),
        }
    }

    /// How many a page may hold, as it was asked for; 0: as many as it holds.
    ///
    /// # Errors
    /// As [`number`](Self::number), and where none are asked for.
    pub(super) fn limit(&self) -> Result<u32, ApiError> {
        page_limit(self.number("limit")?)
    }

    /// After which id or cursor a page begins (empty: none), and how many it may hold.
    ///
    /// # Errors
    /// As [`limit`](Self::limit).
    pub(super) fn page(&self) -> Result<(String, u32), ApiError> {
        Ok((self.text("after")?.unwrap_or_default().to_owned(), self.limit()?))
    }

    /// Before which seq a part of a room's list ends (0: there is none), and how many it may hold.
    ///
    /// # Errors
    /// As [`limit`](Self::limit).
    pub(super) fn part(&self) -> Result<(u64, u32), ApiError> {
        Ok((self.number("before")?.unwrap_or(0), self.limit()?))
    }
}

fn bad_field(field: &str, what: &str) -> ApiError {
    ApiError::new(ErrorCode::BadRequest, format!("the field {field} {what}"))
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match axum::extract::Query::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(fields)) => Ok(Self(fields)),
            Err(_) => Err(ApiError::new(ErrorCode::BadRequest, "the query can't be read").into()),
        }
    }
}

pub(super) struct InRoom(pub(super) RoomId);

impl<S: Send + Sync> FromRequestParts<S> for InRoom {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        Ok(Self(RoomId::new(&path_word(parts, state).await?)?))
    }
}

/// An entry of a room, by its seq.
pub(super) struct AtEntry(pub(super) RoomId, pub(super) u64);

impl<S: Send + Sync> FromRequestParts<S> for AtEntry {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let words = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Path((room, seq)) = words.map_err(not_text)?;
        let seq = number(&seq).filter(|seq| *seq > 0);
        let no_seq = || bad_field("seq of the path", "has to be a whole number from 1");
        Ok(Self(RoomId::new(&room)?, seq.ok_or_else(no_seq)?))
    }
}

pub(super) struct OfUser(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for OfUser {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let word = path_word(parts, state).await?;
        Ok(Self(UserId::new(&word)?.to_string()))
    }
}

pub(super) struct Device(pub(super) DeviceId);

impl<S: Send + Sync> FromRequestParts<S> for Device {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        Ok(Self(DeviceId::new(&path_word(parts, state).await?)?))
    }
}

/// The one word of the path that says which.
pub(super) struct Word(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Word {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        Ok(Self(path_word(parts, state).await?))
    }
}

async fn path_word<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<String, ApiError> {
    let word = Path::<String>::from_request_parts(parts, state).await;
    word.map(|Path(word)| word).map_err(not_text)
}

fn not_text(_: PathRejection) -> ApiError {
    ApiError::new(ErrorCode::BadId, "the id in the path is no text")
}

fn number<N: FromStr>(text: &str) -> Option<N> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain)
}
