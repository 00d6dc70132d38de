//! Messages that users report to the administrators.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use weft_proto::svc;

use super::extract::{AtEntry, Caller, Json, Query, Refusal, Word, json};
use crate::shared::Shared;

type App = State<Arc<Shared>>;

#[derive(Deserialize)]
pub(super) struct ReportBody {
    reason: String,
}

#[derive(Serialize)]
struct Reports {
    reports: Vec<Report>,
    more: bool,
}

#[derive(Serialize)]
struct Report {
    id: String,
    by: String,
    room: String,
    target: u64,
    from: String,
    time: u64,
    reason: String,
}

impl From<svc::ReportRow> for Report {
    fn from(it: svc::ReportRow) -> Self {
        let svc::ReportRow { id, by, room, target, from, time_ms: time, reason } = it;
        Self { id, by, room, target, from, time, reason }
    }
}

/// `POST /v1/rooms/{room}/entries/{seq}/report`
pub(super) async fn report(
    State(shared): App,
    Caller(caller): Caller,
    AtEntry(room, target): AtEntry,
    Json(body): Json<ReportBody>,
) -> Result<StatusCode, Refusal> {
    let (token, room, reason) = (caller.token.to_string(), room.to_string(), body.reason);
    shared.bus.call(&svc::Report { token, room, target, reason }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /v1/admin/reports`
pub(super) async fn list(
    State(shared): App,
    Caller(caller): Caller,
    query: Query,
) -> Result<Response, Refusal> {
    let after = query.text("after")?.unwrap_or_default().to_owned();
    let (token, limit) = (caller.token.to_string(), query.limit()?);
    let page = shared.bus.call(&svc::ListReports { token, after, limit }).await?;
    let reports = page.reports.into_iter().map(Into::into).collect();
    Ok(json(&Reports { reports, more: page.more }))
}

/// `DELETE /v1/admin/reports/{id}`
pub(super) async fn resolve(
    State(shared): App,
    Caller(caller): Caller,
    Word(id): Word,
    query: Query,
) -> Result<StatusCode, Refusal> {
    let reason = query.text("reason")?.unwrap_or_default().to_owned();
    let token = caller.token.to_string();
    shared.bus.call(&svc::ResolveReport { token, id, reason }).await?;
    Ok(StatusCode::NO_CONTENT)
}
