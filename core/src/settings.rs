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
        head: ChangeHead::setting(user, room, position, receipts(room, setting)).to_string(),
        frame: frame(room, setting),
    }
}

#[must_use]
pub fn frame(room: &RoomId, setting: &Setting) -> Bytes {
    let Setting { muted_until_ms, pinned, .. } = *setting;
    let receipts = receipts(room, setting);
    let add_by = receipts.map(|_| setting.add_by());
    SettingFrame { room, muted_until: muted_until_ms, pinned, receipts, add_by }.to_frame().into()
}

/// Of the user's own notebook: whether they tell and hear how far somebody has read.
fn receipts(room: &RoomId, setting: &Setting) -> Option<bool> {
    let is_notebook = room.direct_users().is_some_and(|(a, b)| a == b);
    is_notebook.then_some(!setting.receipts_off)
}
