//! `pins`: the messages that are pinned in a room.

use std::borrow::Cow;

use serde::Deserialize;

use super::reply::list_frame;
use super::{Request, page_limit};
use crate::error::ApiError;
use crate::json::read_object;
use crate::room::RoomId;
use crate::svc;

#[derive(Deserialize)]
struct Pins<'a> {
    #[serde(borrow)]
    room: Cow<'a, str>,
    before: Option<u64>,
    limit: Option<u32>,
}

pub(super) fn read(text: &str) -> Result<Request, ApiError> {
    let Pins { room, before, limit } = read_object(text)?;
    let (room, before) = (RoomId::new(&room)?, before.unwrap_or(0));
    Ok(Request::Pins { room, before, limit: page_limit(limit)? })
}

/// `{"type":"pins",…}`, without a request id; the entries' bytes are put in as they are.
#[must_use]
pub fn pins_frame(room: &RoomId, page: &svc::PinnedMessages) -> Vec<u8> {
    let head = format!(r#""type":"pins","room":"{room}","more":{}"#, page.more);
    list_frame(&head, "entries", page.entries.iter())
}
