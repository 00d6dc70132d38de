//! `image` and `file`: messages with one to ten files, and a caption. Their senders name files that they have uploaded; what
//! is known of these, core adds to the entry: so who shows it asks nobody.

use serde::{Deserialize, Serialize};

use super::formatting::Mentions;
use super::text::{self, More, Text};
use super::{EntryKind, Kind, PEOPLE_LEVEL};
use crate::check::{check_chars, missing};
use crate::error::{ApiError, ErrorCode};
use crate::file::FileId;
use crate::limits::{FILE_NAME_BYTES_MAX, FILES_PER_MESSAGE_MAX};

/// Longest content type, in characters, placeholder of an image, and reason why there is no preview.
const SHORT_CHARS_MAX: usize = 128;

/// What such a message has.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Attachments {
    /// As that of a message, or empty.
    #[serde(flatten)]
    pub caption: Text,
    /// 1 to 10, each once.
    pub files: Vec<Attachment>,
}

/// A file of a message.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Attachment {
    pub id: FileId,
    /// What core says of it; `None`: its sender has named it, and core has not seen it yet.
    #[serde(flatten)]
    pub facts: Option<Box<FileFacts>>,
}

/// What is known of a file, as it was when the message was taken.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, prost::Message)]
pub struct FileFacts {
    #[prost(string, tag = "1")]
    pub name: String,
    /// In bytes.
    #[prost(uint64, tag = "2")]
    pub size: u64,
    /// What its bytes say that it is.
    #[prost(string, tag = "3")]
    pub content_type: String,
    /// The message has it up to then, Unix milliseconds.
    #[prost(uint64, tag = "4")]
    pub expires: u64,
    /// Of images, as the following ones: as it is to be seen.
    #[prost(uint32, optional, tag = "5")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    #[prost(uint32, optional, tag = "6")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// What is shown until it is there, in base64.
    #[prost(string, optional, tag = "7")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thumbhash: Option<String>,
    #[prost(bool, optional, tag = "8")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub animated: Option<bool>,
    /// There are thumbnails.
    #[prost(bool, optional, tag = "9")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thumbnails: Option<bool>,
    /// Of sound and video, where it is known.
    #[prost(uint64, optional, tag = "10")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// It is there no more. Nobody stores that: readers are told it by the clock.
    #[prost(bool, optional, tag = "11")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expired: Option<bool>,
    /// Of an image without a preview: why ([`NoPreview`](crate::file::NoPreview)).
    #[prost(string, optional, tag = "12")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_preview: Option<String>,
}

/// As it travels in JSON.
#[derive(Deserialize)]
struct Flat {
    #[serde(flatten)]
    caption: text::Flat,
    files: Option<Vec<StoredFile>>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Inner {
    #[prost(string, tag = "1")]
    pub(super) text: String,
    #[prost(message, optional, tag = "2")]
    pub(super) more: Option<More>,
    #[prost(message, repeated, tag = "3")]
    pub(super) files: Vec<StoredFile>,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
pub(super) struct StoredFile {
    #[prost(string, optional, tag = "1")]
    id: Option<String>,
    #[prost(message, optional, tag = "2")]
    #[serde(flatten)]
    facts: Option<FileFacts>,
}

impl StoredFile {
    pub(super) fn of(it: &Attachment) -> Self {
        Self { id: Some(it.id.to_string()), facts: it.facts.as_deref().cloned() }
    }
}

impl From<Flat> for Inner {
    fn from(Flat { caption, files }: Flat) -> Self {
        let (text, more) = caption.into_parts();
        Self { text: text.unwrap_or_default(), more, files: files.unwrap_or_default() }
    }
}

impl Attachments {
    pub(super) fn read(
        Inner { text, more, files }: Inner,
        is_sent: bool,
    ) -> Result<Self, ApiError> {
        let caption = if is_sent { Text::sent(text, more)? } else { Text::stored(text, more)? };
        if !(1..=FILES_PER_MESSAGE_MAX).contains(&files.len()) {
            let message = format!("a message has 1 to {FILES_PER_MESSAGE_MAX} files");
            return Err(ApiError::new(ErrorCode::BadRequest, message));
        }
        let mut read: Vec<Attachment> = Vec::with_capacity(files.len());
        for StoredFile { id, facts } in files {
            let id = FileId::new(&id.ok_or_else(|| missing("files.id"))?)?;
            if read.iter().any(|other| other.id == id) {
                return Err(ApiError::new(ErrorCode::BadRequest, "a message has each file once"));
            }
            if let Some(facts) = &facts {
                check_facts(facts)?;
            }
            read.push(Attachment { id, facts: facts.map(Box::new) });
        }
        Ok(Self { caption, files: read })
    }

    fn inner(&self) -> Inner {
        let (text, more) = self.caption.parts();
        Inner { text, more, files: self.files.iter().map(StoredFile::of).collect() }
    }
}

pub(super) fn check_facts(facts: &FileFacts) -> Result<(), ApiError> {
    check_chars("files.name", &facts.name, FILE_NAME_BYTES_MAX)?;
    check_chars("files.content_type", &facts.content_type, SHORT_CHARS_MAX)?;
    check_chars(
        "files.no_preview",
        facts.no_preview.as_deref().unwrap_or_default(),
        SHORT_CHARS_MAX,
    )?;
    check_chars("files.thumbhash", facts.thumbhash.as_deref().unwrap_or_default(), SHORT_CHARS_MAX)
}

/// Kinds that differ in what they are called, and in what core lets into them.
macro_rules! attachments {
    ($(#[$doc:meta])* $Kind:ident, $Fields:ident, $word:literal, $number:literal, $tag:tt) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Debug, Serialize)]
        pub struct $Kind(pub Attachments);

        #[derive(Clone, PartialEq, Deserialize, prost::Message)]
        #[serde(from = "Flat")]
        pub struct $Fields {
            #[prost(message, required, tag = $tag)]
            inner: Inner,
        }

        impl From<Flat> for $Fields {
            fn from(flat: Flat) -> Self {
                Self { inner: flat.into() }
            }
        }

        impl EntryKind for $Kind {
            type Fields = $Fields;
            const KIND: Kind = Kind {
                is_unread: true,
                is_for_direct: true,
                ..Kind::new($word, $number, PEOPLE_LEVEL)
            };

            fn check($Fields { inner }: $Fields) -> Result<Self, ApiError> {
                Attachments::read(inner, true).map(Self)
            }

            fn from_stored($Fields { inner }: $Fields) -> Result<Self, ApiError> {
                Attachments::read(inner, false).map(Self)
            }

            fn fields(&self) -> $Fields {
                $Fields { inner: self.0.inner() }
            }

            fn counts(&self) -> bool {
                self.0.caption.counts()
            }

            fn is_preview(&self) -> bool {
                self.0.caption.is_preview()
            }

            fn mentions(&self) -> Mentions {
                self.0.caption.mentions()
            }

            fn thread(&self) -> Option<u64> {
                self.0.caption.thread()
            }

            fn reply_to(&self) -> Option<u64> {
                self.0.caption.reply_to()
            }
        }
    };
}

attachments!(
    /// A message with images.
    Image, ImageFields, "image", 35, "48"
);
attachments!(
    /// A message with files of any type.
    File, FileFields, "file", 36, "49"
);
