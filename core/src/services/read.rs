//! A part of a room's log, for history and for repair.

use weft_proto::{ErrorCode, Position, RoomId, svc};
use weft_storage::Snapshot;

use super::Context;
use super::access::Access;
use super::failure::Failure;
use super::page::{Page, PageLimit, first_after};

/// What was asked for: exactly one of the three.
enum Asked {
    /// Entries with a greater seq, oldest first.
    After(u64),
    /// The last entries with a smaller seq; 0: of the whole room.
    Before(u64),
    /// Entries with a greater position, oldest first.
    AfterPosition(Position),
}

impl Context {
    /// Reads a part of a room's log. The page speaks of `from..=through`; what is missing there is
    /// hidden from the caller. Hidden ranges at either end are covered too, so that whoever repairs
    /// a gap by asking again never loops.
    ///
    /// # Errors
    /// [`ErrorCode::BadRequest`], [`ErrorCode::BadId`], [`ErrorCode::NoSuchRoom`],
    /// [`ErrorCode::NotMember`], those of the token, or the store's.
    pub async fn log_read(&self, request: svc::ReadLog) -> Result<svc::LogPage, Failure> {
        let caller = self.tokens.verify(&request.token)?;
        let room = RoomId::new(&request.room)?;
        let asked = asked(&request)?;
        let snapshot = self.store.snapshot().await?;
        let access = Access::of(&*snapshot, &room, &caller.user).await?;
        let entries_max = match request.limit as usize {
            0 => self.limits.page.entries_max,
            limit => limit.min(self.limits.page.entries_max),
        };
        let limit = PageLimit { entries_max, ..self.limits.page };
        let head_seq = access.head.seq;
        let to = if request.to == 0 { head_seq } else { request.to.min(head_seq) };
        match asked {
            Asked::Before(0) => back(&*snapshot, &room, access.visible, head_seq, limit).await,
            Asked::Before(seq) => {
                let last = (seq - 1).min(head_seq);
                back(&*snapshot, &room, access.visible, last, limit).await
            }
            Asked::After(seq) => {
                forth(&*snapshot, &room, access.visible, seq.saturating_add(1), to, limit).await
            }
            Asked::AfterPosition(position) => {
                // Most often nothing is behind it: the head alone tells.
                let first = if access.position <= position {
                    to.saturating_add(1)
                } else {
                    first_after(&*snapshot, &room, to, position).await?
                };
                forth(&*snapshot, &room, access.visible, first, to, limit).await
            }
        }
    }
}

fn asked(request: &svc::ReadLog) -> Result<Asked, Failure> {
    match (request.after, request.before, &request.after_position) {
        (Some(seq), None, None) => Ok(Asked::After(seq)),
        (None, Some(seq), None) => Ok(Asked::Before(seq)),
        (None, None, Some(bytes)) => Position::from_slice(bytes)
            .map(Asked::AfterPosition)
            .ok_or_else(|| Failure::new(ErrorCode::BadRequest, "a position has 12 bytes")),
        _ => Err(Failure::new(
            ErrorCode::BadRequest,
            "exactly one of after, before and after_position is to be given",
        )),
    }
}

/// `first..=last`, oldest first.
async fn forth(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    visible: (u64, u64),
    first: u64,
    last: u64,
    limit: PageLimit,
) -> Result<svc::LogPage, Failure> {
    let mut page = Page::new(limit);
    let (first_seen, last_seen) = (first.max(visible.0), last.min(visible.1));
    let next = page.add(snapshot, room, first_seen, last_seen).await?;
    let more = next <= last_seen;
    // What is hidden behind the last visible entry belongs to the last page.
    let through = if more { next - 1 } else { last.max(first.saturating_sub(1)) };
    Ok(svc::LogPage { entries: page.into_entries(), from: first, through, more })
}

/// The last entries of `1..=last`, oldest first.
async fn back(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    visible: (u64, u64),
    last: u64,
    limit: PageLimit,
) -> Result<svc::LogPage, Failure> {
    let mut page = Page::new(limit);
    let (first_seen, last_seen) = (visible.0.max(1), last.min(visible.1));
    let lowest = page.add_back(snapshot, room, first_seen, last_seen).await?;
    let more = lowest > first_seen && last_seen >= first_seen;
    // What is hidden before the first visible entry belongs to the last page.
    let from = if more { lowest } else { 1 };
    Ok(svc::LogPage { entries: page.into_entries(), from, through: last, more })
}

#[cfg(test)]
mod tests;
