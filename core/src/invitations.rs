//! What the devices of a user are told of their being invited to a group: the same where it is published, audited and synced.

use bytes::Bytes;
use weft_proto::frame::{InvitationFrame, InvitationState};
use weft_proto::{ChangeHead, Position, RoomId, svc};
use weft_storage::tables::group_invitation::{GroupInvitation, InvitationKey};

#[must_use]
pub fn change(
    (user, room): &InvitationKey,
    position: Position,
    row: &GroupInvitation,
) -> svc::Change {
    svc::Change {
        users: vec![user.to_string()],
        group: String::new(),
        head: ChangeHead::invitation(user, room, position).to_string(),
        frame: frame(room, row),
    }
}

#[must_use]
pub fn frame(room: &RoomId, row: &GroupInvitation) -> Bytes {
    let is_open = !row.by.is_empty();
    let state = if is_open { InvitationState::Invited } else { InvitationState::Ended };
    let time = is_open.then_some(row.invited_ms);
    InvitationFrame { room, state, by: &row.by, time }.to_frame().into()
}
