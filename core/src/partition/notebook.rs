//! What users keep of rooms for their own devices alone: commands to the sender's own notebook `u~u`, without an entry,
//! whichever partition the room is in. Only the owner of the notebook writes the rows.

use std::collections::BTreeSet;

use bytes::Bytes;
use weft_proto::{ApiError, ErrorCode, RoomId, UserId};
use weft_storage::tables::user_room;
use weft_storage::{Error, Snapshot};

/// Who keeps something, and of which room.
pub type KeptKey = (UserId, RoomId);

/// The rows at these keys, and whether their users are members of the rooms.
///
/// # Errors
/// Those of the store.
pub async fn load(
    snapshot: &dyn Snapshot,
    keys: &BTreeSet<KeptKey>,
    row_key: impl Fn(&UserId, &RoomId) -> Bytes,
) -> Result<Vec<(Option<Bytes>, bool)>, Error> {
    let rows = |(user, room): &KeptKey| [row_key(user, room), user_room::key(user, room)];
    let rows = snapshot.get_many(keys.iter().flat_map(rows).collect()).await?;
    let read = |rows: &[Option<Bytes>]| match rows {
        [row, membership] => Some((row.clone(), membership.is_some())),
        _ => None,
    };
    Ok(rows.chunks(2).filter_map(read).collect())
}

/// Refuses what goes elsewhere than to the sender's own notebook.
///
/// # Errors
/// [`ErrorCode::BadRequest`].
pub fn is_own(notebook: &RoomId, sender: &UserId, what: &str) -> Result<(), ApiError> {
    if notebook.direct_users().is_some_and(|(a, b)| a == *sender && b == *sender) {
        return Ok(());
    }
    let message = format!("a {what} goes to the sender's own notebook");
    Err(ApiError::new(ErrorCode::BadRequest, message))
}

/// Refuses what is of a room that is not the sender's. A direct room is there for its users before its first message.
///
/// # Errors
/// [`ErrorCode::NotMember`].
pub fn is_in((user, room): &KeptKey, is_member: bool) -> Result<(), ApiError> {
    let directs = room.direct_users();
    if directs.map_or(is_member, |(a, b)| a == *user || b == *user) {
        return Ok(());
    }
    Err(ApiError::new(ErrorCode::NotMember, "the sender is not a member of the room"))
}
