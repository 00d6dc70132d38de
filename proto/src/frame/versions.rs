//! `versions`: the texts that a message has had.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::reply::list_frame;
use super::{Query, Request};
use crate::error::ApiError;
use crate::json::read_object;
use crate::kind::formatting::Range;
use crate::kind::target_of;
use crate::room::RoomId;
use crate::svc;

/// A text that a message has had.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Version<'a> {
    /// That of the message, or of the edit.
    pub seq: u64,
    /// When it was taken, Unix milliseconds.
    pub time: u64,
    pub text: &'a str,
    /// How parts of the text look.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub ranges: &'a [Range],
}

impl Version<'_> {
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain fields serialise")
    }
}

#[derive(Deserialize)]
struct Versions<'a> {
    #[serde(borrow)]
    room: Cow<'a, str>,
    target: Option<u64>,
    after: Option<u64>,
}

pub(super) fn read(text: &str) -> Result<Request, ApiError> {
    let Versions { room, target, after } = read_object(text)?;
    let (room, target) = (RoomId::new(&room)?, target_of(target)?);
    Ok(Query::Versions { room, target, after: after.unwrap_or(0) }.into())
}

/// `{"type":"versions",…}`, without a request id; the versions' bytes are put in as they are.
#[must_use]
pub fn versions_frame(room: &RoomId, target: u64, page: &svc::Versions) -> Vec<u8> {
    let more = page.more;
    let head = format!(r#""type":"versions","room":"{room}","target":{target},"more":{more}"#);
    list_frame(&head, "versions", page.versions.iter())
}
