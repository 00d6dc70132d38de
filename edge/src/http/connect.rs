//! Where a client is to connect.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use tokio::time::Instant;
use weft_proto::{ApiError, ErrorCode, UserId};

use super::extract::{Query, Refusal, json};
use crate::rate::come_back_later;
use crate::shared::Shared;

/// The best edge, and those to try where it does not answer, itself first.
#[derive(Serialize)]
struct Found<'a> {
    url: &'a str,
    region: &'a str,
    edges: Vec<&'a str>,
    /// Where files are uploaded and read; `/`: on the address that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<String>,
}

/// `GET /v1/connect`: only edges that say that they can serve.
pub(super) async fn find(
    State(shared): State<Arc<Shared>>,
    query: Query,
) -> Result<Response, Refusal> {
    let region = query.text("region")?.unwrap_or_default();
    let key = match query.text("user")?.unwrap_or_default() {
        "" => rand::random::<u64>().to_string(),
        user => UserId::new(user)?.to_string(),
    };
    // It may be cut off from the others: what it knows of them is old.
    if let Some(reason) = shared.life.lacks() {
        return Err(come_back_later(ApiError::new(ErrorCode::Unavailable, reason)).into());
    }
    let edges = shared.life.members.edges();
    let picked = shared.discovery.pick(&edges.borrow(), region, &key, Instant::now());
    let Some(best) = picked.first() else {
        let error = ApiError::new(ErrorCode::Unavailable, "no edge takes sessions at the moment");
        return Err(come_back_later(error).into());
    };
    let edges = picked.iter().map(|info| info.url.as_str()).collect();
    let files = shared.life.members.files(&key);
    Ok(json(&Found { url: &best.url, region: &best.region, edges, files }))
}
