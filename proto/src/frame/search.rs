//! `search`: messages that have something in them.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{Request, or_default, page_limit};
use crate::check::check_chars;
use crate::error::{ApiError, ErrorCode};
use crate::ids::UserId;
use crate::json::read_object;
use crate::limits::FOUND_TEXT_CHARS_MAX;
use crate::room::RoomId;
use crate::svc;

/// What is looked for, and where.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Searched {
    /// Words, "phrases", and the beginning of the last word.
    pub text: String,
    pub room: Option<RoomId>,
    /// Who has written it.
    pub from: Option<UserId>,
    /// Days, `2026-11-30`: from the beginning of the first to the end of the last one.
    pub since: Option<String>,
    pub until: Option<String>,
    /// In which time zone these are days: a name of the IANA database.
    pub zone: Option<String>,
    pub has: Vec<Has>,
    /// The caller, or all members, are mentioned.
    pub mentions_me: bool,
    /// With `room`: in the thread that begins with this message.
    pub thread: Option<u64>,
    pub order: Order,
    /// It is said in which rooms how many are.
    pub counts: bool,
    /// The cursor of the page before; empty: the first page.
    pub after: String,
    /// Most of one page; 0: nothing was asked for.
    pub limit: u32,
}

/// What is in a message beside words.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Has {
    Link,
    File,
    Image,
}

/// What comes first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    #[default]
    Newest,
    Ranked,
}

impl Has {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Link => "link",
            Self::File => "file",
            Self::Image => "image",
        }
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Fields<'a> {
    #[serde(deserialize_with = "or_default")]
    text: String,
    #[serde(borrow)]
    room: Option<Cow<'a, str>>,
    #[serde(borrow)]
    from: Option<Cow<'a, str>>,
    since: Option<String>,
    until: Option<String>,
    zone: Option<String>,
    #[serde(deserialize_with = "or_default")]
    has: Vec<Has>,
    #[serde(deserialize_with = "or_default")]
    mentions_me: bool,
    thread: Option<u64>,
    #[serde(deserialize_with = "or_default")]
    order: Order,
    #[serde(deserialize_with = "or_default")]
    counts: bool,
    #[serde(deserialize_with = "or_default")]
    after: String,
    limit: Option<u32>,
}

pub(super) fn read(text: &str) -> Result<Request, ApiError> {
    let fields: Fields<'_> = read_object(text)?;
    let searched = Searched {
        text: fields.text,
        room: fields.room.as_deref().map(RoomId::new).transpose()?,
        from: fields.from.as_deref().map(UserId::new).transpose()?,
        since: fields.since,
        until: fields.until,
        zone: fields.zone,
        has: fields.has,
        mentions_me: fields.mentions_me,
        thread: fields.thread,
        order: fields.order,
        counts: fields.counts,
        after: fields.after,
        limit: page_limit(fields.limit)?,
    };
    Ok(super::Query::Search(Box::new(searched.checked()?)).into())
}

impl Searched {
    /// Checks what one field says of another.
    ///
    /// # Errors
    /// [`ErrorCode::TooLong`], [`ErrorCode::BadRequest`].
    pub fn checked(self) -> Result<Self, ApiError> {
        check_chars("text", &self.text, FOUND_TEXT_CHARS_MAX)?;
        if self.thread.is_some() && self.room.is_none() {
            let message = "the field thread needs the field room";
            return Err(ApiError::new(ErrorCode::BadRequest, message));
        }
        if self.thread == Some(0) {
            return Err(crate::check::not_zero("thread"));
        }
        Ok(self)
    }
}

/// A part of a text that was looked for, in characters.
#[derive(Serialize)]
struct Highlight {
    at: u32,
    len: u32,
}

/// How many messages of a room were found.
#[derive(Serialize)]
struct Count<'a> {
    room: &'a str,
    count: u64,
}

