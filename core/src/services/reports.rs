//! What users report to the administrators: a message, and why. It stays until one of them has dealt with it.

use weft_proto::check::{check_chars, check_reason};
use weft_proto::limits::{REASON_CHARS_MAX, REPORTS_PER_USER_MAX};
use weft_proto::{ApiError, ErrorCode, FileId, RoomId, UserId, svc};
use weft_storage::Batch;
use weft_storage::tables::admin_log::AdminLog;
use weft_storage::tables::log;
use weft_storage::tables::report::{self, Report, ReportKey};

use super::Context;
use super::access::Access;
use super::accounts::ATTEMPTS_MAX;
use super::administration::{Authority, Begun, check_level};
use super::failure::Failure;
use super::messages::message_row;

#[cfg(test)]
mod tests;

impl Context {
    /// Reports a message that the caller may see. The same one again changes nothing.
    ///
    /// # Errors
    /// Those of [`Access`], [`ErrorCode::NotFound`], [`ErrorCode::Deleted`], [`ErrorCode::LimitReached`], [`ErrorCode::BadId`],
    /// [`ErrorCode::BadRequest`], [`ErrorCode::TooLong`], [`ErrorCode::UnknownType`] below the level, those of the token, or
    /// the store's.
    pub async fn report(&self, request: svc::Report) -> Result<svc::Empty, Failure> {
        let room = RoomId::new(&request.room)?;
        check_reason(Some(&request.reason))?;
        for _ in 0..ATTEMPTS_MAX {
            let snapshot = self.store.snapshot().await?;
            let user = self.caller(&*snapshot, &request).await?.user;
            check_level(&*snapshot).await?;
            let access = Access::of(&*snapshot, &room, &user).await?;
            message_row(&*snapshot, &room, &access, request.target).await?;
            let found = log::get_many(&*snapshot, &[(room.clone(), request.target)]).await?;
            let from = found.into_iter().flatten().next().map(|it| it.entry.from.to_string());
            let key = report::key(&(user.clone(), (room.clone(), request.target)));
            if snapshot.get(key.clone()).await?.is_some() {
                return Ok(svc::Empty {});
            }
            let all = snapshot.scan(report::of_user(&user), REPORTS_PER_USER_MAX, false).await?;
            if all.len() >= REPORTS_PER_USER_MAX {
                let message = "as many reports of the user as may be wait for an administrator";
                return Err(Failure::new(ErrorCode::LimitReached, message));
            }
            let (time_ms, reason) = (self.clock.now_ms(), request.reason.clone());
            let row = Report { time_ms, reason, from: from.unwrap_or_default() };
            let mut batch = Batch::new(rand::random());
            // Of several at once each may see room for itself.
            batch.guard(key.clone(), None);
            batch.set(key, row.encode());
            if self.commit(batch).await? {
                return Ok(svc::Empty {});
            }
        }
        Err(Failure::contended())
    }

    /// Lists what was reported and is not dealt with, by who reported it.
    ///
    /// # Errors
    /// [`ErrorCode::Forbidden`], [`ErrorCode::BadId`], those of the token, or the store's.
    pub async fn reports(
        &self,
        authority: Authority,
        request: svc::ListReports,
    ) -> Result<svc::Reports, Failure> {
        let snapshot = self.store.snapshot().await?;
        self.by(&*snapshot, &authority, &request.token).await?;
        let after = match &*request.after {
            "" => None,
            id => Some(read_id(id)?),
        };
        let limit = self.rows_max(request.limit);
        let page = report::page_after(&*snapshot, after.as_ref(), limit + 1).await?;
        let more = page.len() > limit;
        let shown = |((by, (room, target)), it): (ReportKey, Report)| svc::ReportRow {
            id: format!("{by}.{room}.{target}"),
            by: by.to_string(),
            room: room.to_string(),
            target,
            from: it.from,
            time_ms: it.time_ms,
            reason: it.reason,
        };
        Ok(svc::Reports { reports: page.into_iter().take(limit).map(shown).collect(), more })
    }

    /// A file of a message that was reported, for an administrator: that they look is told before they may.
    ///
    /// # Errors
    /// [`ErrorCode::Forbidden`], [`ErrorCode::NotFound`], [`ErrorCode::BadId`], [`ErrorCode::TooLong`],
    /// [`ErrorCode::BadRequest`], those of the token, or the store's.
    pub(super) async fn reported_file(
        &self,
        request: svc::LookAtFile,
    ) -> Result<svc::File, Failure> {
        let (by, place) = read_id(&request.report)?;
        let file = FileId::new(&request.file)?;
        check_chars("reason", &request.reason, REASON_CHARS_MAX)?;
        let told = AdminLog {
            action: "see_file".to_owned(),
            room: place.0.to_string(),
            seq: place.1,
            reason: request.reason,
            ..AdminLog::default()
        };
        let key = report::key(&(by, place.clone()));
        for _ in 0..ATTEMPTS_MAX {
            let Begun { snapshot, batch, .. } =
                self.begin_action(&Authority::Token, &request.token, &told).await?;
            if snapshot.get(key.clone()).await?.is_none() {
                return Err(Failure::new(ErrorCode::NotFound, "there is no such report"));
            }
            let shown = self.file_of(&*snapshot, file, place.clone()).await?;
            if self.commit_action(batch, &told).await? {
                return Ok(shown);
            }
        }
        Err(Failure::contended())
    }

    /// Takes a report off the list: it is dealt with.
    ///
    /// # Errors
    /// [`ErrorCode::Forbidden`], [`ErrorCode::NotFound`], [`ErrorCode::BadId`], [`ErrorCode::TooLong`],
    /// [`ErrorCode::BadRequest`], those of the token, or the store's.
    pub async fn resolve_report(
        &self,
        authority: Authority,
        request: svc::ResolveReport,
    ) -> Result<svc::Empty, Failure> {
        let name = read_id(&request.id)?;
        let (by, (room, seq)) = &name;
        let reason = Some(&*request.reason).filter(|reason| !reason.is_empty());
        check_reason(reason)?;
        let told = AdminLog {
            action: "resolve_report".to_owned(),
            user: by.to_string(),
            room: room.to_string(),
            seq: *seq,
            reason: request.reason.clone(),
            ..AdminLog::default()
        };
        let key = report::key(&name);
        for _ in 0..ATTEMPTS_MAX {
            let Begun { snapshot, mut batch, .. } =
                self.begin_action(&authority, &request.token, &told).await?;
            let row = snapshot
                .get(key.clone())
                .await?
                .ok_or_else(|| Failure::new(ErrorCode::NotFound, "there is no such report"))?;
            batch.guard(key.clone(), Some(row));
            batch.clear(key.clone());
            if self.commit_action(batch, &told).await? {
                return Ok(svc::Empty {});
            }
        }
        Err(Failure::contended())
    }
}

/// `<by>.<room>.<seq>`: no id has a point in it.
fn read_id(id: &str) -> Result<ReportKey, ApiError> {
    let bad = || ApiError::new(ErrorCode::BadRequest, "it is not the id of a report");
    let mut parts = id.splitn(3, '.');
    let mut next = || parts.next().ok_or_else(bad);
    let (by, room, seq) = (next()?, next()?, next()?);
    let seq = seq.parse().map_err(|_| bad())?;
    Ok((UserId::new(by)?, (RoomId::new(room)?, seq)))
}
