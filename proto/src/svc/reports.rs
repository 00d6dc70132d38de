//! What users report to the administrators (`weft.svc.rooms.…`, `weft.svc.admin.…`, `weft.svc.operator.…`).

use std::fmt;

use prost::Message;

use super::{Empty, Method};

redacted! {
    Report { room, target }
    ListReports { after, limit }
    ResolveReport { id }
}

/// Reports a message.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct Report {
    #[prost(string, tag = "1")]
    pub token: String,
    #[prost(string, tag = "2")]
    pub room: String,
    /// The message's seq.
    #[prost(uint64, tag = "3")]
    pub target: u64,
    #[prost(string, tag = "4")]
    pub reason: String,
}
method!(Report, "rooms", "report", Empty);

/// Lists what was reported and is not dealt with.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct ListReports {
    #[prost(string, tag = "1")]
    pub token: String,
    /// Only what comes after this one, by its id; empty: from the first.
    #[prost(string, tag = "2")]
    pub after: String,
    /// Most of one page; 0: as many as a page holds.
    #[prost(uint32, tag = "3")]
    pub limit: u32,
}
method!(ListReports, "admin", "reports", Reports);
operator!(OperatorListReports, ListReports);

#[derive(Clone, PartialEq, Message)]
pub struct Reports {
    /// Those of one user together.
    #[prost(message, repeated, tag = "1")]
    pub reports: Vec<ReportRow>,
    /// There are more: ask again with `after` = the last one's id.
    #[prost(bool, tag = "2")]
    pub more: bool,
}

#[derive(Clone, PartialEq, Message)]
pub struct ReportRow {
    #[prost(string, tag = "1")]
    pub id: String,
    /// Who reported it.
    #[prost(string, tag = "2")]
    pub by: String,
    #[prost(string, tag = "3")]
    pub room: String,
    /// The message's seq.
    #[prost(uint64, tag = "4")]
    pub target: u64,
    /// Who has written the message.
    #[prost(string, tag = "5")]
    pub from: String,
    /// When it was reported, Unix milliseconds.
    #[prost(uint64, tag = "6")]
    pub time_ms: u64,
    #[prost(string, tag = "7")]
    pub reason: String,
}

/// Takes a report off the list: it is dealt with.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct ResolveReport {
    #[prost(string, tag = "1")]
    pub token: String,
    #[prost(string, tag = "2")]
    pub id: String,
    /// What was done, for the administrators' log.
    #[prost(string, tag = "3")]
    pub reason: String,
}
method!(ResolveReport, "admin", "resolve_report", Empty);
operator!(OperatorResolveReport, ResolveReport);
