//! Everything since a cursor.
//!
//! A sync carries exactly what a session would have got that had been live all the time: each entry
//! that was committed in (cursor, R] while the user was a member of its room, the joining and the
//! leaving entry included, each once, each room's in its order. R is the read version of the first
//! page's snapshot.
//!
//! - Direct rooms: the user's inbox says it. A pointer is written in the commit of the entry.
//! - Groups have pointers only for entries that concern the user: the joining and leaving ones. So
//!   the first page finds the spans of their logs ([`plan`]), and pointers into those rooms are left
//!   out.
//!
//! What changed beside entries (marks of rooms and threads, settings, drafts, relations, what is scheduled) comes after them: each key that did in (cursor, R], once,
//! as it is now. The
//! rows that tell it have each key once, at its newest change; so one that changes again meanwhile is missing
//! here, and is heard live.
//!
//! What a sync covers is decided on the first page alone and then carried from page to page, signed:
//! the spans name what the caller may read, and edges are not believed. Later pages take a new
//! snapshot, but nothing that is newer than R belongs to it.
//!
//! A cursor ahead of R names a history that this store does not have: positions only grow, and no
//! read version is above what is committed. So it is answered like the cursor of another store: an
//! error would leave the device stuck, and an empty answer would skip entries in silence.

mod plan;
mod todo;

use std::collections::BTreeSet;

use bytes::Bytes;
use weft_proto::svc::Resync;
use weft_proto::{Cursor, ErrorCode, Position, RoomId, UserId, svc};
use weft_storage::tables::change::{self, Changed};
use weft_storage::tables::group_invitation;
use weft_storage::tables::relation::{self, Relation, RelationKey};
use weft_storage::tables::scheduled;
use weft_storage::tables::setting::{Setting, receipts_off};
use weft_storage::tables::thread_follower::{self, FollowerKey, ThreadFollower};
use weft_storage::tables::{draft, inbox, mark, setting};
use weft_storage::{Error, Snapshot};

use self::todo::Todo;
use super::at_once::READ_AT_ONCE;
use super::failure::Failure;
use super::page::PageBuilder;
use super::relations::hidden_rooms;
use super::{Caller, Context};
use crate::{drafts, invitations, marks, relations, settings};

/// Changes on one page: some 100 kB.
const CHANGES_PER_PAGE: usize = 500;
/// With the draft whose frame passes this, a page has no further changes.
const DRAFT_BYTES_PER_PAGE: usize = 100_000;

enum Begin {
    /// With entries up to the position.
    Entries(Todo),
    /// Not: the device has to load its rooms anew.
    Resync(Resync),
}

impl Context {
    /// Everything since a cursor, page by page.
    ///
    /// # Errors
    /// [`ErrorCode::BadCursor`], [`ErrorCode::BadRequest`] for a page that is none of this user's,
    /// those of the token, or the store's.
    pub async fn sync(&self, request: svc::Sync) -> Result<svc::SyncPage, Failure> {
        let snapshot = self.store.snapshot().await?;
        let caller = self.caller(&*snapshot, &request).await?;
        let user = caller.user.clone();
        let read_version = snapshot.read_version();
        let mut todo = if request.page.is_empty() {
            match self.begin(&*snapshot, &user, &request.cursor).await? {
                Begin::Entries(todo) => todo,
                Begin::Resync(resync) => return Ok(self.resync(read_version, resync)),
            }
        } else {
            let todo = Todo::open(&self.tokens, &user, &request.page)?;
            if read_version < todo.through {
                // Another core process knows more than this one does yet.
                return Err(weft_storage::Error::Unavailable(
                    "the store is older than the sync".into(),
                )
                .into());
            }
            todo
        };
        // Between two pages too: each has a snapshot of its own, and what was trimmed since the one before
        // would be left out in silence.
        if let Some(after) = todo.inbox_after
            && inbox::is_trimmed_after(&*snapshot, &user, after).await?
        {
            return Ok(self.resync(read_version, Resync::CursorExpired));
        }
        // The page may have been another token's.
        todo.spans.retain(|span| caller.sees(&span.room));
        let mut page = PageBuilder::new(self.limits.page);
        add_from_inbox(&*snapshot, &caller, &mut todo, &mut page).await?;
        add_from_logs(&*snapshot, &mut todo, &mut page).await?;
        let receipts_off = !receipts_off(&*snapshot, [&user]).await?.is_empty();
        let changes = changes(&*snapshot, (&caller, receipts_off), &mut todo).await?;
        let next = if todo.is_done() { Vec::new() } else { todo.seal(&self.tokens, &user)? };
        Ok(svc::SyncPage {
            cursor: self.cursor(todo.through),
            resync: Resync::None.into(),
            entries: page.into_entries(),
            next,
            changes,
            receipts_off,
        })
    }

