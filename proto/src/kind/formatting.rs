//! How parts of a text look, and whom they mention. A text is plain; beside it, ranges say what is bold,
//! code, a link. Nobody makes markup of it but the client that shows it.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{ApiError, ErrorCode};
use crate::ids::UserId;
use crate::limits::{LINK_BYTES_MAX, LINK_CHARS_MAX, MENTIONS_MAX, RANGES_MAX};

/// A part of a text, and how it looks. Parts may overlap.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, prost::Message)]
pub struct Range {
    /// Its first character, from 0. A character is a Unicode scalar value.
    #[prost(uint32, tag = "1")]
    pub at: u32,
    /// How many characters it has, from 1.
    #[prost(uint32, tag = "2")]
    pub len: u32,
    #[prost(enumeration = "Style", tag = "3")]
    #[serde(serialize_with = "write_style", deserialize_with = "read_style")]
    pub style: i32,
    /// Of a link: where it leads.
    #[prost(string, optional, tag = "4")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Of a mention: the user.
    #[prost(string, optional, tag = "5")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Of a mention of all members: [`Everyone`].
    #[prost(enumeration = "Everyone", optional, tag = "6")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(serialize_with = "write_everyone", deserialize_with = "read_everyone")]
    pub everyone: Option<i32>,
}

/// Which members a mention of all of them means.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, prost::Enumeration)]
#[serde(rename_all = "snake_case")]
#[repr(i32)]
pub enum Everyone {
    All = 1,
    /// Those who are online: for notifications. It counts as `All`.
    Here = 2,
}

/// Whom a text mentions.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Mentions {
    pub users: BTreeSet<UserId>,
    /// All members.
    pub everyone: bool,
}

/// How a part of a text looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, prost::Enumeration)]
#[serde(rename_all = "snake_case")]
#[repr(i32)]
pub enum Style {
    Bold = 1,
    Italic = 2,
    Strike = 3,
    Code = 4,
    /// A block of code, in lines of its own.
    CodeBlock = 5,
    Quote = 6,
    Link = 7,
    /// A user, or all members.
    Mention = 8,
}

fn write_style<S: Serializer>(style: &i32, serializer: S) -> Result<S::Ok, S::Error> {
    let style = Style::try_from(*style).map_err(serde::ser::Error::custom)?;
    style.serialize(serializer)
}

fn read_style<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    Style::deserialize(deserializer).map(Into::into)
}

fn write_everyone<S: Serializer>(everyone: &Option<i32>, serializer: S) -> Result<S::Ok, S::Error> {
    let everyone =
        everyone.map(Everyone::try_from).transpose().map_err(serde::ser::Error::custom)?;
    everyone.serialize(serializer)
}

fn read_everyone<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i32>, D::Error> {
    Ok(Option::<Everyone>::deserialize(deserializer)?.map(Into::into))
}

impl Mentions {
    /// Those of a text with these ranges, which were checked.
    #[must_use]
    pub fn of(ranges: &[Range]) -> Self {
        let users = ranges.iter().filter_map(|range| UserId::new(range.user.as_ref()?).ok());
        Self { users: users.collect(), everyone: ranges.iter().any(|it| it.everyone.is_some()) }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users.is_empty() && !self.everyone
    }
}

/// True where one of the ranges needs a later feature level than the others.
pub(super) fn has_mention(ranges: &[Range]) -> bool {
    ranges.iter().any(|range| range.style == i32::from(Style::Mention))
}

/// Where a link may lead. Others run code in the reader's client (`javascript:`), or open what the
/// reader did not mean to.
const SCHEMES: [&str; 3] = ["https://", "http://", "mailto:"];

/// Checks the ranges of a text.
pub(super) fn check(ranges: &[Range], text: &str) -> Result<(), ApiError> {
    let no = |message: String| ApiError::new(ErrorCode::BadRequest, message);
    if ranges.len() > RANGES_MAX {
        let message = format!("the field ranges has more than {RANGES_MAX} parts");
        return Err(ApiError::new(ErrorCode::TooLong, message));
    }
    if ranges.is_empty() {
        return Ok(());
    }
    let link_bytes: usize = ranges.iter().filter_map(|range| Some(range.url.as_ref()?.len())).sum();
    if link_bytes > LINK_BYTES_MAX {
        let message =
            format!("the links of the field ranges have more than {LINK_BYTES_MAX} bytes");
        return Err(ApiError::new(ErrorCode::TooLong, message));
    }
    let chars = text.chars().count() as u64;
    for (index, range) in ranges.iter().enumerate() {
        let Range { at, len, style, url, .. } = range;
        if *len == 0 || u64::from(*at) + u64::from(*len) > chars {
            return Err(no(format!("the field ranges[{index}] is not a part of the text")));
        }
        let style = Style::try_from(*style)
            .map_err(|_| no(format!("the field ranges[{index}].style has an unknown number")))?;
        match url {
            Some(url) if style == Style::Link => check_url(index, url)?,
            None if style != Style::Link => {}
            Some(_) => {
                let message = format!("the field ranges[{index}].url is for the style link alone");
                return Err(no(message));
            }
            None => {
                let message = format!("the field ranges[{index}].url is missing: a link needs it");
                return Err(no(message));
            }
        }
        check_mention(index, range, style == Style::Mention)?;
    }
    if Mentions::of(ranges).users.len() > MENTIONS_MAX {
        let message = format!("the field ranges mentions more than {MENTIONS_MAX} users");
        return Err(ApiError::new(ErrorCode::TooLong, message));
    }
    Ok(())
}

fn check_mention(index: usize, range: &Range, is_mention: bool) -> Result<(), ApiError> {
    let no = |message| Err(ApiError::new(ErrorCode::BadRequest, message));
    let given = usize::from(range.user.is_some()) + usize::from(range.everyone.is_some());
    if given != usize::from(is_mention) {
        return no(match is_mention {
            true => format!("the field ranges[{index}] has to have one of user and everyone"),
            false => {
                format!("the fields user and everyone are for mentions, ranges[{index}] is none")
            }
        });
    }
    if let Some(user) = &range.user {
        UserId::new(user)?;
    }
    match range.everyone.map(Everyone::try_from) {
        Some(Err(_)) => no(format!("the field ranges[{index}].everyone has an unknown number")),
        _ => Ok(()),
    }
}

fn check_url(index: usize, url: &str) -> Result<(), ApiError> {
    crate::check::check_chars(&format!("ranges[{index}].url"), url, LINK_CHARS_MAX)?;
    let lower = url.get(..8).unwrap_or(url).to_ascii_lowercase();
    let is_known =
        SCHEMES.iter().any(|scheme| lower.starts_with(scheme) && url.len() > scheme.len());
    let what = if !is_known {
        "has to begin with https://, http:// or mailto:, and go on after it"
    } else if url.contains(|char: char| char.is_whitespace() || char.is_control()) {
        "has a space or a control character in it"
    } else {
        return Ok(());
    };
    Err(ApiError::new(ErrorCode::BadRequest, format!("the field ranges[{index}].url {what}")))
}
