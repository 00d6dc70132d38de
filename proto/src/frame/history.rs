//! `history`: a page of a room's log.

use std::borrow::Cow;

use serde::Deserialize;

use super::{Request, not_zero, page_limit};
use crate::error::{ApiError, ErrorCode};
use crate::json::read_object;
use crate::room::RoomId;

/// Which end of a room's log a page starts from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HistoryFrom {
    /// The first entries with a greater seq.
    After(u64),
    /// The last entries with a smaller seq; 0: the room's last entries.
    Before(u64),
}

#[derive(Deserialize)]
struct History<'a> {
    #[serde(borrow)]
    room: Cow<'a, str>,
    before: Option<u64>,
    after: Option<u64>,
    limit: Option<u32>,
}

pub(super) fn read(text: &str) -> Result<Request, ApiError> {
    let History { room, before, after, limit } = read_object(text)?;
    Ok(Request::History {
        room: RoomId::new(&room)?,
        from: history_from(before, after)?,
        limit: page_limit(limit)?,
    })
}

/// `before` or `after`, or neither: the room's last entries.
///
/// # Errors
/// [`ErrorCode::BadRequest`] where both are given, or nothing can be before.
pub fn history_from(before: Option<u64>, after: Option<u64>) -> Result<HistoryFrom, ApiError> {
    match (before, after) {
        (Some(_), Some(_)) => {
            Err(ApiError::new(ErrorCode::BadRequest, "give before or after, not both"))
        }
        (Some(0), None) => Err(not_zero("before")),
        (None, Some(seq)) => Ok(HistoryFrom::After(seq)),
        (before, None) => Ok(HistoryFrom::Before(before.unwrap_or(0))),
    }
}
