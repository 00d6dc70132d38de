//! A part of a room's log, for history and for repair.

use weft_proto::{ErrorCode, Position, RoomId, UserId, svc};
use weft_storage::Snapshot;
use weft_storage::tables::inbox;

use super::Context;
use super::access::Access;
use super::failure::Failure;
use super::page::{PageBuilder, PageLimit, first_after, first_at};

/// Pointers read at once: small rows.
const POINTERS_PER_SCAN: usize = 1_000;

/// What was asked for: exactly one of these.
enum Asked {
    /// Entries with a greater seq, oldest first.
    After(u64),
    /// The last entries with a smaller seq; 0: of the whole room.
    Before(u64),
    /// Entries with a greater position, oldest first.
    AfterPosition(Position),
    /// Entries on both sides of a seq.
    Around(u64),
    /// Entries that were taken at this time or later, oldest first.
    At(u64),
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
        let limit = PageLimit { entries_max: self.entries_max(request.limit), ..self.limits.page };
        // What became of messages after they left is not for former members.
        let is_merged = request.merged && access.role.is_some();
        let page_of = |limit| match PageBuilder::new(limit) {
            page if is_merged => page.merged(user.clone()),
            page => page,
        };
        let page = page_of(limit);
        let head_seq = access.head.seq;
        let to = if request.to == 0 { head_seq } else { request.to.min(head_seq) };
        let first = match asked {
            Asked::Before(before) => {
                let last = if before == 0 { head_seq } else { (before - 1).min(head_seq) };
                return back(snapshot, room, access.visible, last, page).await;
            }
            Asked::After(seq) => seq.saturating_add(1),
            Asked::Around(seq) => {
                return around(snapshot, (room, &access), seq, (limit, page_of)).await;
            }
            Asked::At(time_ms) => {
                let seqs = (access.visible.0, to.min(access.visible.1));
                let first = first_at(snapshot, room, seqs, time_ms).await?;
                let page = forth(snapshot, room, access.visible, first, to, page).await?;
                let more_before = Some(first > access.visible.0.max(1));
                return Ok(svc::LogPage { more_before, ..page });
            }
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
    let position = request.after_position.as_deref().map(position).transpose()?;
    let asked = [
        request.after.map(Asked::After),
        request.before.map(Asked::Before),
        position.map(Asked::AfterPosition),
        request.around.map(Asked::Around),
        request.at_ms.map(Asked::At),
    ];
    let mut asked = asked.into_iter().flatten();
    match (asked.next(), asked.next()) {
        (Some(one), None) => Ok(one),
        _ => Err(Failure::new(
            ErrorCode::BadRequest,
            "exactly one of after, before, after_position, around and at_ms is to be given",
        )),
    }
}

/// Half of a page before a seq, the others from it on; where these are large, fewer before it.
async fn around(
    snapshot: &dyn Snapshot,
    (room, access): (&RoomId, &Access),
    seq: u64,
    (limit, page): (PageLimit, impl Fn(PageLimit) -> PageBuilder),
) -> Result<svc::LogPage, Failure> {
    let (visible, head_seq) = (access.visible, access.head.seq);
    let seq = seq.clamp(1, head_seq.saturating_add(1));
    let half = limit.entries_max / 2;
    let from_it =
        PageLimit { entries_max: limit.entries_max - half, bytes_max: limit.bytes_max / 2 };
    let later = forth(snapshot, room, visible, seq, head_seq, page(from_it)).await?;
    let bytes: usize = later.entries.iter().map(|entry| entry.head.len() + entry.frame.len()).sum();
    if half == 0 || bytes >= limit.bytes_max {
        let more_before = Some(seq > visible.0.max(1));
        return Ok(svc::LogPage { more_before, ..later });
    }
    let before_it = PageLimit { entries_max: half, bytes_max: limit.bytes_max - bytes };
    let earlier = back(snapshot, room, visible, seq - 1, page(before_it)).await?;
    let mut entries = earlier.entries;
    entries.extend(later.entries);
    let (from, more_before) = (earlier.from, Some(earlier.more));
    Ok(svc::LogPage { entries, from, more_before, ..later })
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
    Ok(svc::LogPage {
        entries: page.into_entries(),
        from: first,
        through,
        more,
        ..svc::LogPage::default()
    })
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
    Ok(svc::LogPage {
        entries: page.into_entries(),
        from,
        through: last,
        more,
        ..svc::LogPage::default()
    })
}

#[cfg(test)]
mod tests;
