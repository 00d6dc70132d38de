//! What is kept of the caller, as JSON lines that are made while they are read: nothing is stored for it,
//! and it goes as fast as the caller's rate of requests lets it.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::sleep;
use weft_proto::frame::{self, Profile, error_frame};
use weft_proto::scope::Needs;
use weft_proto::svc::{self, Method};
use weft_proto::{ApiError, ErrorCode, RoomId};

use super::extract::{Caller, Query, Refusal};
use crate::auth;
use crate::cost;
use crate::limited::LimitKind;
use crate::metrics;
use crate::queries;
use crate::shared::Shared;

/// How often what core can't answer for the moment is asked again, and after how long, at least.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_secs(1);
/// When to come back where others are made.
const BUSY_RETRY_MS: u64 = 60_000;

/// `GET /v1/export`
pub(super) async fn export(
    State(shared): State<Arc<Shared>>,
    Caller(caller): Caller,
    query: Query,
) -> Result<Response, Refusal> {
    let after = query.text("after")?.map(RoomId::new).transpose()?;
    if let Some(scope) = &caller.scope {
        // It has what a bot has not: devices.
        scope.check(Needs::Person)?;
    }
    let share = shared.exports.take(&caller.user, 1).map_err(|_| {
        shared.limited.note(LimitKind::Exports);
        let error = ApiError::new(ErrorCode::RateLimited, "exports are being made already");
        error.retry_after_ms(BUSY_RETRY_MS)
    })?;
    let name = format!("attachment; filename=\"weft-{}.jsonl\"", caller.user);
    let (lines, taken) = mpsc::channel(1);
    let (stop, front) = (shared.life.front.token().clone(), Arc::clone(&shared));
    front.life.front.spawn("export", async move {
        let export = Export { shared, caller, lines, counts: Counts::default() };
        if stop.run_until_cancelled(export.run(after)).await.is_none() {
            metrics::EXPORTS.increment("stopped");
        }
        drop(share);
    });
    let pages = stream::unfold(taken, async |mut taken: mpsc::Receiver<Bytes>| {
        let page = taken.recv().await?;
        Some((Ok::<_, Infallible>(page), taken))
    });
    let headers = [
        (header::CONTENT_TYPE, "application/x-ndjson".to_owned()),
        (header::CONTENT_DISPOSITION, name),
        (header::CACHE_CONTROL, "no-store".to_owned()),
    ];
    Ok((headers, Body::from_stream(pages)).into_response())
}

/// Why it is not made to its end.
enum Stopped {
    /// The client has left, or takes nothing.
    Gone,
    Refused(ApiError),
}

impl From<ApiError> for Stopped {
    fn from(error: ApiError) -> Self {
        Self::Refused(error)
    }
}

#[derive(Default, Serialize)]
struct Counts {
    rooms: u64,
    entries: u64,
}