    async fn begin(
        &self,
        snapshot: &dyn Snapshot,
        user: &UserId,
        cursor: &str,
    ) -> Result<Begin, Failure> {
        if cursor.is_empty() {
            return Ok(Begin::Resync(Resync::NoCursor));
        }
        let cursor: Cursor = cursor.parse()?;
        let through = snapshot.read_version();
        if cursor.store != self.store_id || cursor.position > through {
            return Ok(Begin::Resync(Resync::OtherStore));
        }
        let entries_max = self.limits.sync_entries_max;
        Ok(match plan::plan(snapshot, user, cursor.position, through, entries_max).await? {
            Some(spans) => {
                let after = Some(cursor.position);
                Begin::Entries(Todo { through, inbox_after: after, spans, changes_after: after })
            }
            None => Begin::Resync(Resync::TooFarBehind),
        })
    }

    fn resync(&self, read_version: Position, resync: Resync) -> svc::SyncPage {
        let cursor = self.cursor(read_version);
        svc::SyncPage { cursor, resync: resync.into(), ..svc::SyncPage::default() }
    }

    fn cursor(&self, position: Position) -> String {
        Cursor { store: self.store_id, position }.to_string()
    }
}

/// Adds what the inbox points to, in commit order, but for rooms that are read as spans.
async fn add_from_inbox(
    snapshot: &dyn Snapshot,
    caller: &Caller,
    todo: &mut Todo,
    page: &mut PageBuilder,
) -> Result<(), Failure> {
    while let Some(after) = todo.inbox_after {
        if page.is_full() {
            return Ok(());
        }
        let range = inbox::range(&caller.user, after, todo.through);
        let rows = snapshot.scan(range, READ_AT_ONCE, false).await?;
        let is_last = rows.len() < READ_AT_ONCE;
        let (mut positions, mut wanted) = (Vec::new(), Vec::new());
        let mut reached = after;
        for (key, value) in &rows {
            let (position, room, seq) = inbox::decode(key, value)?;
            reached = position;
            if !todo.has_span(&room) && caller.sees(&room) {
                positions.push(position);
                wanted.push((room, seq));
            }
        }
        let added = page.add_each(snapshot, &wanted).await?;
        if added < wanted.len() {
            if let Some(last) = added.checked_sub(1) {
                todo.inbox_after = Some(positions[last]);
            }
            return Ok(());
        }
        todo.inbox_after = if is_last { None } else { Some(reached) };
    }
    Ok(())
}

/// Adds the spans, room by room.
async fn add_from_logs(
    snapshot: &dyn Snapshot,
    todo: &mut Todo,
    page: &mut PageBuilder,
) -> Result<(), Failure> {
    if todo.inbox_after.is_some() {
        return Ok(());
    }
    let mut done = 0;
    for span in &mut todo.spans {
        span.from = page.add(snapshot, &span.room, span.from, span.through).await?;
        if span.from <= span.through {
            break;
        }
        done += 1;
    }
    todo.spans.drain(..done);
    Ok(())
}

