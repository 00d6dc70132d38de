//! Into which groups somebody is invited, and whom a group has invited.

use bytes::Bytes;
use tracing::error;
use weft_proto::{Role, RoomId, UserId, svc};
use weft_storage::tables::group_invitation::{self, GroupInvitation, InvitationKey};
use weft_storage::tables::head;
use weft_storage::{Error, Snapshot};

use super::Context;
use super::access::Access;
use super::failure::Failure;
use super::relations::blocked;
use crate::partition::rights::{self, Action};

/// Rows that are read at once.
const ROWS_PER_SCAN: usize = 512;

impl Context {
    /// The groups into which the caller is invited, ascending by id: not by those of whom one has blocked the other.
    ///
    /// # Errors
    /// [`ErrorCode::BadId`](weft_proto::ErrorCode::BadId), those of the token, or the store's.
    pub async fn group_invitations(
        &self,
        request: svc::ListGroupInvitations,
    ) -> Result<svc::GroupInvitations, Failure> {
        let snapshot = self.store.snapshot().await?;
        let user = self.caller(&*snapshot, &request).await?.user;
        let mut after = match &*request.after {
            "" => None,
            after => Some(RoomId::new(after)?),
        };
        let (limit, now_ms) = (self.rows_max(request.limit), self.clock.now_ms());
        let mut invitations = Vec::new();
        loop {
            let range = group_invitation::range_after(&user, after.as_ref());
            let rows = snapshot.scan(range, ROWS_PER_SCAN, false).await?;
            let mut open: Vec<(RoomId, GroupInvitation, UserId)> = Vec::new();
            for (key, row) in &rows {
                let key = group_invitation::read_key(key)?;
                after = Some(key.1.clone());
                if let Some((row, by)) = read(&key, row, now_ms) {
                    open.push((key.1, row, by));
                }
            }
            let hidden = blocked(&*snapshot, &user, open.iter().map(|(.., by)| by)).await?;
            open.retain(|(.., by)| !hidden.contains(by));
            let keys = open.iter().map(|(room, ..)| head::key(room)).collect();
            for ((room, row, by), head) in open.iter().zip(snapshot.get_many(keys).await?) {
                let Some(head) = head else { continue };
                if invitations.len() == limit {
                    return Ok(svc::GroupInvitations { invitations, more: true });
                }
                let (_, head) = head::decode(&head)?;
                invitations.push(svc::GroupInvitation {
                    room: room.to_string(),
                    title: head.title,
                    topic: head.topic,
                    avatar: head.avatar,
                    member_count: head.member_count,
                    by: by.to_string(),
                    invited_ms: row.invited_ms,
                });
            }
            if rows.len() < ROWS_PER_SCAN {
                return Ok(svc::GroupInvitations { invitations, more: false });
            }
        }
    }

    /// Who is invited to come into a group, ascending by user id: for those who may bring them in.
    ///
    /// # Errors
    /// [`ErrorCode::BadId`](weft_proto::ErrorCode::BadId), those of [`Access`],
    /// [`ErrorCode::Forbidden`](weft_proto::ErrorCode::Forbidden), those of the token, or the store's.
    pub async fn invited(&self, request: svc::ListInvited) -> Result<svc::InvitedUsers, Failure> {
        let snapshot = self.store.snapshot().await?;
        let user = self.caller(&*snapshot, &request).await?.user;
        let room = RoomId::new(&request.room)?;
        let mut after = match &*request.after {
            "" => None,
            after => Some(UserId::new(after)?),
        };
        let role = Access::of(&*snapshot, &room, &user).await?.member_role()?;
        rights::check(role, Action::Add(Role::Member))?;
        let (limit, now_ms) = (self.rows_max(request.limit), self.clock.now_ms());
        let mut users = Vec::new();
        loop {
            let page =
                group_invitation::invited(&*snapshot, &room, after.as_ref(), ROWS_PER_SCAN).await?;
            let keys: Vec<InvitationKey> =
                page.iter().map(|user| (user.clone(), room.clone())).collect();
            let rows = snapshot.get_many(keys.iter().map(group_invitation::key).collect()).await?;
            for (key, row) in keys.iter().zip(rows) {
                let Some((row, by)) = row.and_then(|row| read(key, &row, now_ms)) else { continue };
                if users.len() == limit {
                    return Ok(svc::InvitedUsers { users, more: true });
                }
                let (user, by) = (key.0.to_string(), by.to_string());
                users.push(svc::InvitedUser { user, by, invited_ms: row.invited_ms });
            }
            if page.len() < ROWS_PER_SCAN {
                return Ok(svc::InvitedUsers { users, more: false });
            }
            after = page.last().cloned();
        }
    }
}

/// Whether a user sees by its row that they are invited into a group: it is open, and neither has blocked the other.
pub(super) async fn is_invited(
    snapshot: &dyn Snapshot,
    key: &InvitationKey,
    row: Option<Bytes>,
    now_ms: u64,
) -> Result<bool, Error> {
    let Some((_, by)) = row.and_then(|row| read(key, &row, now_ms)) else { return Ok(false) };
    Ok(blocked(snapshot, &key.0, [&by]).await?.is_empty())
}

/// The row and who has invited, where it is open. One that can't be read is no reason to show none.
fn read(key: &InvitationKey, row: &[u8], now_ms: u64) -> Option<(GroupInvitation, UserId)> {
    let read = group_invitation::decode(row).inspect_err(
        |error| error!(user = %key.0, room = %key.1, %error, "an invitation can't be read"),
    );
    let (_, row) = read.ok().filter(|(_, row)| row.is_open(now_ms))?;
    let by = UserId::new(&row.by).ok()?;
    Some((row, by))
}