/// The lines that no frame is for.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Line<'a> {
    Export { version: u32, user: &'a str, server_time: u64 },
    Profile(Profile),
    ExportEnd(&'a Counts),
}

struct Export {
    shared: Arc<Shared>,
    caller: auth::Caller,
    lines: mpsc::Sender<Bytes>,
    counts: Counts,
}

impl Export {
    async fn run(mut self, after: Option<RoomId>) {
        let done = match after {
            None => self.all().await,
            Some(room) => self.rooms(room.to_string()).await,
        };
        let done = match done {
            Ok(()) => self.line(&Line::ExportEnd(&self.counts)).await,
            Err(stopped) => Err(stopped),
        };
        metrics::EXPORTS.increment(match done {
            Ok(()) => "ok",
            Err(Stopped::Gone) => "gone",
            Err(Stopped::Refused(error)) => {
                // Who reads it is told why it ends here, and knows by the last room where to go on.
                let _ = self.put(error_frame(&error)).await;
                "refused"
            }
        });
    }

    async fn all(&mut self) -> Result<(), Stopped> {
        let (user, server_time) = (self.caller.user.clone(), self.shared.now_ms());
        self.line(&Line::Export { version: 1, user: user.as_str(), server_time }).await?;
        let request = svc::GetProfile { token: self.token(), user: String::new() };
        let profile = self.ask(1, &request).await?;
        self.line(&Line::Profile(profile.into())).await?;
        let status = self.ask(1, &svc::GetStatus { token: self.token() }).await?;
        self.put(frame::Reply::status(status).to_frame()).await?;
        self.query(frame::Query::Devices).await?;
        self.drafts().await?;
        self.relations().await?;
        self.invitations().await?;
        self.scheduled().await?;
        self.rooms(String::new()).await
    }

    async fn drafts(&mut self) -> Result<(), Stopped> {
        let mut after = String::new();
        loop {
            let request = svc::ListDrafts { token: self.token(), after, limit: 0 };
            let page = self.ask(cost::DRAFTS, &request).await?;
            for draft in &page.drafts {
                self.put(draft.to_vec()).await?;
            }
            match page.drafts.last().filter(|_| page.more).and_then(|last| room_of(last)) {
                Some(room) => after = room,
                None => return Ok(()),
            }
        }
    }

    async fn relations(&mut self) -> Result<(), Stopped> {
        let mut after = String::new();
        loop {
            let request = svc::ListRelations { token: self.token(), after, limit: 0 };
            let page = self.ask(cost::of_list(0), &request).await?;
            let (last, more) = (page.relations.last().map(|it| it.user.clone()), page.more);
            self.put(frame::Reply::relations(page).to_frame()).await?;
            match last.filter(|_| more) {
                Some(last) => after = last,
                None => return Ok(()),
            }
        }
    }

    async fn invitations(&mut self) -> Result<(), Stopped> {
        let mut after = String::new();
        loop {
            let request = svc::ListGroupInvitations { token: self.token(), after, limit: 0 };
            let page = self.ask(cost::of_list(0), &request).await?;
            let (last, more) = (page.invitations.last().map(|it| it.room.clone()), page.more);
            self.put(frame::Reply::invitations(page).to_frame()).await?;
            match last.filter(|_| more) {
                Some(last) => after = last,
                None => return Ok(()),
            }
        }
    }

    async fn scheduled(&mut self) -> Result<(), Stopped> {
        let mut after = String::new();
        loop {
            let request = svc::ListScheduled { token: self.token(), after };
            let page = self.ask(cost::DRAFTS, &request).await?;
            for scheduled in &page.scheduled {
                self.put(scheduled.to_vec()).await?;
            }
            after = page.cursor;
            if after.is_empty() {
                return Ok(());
            }
        }
    }

    /// All rooms after one, by id, groups first, each with what the caller has written in it.
    async fn rooms(&mut self, mut after: String) -> Result<(), Stopped> {
        loop {
            let request = svc::ListGroups { token: self.token(), after, with_direct: true };
            let page = self.ask(cost::of_list(0), &request).await?;
            for room in &page.rooms {
                match self.room(&RoomId::new(room)?).await {
                    // It was left, or deleted, in the meantime.
                    Err(Stopped::Refused(ApiError {
                        code: ErrorCode::NotMember | ErrorCode::NoSuchRoom,
                        ..
                    })) => {}
                    done => done?,
                }
            }
            match page.rooms.last().filter(|_| page.more) {
                Some(last) => after = last.clone(),
                None => return Ok(()),
            }
        }
    }

    async fn room(&mut self, room: &RoomId) -> Result<(), Stopped> {
        self.query(frame::Query::Room { room: room.clone() }).await?;
        self.counts.rooms += 1;
        let mut after = 0;
        loop {
            let (token, own) = (self.token(), self.caller.user.as_str().to_owned());
            let request = svc::ReadLog {
                token,
                room: room.to_string(),
                after: Some(after),
                merged: true,
                ..svc::ReadLog::default()
            };
            let page = self.ask(cost::of_history(0), &request).await?;
            let mut lines = Vec::new();
            for entry in page.entries.iter().filter(|entry| is_from(&entry.frame, &own)) {
                lines.extend_from_slice(&entry.frame);
                lines.push(b'\n');
                self.counts.entries += 1;
            }
            if !lines.is_empty() {
                self.send(lines).await?;
            }
            if !page.more {
                return Ok(());
            }
            after = page.through;
        }
    }

    fn token(&self) -> String {
        self.caller.token.to_string()
    }

    async fn query(&mut self, query: frame::Query) -> Result<(), Stopped> {
        self.pay(cost::of_query(&query)).await;
        let mut tries = 0;
        let frame = loop {
            match queries::answer(&self.shared, self.token(), query.clone()).await {
                Ok(frame) => break frame,
                Err(error) => wait_after(error, &mut tries).await?,
            }
        };
        self.put(frame).await
    }

    async fn ask<M: Method>(&self, cost: u32, request: &M) -> Result<M::Reply, Stopped> {
        self.pay(cost).await;
        let mut tries = 0;
        loop {
            match self.shared.bus.call(request).await {
                Ok(reply) => return Ok(reply),
                Err(error) => wait_after(error, &mut tries).await?,
            }
        }
    }

    /// Charges the caller as for any other request.
    async fn pay(&self, cost: u32) {
        let (user, patience) = (&self.caller.user, self.shared.limits.give_up_after);
        while let Err(wait) = self.shared.http_requests.pay(user, cost, patience).await {
            sleep(wait).await;
        }
    }

    async fn line(&self, line: &Line<'_>) -> Result<(), Stopped> {
        self.put(serde_json::to_vec(line).unwrap_or_default()).await
    }

    async fn put(&self, mut line: Vec<u8>) -> Result<(), Stopped> {
        line.push(b'\n');
        self.send(line).await
    }

    /// A client that takes nothing for as long as a session may is left.
    async fn send(&self, lines: Vec<u8>) -> Result<(), Stopped> {
        let cost = cost::of_answer(lines.len());
        let stall = self.shared.limits.write_stall;
        self.lines.send_timeout(lines.into(), stall).await.map_err(|_| Stopped::Gone)?;
        self.pay(cost).await;
        Ok(())
    }
}

/// Waits before the next try, where there is to be one.
async fn wait_after(error: ApiError, tries: &mut u32) -> Result<(), Stopped> {
    *tries += 1;
    if !error.code.is_temporary() || *tries == TRIES {
        return Err(error.into());
    }
    sleep(error.retry_after_ms.map_or(PAUSE, Duration::from_millis).max(PAUSE)).await;
    Ok(())
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    from: &'a str,
}

fn is_from(frame: &[u8], user: &str) -> bool {
    serde_json::from_slice::<Entry<'_>>(frame).is_ok_and(|entry| entry.from == user)
}

fn room_of(frame: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct OfRoom {
        room: String,
    }
    serde_json::from_slice::<OfRoom>(frame).ok().map(|it| it.room)
}
