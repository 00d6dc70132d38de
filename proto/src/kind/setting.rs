//! `setting`: how the sender wants a room to be, on all of their devices; or, without a room, whether they tell and hear
//! how far somebody has read, and who may add them to groups. A command to the sender's own notebook and no entry: nobody else
//! hears of it.

use serde::{Deserialize, Serialize};

use super::{
    CONVERSATIONS_LEVEL, EntryKind, Kind, PEOPLE_LEVEL, named_by_path, number_of_word,
    word_of_number,
};
use crate::error::{ApiError, ErrorCode};
use crate::frame::REQUEST_ID_MAX;
use crate::ids::UserId;
use crate::json::{read_object, text_of};
use crate::room::RoomId;

/// For ever: what a JavaScript number holds exactly.
pub const MUTED_FOR_EVER: u64 = REQUEST_ID_MAX;

/// Who may put a user into a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, prost::Enumeration)]
#[serde(rename_all = "snake_case")]
#[repr(i32)]
pub enum AddBy {
    /// Everybody: the default.
    All = 0,
    /// The user's contacts, and who has written with the user in a direct room, both of them.
    Known = 1,
    /// Nobody: the user joins by themselves.
    None = 2,
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
    /// Of all rooms: others hear how far the user has read, and the user hears it of others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receipts: Option<bool>,
    /// Of all rooms: who may put the user into a group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub add_by: Option<AddBy>,
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

    fn check(
        Fields { setting: Inner { room, muted_until, pinned, receipts, add_by } }: Fields,
    ) -> Result<Self, ApiError> {
        let bad = |message: String| Err(ApiError::new(ErrorCode::BadRequest, message));
        let add_by = add_by.map(|number| word_of_number("add_by", number)).transpose()?;
        if receipts.is_some() || add_by.is_some() {
            if room.is_some() || muted_until.is_some() || pinned.is_some() {
                return bad("the fields receipts and add_by are for all rooms: they come without room, muted_until and pinned".into());
            }
            return Ok(Self { room: None, muted_until, pinned, receipts, add_by });
        }
        let Some(room) = room else {
            return bad("a setting has receipts alone, or a room with muted_until or pinned".into());
        };
        let room = RoomId::new(&room)?;
        if muted_until.is_some_and(|until| until > MUTED_FOR_EVER) {
            return bad(format!("the field muted_until is a time up to {MUTED_FOR_EVER}"));
        }
        if muted_until.is_none() && pinned.is_none() {
            return bad("a setting of a room has muted_until or pinned".into());
        }
        Ok(Self { room: Some(room), muted_until, pinned, receipts, add_by })
    }

    fn fields(&self) -> Fields {
        let Self { room, muted_until, pinned, receipts, add_by } = self;
        let room = room.as_ref().map(ToString::to_string);
        let (muted_until, pinned, receipts) = (*muted_until, *pinned, *receipts);
        let add_by = add_by.map(Into::into);
        Inner { room, muted_until, pinned, receipts, add_by }.into()
    }

    fn level(&self) -> u32 {
        if self.room.is_none() { PEOPLE_LEVEL } else { Self::KIND.level }
    }
}
