//! What a user keeps for their own devices alone: how they want rooms to be.

use serde::Serialize;

use super::Request;
use crate::consent::{AddBy, Strangers};
use crate::error::ApiError;
use crate::kind::{DndHours, HiddenAt, Setting};
use crate::notify::Notify;
use crate::room::RoomId;

pub(super) fn read(text: &str) -> Result<Request, ApiError> {
    Setting::from_text(text).map(Request::Setting)
}

/// How the user wants a room to be: `{"type":"setting",…}`.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(tag = "type", rename = "setting")]
pub struct SettingFrame<'a> {
    pub room: &'a RoomId,
    /// Unix milliseconds; 0: it is not muted.
    pub muted_until: u64,
    pub pinned: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<HiddenAt>,
    /// Of the user's own notebook: whether others hear how far the user has read any room, and the user hears it of others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipts: Option<bool>,
    /// The same: who may put the user into a group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add_by: Option<AddBy>,
    /// The same: what becomes of the first messages of who is not known to the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strangers: Option<Strangers>,
    /// The same: the hours in which the user is not to be disturbed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dnd: Option<&'a DndHours>,
    /// The same: until when they are not, whatever the hour; Unix milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dnd_until: Option<u64>,
    /// Of what the user is notified: of the room, or, of their own notebook, of all rooms that they have said nothing of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify: Option<Notify>,
}

impl SettingFrame<'_> {
    /// The frame's bytes.
    #[must_use]
    pub fn to_frame(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain fields serialise")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;
    use crate::kind::MUTED_FOR_EVER;

    #[test]
    fn a_setting_is_read() {
        let setting = |fields: &str| read(&format!(r#"{{"id":1,"type":"setting"{fields}}}"#));
        let team = || RoomId::new("team").expect("id");
        for (fields, muted_until, pinned) in [
            (r#","room":"team","muted_until":0"#, Some(0), None),
            (r#","room":"team","pinned":true,"muted_until":null"#, None, Some(true)),
            (
                r#","room":"team","pinned":false,"muted_until":9007199254740991"#,
                Some(MUTED_FOR_EVER),
                Some(false),
            ),
        ] {
            let room = Some(team());
            let expected = Setting { room, muted_until, pinned, ..Setting::default() };
            assert_eq!(setting(fields).expect(fields), Request::Setting(expected));
        }
        let off = Setting { receipts: Some(false), ..Setting::default() };
        let read_off = setting(r#","receipts":false"#).expect("read");
        assert_eq!(read_off, Request::Setting(off.clone()));
        assert_eq!(Setting::of_all_rooms(br#"{"receipts":false}"#).expect("read"), off);
        let known = Setting { add_by: Some(AddBy::Known), ..off };
        let read_known = setting(r#","add_by":"known","receipts":false"#).expect("read");
        assert_eq!(read_known, Request::Setting(known));
        for (fields, room) in [
            (r#","notify":"mentions""#, None),
            (r#","room":"team","notify":"mentions""#, Some(team())),
        ] {
            let expected = Setting { room, notify: Some(Notify::Mentions), ..Setting::default() };
            assert_eq!(setting(fields).expect(fields), Request::Setting(expected));
        }
        let hours =
            r#"{"from":"22:00","to":"07:00","days":["sun","mon"],"time_zone":"europe/berlin"}"#;
        let Request::Setting(dnd) =
            setting(&format!(r#","dnd":{hours},"dnd_until":7"#)).expect("dnd")
        else {
            panic!("a setting")
        };
        assert_eq!(dnd.dnd.expect("hours").days, ["mon", "sun"]);
        assert_eq!((dnd.dnd_until, dnd.room), (Some(7), None));
        let hidden = setting(r#","room":"team","hidden":{"seq":7,"ordinal":3}"#).expect("hidden");
        let at = Some(Box::new(HiddenAt { seq: 7, ordinal: 3 }));
        let expected = Setting { room: Some(team()), hidden: at, ..Setting::default() };
        assert_eq!(hidden, Request::Setting(expected));
        for (bad, code) in [
            (r#","hidden":{"seq":7,"ordinal":3}"#, ErrorCode::BadRequest),
            (r#","room":"team","hidden":true"#, ErrorCode::BadRequest),
            (r#","room":"team","hidden":{}"#, ErrorCode::BadRequest),
            (r#","room":"team","dnd_until":1"#, ErrorCode::BadRequest),
            (r#","dnd_until":9007199254740992"#, ErrorCode::BadRequest),
            (r#","dnd":{"from":"22:00","to":"07:00","time_zone":"Mars"}"#, ErrorCode::BadRequest),
            (r#","dnd":{"from":"22:00"}"#, ErrorCode::BadRequest),
            (r#","dnd":true"#, ErrorCode::BadRequest),
            (r#","notify":"some""#, ErrorCode::BadRequest),
            (r#","room":"team","notify":"all","receipts":true"#, ErrorCode::BadRequest),
            (r#","room":"team","add_by":"all""#, ErrorCode::BadRequest),
            (r#","room":"team","strangers":"request""#, ErrorCode::BadRequest),
            (r#","strangers":"some""#, ErrorCode::BadRequest),
            (r#","add_by":"some""#, ErrorCode::BadRequest),
            (r#","pinned":true"#, ErrorCode::BadRequest),
            (r#","room":"team","receipts":false"#, ErrorCode::BadRequest),
            (r#","pinned":true,"receipts":false"#, ErrorCode::BadRequest),
            (r#","receipts":"off""#, ErrorCode::BadRequest),
            (r#","room":"team""#, ErrorCode::BadRequest),
            (r#","room":"a.b","pinned":true"#, ErrorCode::BadId),
            (r#","room":"team","muted_until":9007199254740992"#, ErrorCode::BadRequest),
            (r#","room":"team","muted_until":-1"#, ErrorCode::BadRequest),
        ] {
            assert_eq!(setting(bad).expect_err(bad).code, code);
        }
        let of_team = Setting::of_room(&team(), br#"{"pinned":true}"#).expect("read");
        assert_eq!(of_team.room, Some(team()));
        let other = Setting::of_room(&team(), br#"{"receipts":true}"#);
        assert_eq!(other.expect_err("all rooms").code, ErrorCode::BadRequest);
        let other = Setting::of_all_rooms(br#"{"room":"team","pinned":true}"#);
        assert_eq!(other.expect_err("one room").code, ErrorCode::BadRequest);
        let other = Setting::of_room(&team(), br#"{"room":"other","pinned":true}"#);
        assert_eq!(other.expect_err("another room").code, ErrorCode::BadRequest);
    }
}
