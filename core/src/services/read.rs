//! A part of a room's log, for history and for repair.

use weft_proto::{ErrorCode, Position, RoomId, UserId, svc};
use weft_storage::Snapshot;
use weft_storage::tables::inbox;

use super::Context;
use super::access::Access;
use super::failure::Failure;
use super::page::{PageBuilder, PageLimit, first_after};

/// Pointers read at once: small rows.
const POINTERS_PER_SCAN: usize = 1_000;

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
        let snapshot = self.store.snapshot().await?;
        let caller = self.caller(&*snapshot, &request.token).await?;
        let room = RoomId::new(&request.room)?;
        let access = Access::of(&*snapshot, &room, &caller.user).await?;
        let newest = access.head.seq.min(access.visible.1);
        let page = self.part_of_log(&*snapshot, &request, (&room, caller.user, access)).await?;
        Ok(svc::LogPage { newest, ..page })
    }

    async fn part_of_log(
        &self,
        snapshot: &dyn Snapshot,
        request: &svc::ReadLog,
        (room, user, access): (&RoomId, UserId, Access),
    ) -> Result<svc::LogPage, Failure> {
        let asked = asked(request)?;
        let entries_max = match request.limit as usize {
            0 => self.limits.page.entries_max,
            limit => limit.min(self.limits.page.entries_max),
        };
        let limit = PageLimit { entries_max, ..self.limits.page };
        let mut page = PageBuilder::new(limit);
        // What became of messages after they left is not for former members.
        if request.merged && access.role.is_some() {
            page = page.merged(user.clone());
        }
        let head_seq = access.head.seq;
        let to = if request.to == 0 { head_seq } else { request.to.min(head_seq) };
        let first = match asked {
            Asked::Before(before) => {
                let last = if before == 0 { head_seq } else { (before - 1).min(head_seq) };
                return back(snapshot, room, access.visible, last, page).await;
            }
            Asked::After(seq) => seq.saturating_add(1),
            // Most often nothing is after it: the head alone tells.
            Asked::AfterPosition(position) if access.position <= position => to.saturating_add(1),
            Asked::AfterPosition(position) => {
                let seqs = (access.head.first_seq, to);
                first_after(snapshot, room, seqs, position).await?
            }
        };
        let mut visible = access.visible;
        if let Some(bytes) = &request.joined_after {
            let joined_after = position(bytes)?;
            let joined = next_joining(snapshot, room, &user, &access, (first, joined_after));
            visible.0 = visible.0.max(joined.await?);
        }
        forth(snapshot, room, visible, first, to, page).await
    }
}

/// The seq of the next joining, from `first` on and after the position, of a user who was no member
/// there. The member row knows the last joining alone; an earlier one, of a membership that has
/// ended again, has left pointers. Reads the user's inbox from the position on.
async fn next_joining(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    user: &UserId,
    access: &Access,
    (first, joined_after): (u64, Position),
) -> Result<u64, Failure> {
    if access.since_seq <= first {
        return Ok(first);
    }
    if inbox::is_trimmed_after(snapshot, user, joined_after).await? {
        // Whether there was an earlier one, nobody can tell any more: the session begins anew.
        let message = "the inbox does not go back to joined_after";
        return Err(Failure::new(ErrorCode::BadCursor, message));
    }
    let mut after = joined_after;
    loop {
        let range = inbox::range(user, after, access.position);
        let rows = snapshot.scan(range, POINTERS_PER_SCAN, false).await?;
        for (key, value) in &rows {
            let (position, of, seq) = inbox::decode(key, value)?;
            if of == *room && seq >= first {
                return Ok(seq.min(access.since_seq));
            }
            after = position;
        }
        if rows.len() < POINTERS_PER_SCAN {
            return Ok(access.since_seq);
        }
    }
}

fn position(bytes: &[u8]) -> Result<Position, Failure> {
    Position::from_slice(bytes)
        .ok_or_else(|| Failure::new(ErrorCode::BadRequest, "a position has 12 bytes"))
}

fn asked(request: &svc::ReadLog) -> Result<Asked, Failure> {
    match (request.after, request.before, &request.after_position) {
        (Some(seq), None, None) => Ok(Asked::After(seq)),
        (None, Some(seq), None) => Ok(Asked::Before(seq)),
        (None, None, Some(bytes)) => position(bytes).map(Asked::AfterPosition),
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
    mut page: PageBuilder,
) -> Result<svc::LogPage, Failure> {
    let (first_seen, last_seen) = (first.max(visible.0), last.min(visible.1));
    let next = page.add(snapshot, room, first_seen, last_seen).await?;
    let more = next <= last_seen;
    // What is hidden after the last visible entry belongs to the last page.
    let through = if more { next - 1 } else { last.max(first.saturating_sub(1)) };
    Ok(svc::LogPage { entries: page.into_entries(), from: first, through, more, newest: 0 })
}

/// The last entries of `1..=last`, oldest first.
async fn back(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    visible: (u64, u64),
    last: u64,
    mut page: PageBuilder,
) -> Result<svc::LogPage, Failure> {
    let (first_seen, last_seen) = (visible.0.max(1), last.min(visible.1));
    let lowest = page.add_back(snapshot, room, first_seen, last_seen).await?;
    let more = lowest > first_seen && last_seen >= first_seen;
    // What is hidden before the first visible entry belongs to the last page.
    let from = if more { lowest } else { 1 };
    Ok(svc::LogPage { entries: page.into_entries(), from, through: last, more, newest: 0 })
}

#[cfg(test)]
mod tests;
