//! What a user hears, on their own devices, of how they want a room to be: the same where it is published, audited
//! and synced.

use bytes::Bytes;
use weft_proto::frame::SettingFrame;
use weft_proto::notify::Notify;
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
    let Setting { muted_until_ms, pinned, hidden, .. } = *setting;
    let receipts = receipts(room, setting);
    let of_all_rooms = receipts.map(|_| setting);
    SettingFrame {
        room,
        muted_until: muted_until_ms,
        pinned,
        hidden,
        receipts,
        add_by: of_all_rooms.map(Setting::add_by),
        strangers: of_all_rooms.map(Setting::strangers),
        dnd: of_all_rooms.and_then(|setting| setting.dnd.as_ref()),
        notify: Some(setting.notify()).filter(|it| *it != Notify::Default),
        dnd_until: of_all_rooms.map(|it| it.dnd_until_ms).filter(|until_ms| *until_ms > 0),
    }
    .to_frame()
    .into()
}

/// Of the user's own notebook: whether they tell and hear how far somebody has read.
fn receipts(room: &RoomId, setting: &Setting) -> Option<bool> {
    let is_notebook = room.direct_users().is_some_and(|(a, b)| a == b);
    is_notebook.then_some(!setting.receipts_off)
}
