//! What a user hears, on their own devices, of what they have typed and not sent: the same where it is published,
//! audited and synced.

use bytes::Bytes;
use weft_proto::frame::draft_frame;
use weft_proto::kind::Draft;
use weft_proto::{ChangeHead, Position, RoomId, UserId, svc};
use weft_storage::tables::draft::Kept;

#[must_use]
pub fn change(user: &UserId, room: &RoomId, position: Position, frame: Bytes) -> svc::Change {
    svc::Change {
        users: vec![user.to_string()],
        group: String::new(),
        head: ChangeHead::draft(user, room, position).to_string(),
        frame,
    }
}

#[must_use]
pub fn frame(room: &RoomId, Kept { version, content, .. }: &Kept) -> Bytes {
    let draft =
        Draft { room: room.clone(), version: *version, content: content.clone().map(Box::new) };
    draft_frame(&draft).into()
}