/// `{"type":"search",…}`, without a request id; the entries' bytes are put in as they are.
#[must_use]
pub fn search_frame(page: &svc::FoundMessages) -> Vec<u8> {
    let svc::FoundMessages { messages, cursor, partial, total, counts } = page;
    let mut frame =
        format!(r#"{{"type":"search","total":{total},"partial":{partial}"#).into_bytes();
    if !cursor.is_empty() {
        frame.extend_from_slice(br#","cursor":"#);
        write(&mut frame, cursor);
    }
    if !counts.is_empty() {
        let counts = counts.iter().map(|it| Count { room: &it.room, count: it.count });
        frame.extend_from_slice(br#","counts":"#);
        write(&mut frame, &counts.collect::<Vec<_>>());
    }
    frame.extend_from_slice(br#","messages":["#);
    for (index, message) in messages.iter().enumerate() {
        if index > 0 {
            frame.push(b',');
        }
        frame.extend_from_slice(br#"{"entry":"#);
        frame.extend_from_slice(&message.frame);
        let highlights = message.highlights.iter().map(|it| Highlight { at: it.at, len: it.len });
        frame.extend_from_slice(br#","highlights":"#);
        write(&mut frame, &highlights.collect::<Vec<_>>());
        frame.push(b'}');
    }
    frame.extend_from_slice(b"]}");
    frame
}

fn write(frame: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(frame, value).expect("plain fields serialise");
}

#[cfg(test)]
mod tests {
    use super::super::Query;
    use super::*;

    fn searched(fields: &str) -> Result<Searched, ApiError> {
        match read(&format!(r#"{{"id":1,"type":"search"{fields}}}"#))? {
            Request::Query(Query::Search(searched)) => Ok(*searched),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn any_text_is_looked_for() {
        assert_eq!(searched("").expect("read"), Searched::default());
        let text = "a \"b c\" -d:(* \u{0}";
        let read = searched(&format!(r#","text":{}"#, serde_json::to_string(text).expect("JSON")));
        assert_eq!(read.expect("read").text, text);
        let all = r#","text":"회의","room":"team","from":"bob","since":"2026-11-01","until":"2026-11-30","zone":"Asia/Seoul","has":["link"],"mentions_me":true,"thread":7,"order":"ranked","counts":true,"after":"r:20","limit":5"#;
        let read = searched(all).expect("read");
        assert_eq!((read.has, read.thread, read.limit), (vec![Has::Link], Some(7), 5));
        assert_eq!((read.order, read.zone.as_deref()), (Order::Ranked, Some("Asia/Seoul")));
    }

    #[test]
    fn filters_have_to_be_what_they_are() {
        for (fields, code) in [
            (r#","thread":7"#, ErrorCode::BadRequest),
            (r#","room":"team","thread":0"#, ErrorCode::BadRequest),
            (r#","room":"A B""#, ErrorCode::BadId),
            (r#","has":["sound"]"#, ErrorCode::BadRequest),
            (r#","order":"oldest""#, ErrorCode::BadRequest),
            (r#","limit":0"#, ErrorCode::BadRequest),
            (r#","text":7"#, ErrorCode::BadRequest),
        ] {
            assert_eq!(searched(fields).expect_err(fields).code, code, "{fields}");
        }
        let long = "가".repeat(FOUND_TEXT_CHARS_MAX + 1);
        assert_eq!(
            searched(&format!(r#","text":"{long}""#)).expect_err("long").code,
            ErrorCode::TooLong
        );
    }

    #[test]
    fn a_page_has_the_entries_as_they_are() {
        let message = svc::FoundMessage {
            frame: bytes::Bytes::from_static(br#"{"type":"entry","seq":1}"#),
            highlights: vec![svc::Highlight { at: 2, len: 3 }],
        };
        let counts = vec![svc::RoomCount { room: "team".into(), count: 9 }];
        let page = svc::FoundMessages {
            messages: vec![message.clone(), message],
            cursor: "r:2".into(),
            partial: false,
            total: 9,
            counts,
        };
        let frame = String::from_utf8(search_frame(&page)).expect("text");
        let one = r#"{"entry":{"type":"entry","seq":1},"highlights":[{"at":2,"len":3}]}"#;
        let head = r#"{"type":"search","total":9,"partial":false,"cursor":"r:2","counts":[{"room":"team","count":9}]"#;
        assert_eq!(frame, format!(r#"{head},"messages":[{one},{one}]}}"#));
        let none = search_frame(&svc::FoundMessages::default());
        assert_eq!(none, br#"{"type":"search","total":0,"partial":false,"messages":[]}"#);
    }
}
