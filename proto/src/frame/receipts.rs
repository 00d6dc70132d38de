//! `mark` and `receipts`: up to where the caller has read a room, and up to where its members have.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::rooms::read_room_id;
use super::{Query, Reply, Request, or_default, page_limit};
use crate::check::not_zero;
use crate::error::ApiError;
use crate::json::read_object;
use crate::kind::Mark;
use crate::room::RoomId;
use crate::svc;

pub(super) fn read_mark(text: &str) -> Result<Request, ApiError> {
    Ok(Request::Mark { room: read_room_id(text)?, mark: Mark::from_text(text)? })
}

#[derive(Deserialize)]
struct Receipts<'a> {
    #[serde(borrow)]
    room: Cow<'a, str>,
    seq: Option<u64>,
    #[serde(default, deserialize_with = "or_default")]
    after: String,
    limit: Option<u32>,
}

pub(super) fn read(text: &str) -> Result<Request, ApiError> {
    let Receipts { room, seq, after, limit } = read_object(text)?;
    let (room, seq) = (RoomId::new(&room)?, entry_of(seq)?);
    Ok(Query::Receipts { room, seq, after, limit: page_limit(limit)? }.into())
}

/// Of which entry the readers are asked for; 0: up to where everybody has read.
///
/// # Errors
/// [`ErrorCode::BadRequest`](crate::ErrorCode::BadRequest) for an entry that there can't be.
pub fn entry_of(seq: Option<u64>) -> Result<u64, ApiError> {
    match seq {
        Some(0) => Err(not_zero("seq")),
        seq => Ok(seq.unwrap_or(0)),
    }
}

/// Up to where a member has read a room.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Receipt {
    user: String,
    /// The seq of an entry; 0: nothing yet.
    read: u64,
    /// Direct rooms: up to where they have got it.
    #[serde(skip_serializing_if = "Option::is_none")]
    delivered: Option<u64>,
}

impl Reply {
    /// The answer to `receipts`.
    #[must_use]
    pub fn receipts(page: svc::Receipts) -> Self {
        let svc::Receipts { receipts, more, read_count } = page;
        let receipts = receipts.into_iter();
        let receipts = receipts.map(|svc::Receipt { user, read, delivered }| Receipt {
            user,
            read,
            delivered,
        });
        Self::Receipts { receipts: receipts.collect(), more, read_count }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

    #[test]
    fn requests_about_marks_are_read() {
        let room = || RoomId::new("a~b").expect("id");
        let mark = |fields: &str| read_mark(&format!(r#"{{"id":1,"room":"a~b"{fields}}}"#));
        assert_eq!(
            mark(r#","read":7,"delivered":9"#).expect("read"),
            Request::Mark {
                room: room(),
                mark: Mark { read: Some(7), delivered: Some(9), ..Mark::default() }
            }
        );
        for bad in ["", r#","read":0"#, r#","read":1,"unread_from":1"#] {
            assert_eq!(mark(bad).expect_err(bad).code, ErrorCode::BadRequest);
        }
        assert_eq!(
            read(r#"{"id":1,"room":"a~b","seq":7,"limit":3}"#).expect("read"),
            Query::Receipts { room: room(), seq: 7, after: String::new(), limit: 3 }.into()
        );
        let nothing = read(r#"{"id":1,"room":"a~b","seq":0}"#).expect_err("no entry");
        assert_eq!(nothing.code, ErrorCode::BadRequest);
    }

    #[test]
    fn receipts_are_told() {
        let of = |user: &str, delivered| svc::Receipt { user: user.into(), read: 7, delivered };
        let receipts = vec![of("a", Some(9)), of("b", None)];
        let page = svc::Receipts { receipts, more: false, read_count: Some(2) };
        let frame = Reply::receipts(page).to_frame();
        let expected = br#"{"type":"receipts","receipts":[{"user":"a","read":7,"delivered":9},{"user":"b","read":7}],"more":false,"read_count":2}"#;
        assert_eq!(frame, expected);
    }
}
