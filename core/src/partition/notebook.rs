//! What users keep of rooms for their own devices alone: commands to the sender's own notebook `u~u`, without an entry,
//! whichever partition the room is in. Only the owner of the notebook writes the rows.

use std::collections::BTreeSet;

use bytes::Bytes;
use weft_proto::{ApiError, ErrorCode, RoomId, RoomKind, UserId};
use weft_storage::tables::{account, member, user_room};
use weft_storage::{Error, Snapshot};

/// Who keeps something, and of which room.
pub type KeptKey = (UserId, RoomId);

/// What a room is to a user.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Standing {
    /// A group that they are a member of; or a direct room: both of its users are there.
    Member,
    /// A group that they have left.
    Former,
    /// A group that they never were in, or that is not there; a direct room with a user who is not there.
    #[default]
    Unknown,
}

/// The rows at these keys, and what the rooms are to their users.
///
/// # Errors
/// Those of the store.
pub async fn load(
    snapshot: &dyn Snapshot,
    keys: &BTreeSet<KeptKey>,
    row_key: impl Fn(&UserId, &RoomId) -> Bytes,
) -> Result<Vec<(Option<Bytes>, Standing)>, Error> {
    let rows = |(user, room): &KeptKey| {
        let there = match room.direct_users() {
            Some((a, b)) => account::key(if a == *user { &b } else { &a }),
            None => member::key(room, user),
        };
        [row_key(user, room), user_room::key(user, room), there]
    };
    let rows = snapshot.get_many(keys.iter().flat_map(rows).collect()).await?;
    let read = |(rows, (_, room)): (&[Option<Bytes>], &KeptKey)| {
        let [row, membership, there] = rows else { return None };
        let standing = match (there, membership) {
            (None, _) => Standing::Unknown,
            (Some(_), None) if room.kind() == RoomKind::Group => Standing::Former,
            (Some(_), _) => Standing::Member,
        };
        Some((row.clone(), standing))
    };
    Ok(rows.chunks(3).zip(keys).filter_map(read).collect())
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
/// [`ErrorCode::NotMember`], [`ErrorCode::NoSuchRoom`], [`ErrorCode::NoSuchUser`].
pub fn is_in((user, room): &KeptKey, standing: Standing) -> Result<(), ApiError> {
    let directs = room.direct_users();
    let other = match &directs {
        Some((a, b)) if a == user || b == user => Some(if a == user { b } else { a }),
        Some(_) => {
            let message = "a direct room belongs to its two users";
            return Err(ApiError::new(ErrorCode::NotMember, message));
        }
        None => None,
    };
    let (code, message) = match (standing, other) {
        (Standing::Member, _) => return Ok(()),
        (Standing::Unknown, Some(other)) => {
            (ErrorCode::NoSuchUser, format!("there is no user {other}"))
        }
        (Standing::Unknown, None) => (ErrorCode::NoSuchRoom, "there is no such room".to_owned()),
        (Standing::Former, _) => {
            let message = "the sender is not a member of the room any more";
            (ErrorCode::NotMember, message.to_owned())
        }
    };
    Err(ApiError::new(code, message))
}
