//! For whoever runs it: does the process live, and can it serve?

use std::sync::Arc;

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
    match shared.life.unready() {
        None => Ok(json(&Fine { status: "ok" })),
        Some(reason) => Err(ApiError::new(ErrorCode::Unavailable, reason).into()),
    }
}