/// The next ones of what has changed beside entries, as it is now, when all entries are out. How far others have read is
/// left out where they have turned off read receipts, or the user has (`is_off`); or one has blocked the other, or has not accepted
/// that they write.
async fn changes(
    snapshot: &dyn Snapshot,
    (caller, is_off): (&Caller, bool),
    todo: &mut Todo,
) -> Result<Vec<Bytes>, Error> {
    let user = &caller.user;
    let Some(after) = todo.changes_after.filter(|_| todo.has_all_entries()) else {
        return Ok(Vec::new());
    };
    let range = change::range(user, after, todo.through);
    let rows = snapshot.scan(range, CHANGES_PER_PAGE, false).await?;
    let mut is_full = rows.len() == CHANGES_PER_PAGE;
    let (mut marks, mut threads) = (Vec::new(), Vec::new());
    let (mut of_rooms, mut of_users) = (Vec::new(), Vec::new());
    let (mut typed, mut typed_bytes) = (Vec::new(), 0);
    for (key, value) in &rows {
        let (position, changed) = change::decode(key, value)?;
        todo.changes_after = Some(position);
        if !is_in_scope(caller, &changed) {
            continue;
        }
        match changed {
            Changed::Mark(room, whose) => marks.push((room, whose)),
            Changed::Setting(whose, room) => of_rooms.push((whose, room)),
            Changed::Thread(room, root) => threads.push((user.clone(), (room, root))),
            Changed::Relation(whose, other) => of_users.push((whose, other)),
            Changed::Scheduled(room, id) => {
                let wanted = [(user.clone(), room, id)];
                let row = scheduled::get_many(snapshot, &wanted).await?.remove(0);
                typed.extend(row.map(|(_, row)| crate::scheduled::frame(&wanted[0], &row)));
            }
            Changed::Invitation(room) => {
                let wanted = [(user.clone(), room)];
                let row = group_invitation::get_many(snapshot, &wanted).await?.remove(0);
                typed.extend(row.map(|(_, row)| invitations::frame(&wanted[0].1, &row)));
            }
            Changed::Draft(whose, room) => {
                let wanted = [(whose, room)];
                let row = draft::get_many(snapshot, &wanted).await?.remove(0);
                let frame = row.map(|(_, kept)| drafts::frame(&wanted[0].1, &kept));
                typed_bytes += frame.as_ref().map_or(0, Bytes::len);
                typed.extend(frame);
            }
        }
        if typed_bytes > DRAFT_BYTES_PER_PAGE {
            is_full = true;
            break;
        }
    }
    if !is_full {
        todo.changes_after = None;
    }
    let off = if is_off {
        BTreeSet::from([user.clone()])
    } else {
        let others = marks.iter().map(|(_, whose)| whose).filter(|whose| *whose != user);
        receipts_off(snapshot, others).await?
    };
    let others = marks.iter().filter(|(_, whose)| whose != user).map(|(room, _)| room);
    let apart = hidden_rooms(snapshot, others).await?;
    marks.retain(|(room, whose)| {
        whose == user || !(apart.contains(room) || marks::is_hidden(room, whose, &off))
    });
    let held = mark::held(snapshot, &marks).await?;
    let frame = |((room, whose), held): (&(RoomId, UserId), mark::Held)| {
        marks::frame(room, whose, &held.mark, user)
    };
    let marks = marks.iter().zip(held).map(frame);
    let rows = thread_follower::get_many(snapshot, &threads).await?;
    let frame = |(at, row): (&FollowerKey, Option<(Position, ThreadFollower)>)| {
        row.map(|(_, row)| marks::thread_frame(at, &row))
    };
    let threads = threads.iter().zip(rows).filter_map(frame);
    let rows = setting::get_many(snapshot, &of_rooms).await?;
    let frame = |((_, room), row): (&(UserId, RoomId), Option<(Position, Setting)>)| {
        row.map(|(_, setting)| settings::frame(room, &setting))
    };
    let of_rooms = of_rooms.iter().zip(rows).filter_map(frame);
    let rows = relation::get_many(snapshot, &of_users).await?;
    let frame = |((_, other), row): (&RelationKey, Option<(Position, Relation)>)| {
        row.map(|(_, relation)| relations::frame(other, &relation))
    };
    let of_users = of_users.iter().zip(rows).filter_map(frame);
    Ok(marks.chain(threads).chain(of_rooms).chain(typed).chain(of_users).collect())
}

/// A token that names rooms is told of marks there, and of nothing that is kept for the user's own devices.
fn is_in_scope(caller: &Caller, changed: &Changed) -> bool {
    match changed {
        _ if caller.scope.as_ref().is_none_or(|scope| scope.rooms.is_none()) => true,
        Changed::Mark(room, _) | Changed::Thread(room, _) => caller.sees(room),
        _ => false,
    }
}

fn bad_page() -> Failure {
    Failure::new(ErrorCode::BadRequest, "not a page of this sync: begin it anew")
}

#[cfg(test)]
mod tests;
