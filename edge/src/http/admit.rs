//! What a request has to pass before core hears of it: who calls, what that costs, a body that comes in
//! time, and at last a permit. So nobody holds a permit while others are waited for.
//!
//! Callers with a valid token and strangers have permits of their own, and one user has a share of the
//! former: neither strangers nor one user can take those of the others.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, timeout_at};
use weft_proto::limits::FRAME_BYTES_MAX;
use weft_proto::{ApiError, ErrorCode, UserId};
use weft_runtime::{Over, Share};

use super::extract::{Caller, Refusal};
use super::serve::Peer;
use crate::connections::Work;
use crate::cost;
use crate::limited::LimitKind;
use crate::rate::rate_limited;
use crate::shared::Shared;

/// Most bytes of a body from who has no token: nothing that such a caller may ask for takes more.
pub(super) const STRANGERS_BODY_BYTES_MAX: usize = 16 << 10;
/// A body may take this long before it has to come at the least rate.
const BODY_GRACE: Duration = Duration::from_secs(5);
/// The least rate of a body.
const BODY_BYTES_PER_SECOND_MIN: u32 = 1_024;
/// How long a request waits for its user's rate before it is refused.
const RATE_PATIENCE: Duration = Duration::from_secs(1);
/// When to come back where all permits are taken.
const BUSY_RETRY_MS: u64 = 250;

type App = State<Arc<Shared>>;

/// Before routes that need no token.
pub(super) async fn stranger(
    State(shared): App,
    peer: Peer,
    request: Request,
    next: Next,
) -> Response {
    let admitted = async {
        let (parts, body) = request.into_parts();
        let body = read_body(&shared, &parts.headers, body, STRANGERS_BODY_BYTES_MAX, None).await?;
        let permit = shared.http_strangers_in_flight.try_acquire();
        let permit = permit.map_err(|_| busy(&shared, LimitKind::StrangersRequests))?;
        let work = peer.place.work();
        let response = next.run(Request::from_parts(parts, body.into())).await;
        drop((permit, work));
        Ok(response)
    };
    admitted.await.unwrap_or_else(|error: ApiError| Refusal(error).into_response())
}

/// Before routes that need one.
pub(super) async fn known(
    State(shared): App,
    peer: Peer,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let Caller(caller) = match Caller::from_request_parts(&mut parts, &shared).await {
        Ok(caller) => caller,
        Err(refusal) => return refusal.into_response(),
    };
    let user = caller.user.clone();
    parts.extensions.insert(caller);
    let admitted = async {
        peer.place.know()?;
        let share = shared.http_users.take(&user, 1).map_err(|_| {
            shared.limited.note(LimitKind::UserRequests);
            let error = ApiError::new(ErrorCode::RateLimited, "too many requests of this user");
            error.retry_after_ms(BUSY_RETRY_MS)
        })?;
        pay(&shared, &user, &parts.method, parts.uri.path(), parts.uri.query()).await?;
        let is_read = matches!(parts.method, Method::GET | Method::HEAD);
        let body = match is_read {
            true => Bytes::new(),
            false => read_body(&shared, &parts.headers, body, FRAME_BYTES_MAX, Some(&user)).await?,
        };
        let permit = shared.http_in_flight.try_acquire();
        let permit = permit.map_err(|_| busy(&shared, LimitKind::Requests))?;
        let response = next.run(Request::from_parts(parts, body.into())).await;
        drop(permit);
        let bytes = response.body().size_hint().exact().unwrap_or(0);
        let cost = cost::of_answer(usize::try_from(bytes).unwrap_or(usize::MAX));
        // It is read already, so it is only held back until it is paid.
        let _ = shared.http_requests.pay(&user, cost, shared.limits.give_up_after).await;
        drop(share);
        Ok(response)
    };
    admitted.await.unwrap_or_else(|error: ApiError| Refusal(error).into_response())
}

/// Before another part's routes: it admits by itself. Whoever is served, until the last byte is taken, makes no way
/// for strangers.
pub(super) async fn beside(peer: Peer, request: Request, next: Next) -> Response {
    let work = peer.place.work();
    next.run(request).await.map(|body| Body::new(Served { body, _work: work }))
}

/// A body that is sent.
struct Served {
    body: Body,
    _work: Work,
}

impl HttpBody for Served {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Charges a user for a request.
async fn pay(
    shared: &Shared,
    user: &UserId,
    method: &Method,
    path: &str,
    query: Option<&str>,
) -> Result<(), ApiError> {
    let is_send = path.ends_with("/entries") || path.ends_with("/rooms");
    let paid = if *method == Method::POST && is_send {
        shared.http_sends.take(user, 1)
    } else {
        let cost = cost::of_http(path, query.unwrap_or_default());
        shared.http_requests.pay(user, cost, RATE_PATIENCE).await
    };
    paid.map_err(|wait| rate_limited("too many requests of this user", wait))
}

pub(super) fn busy(shared: &Shared, limit: LimitKind) -> ApiError {
    shared.limited.note(limit);
    let error = ApiError::new(ErrorCode::Overloaded, "too many requests are underway");
    error.retry_after_ms(BUSY_RETRY_MS)
}

/// A body, where it comes in time. What of it is there counts for its user.
pub(super) async fn read_body(
    shared: &Shared,
    headers: &HeaderMap,
    mut body: Body,
    bytes_max: usize,
    user: Option<&UserId>,
) -> Result<Bytes, ApiError> {
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if declared
        .and_then(|length| length.parse().ok())
        .is_some_and(|length: usize| length > bytes_max)
    {
        return Err(too_large());
    }
    let (began, mut read) = (Instant::now(), BytesMut::new());
    let mut share: Option<Share<UserId>> = None;
    loop {
        let bought = Duration::from_secs(1) * u32::try_from(read.len()).unwrap_or(u32::MAX)
            / BODY_BYTES_PER_SECOND_MIN;
        let patience = (BODY_GRACE + bought).min(shared.limits.body_timeout);
        let Ok(frame) = timeout_at(began + patience, body.frame()).await else {
            shared.limited.note(LimitKind::SlowBody);
            return Err(ApiError::new(ErrorCode::TooSlow, "the body comes too slowly"));
        };
        let Some(frame) = frame else { return Ok(read.freeze()) };
        let frame = frame.map_err(|error| {
            ApiError::new(ErrorCode::BadRequest, format!("the body can't be read: {error}"))
        })?;
        let Ok(data) = frame.into_data() else { continue };
        if read.len() + data.len() > bytes_max {
            return Err(too_large());
        }
        if let Some(user) = user {
            charge(shared, user, &mut share, data.len())?;
        }
        read.extend_from_slice(&data);
    }
}

/// Bytes of bodies that are not whole yet wait like unanswered sends, and count as such.
fn charge(
    shared: &Shared,
    user: &UserId,
    share: &mut Option<Share<UserId>>,
    bytes: usize,
) -> Result<(), ApiError> {
    let taken = match share {
        Some(share) => share.grow(bytes),
        None => shared.sending.budget.take(user, bytes).map(|taken| *share = Some(taken)),
    };
    taken.map_err(|over: Over| shared.sending.outbox_full(over))
}

fn too_large() -> ApiError {
    ApiError::new(ErrorCode::TooLarge, "the body is too large")
}
