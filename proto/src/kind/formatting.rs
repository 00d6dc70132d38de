//! How parts of a text look. A text is plain; beside it, ranges say what is bold, code, a link. Nobody
//! makes markup of it but the client that shows it.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{ApiError, ErrorCode};
use crate::limits::{LINK_BYTES_MAX, LINK_CHARS_MAX, RANGES_MAX};

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
}

fn write_style<S: Serializer>(style: &i32, serializer: S) -> Result<S::Ok, S::Error> {
    let style = Style::try_from(*style).map_err(serde::ser::Error::custom)?;
    style.serialize(serializer)
}

fn read_style<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    Style::deserialize(deserializer).map(Into::into)
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
    for (index, Range { at, len, style, url }) in ranges.iter().enumerate() {
        if *len == 0 || u64::from(*at) + u64::from(*len) > chars {
            return Err(no(format!("the field ranges[{index}] is not a part of the text")));
        }
        let style = Style::try_from(*style)
            .map_err(|_| no(format!("the field ranges[{index}].style has an unknown number")))?;
        match url {
            Some(url) if style == Style::Link => check_url(index, url)?,
            None if style != Style::Link => {}
            given => {
                let what = if given.is_some() { "this is none" } else { "this one has none" };
                return Err(no(format!("the field ranges[{index}].url is for links, and {what}")));
            }
        }
    }
    Ok(())
}

fn check_url(index: usize, url: &str) -> Result<(), ApiError> {
    crate::check::check_chars(&format!("ranges[{index}].url"), url, LINK_CHARS_MAX)?;
    let lower = url.get(..8).unwrap_or(url).to_ascii_lowercase();
    let is_known =
        SCHEMES.iter().any(|scheme| lower.starts_with(scheme) && url.len() > scheme.len());
    if is_known && !url.contains(|char: char| char.is_whitespace() || char.is_control()) {
        return Ok(());
    }
    let message =
        format!("the field ranges[{index}].url has to be an https, http or mailto address");
    Err(ApiError::new(ErrorCode::BadRequest, message))
}
