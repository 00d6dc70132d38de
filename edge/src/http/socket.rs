//! The way from HTTP into a session.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::response::Response;
use tokio::time::Instant;
use weft_proto::frame::SUBPROTOCOL;
use weft_proto::limits::FRAME_BYTES_MAX;
use weft_proto::{ApiError, ErrorCode};

use super::extract::Refusal;
use crate::metrics;
use crate::rate::come_back_later;
use crate::session;
use crate::shared::Shared;

/// The library's default of 128 kB each would be the largest part of an idle session.
const BUFFER_BYTES: usize = 4_096;
/// Holds the largest frame: a page of history whose last entry is the largest one.
const WRITE_BUFFER_BYTES_MAX: usize = 4 << 20;

/// `GET /v1/ws`
pub(super) async fn open(
    State(shared): State<Arc<Shared>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Refusal> {
    let upgrade = upgrade
        .map_err(|error| ApiError::new(ErrorCode::BadRequest, error.body_text()))?
        .protocols([SUBPROTOCOL]);
    // Who offers none is taken at their word; who offers others alone speaks something else.
    let offers_others = upgrade.requested_protocols().next().is_some();
    if offers_others && upgrade.selected_protocol().is_none() {
        let message = format!("the subprotocol is {SUBPROTOCOL}");
        return Err(ApiError::new(ErrorCode::BadRequest, message).into());
    }
    if shared.drain.has_begun() {
        let error = ApiError::new(ErrorCode::Unavailable, "the edge is draining");
        return Err(come_back_later(error).into());
    }
    check_rate(&shared)?;
    let place = Place::take(&shared)?;
    let upgrade = upgrade
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX)
        .max_frame_size(FRAME_BYTES_MAX)
        .max_message_size(FRAME_BYTES_MAX);
    Ok(upgrade.on_upgrade(async move |socket| {
        metrics::CONNECTS.increment();
        let front = shared.front.clone();
        // Boxed: every wrapper around a future holds it twice.
        let session = Box::pin(session::run(shared, socket));
        front.spawn("session", async move {
            session.await;
            drop(place);
        });
    }))
}

/// Takes one of the new sessions that there may be at the moment.
fn check_rate(shared: &Shared) -> Result<(), ApiError> {
    let mut connects = shared.connects.lock().unwrap_or_else(PoisonError::into_inner);
    connects.take(shared.limits.connects, Instant::now()).map_err(|_| {
        come_back_later(ApiError::new(ErrorCode::Overloaded, "too many come to this edge at once"))
    })
}

/// One of the places for sessions, given back on drop.
struct Place(Arc<Shared>);

impl Place {
    fn take(shared: &Arc<Shared>) -> Result<Self, ApiError> {
        let before = shared.sessions.fetch_add(1, Ordering::SeqCst);
        metrics::SESSIONS.increment();
        let place = Self(Arc::clone(shared));
        if before >= shared.limits.sessions_max {
            let error = ApiError::new(ErrorCode::Overloaded, "this edge has no place left");
            return Err(come_back_later(error));
        }
        Ok(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        metrics::SESSIONS.decrement();
        if self.0.sessions.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.drain.emptied();
        }
    }
}
