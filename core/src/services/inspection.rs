//! What administrators and operators see of any room. Each look is told in the administrators' log before it is
//! answered.

use std::sync::Arc;

use weft_proto::check::check_chars;
use weft_proto::limits::REASON_CHARS_MAX;
use weft_proto::{ErrorCode, Position, RoomId, RoomKind, UserId, svc};
use weft_storage::Snapshot;
use weft_storage::tables::admin_log::AdminLog;
use weft_storage::tables::head::{self, Head};

use super::Context;
use super::access::history_of;
use super::accounts::ATTEMPTS_MAX;
use super::administration::{Authority, Begun};
use super::failure::Failure;
use super::page::{PageBuilder, PageLimit};
use super::rooms::page_of_members;

#[cfg(test)]
mod tests;

/// A look that was told.
struct Look {
    snapshot: Arc<dyn Snapshot>,
    room: RoomId,
    head: Head,
}

impl Context {
    /// Says what a room is.
    ///
    /// # Errors
    /// [`ErrorCode::Forbidden`], [`ErrorCode::NoSuchRoom`], [`ErrorCode::BadId`], [`ErrorCode::TooLong`], those of the token,
    /// or the store's.
    pub async fn inspect_room(
        &self,
        authority: Authority,
        request: svc::InspectRoom,
    ) -> Result<svc::RoomSummary, Failure> {
        let svc::InspectRoom { token, room, reason } = request;
        let Look { room, head, .. } =
            self.look((authority, &token), &room, ("see_room", 0, reason)).await?;
        let (join, write, members_max, member_count) = match room.direct_users() {
            Some((a, b)) => ("", "", 0, if a == b { 1 } else { 2 }),
            None => {
                let (join, write) = (head.join_rule().as_str(), head.write_rule().as_str());
                (join, write, head.members_max(), head.member_count)
            }
        };
        Ok(svc::RoomSummary {
            room: room.to_string(),
            history: match room.kind() {
                RoomKind::Group => history_of(&head).as_str().to_owned(),
                RoomKind::Direct => String::new(),
            },
            title: head.title,
            seq: head.seq,
            ordinal: head.ordinal,
            time_ms: head.time_ms,
            member_count,
            large: head.large,
            topic: head.topic,
            avatar: head.avatar,
            join: join.to_owned(),
            write: write.to_owned(),
            slow_mode_s: head.slow_mode_s,
            members_max,
            archived: head.archived,
            closed: head.closed,
            ..svc::RoomSummary::default()
        })
    }

    /// Lists a room's members.
    ///
    /// # Errors
    /// As [`inspect_room`](Self::inspect_room).
    pub async fn inspect_members(
        &self,
        authority: Authority,
        request: svc::InspectMembers,
    ) -> Result<svc::Members, Failure> {
        let svc::InspectMembers { token, room, reason, after, limit } = request;
        if !after.is_empty() {
            UserId::new(&after)?;
        }
        let look = self.look((authority, &token), &room, ("see_members", 0, reason)).await?;
        page_of_members(&*look.snapshot, &look.room, after, self.rows_max(limit)).await
    }

    /// Reads a page of a room's entries, oldest first, as they are now.
    ///
    /// # Errors
    /// As [`inspect_room`](Self::inspect_room).
    pub async fn inspect_log(
        &self,
        authority: Authority,
        request: svc::InspectLog,
    ) -> Result<svc::LogPage, Failure> {
        let svc::InspectLog { token, room, reason, after, limit } = request;
        let from = after.saturating_add(1);
        let Look { snapshot, room, head } =
            self.look((authority, &token), &room, ("see_entries", from, reason)).await?;
        let limit = PageLimit { entries_max: self.entries_max(limit), ..self.limits.page };
        let first = from.max(head.first_seq);
        let mut page = PageBuilder::new(limit);
        let next = page.add(&*snapshot, &room, first, head.seq).await?;
        let (entries, newest) = (page.into_entries(), head.seq);
        let more = next <= head.seq;
        let through = if more { next - 1 } else { head.seq };
        Ok(svc::LogPage { entries, from, through, more, newest, ..svc::LogPage::default() })
    }

    /// Writes into the log that somebody looks, and then lets them.
    async fn look(
        &self,
        (authority, token): (Authority, &str),
        room: &str,
        (action, seq, reason): (&str, u64, String),
    ) -> Result<Look, Failure> {
        let room = RoomId::new(room)?;
        check_chars("reason", &reason, REASON_CHARS_MAX)?;
        let (action, named) = (action.to_owned(), room.to_string());
        let told = AdminLog { action, room: named, seq, reason, ..AdminLog::default() };
        for _ in 0..ATTEMPTS_MAX {
            let Begun { snapshot, batch, .. } = self.begin_action(&authority, token, &told).await?;
            let row = snapshot.get(head::key(&room)).await?;
            let row =
                row.ok_or_else(|| Failure::new(ErrorCode::NoSuchRoom, "there is no such room"))?;
            let (_, head): (Position, Head) = head::decode(&row)?;
            if self.commit_action(batch, &told).await? {
                return Ok(Look { snapshot, room, head });
            }
        }
        Err(Failure::contended())
    }
}
