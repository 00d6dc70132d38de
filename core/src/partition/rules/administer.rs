//! What administrators of the installation do in any room, members or not: close it, open it again, and delete a
//! message. It is told in the administrators' log, in the entry's commit.

use weft_proto::kind::{Close, Delete};
use weft_proto::{ApiError, Body, ErrorCode, RoomId, UserId};
use weft_storage::tables::admin_log::AdminLog;
use weft_storage::tables::head::Head;

use super::super::rooms::Room;
use super::super::sabotage::{self, Rule};
use super::{Accounts, Change, no};

/// True where it is for administrators alone.
#[must_use]
pub fn is_administrators(body: &Body) -> bool {
    matches!(body, Body::Close(_) | Body::Delete(Delete { reason: Some(_), .. }))
}

/// True where it is for administrators alone, and its sender is one. That was looked up a moment ago: who was
/// removed since may have this one applied.
#[must_use]
pub fn administers(sender: &UserId, body: &Body, accounts: &Accounts) -> bool {
    let is_one = |user| accounts.get(user).is_some_and(|it| it.is_admin && !it.is_suspended());
    is_administrators(body) && is_one(sender)
}

/// Who is none is told the same, whatever room they name.
pub(super) fn decide(
    (id, room): (&RoomId, &Room),
    sender: &UserId,
    body: &Body,
    accounts: &Accounts,
) -> Result<Change, ApiError> {
    if !administers(sender, body, accounts) {
        let message = "only an administrator of the installation may do that";
        return Err(no(ErrorCode::Forbidden, message));
    }
    if room.head.seq == 0 {
        return Err(no(ErrorCode::NoSuchRoom, "there is no such room"));
    }
    let closed = match body {
        Body::Close(Close { closed, .. }) if *closed == room.head.closed => {
            return Err(no(ErrorCode::Unchanged, "the room is so already"));
        }
        Body::Close(Close { closed, .. }) => Some(*closed),
        _ => None,
    };
    Ok(Change { closed, ..of_message(id) })
}

/// What changes beside a message, whoever deletes it.
#[must_use]
pub fn of_message(id: &RoomId) -> Change {
    let concerned = id.direct_users().map(|(a, b)| if a == b { vec![a] } else { vec![a, b] });
    Change { concerned: concerned.unwrap_or_default(), ..Change::default() }
}

/// In a closed room nothing is said and nothing changes, until an administrator opens it. Who wants to leave may, an
/// owner who is the last one by making somebody else owner first.
pub(super) fn check_closed(head: &Head, body: &Body) -> Result<(), ApiError> {
    let is_closed_to = !matches!(body, Body::Leave(_) | Body::ChangeRole(_));
    if head.closed && is_closed_to && !sabotage::is_out(Rule::ClosedIsObeyed) {
        return Err(is_closed());
    }
    Ok(())
}

pub(super) fn is_closed() -> ApiError {
    no(ErrorCode::Closed, "an administrator has closed the room")
}

/// What the administrators' log says of an entry with this seq; `None`: nothing.
#[must_use]
pub fn told(sender: &UserId, id: &RoomId, seq: u64, body: &Body) -> Option<AdminLog> {
    let (action, seq, reason) = match body {
        Body::Close(Close { closed: true, reason }) => ("close", seq, reason),
        Body::Close(Close { closed: false, reason }) => ("reopen", seq, reason),
        Body::Delete(Delete { target, reason: reason @ Some(_) }) => ("delete", *target, reason),
        _ => return None,
    };
    let (by, action, room) = (sender.to_string(), action.to_owned(), id.to_string());
    let reason = reason.clone().unwrap_or_default();
    Some(AdminLog { by, action, room, seq, reason, ..AdminLog::default() })
}
