//! `weft admin reports` and `resolve-report`: what users have reported, as administrators see it over HTTP.

use clap::Args;
use serde::Serialize;
use weft_proto::svc::{
    ListReports, OperatorListReports, OperatorResolveReport, ReportRow, ResolveReport,
};

use super::administrators::{line, refused};
use super::nodes::Installation;
use crate::error::Error;
use crate::process::say;

#[derive(Args, Clone, Debug)]
pub struct ResolveOptions {
    /// The report, as `reports` names it.
    #[arg(value_name = "ID")]
    id: String,
    /// What was done: it is kept in the administrators' log.
    #[arg(long, default_value = "")]
    reason: String,
    #[command(flatten)]
    installation: Installation,
}

/// A report, in one line of JSON.
#[derive(Serialize)]
struct ReportLine<'a> {
    id: &'a str,
    /// Who reported it.
    by: &'a str,
    room: &'a str,
    /// The message's seq.
    target: u64,
    /// Who wrote the message.
    from: &'a str,
    time_ms: u64,
    reason: &'a str,
}

impl<'a> ReportLine<'a> {
    fn of(row: &'a ReportRow) -> Self {
        let ReportRow { id, by, room, target, from, time_ms, reason } = row;
        Self { id, by, room, target: *target, from, time_ms: *time_ms, reason }
    }
}

/// Prints all that are not dealt with, a line each.
pub async fn list(installation: &Installation) -> Result<(), Error> {
    let bus = installation.connect().await?;
    let (mut after, mut more) = (String::new(), true);
    while more {
        let request = Some(ListReports { after, ..ListReports::default() });
        let page = bus.call(&OperatorListReports { request }).await.map_err(refused)?;
        for report in &page.reports {
            line(&ReportLine::of(report))?;
        }
        more = page.more;
        after = page.reports.last().map(|it| it.id.clone()).unwrap_or_default();
    }
    bus.close().await;
    Ok(())
}

/// Takes one off the list.
pub async fn resolve(options: &ResolveOptions) -> Result<(), Error> {
    let ResolveOptions { id, reason, installation } = options;
    let bus = installation.connect().await?;
    let (token, id, reason) = (String::new(), id.clone(), reason.clone());
    let request = Some(ResolveReport { token, id, reason });
    let done = bus.call(&OperatorResolveReport { request }).await;
    bus.close().await;
    done.map_err(refused)?;
    say("done");
    Ok(())
}
