//! Who comes into a group by themselves.

use weft_proto::{ApiError, ErrorCode, JoinRule, LinkToken, Role, RoomId, UserId};

use super::super::links::no_such_link;
use super::super::rooms::Room;
use super::{Change, Known, administer, come_in, exists, no, not_member};

/// Of a group that does not let them in, who was never there learns no more than of one that is not there; of a
/// wrong link, no more than of a link to no group.
pub(super) fn join(
    (id, room): (&RoomId, &Room),
    (seq, now_ms): (u64, u64),
    sender: &UserId,
    link: Option<&LinkToken>,
    known: &Known<'_>,
) -> Result<Change, ApiError> {
    if room.members.role(sender).is_some() {
        return Err(no(ErrorCode::AlreadyMember, "the sender is a member already"));
    }
    let is_open = room.head.seq > 0 && room.head.join_rule() == JoinRule::Open;
    let is_invited = room.head.seq > 0
        && known.invitations.is_open(known.state, &(sender.clone(), id.clone()), now_ms);
    let used = match link {
        // Of an open group it is not looked at, and of who is invited.
        _ if is_open || is_invited => None,
        Some(_) if room.head.seq == 0 => return Err(no_such_link()),
        Some(token) => Some(known.links.used_once(known.state, id, token, now_ms)?),
        None => return Err(not_member(room, sender)),
    };
    if room.head.closed {
        return Err(administer::is_closed());
    }
    if room.head.archived {
        return Err(no(ErrorCode::Archived, "the group is archived"));
    }
    exists(sender, known.accounts)?;
    Ok(Change { link: used, ..come_in((id, room), seq, (sender, Role::Member), known)? })
}
