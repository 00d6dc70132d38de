//! The stateless operations over HTTP, and the way into a session. Every answer is JSON, errors
//! in the form of `docs/protocol.md` included.

mod accounts;
mod connect;
mod entries;
mod extract;
mod health;
mod rooms;
mod socket;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use weft_proto::limits::FRAME_BYTES_MAX;
use weft_proto::{ApiError, ErrorCode};

use self::extract::Refusal;
use crate::shared::Shared;

/// All routes.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let v1 = Router::new()
        .route("/accounts", post(accounts::signup))
        .route("/login", post(accounts::login))
        .route("/refresh", post(accounts::refresh))
        .route("/logout", post(accounts::logout))
        .route("/password", post(accounts::change_password))
        .route("/profile", get(accounts::own_profile).patch(accounts::set_profile))
        .route("/users/{user}", get(accounts::profile))
        .route("/rooms", get(rooms::list))
        .route("/rooms/{room}", get(rooms::get))
        .route("/rooms/{room}/members", get(rooms::members))
        .route("/rooms/{room}/entries", get(entries::history).post(entries::send))
        .route("/connect", get(connect::find))
        .route("/ws", get(socket::open))
        .layer(from_fn_with_state(Arc::clone(&shared), admit));
    Router::new()
        .nest("/v1", v1)
        .route("/healthz", get(health::lives))
        .route("/readyz", get(health::serves))
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(FRAME_BYTES_MAX))
        .with_state(shared)
}

/// Bounds how many requests are underway.
async fn admit(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    match shared.http_in_flight.try_acquire() {
        Ok(_permit) => next.run(request).await,
        Err(_) => {
            let error = ApiError::new(ErrorCode::Overloaded, "too many requests are underway");
            Refusal(error.retry_after_ms(250)).into_response()
        }
    }
}

async fn no_such_path() -> Refusal {
    Refusal(ApiError::new(ErrorCode::NotFound, "there is no such path"))
}

/// The router says in `Allow` which there are.
async fn no_such_method() -> Refusal {
    Refusal(ApiError::new(ErrorCode::MethodNotAllowed, "the path has no such method"))
}
