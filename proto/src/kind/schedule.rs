//! `schedule`: a message that is sent later, as its sender's. A command without an entry: when its time has come, the room
//! gets the message.

use serde::{Deserialize, Serialize};

use super::attachments::{self, Attachment, Attachments, StoredFile};
use super::text::{self, Text};
use super::{Body, EntryKind, File, Image, Kind, PEOPLE_LEVEL};
use crate::check::missing;
use crate::error::{ApiError, ErrorCode};

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Schedule {
    /// When, Unix milliseconds.
    pub at: u64,
    /// Or the caption.
    #[serde(flatten)]
    pub message: Box<Text>,
    /// `None`: it is a text.
    #[serde(flatten)]
    pub attached: Option<Attached>,
}

/// What a message that is sent later has beside a caption.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Attached {
    message_kind: AttachedKind,
    files: Vec<Attachment>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum AttachedKind {
    Image,
    File,
}

/// As it travels in JSON.
#[derive(Deserialize)]
struct Flat {
    at: Option<u64>,
    message_kind: Option<String>,
    files: Option<Vec<StoredFile>>,
    #[serde(flatten)]
    message: text::Fields,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
#[serde(from = "Flat")]
pub struct Fields {
    #[prost(message, required, tag = "41")]
    schedule: Inner,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Inner {
    #[prost(uint64, optional, tag = "1")]
    at: Option<u64>,
    #[prost(message, optional, tag = "2")]
    message: Option<text::Fields>,
    /// `None`: a text.
    #[prost(string, optional, tag = "3")]
    message_kind: Option<String>,
    #[prost(message, repeated, tag = "4")]
    files: Vec<StoredFile>,
}

impl From<Flat> for Fields {
    fn from(Flat { at, message_kind, files, message }: Flat) -> Self {
        let (message, files) = (Some(message), files.unwrap_or_default());
        Self { schedule: Inner { at, message, message_kind, files } }
    }
}

impl Schedule {
    /// The message that is sent.
    #[must_use]
    pub fn body(&self) -> Body {
        let Some(Attached { message_kind, files }) = &self.attached else {
            return Body::Text(Text::clone(&self.message));
        };
        let it = Attachments { caption: Text::clone(&self.message), files: files.clone() };
        match message_kind {
            AttachedKind::Image => Body::Image(Image(it)),
            AttachedKind::File => Body::File(File(it)),
        }
    }

    /// The files that it has.
    #[must_use]
    pub fn files(&self) -> &[Attachment] {
        self.attached.as_ref().map_or(&[], |attached| &attached.files)
    }
}

impl AttachedKind {
    /// `None`: a text.
    fn read(word: Option<&str>) -> Result<Option<Self>, ApiError> {
        match word {
            None | Some("message") => Ok(None),
            Some("image") => Ok(Some(Self::Image)),
            Some("file") => Ok(Some(Self::File)),
            Some(_) => Err(bad("message_kind is message, image or file")),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::File => "file",
        }
    }
}

fn bad(message: &str) -> ApiError {
    ApiError::new(ErrorCode::BadRequest, message)
}

impl EntryKind for Schedule {
    type Fields = Fields;
    const KIND: Kind =
        Kind { is_for_direct: true, is_entry: false, ..Kind::new("schedule", 28, PEOPLE_LEVEL) };

    fn check(Fields { schedule }: Fields) -> Result<Self, ApiError> {
        let Inner { at, message, message_kind, files } = schedule;
        let message = message.unwrap_or_default();
        let at = at.ok_or_else(|| missing("at"))?;
        let Some(message_kind) = AttachedKind::read(message_kind.as_deref())? else {
            if !files.is_empty() {
                return Err(bad("what has files has a message_kind: image or file"));
            }
            return Ok(Self { at, message: Box::new(Text::check(message)?), attached: None });
        };
        let (text, more) = message.into_caption();
        let read = Attachments::read(attachments::Inner { text, more, files }, true)?;
        let attached = Some(Attached { message_kind, files: read.files });
        Ok(Self { at, message: Box::new(read.caption), attached })
    }

    fn fields(&self) -> Fields {
        let message = Some(self.message.fields());
        let message_kind = self.attached.as_ref().map(|it| it.message_kind.word().to_owned());
        let files = self.files().iter().map(StoredFile::of).collect();
        Fields { schedule: Inner { at: Some(self.at), message, message_kind, files } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "00000000010000000000000002";

    fn read(fields: &str) -> Result<Schedule, ApiError> {
        match Body::from_json(format!(r#"{{"kind":"schedule","at":9,{fields}}}"#).as_bytes())? {
            Body::Schedule(schedule) => Ok(schedule),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_sent_later_may_have_files() {
        for (word, text) in [("image", "a caption"), ("file", "")] {
            let files = format!(r#""files":[{{"id":"{ID}"}}]"#);
            let read = read(&format!(r#""text":"{text}","message_kind":"{word}",{files}"#));
            let read = read.expect(word);
            let body = String::from_utf8(read.body().to_json()).expect("text");
            assert_eq!(body, format!(r#"{{"kind":"{word}","text":"{text}",{files}}}"#));
            assert_eq!(read.files(), read.body().files());
            let body = Body::Schedule(read.clone());
            assert_eq!(Body::from_json(&body.to_json()).expect("read again"), body);
            assert_eq!(Schedule::check(read.fields()).expect("stored"), read);
        }
        let plain = read(r#""text":"t","message_kind":"message""#).expect("a text");
        assert_eq!(plain, read(r#""text":"t""#).expect("a text"));
        for bad in [
            format!(r#""text":"t","files":[{{"id":"{ID}"}}]"#),
            format!(r#""message_kind":"text","files":[{{"id":"{ID}"}}]"#),
            r#""text":"t","message_kind":"image""#.to_owned(),
            r#""text":"","message_kind":"message""#.to_owned(),
        ] {
            assert_eq!(read(&bad).expect_err("refused").code, ErrorCode::BadRequest, "{bad}");
        }
    }
}
