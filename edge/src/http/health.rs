//! For whoever runs it: does the process live, and can it serve?

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use serde::Serialize;
use weft_proto::{ApiError, ErrorCode};

use super::extract::{Refusal, json};
use crate::shared::Shared;

#[derive(Serialize)]
struct Fine {
    status: &'static str,
}

/// `GET /healthz`
pub(super) async fn lives() -> axum::response::Response {
    json(&Fine { status: "ok" })
}

/// `GET /readyz`
pub(super) async fn serves(
    State(shared): State<Arc<Shared>>,
) -> Result<axum::response::Response, Refusal> {
    let reason = if shared.front.token().is_cancelled() {
        "the edge is shutting down"
    } else if shared.drain.has_begun() {
        let left = shared.sessions.load(Ordering::Relaxed);
        &format!("draining: {left} sessions left")
    } else if let Some(reason) = shared.lacks() {
        reason
    } else if !shared.members.is_joined() {
        "not announced yet: the others do not know this edge"
    } else {
        return Ok(json(&Fine { status: "ok" }));
    };
    Err(ApiError::new(ErrorCode::Unavailable, reason).into())
}
