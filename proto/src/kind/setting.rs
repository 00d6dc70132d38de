//! `setting`: how the sender wants a room to be, on all of their devices. A command to the sender's own notebook
//! and no entry: nobody else hears of it.

use serde::{Deserialize, Serialize};

use super::{CONVERSATIONS_LEVEL, EntryKind, Kind, named_by_path};
use crate::check::missing;
use crate::error::{ApiError, ErrorCode};
use crate::frame::REQUEST_ID_MAX;
use crate::json::read_object;
use crate::room::RoomId;

/// For ever: what a JavaScript number holds exactly.
pub const MUTED_FOR_EVER: u64 = REQUEST_ID_MAX;

/// Changes what it names, and leaves the rest.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Setting {
    pub room: RoomId,
    /// Unix milliseconds; 0: it is not muted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub muted_until: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned: Option<bool>,
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
}

impl EntryKind for Setting {
    type Fields = Fields;
    const KIND: Kind = Kind {
        is_for_direct: true,
        is_entry: false,
        ..Kind::new("setting", 16, CONVERSATIONS_LEVEL)
    };

    fn check(
        Fields { setting: Inner { room, muted_until, pinned } }: Fields,
    ) -> Result<Self, ApiError> {
        let room = RoomId::new(&room.ok_or_else(|| missing("room"))?)?;
        let bad = |message: String| Err(ApiError::new(ErrorCode::BadRequest, message));
        if muted_until.is_some_and(|until| until > MUTED_FOR_EVER) {
            return bad(format!("the field muted_until is a time up to {MUTED_FOR_EVER}"));
        }
        if muted_until.is_none() && pinned.is_none() {
            return bad("a setting has muted_until or pinned".into());
        }
        Ok(Self { room, muted_until, pinned })
    }

    fn fields(&self) -> Fields {
        let Self { room, muted_until, pinned } = self;
        let (muted_until, pinned) = (*muted_until, *pinned);
        Inner { room: Some(room.to_string()), muted_until, pinned }.into()
    }
}
