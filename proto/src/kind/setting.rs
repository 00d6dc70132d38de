//! `setting`: how the sender wants a room to be, on all of their devices; or, without a room, whether they tell and hear
//! how far somebody has read, who may add them to groups, and when they are not to be disturbed. A command to the sender's own
//! notebook and no entry: nobody else hears of it.

use serde::{Deserialize, Serialize};

use super::dnd::DndHours;
use super::{
    CONVERSATIONS_LEVEL, EntryKind, Kind, PEOPLE_LEVEL, named_by_path, number_of_word,
    word_of_number,
};
use crate::consent::{AddBy, Strangers};
use crate::error::{ApiError, ErrorCode};
use crate::frame::REQUEST_ID_MAX;
use crate::ids::UserId;
use crate::json::{read_object, text_of};
use crate::notify::Notify;
use crate::room::RoomId;

/// For ever: what a JavaScript number holds exactly.
pub const MUTED_FOR_EVER: u64 = REQUEST_ID_MAX;

/// What is said of all rooms, and of one, for people.
const OF_ALL_ROOMS: &str = "receipts, add_by, strangers, dnd, dnd_until or notify";
const OF_ONE_ROOM: &str = "muted_until, pinned, hidden or notify";

/// A room as it was when its user hid it: until it has something new.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, prost::Message)]
pub struct HiddenAt {
    /// Of its last entry; 0: it is not hidden.
    #[prost(uint64, tag = "1")]
    pub seq: u64,
    #[prost(uint64, tag = "2")]
    #[serde(default)]
    pub ordinal: u64,
}

/// Changes what it names, and leaves the rest.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Setting {
    /// `None`: of all rooms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<RoomId>,
    /// Unix milliseconds; 0: it is not muted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub muted_until: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<Box<HiddenAt>>,
    /// Of all rooms: others hear how far the user has read, and the user hears it of others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipts: Option<bool>,
    /// Of all rooms: who may put the user into a group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add_by: Option<AddBy>,
    /// The same: what becomes of the first messages of who is not known to the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strangers: Option<Strangers>,
    /// Of all rooms: the hours in which the user is not to be disturbed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dnd: Option<Box<DndHours>>,
    /// Of all rooms: the user is not to be disturbed before this time, Unix milliseconds, whatever the hour; 0: no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dnd_until: Option<u64>,
    /// Of the room, or of all: of what the user is notified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify: Option<Notify>,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
#[serde(from = "Inner")]
pub struct Fields {
    #[prost(message, required, tag = "29")]
    setting: Inner,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
struct Inner {
    #[prost(string, optional, tag = "1")]
    room: Option<String>,
    #[prost(uint64, optional, tag = "2")]
    muted_until: Option<u64>,
    #[prost(bool, optional, tag = "3")]
    pinned: Option<bool>,
    #[prost(bool, optional, tag = "4")]
    receipts: Option<bool>,
    #[prost(enumeration = "AddBy", optional, tag = "5")]
    #[serde(default, deserialize_with = "number_of_word::<_, AddBy>")]
    add_by: Option<i32>,
    #[prost(enumeration = "Strangers", optional, tag = "6")]
    #[serde(default, deserialize_with = "number_of_word::<_, Strangers>")]
    strangers: Option<i32>,
    #[prost(message, optional, tag = "20")]
    dnd: Option<DndHours>,
    #[prost(uint64, optional, tag = "21")]
    dnd_until: Option<u64>,
    #[prost(message, optional, tag = "22")]
    hidden: Option<HiddenAt>,
    #[prost(enumeration = "Notify", optional, tag = "23")]
    #[serde(default, deserialize_with = "number_of_word::<_, Notify>")]
    notify: Option<i32>,
}

impl From<Inner> for Fields {
    fn from(setting: Inner) -> Self {
        Self { setting }
    }
}

impl Setting {
    /// Reads the JSON form: an object, perhaps with other fields.
    ///
    /// # Errors
    /// Those of [`read_object`], and what its check says.
    pub fn from_text(json: &str) -> Result<Self, ApiError> {
        Self::check(read_object(json)?)
    }

