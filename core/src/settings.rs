//! What a user hears, on their own devices, of how they want a room to be: the same where it is published, audited
//! and synced.

use bytes::Bytes;
use weft_proto::frame::SettingFrame;
use weft_proto::{ChangeHead, Position, RoomId, UserId, svc};
use weft_storage::tables::setting::Setting;

#[must_use]
pub fn change(user: &UserId, room: &RoomId, position: Position, setting: &Setting) -> svc::Change {
    svc::Change {
        users: vec![user.to_string()],
        group: String::new(),
        head: ChangeHead::setting(user, room, position).to_string(),
        frame: frame(room, setting),
    }
}

#[must_use]
pub fn frame(room: &RoomId, setting: &Setting) -> Bytes {
    let Setting { muted_until_ms, pinned } = *setting;
    SettingFrame { room, muted_until: muted_until_ms, pinned }.to_frame().into()
}
