//! `preview`: what the first link of a message leads to. Nobody sends it: `weft files` has read the page, and the owner of the
//! room's partition tells itself so, by its own log, in the name of who has written the message.

use serde::{Deserialize, Serialize};

use super::{EntryKind, FileFacts, Kind, PEOPLE_LEVEL, target_of};
use crate::check::{check_chars, empty, missing};
use crate::error::ApiError;
use crate::file::FileId;
use crate::limits::{
    LINK_CHARS_MAX, PREVIEW_SITE_CHARS_MAX, PREVIEW_TEXT_CHARS_MAX, PREVIEW_TITLE_CHARS_MAX,
};

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Preview {
    /// The message's seq.
    pub target: u64,
    /// The seq of the edit whose text has the link; `None`: the message's first text has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edit: Option<u64>,
    #[serde(flatten)]
    pub link: Box<LinkPreview>,
}

/// What a link leads to, in the words of its page.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, prost::Message)]
pub struct LinkPreview {
    /// As the text has it.
    #[prost(string, tag = "1")]
    #[serde(default)]
    pub url: String,
    #[prost(string, tag = "2")]
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    #[prost(string, tag = "3")]
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What the site calls itself.
    #[prost(string, tag = "4")]
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub site: String,
    #[prost(message, optional, tag = "5")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<PreviewImage>,
}

/// A file, as one of a message.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, prost::Message)]
pub struct PreviewImage {
    #[prost(string, tag = "1")]
    #[serde(default)]
    pub id: String,
    /// What core says of it.
    #[prost(message, optional, tag = "2")]
    #[serde(flatten)]
    pub facts: Option<FileFacts>,
}

impl PreviewImage {
    /// Its id; `None`: it is none.
    #[must_use]
    pub fn file(&self) -> Option<FileId> {
        FileId::new(&self.id).ok()
    }
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
#[serde(from = "Flat")]
pub struct Fields {
    #[prost(message, required, tag = "50")]
    preview: Inner,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Inner {
    #[prost(uint64, optional, tag = "1")]
    target: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    edit: Option<u64>,
    #[prost(message, optional, tag = "3")]
    link: Option<LinkPreview>,
}

/// As it travels in JSON.
#[derive(Deserialize)]
struct Flat {
    target: Option<u64>,
    edit: Option<u64>,
    #[serde(flatten)]
    link: LinkPreview,
}

impl From<Flat> for Fields {
    fn from(Flat { target, edit, link }: Flat) -> Self {
        Self { preview: Inner { target, edit, link: Some(link) } }
    }
}

impl Preview {
    /// Of a message with this seq, and of the text of this edit.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(target: u64, edit: Option<u64>, link: LinkPreview) -> Result<Self, ApiError> {
        link.check()?;
        Ok(Self { target, edit, link: Box::new(link) })
    }
}

impl LinkPreview {
    fn check(&self) -> Result<(), ApiError> {
        if self.url.is_empty() {
            return Err(missing("url"));
        }
        if self.title.is_empty() {
            return Err(empty("title"));
        }
        check_chars("url", &self.url, LINK_CHARS_MAX)?;
        check_chars("title", &self.title, PREVIEW_TITLE_CHARS_MAX)?;
        check_chars("description", &self.description, PREVIEW_TEXT_CHARS_MAX)?;
        check_chars("site", &self.site, PREVIEW_SITE_CHARS_MAX)?;
        let Some(image) = &self.image else { return Ok(()) };
        FileId::new(&image.id)?;
        image.facts.as_ref().map_or(Ok(()), super::attachments::check_facts)
    }
}

impl EntryKind for Preview {
    type Fields = Fields;
    const KIND: Kind =
        Kind { is_for_direct: true, is_made: true, ..Kind::new("preview", 37, PEOPLE_LEVEL) };

    fn check(Fields { preview: Inner { target, edit, link } }: Fields) -> Result<Self, ApiError> {
        let link = link.ok_or_else(|| missing("url"))?;
        Self::new(target_of(target)?, edit, link)
    }

    fn fields(&self) -> Fields {
        let (target, edit) = (Some(self.target), self.edit);
        Fields { preview: Inner { target, edit, link: Some(LinkPreview::clone(&self.link)) } }
    }

    fn target(&self) -> Option<u64> {
        Some(self.target)
    }
}
