//! Avatars of users and groups: which files may be one, and who may see whose
//! ([ADR 24](../../../docs/adr/0024-files.md)).

use bytes::Bytes;
use weft_proto::file::Avatar;
use weft_proto::{FileId, RoomId, UserId};
use weft_storage::tables::account::{self, Account};
use weft_storage::tables::file::{self, File};
use weft_storage::tables::group_invitation;
use weft_storage::tables::head::{self, Head};
use weft_storage::tables::member::{self, Member};
use weft_storage::tables::open_group;
use weft_storage::{Error, Snapshot};

use super::failure::Failure;
use super::invitations::is_invited;
use crate::partition::files;

#[cfg(test)]
mod tests;

/// The row of the file that a user wants as their avatar, with its key: a commit that makes it one is guarded by it. `None`:
/// they want none.
///
/// # Errors
/// [`BadId`](weft_proto::ErrorCode::BadId), those of [`files::avatar`], or the store's.
pub(super) async fn wanted(
    snapshot: &dyn Snapshot,
    user: &UserId,
    avatar: &str,
) -> Result<Option<(Bytes, Bytes)>, Failure> {
    let Avatar(Some(id)) = Avatar::new(avatar)? else { return Ok(None) };
    let row = snapshot.get(file::key(id)).await?;
    let file = row.as_deref().map(File::decode).transpose()?;
    files::avatar(user, id, file.as_ref())?;
    Ok(row.map(|row| (file::key(id), row)))
}

/// Whether a file is the avatar of a user: whoever may see their profile sees it, and that is everybody.
pub(super) async fn is_users(
    snapshot: &dyn Snapshot,
    id: FileId,
    user: &str,
) -> Result<bool, Failure> {
    let Ok(user) = UserId::new(user) else { return Ok(false) };
    let row = snapshot.get(account::key(&user)).await?;
    let account = row.as_deref().map(Account::decode).transpose()?;
    Ok(account.is_some_and(|account| account.avatar == id.to_string()))
}

/// Whether a file is the avatar of a group that a user sees: as a member, because they are invited, or because everybody
/// may find it.
pub(super) async fn is_groups(
    snapshot: &dyn Snapshot,
    id: FileId,
    (room, user): (&RoomId, &UserId),
    now_ms: u64,
) -> Result<bool, Error> {
    let invitation = (user.clone(), room.clone());
    let keys = vec![head::key(room), member::key(room, user), group_invitation::key(&invitation)];
    let mut rows = snapshot.get_many(keys).await?.into_iter();
    let (head, member, invited) = (rows.next(), rows.next(), rows.next());
    let Some(head) = head.flatten() else { return Ok(false) };
    let (_, head): (_, Head) = head::decode(&head)?;
    if head.avatar != id.to_string() {
        return Ok(false);
    }
    let member = member.flatten().as_deref().map(Member::decode).transpose()?;
    if member.is_some_and(|member| member.role().is_some()) || open_group::is_found(&head) {
        return Ok(true);
    }
    is_invited(snapshot, &invitation, invited.flatten(), now_ms).await
}
