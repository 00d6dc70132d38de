//! A part of a room's log, for history and for repair.

use weft_proto::{ErrorCode, Position, RoomId, UserId, svc};
use weft_storage::Snapshot;
use weft_storage::tables::inbox;

use super::Context;
use super::access::{Access, Visible};
use super::failure::Failure;
use super::page::{PageBuilder, PageLimit, first_after, first_at};

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
        let caller = self.caller(&*snapshot, &request).await?;
        let room = RoomId::new(&request.room)?;
        let access = Access::of(&*snapshot, &room, &caller.user).await?;
        let newest = access.head.seq.min(access.visible.last());
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
        let page_of = |limit| match PageBuilder::new(limit).of_thread(request.thread) {
            page if is_merged => page.merged(user.clone(), self.clock.now_ms()),
            page => page,
        };
        let page = page_of(limit);
        let head_seq = access.head.seq;
        let to = if request.to == 0 { head_seq } else { request.to.min(head_seq) };
        let first = match asked {
            Asked::Before(before) => {
                let last = if before == 0 { head_seq } else { (before - 1).min(head_seq) };
                return back(snapshot, room, &access.visible, last, page).await;
            }
            Asked::After(seq) => seq.saturating_add(1),
            Asked::Around(seq) => {
                return around(snapshot, (room, &access), seq, (limit, page_of)).await;
            }
            Asked::At(time_ms) => {
                let seqs = (access.visible.first(), to.min(access.visible.last()));
                let first = first_at(snapshot, room, seqs, time_ms).await?;
                let page = forth(snapshot, room, &access.visible, first, to, page).await?;
                let more_before = Some(first > access.visible.first());
                return Ok(svc::LogPage { more_before, ..page });
            }
            // Most often nothing is after it: the head alone tells.
            Asked::AfterPosition(position) if access.position <= position => to.saturating_add(1),
            Asked::AfterPosition(position) => {
                let seqs = (access.head.first_seq, to);
                first_after(snapshot, room, seqs, position).await?
            }
        };
        let visible = match &request.joined_after {
            Some(bytes) => {
                let joined_after = (first, position(bytes)?);
                let joined = next_joining(snapshot, (room, &user), &access, joined_after).await?;
                access.visible.from(joined)
            }
            None => access.visible,
        };
        forth(snapshot, room, &visible, first, to, page).await
    }
}

/// The seq of the next joining, from `first` on and after the position, of a user who was no member there.
async fn next_joining(
    snapshot: &dyn Snapshot,
    (room, user): (&RoomId, &UserId),
    access: &Access,
    (first, joined_after): (u64, Position),
) -> Result<u64, Failure> {
    let Some(member) = access.member.as_ref().filter(|member| member.since_seq > first) else {
        return Ok(first);
    };
    let seqs = (access.head.first_seq, access.head.seq);
    let from = first_after(snapshot, room, seqs, joined_after).await?.max(first);
    // Of a row of before level 3 the first pointer tells: see `sync/plan.rs`.
    if !member.knows_from(from)
        && inbox::first_of(snapshot, (user, room), (joined_after, access.position)).await?
            != Some(member.since_seq)
    {
        // Whether there was an earlier one, nobody can tell any more: the session begins anew.
        let message = "not all memberships since joined_after are known";
        return Err(Failure::new(ErrorCode::BadCursor, message));
    }
    let mut joined = member.memberships().map(|(since, _)| since);
    Ok(joined.find(|since| *since >= from).unwrap_or(member.since_seq))
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
    let (visible, head_seq) = (&access.visible, access.head.seq);
    let seq = seq.clamp(1, head_seq.saturating_add(1));
    let half = limit.entries_max / 2;
    let from_it =
        PageLimit { entries_max: limit.entries_max - half, bytes_max: limit.bytes_max / 2 };
    let later = forth(snapshot, room, visible, seq, head_seq, page(from_it)).await?;
    let bytes: usize = later.entries.iter().map(|entry| entry.head.len() + entry.frame.len()).sum();
    if half == 0 || bytes >= limit.bytes_max {
        let more_before = Some(seq > visible.first());
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
    visible: &Visible,
    first: u64,
    last: u64,
    mut page: PageBuilder,
) -> Result<svc::LogPage, Failure> {
    // What is hidden after the last visible entry belongs to the last page.
    let (mut through, mut more) = (last.max(first.saturating_sub(1)), false);
    for (first, last) in visible.within(first, last) {
        let next = page.add(snapshot, room, first, last).await?;
        if next <= last {
            (through, more) = (next - 1, true);
            break;
        }
    }
    let (entries, from) = (page.into_entries(), first);
    Ok(svc::LogPage { entries, from, through, more, ..svc::LogPage::default() })
}

/// The last entries of `1..=last`, oldest first.
async fn back(
    snapshot: &dyn Snapshot,
    room: &RoomId,
    visible: &Visible,
    last: u64,
    mut page: PageBuilder,
) -> Result<svc::LogPage, Failure> {
    // What is hidden before the first visible entry belongs to the last page.
    let (mut from, mut more) = (1, false);
    for (first, last) in visible.within(1, last).rev() {
        let lowest = page.add_back(snapshot, room, first, last).await?;
        if lowest > first {
            (from, more) = (lowest, true);
            break;
        }
    }
    let (entries, through) = (page.into_entries_reversed(), last);
    Ok(svc::LogPage { entries, from, through, more, ..svc::LogPage::default() })
}

#[cfg(test)]
mod tests;
