//! `history`: a page of a room's log.

use std::borrow::Cow;

use serde::Deserialize;

use super::reply::list_frame;
use super::{Query, Request, not_zero, page_limit};
use crate::error::{ApiError, ErrorCode};
use crate::json::read_object;
use crate::room::RoomId;
use crate::svc;

/// Where in a room's log a page is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HistoryFrom {
    /// The first entries with a greater seq.
    After(u64),
    /// The last entries with a smaller seq; 0: the room's last entries.
    Before(u64),
    /// Half of the entries before the seq, the others from it on.
    Around(u64),
    /// The first entries that were taken then or later, Unix milliseconds.
    At(u64),
}

/// The fields that say where: one of them, or none: the room's last entries.
#[derive(Clone, Copy, Default, Debug, Deserialize)]
pub struct HistoryPlace {
    pub before: Option<u64>,
    pub after: Option<u64>,
    pub around: Option<u64>,
    pub at: Option<u64>,
}

#[derive(Deserialize)]
struct History<'a> {
    #[serde(borrow)]
    room: Cow<'a, str>,
    thread: Option<u64>,
    limit: Option<u32>,
}

pub(super) fn read(text: &str) -> Result<Request, ApiError> {
    let History { room, thread, limit } = read_object(text)?;
    let place: HistoryPlace = read_object(text)?;
    let (room, from) = (RoomId::new(&room)?, HistoryFrom::try_from(place)?);
    let thread = history_thread(thread)?;
    Ok(Query::History { room, thread, from, limit: page_limit(limit)? }.into())
}

/// The message with which the thread begins that is asked for.
///
/// # Errors
/// [`ErrorCode::BadRequest`] for 0.
pub fn history_thread(thread: Option<u64>) -> Result<Option<u64>, ApiError> {
    if thread == Some(0) { Err(not_zero("thread")) } else { Ok(thread) }
}

impl TryFrom<HistoryPlace> for HistoryFrom {
    type Error = ApiError;

    /// # Errors
    /// [`ErrorCode::BadRequest`] where several are given, or nothing can be there.
    fn try_from(place: HistoryPlace) -> Result<Self, ApiError> {
        match place {
            HistoryPlace { before: None, after: None, around: None, at: None } => {
                Ok(Self::Before(0))
            }
            HistoryPlace { before: Some(seq), after: None, around: None, at: None } => {
                if seq == 0 {
                    Err(not_zero("before"))
                } else {
                    Ok(Self::Before(seq))
                }
            }
            HistoryPlace { before: None, after: Some(seq), around: None, at: None } => {
                Ok(Self::After(seq))
            }
            HistoryPlace { before: None, after: None, around: Some(seq), at: None } => {
                if seq == 0 {
                    Err(not_zero("around"))
                } else {
                    Ok(Self::Around(seq))
                }
            }
            HistoryPlace { before: None, after: None, around: None, at: Some(time_ms) } => {
                Ok(Self::At(time_ms))
            }
            _ => {
                let message = "give one of before, after, around and at";
                Err(ApiError::new(ErrorCode::BadRequest, message))
            }
        }
    }
}

/// `{"type":"history",…}`, without a request id; the entries' bytes are put in as they are.
#[must_use]
pub fn history_frame(room: &RoomId, thread: Option<u64>, page: &svc::LogPage) -> Vec<u8> {
    let svc::LogPage { from, through, more, newest, .. } = page;
    let more = match page.more_before {
        Some(before) => format!(r#""more_before":{before},"more_after":{more}"#),
        None => format!(r#""more":{more}"#),
    };
    let thread = thread.map(|root| format!(r#""thread":{root},"#)).unwrap_or_default();
    let head = format!(
        r#""type":"history","room":"{room}",{thread}"from":{from},"through":{through},{more},"newest":{newest}"#
    );
    list_frame(&head, "entries", page.entries.iter().map(|entry| &entry.frame))
}
