//! `rename`: another title for the group.

use serde::{Deserialize, Serialize};

use super::{EntryKind, FIRST_LEVEL, Kind};
use crate::check::{check_chars, empty, missing};
use crate::error::{ApiError, ErrorCode};
use crate::limits::TITLE_CHARS_MAX;

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Rename {
    /// Shown to people.
    pub title: String,
}

#[derive(Clone, PartialEq, Deserialize, prost::Message)]
pub struct Fields {
    #[prost(string, optional, tag = "8")]
    title: Option<String>,
}

impl EntryKind for Rename {
    type Fields = Fields;
    const KIND: Kind = Kind::new("rename", 3, FIRST_LEVEL);

    fn check(fields: Fields) -> Result<Self, ApiError> {
        Ok(Self { title: check_title(fields.title)? })
    }

    fn fields(&self) -> Fields {
        Fields { title: Some(self.title.clone()) }
    }
}

pub(super) fn check_title(title: Option<String>) -> Result<String, ApiError> {
    let title = title.ok_or_else(|| missing("title"))?;
    if title.is_empty() {
        return Err(empty("title"));
    }
    if title.trim().is_empty() {
        return Err(ApiError::new(ErrorCode::BadRequest, "the field title has only spaces in it"));
    }
    check_chars("title", &title, TITLE_CHARS_MAX)?;
    Ok(title)
}