    /// The same of a room that a path has named.
    ///
    /// # Errors
    /// Those of [`named_by_path`] and of [`from_text`](Self::from_text).
    pub fn of_room(room: &RoomId, bytes: &[u8]) -> Result<Self, ApiError> {
        Self::check(named_by_path(room, bytes, |fields: &mut Fields| &mut fields.setting.room)?)
    }

    /// The same of all rooms.
    ///
    /// # Errors
    /// As [`of_room`](Self::of_room).
    pub fn of_all_rooms(bytes: &[u8]) -> Result<Self, ApiError> {
        let setting = Self::from_text(text_of(bytes)?)?;
        if setting.room.is_none() {
            return Ok(setting);
        }
        let message = "a setting of one room has a path of its own";
        Err(ApiError::new(ErrorCode::BadRequest, message))
    }

    /// The room that it is kept for: what is of all rooms, for the user's own notebook.
    #[must_use]
    pub fn kept_for(&self, user: &UserId) -> RoomId {
        self.room.clone().unwrap_or_else(|| RoomId::direct(user, user))
    }
}

impl EntryKind for Setting {
    type Fields = Fields;
    const KIND: Kind = Kind {
        is_for_direct: true,
        is_entry: false,
        ..Kind::new("setting", 16, CONVERSATIONS_LEVEL)
    };

    fn check(Fields { setting }: Fields) -> Result<Self, ApiError> {
        let Inner {
            room,
            muted_until,
            pinned,
            hidden,
            receipts,
            add_by,
            strangers,
            dnd,
            dnd_until,
            notify,
        } = setting;
        let bad = |message: String| Err(ApiError::new(ErrorCode::BadRequest, message));
        for (field, until) in [("muted_until", muted_until), ("dnd_until", dnd_until)] {
            if until.is_some_and(|until| until > MUTED_FOR_EVER) {
                return bad(format!("the field {field} is a time up to {MUTED_FOR_EVER}"));
            }
        }
        let add_by = add_by.map(|number| word_of_number("add_by", number)).transpose()?;
        let strangers = strangers.map(|it| word_of_number("strangers", it)).transpose()?;
        let is_of_all_rooms = receipts.is_some()
            || add_by.is_some()
            || strangers.is_some()
            || dnd.is_some()
            || dnd_until.is_some()
            || (notify.is_some() && room.is_none());
        let is_of_one = muted_until.is_some()
            || pinned.is_some()
            || hidden.is_some()
            || (notify.is_some() && room.is_some());
        let setting = Self {
            room: None,
            muted_until,
            pinned,
            hidden: hidden.map(Box::new),
            receipts,
            add_by,
            strangers,
            dnd: dnd.map(DndHours::check).transpose()?.map(Box::new),
            dnd_until,
            notify: notify.map(|it| word_of_number("notify", it)).transpose()?,
        };
        match (room, is_of_all_rooms, is_of_one) {
            (None, true, false) => Ok(setting),
            (Some(room), false, true) => Ok(Self { room: Some(RoomId::new(&room)?), ..setting }),
            (_, true, _) => bad(format!(
                "the fields {OF_ALL_ROOMS} are for all rooms: they come without room, {OF_ONE_ROOM}"
            )),
            (None, false, _) => {
                bad(format!("a setting has {OF_ALL_ROOMS}, or a room with {OF_ONE_ROOM}"))
            }
            (Some(_), false, false) => bad(format!("a setting of a room has {OF_ONE_ROOM}")),
        }
    }

    fn fields(&self) -> Fields {
        let setting = self.clone();
        let Self {
            room,
            muted_until,
            pinned,
            hidden,
            receipts,
            add_by,
            strangers,
            dnd,
            dnd_until,
            notify,
        } = setting;
        let room = room.as_ref().map(ToString::to_string);
        let (hidden, dnd) = (hidden.map(|at| *at), dnd.map(|hours| *hours));
        let add_by = add_by.map(Into::into);
        let strangers = strangers.map(Into::into);
        let notify = notify.map(Into::into);
        Inner {
            room,
            muted_until,
            pinned,
            hidden,
            receipts,
            add_by,
            strangers,
            dnd,
            dnd_until,
            notify,
        }
        .into()
    }

    fn level(&self) -> u32 {
        let is_late = self.room.is_none() || self.hidden.is_some() || self.notify.is_some();
        if is_late { PEOPLE_LEVEL } else { Self::KIND.level }
    }
}
