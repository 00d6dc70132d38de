//! `pins`: the messages that are pinned in a room.

use super::reply::list_frame;
use super::{Query, Request, read_part};
use crate::error::ApiError;
use crate::room::RoomId;
use crate::svc;

pub(super) fn read(text: &str) -> Result<Request, ApiError> {
    let (room, before, limit) = read_part(text)?;
    Ok(Query::Pins { room, before, limit }.into())
}

/// `{"type":"pins",…}`, without a request id; the entries' bytes are put in as they are.
#[must_use]
pub fn pins_frame(room: &RoomId, page: &svc::PinnedMessages) -> Vec<u8> {
    let head = format!(r#""type":"pins","room":"{room}","more":{}"#, page.more);
    list_frame(&head, "entries", page.entries.iter())
}
