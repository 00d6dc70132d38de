//! What a user has typed and not sent, for their own devices alone.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::reply::list_frame;
use super::{Query, Request, page_limit};
use crate::error::ApiError;
use crate::json::read_object;
use crate::kind::Draft;
use crate::room::RoomId;
use crate::svc;

pub(super) fn read(text: &str) -> Result<Request, ApiError> {
    Draft::from_text(text).map(Request::Draft)
}

#[derive(Deserialize)]
struct Drafts<'a> {
    #[serde(borrow)]
    after: Option<Cow<'a, str>>,
    limit: Option<u32>,
}

pub(super) fn read_list(text: &str) -> Result<Request, ApiError> {
    let Drafts { after, limit } = read_object(text)?;
    let after = after.filter(|after| !after.is_empty());
    let after = after.map(|room| RoomId::new(&room)).transpose()?;
    Ok(Query::Drafts { after, limit: page_limit(limit)? }.into())
}

/// A draft as it is: `{"type":"draft",…}`.
#[must_use]
pub fn draft_frame(draft: &Draft) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(tag = "type", rename = "draft")]
    struct Frame<'a> {
        #[serde(flatten)]
        draft: &'a Draft,
    }
    serde_json::to_vec(&Frame { draft }).expect("plain fields serialise")
}

/// The answer to a `draft`: `{"type":"done",…}` with the version that it has then, without a request id.
#[must_use]
pub fn drafted_frame(version: u64) -> Vec<u8> {
    format!(r#"{{"type":"done","version":{version}}}"#).into_bytes()
}

/// `{"type":"drafts",…}`, without a request id; the drafts' bytes are put in as they are.
#[must_use]
pub fn drafts_frame(page: &svc::Drafts) -> Vec<u8> {
    let head = format!(r#""type":"drafts","more":{}"#, page.more);
    list_frame(&head, "drafts", page.drafts.iter())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;
    use crate::kind::DraftText;
    use crate::limits::TEXT_CHARS_MAX;

    fn team() -> RoomId {
        RoomId::new("team").expect("id")
    }

    fn request(fields: &str) -> Result<Request, ApiError> {
        read(&format!(r#"{{"id":1,"type":"draft"{fields}}}"#))
    }

    #[test]
    fn a_draft_is_read() {
        let dismissed = Draft { room: team(), version: 7, content: None };
        for nothing in ["", r#","text":"""#, r#","text":null,"ranges":[],"thread":null"#] {
            let fields = format!(r#","room":"team","version":7{nothing}"#);
            assert_eq!(request(&fields).expect(&fields), Request::Draft(dismissed.clone()));
        }
        let typed =
            DraftText {
                text: "né".into(), ranges: Vec::new(), reply_to: Some(3), thread: Some(2)
            };
        let draft = Draft { room: team(), version: 0, content: Some(Box::new(typed)) };
        let fields = r#","room":"team","version":0,"text":"n\u00e9","reply_to":3,"thread":2"#;
        assert_eq!(request(fields).expect("read"), Request::Draft(draft.clone()));
        let frame = draft_frame(&draft);
        let text =
            r#"{"type":"draft","room":"team","version":0,"text":"né","reply_to":3,"thread":2}"#;
        assert_eq!(String::from_utf8(frame.clone()).expect("text"), text);
        assert_eq!(serde_json::from_slice::<Draft>(&frame).expect("read"), draft);
        let frame = draft_frame(&dismissed);
        assert_eq!(frame, br#"{"type":"draft","room":"team","version":7}"#);
        assert_eq!(serde_json::from_slice::<Draft>(&frame).expect("read"), dismissed);
        assert!(!format!("{draft:?}").contains("né"));
    }

    #[test]
    fn what_is_no_draft_is_refused() {
        let long =
            format!(r#","room":"a","version":0,"text":"{}""#, "x".repeat(TEXT_CHARS_MAX + 1));
        for (bad, code) in [
            (r#","version":0,"text":"x""#, ErrorCode::BadRequest),
            (r#","room":"team","text":"x""#, ErrorCode::BadRequest),
            (r#","room":"team","version":-1"#, ErrorCode::BadRequest),
            (r#","room":"a.b","version":0"#, ErrorCode::BadId),
            (r#","room":"team","version":0,"reply_to":1"#, ErrorCode::BadRequest),
            (r#","room":"team","version":0,"text":"x","thread":0"#, ErrorCode::BadRequest),
            (
                r#","room":"team","version":0,"text":"x","ranges":[{"at":1,"len":1,"style":"bold"}]"#,
                ErrorCode::BadRequest,
            ),
            (&long, ErrorCode::TooLong),
        ] {
            assert_eq!(request(bad).expect_err(bad).code, code, "{bad}");
        }
        assert_eq!(Draft::of_room(&team(), br#"{"version":0}"#).expect("read").room, team());
        let other = Draft::of_room(&team(), br#"{"room":"other","version":0}"#);
        assert_eq!(other.expect_err("another room").code, ErrorCode::BadRequest);
    }

    #[test]
    fn lists_of_drafts_are_asked_for_and_made() {
        let read = |text: &str| read_list(text);
        let first = read(r#"{"after":""}"#).expect("as without");
        assert_eq!(first, read("{}").expect("all"));
        assert_eq!(read("{}").expect("all"), Query::Drafts { after: None, limit: 0 }.into());
        let page = Query::Drafts { after: Some(team()), limit: 2 }.into();
        assert_eq!(read(r#"{"after":"team","limit":2}"#).expect("a page"), page);
        assert_eq!(read(r#"{"after":"a b"}"#).expect_err("no id").code, ErrorCode::BadId);
        let frames = [1, 2]
            .map(|version| draft_frame(&Draft { room: team(), version, content: None }).into());
        let page = svc::Drafts { drafts: frames.to_vec(), more: true };
        let read: serde_json::Value = serde_json::from_slice(&drafts_frame(&page)).expect("json");
        assert_eq!((&read["drafts"][1]["version"], &read["more"]), (&2.into(), &true.into()));
    }
}
