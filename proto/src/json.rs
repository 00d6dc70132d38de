//! Reading JSON that comes from outside. What is wrong with it is said in the words of
//! `docs/protocol.md`: which field, and what it has to be; never in those of this code.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::error::Category;

use crate::error::{ApiError, ErrorCode};

/// How deep lists and objects may be nested. The parser refuses no more than that where it looks,
/// and looks at no field that it does not know.
pub const DEPTH_MAX: usize = 128;

/// Reads one JSON object whose bytes may be anything.
///
/// # Errors
/// [`ErrorCode::BadEncoding`] where they are not UTF-8; those of [`read_object`].
pub fn read_json<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, ApiError> {
    read_object(text_of(bytes)?)
}

/// The text of bytes that may be anything.
///
/// # Errors
/// [`ErrorCode::BadEncoding`].
pub fn text_of(bytes: &[u8]) -> Result<&str, ApiError> {
    std::str::from_utf8(bytes)
        .map_err(|_| ApiError::new(ErrorCode::BadEncoding, "the bytes are not UTF-8"))
}

/// Reads one JSON object.
///
/// # Errors
/// [`ErrorCode::BadJson`]; [`ErrorCode::BadRequest`] for another value than an object, and for a
/// field that is missing, comes twice or has a wrong type: the message names it.
pub fn read_object<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, ApiError> {
    if is_too_deep(text) {
        let message = format!("the JSON is nested more than {DEPTH_MAX} deep");
        return Err(ApiError::new(ErrorCode::BadJson, message));
    }
    // The parser would also take a list of all fields in their order.
    let is_object = text.trim_start().starts_with('{');
    let error = match serde_json::from_str(text) {
        Ok(value) if is_object => return Ok(value),
        Ok(_) => None,
        Err(error) => Some(error),
    };
    // It stops at the first field that it can't use; what follows may be no JSON.
    if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
        return Err(not_json(&error));
    }
    if !is_object {
        return Err(ApiError::new(ErrorCode::BadRequest, "not one JSON object"));
    }
    match error {
        // An unpaired surrogate. A list in place of a word is told the same way, but "expected".
        Some(error)
            if error.classify() != Category::Data && !error.to_string().starts_with("expected") =>
        {
            Err(not_json(&error))
        }
        _ => Err(name_the_field::<T>(text)),
    }
}

/// As [`read_object`], for who asks whether it is this: why not is not said.
pub(crate) fn try_object<'a, T: Deserialize<'a>>(text: &'a str) -> Option<T> {
    if !text.trim_start().starts_with('{') || is_too_deep(text) {
        return None;
    }
    serde_json::from_str(text).ok()
}

/// With the place: in a frame of a million bytes nobody finds it otherwise.
fn not_json(error: &serde_json::Error) -> ApiError {
    let (line, column) = (error.line(), error.column());
    let message = match (line, column) {
        (1, 0) => "not valid JSON: there is nothing".to_owned(),
        _ => format!("not valid JSON: line {line}, column {column}"),
    };
    ApiError::new(ErrorCode::BadJson, message)
}

/// Reads it once more, with an eye on where it stops. Only what is refused pays for that.
fn name_the_field<'a, T: Deserialize<'a>>(text: &'a str) -> ApiError {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let message = match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
        Ok(_) => "a field has a wrong value".to_owned(),
        Err(error) => {
            let path = error.path().to_string();
            let inner = error.inner().to_string();
            // Of the object itself serde says two things, with the field's name in backticks.
            match (inner.split('`').nth(1), inner.split(" field ").next()) {
                (Some(field), Some("missing")) if path == "." => {
                    format!("the field {field} is missing")
                }
                (Some(field), Some("missing")) => format!("the field {path}.{field} is missing"),
                (Some(field), Some("duplicate")) => format!("the field {field} comes twice"),
                _ if path == "after" && inner.contains("expected a string") => {
                    "the field after has to be a string: an id, or a page's cursor".to_owned()
                }
                _ => format!("the field {path} has to be {}", shape_of(&path, &inner)),
            }
        }
    };
    ApiError::new(ErrorCode::BadRequest, message)
}

/// What the protocol's fields are; of those that are not named here, what serde says. An element of a list has a path of
/// its own (`users[3]`).
fn shape_of(field: &str, error: &str) -> &'static str {
    match field {
        "id" => "a whole number from 1 to 2^53-1",
        "text_until" | "at" | "muted_until" | "expires_at" => "a time, in milliseconds",
        "seq" | "uses" | "members_max" | "before" | "around" | "limit" | "target" | "reply_to"
        | "read" | "delivered" | "unread_from" | "thread" | "forwarded.seq" => {
            "a whole number from 1"
        }
        "ranges" => "a list of ranges",
        "meta" | "forwarded" => "an object",
        "version" | "slow_mode_s" | "retention_days" | "file_days" | "after" => "a whole number",
        "files" => "a list of files",
        _ if field.starts_with("files[") && field.ends_with(']') => {
            "an object with the id of a file"
        }
        "members" | "users" => "a list of user ids",
        "keys" => "an object with p256dh and auth",
        "hidden" if error.contains("expected struct") => "an object with seq and ordinal",
        "order" => "newest or ranked",
        "history" => "all or joined",
        "join" => "invitation, ask or open",
        "write" => "all or admins",
        "role" => "member, admin or owner",
        "status" => "online, away, dnd or invisible",
        "add_by" => "all, known, none or default",
        "strangers" => "welcome, request or default",
        "notify" => "all, mentions, none or default",
        "mode" => "open, invitation or closed",
        _ if field.ends_with("].at") || field.ends_with("].len") => "a whole number",
        _ if field.ends_with("].style") => {
            "bold, italic, strike, code, code_block, quote, link or mention"
        }
        _ if field.ends_with("].everyone") => "all or here",
        _ if field.starts_with("ranges[") && field.ends_with(']') => "a range",
        _ if error.contains("expected a boolean") => "true or false",
        _ => "a string",
    }
}

/// True where lists and objects are nested deeper than [`DEPTH_MAX`].
fn is_too_deep(text: &str) -> bool {
    // Most texts have fewer of them. Counted in bytes as long as they fit, which is ten times as fast.
    let opens = |byte: &u8| u8::from(matches!(byte, b'[' | b'{'));
    let count = |part: &[u8]| usize::from(part.iter().map(opens).sum::<u8>());
    if text.as_bytes().chunks(usize::from(u8::MAX)).map(count).sum::<usize>() <= DEPTH_MAX {
        return false;
    }
    let (mut depth, mut is_string, mut is_escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_string => is_escaped = true,
            b'"' => is_string = !is_string,
            _ if is_string => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::role::Role;

    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "only whether it can be read matters")]
    struct Place {
        at: u64,
    }

    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "only whether it can be read matters")]
    struct Sample {
        user: String,
        role: Option<Role>,
        limit: Option<u32>,
        members: Option<Vec<String>>,
        seq: Option<u64>,
        after: Option<u64>,
        ranges: Option<Vec<Place>>,
        new_one: Option<bool>,
    }

    fn refused(text: &str) -> (ErrorCode, String) {
        let error = read_object::<Sample>(text).expect_err(text);
        (error.code, error.message)
    }

    #[test]
    fn the_field_is_named_and_nothing_of_this_code() {
        #[derive(Debug, Deserialize)]
        #[allow(dead_code, reason = "only whether it can be read matters")]
        struct OfUsers<'a> {
            after: std::borrow::Cow<'a, str>,
        }
        let cursor = read_object::<OfUsers<'_>>(r#"{"after":5}"#).expect_err("a number").message;
        assert_eq!(cursor, "the field after has to be a string: an id, or a page's cursor");
        for (text, message) in [
            (r"{}", "the field user is missing"),
            (r#"{"user":5}"#, "the field user has to be a string"),
            (r#"{"user":null}"#, "the field user has to be a string"),
            (r#"{"user":"a","user":"b"}"#, "the field user comes twice"),
            (r#"{"user":"a","role":"king"}"#, "the field role has to be member, admin or owner"),
            (r#"{"user":"a","role":["x"]}"#, "the field role has to be member, admin or owner"),
            (r#"{"user":"a","limit":-1}"#, "the field limit has to be a whole number from 1"),
            (r#"{"user":"a","limit":1e99}"#, "the field limit has to be a whole number from 1"),
            (r#"{"user":"a","members":"b"}"#, "the field members has to be a list of user ids"),
            (r#"{"user":"a","members":["b",7]}"#, "the field members[1] has to be a string"),
            (r#"{"user":"a","after":"3"}"#, "the field after has to be a whole number"),
            (r#"{"user":"a","seq":-1}"#, "the field seq has to be a whole number from 1"),
            (r#"{"user":"a","ranges":[{"at":1},{}]}"#, "the field ranges[1].at is missing"),
            (r#"{"user":"a","new_one":"yes"}"#, "the field new_one has to be true or false"),
            (r#"["a",null,null,null,null,null,null,null]"#, "not one JSON object"),
            ("7", "not one JSON object"),
        ] {
            assert_eq!(refused(text), (ErrorCode::BadRequest, message.to_owned()), "{text}");
        }
        assert!(read_object::<Sample>(r#" {"user":"a","role":"owner","new":{"x":[1]}} "#).is_ok());
    }

    #[test]
    fn what_is_no_json_is_that_wherever_it_stops_to_be() {
        let surrogate = r#"{"user":"\ud800"}"#;
        for text in ["", "{", r#"{"user":5"#, r#"{"user":5} {}"#, r#"["a",]"#, "no", surrogate] {
            assert_eq!(refused(text).0, ErrorCode::BadJson, "{text}");
        }
        assert_eq!(read_json::<Sample>(b"\xff").expect_err("bytes").code, ErrorCode::BadEncoding);
    }

    #[test]
    fn deep_nesting_is_bad_json_in_any_field() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let with = |field: &str, depth| format!(r#"{{"user":"a","{field}":{}}}"#, nested(depth));
        assert!(read_object::<Sample>(&with("new", DEPTH_MAX - 1)).is_ok());
        assert_eq!(refused(&with("new", DEPTH_MAX)).0, ErrorCode::BadJson);
        assert_eq!(refused(&with("role", DEPTH_MAX)).0, ErrorCode::BadJson);
        assert_eq!(refused(&nested(DEPTH_MAX + 1)).0, ErrorCode::BadJson);
        // In a text they are characters.
        let text = format!(r#"{{"user":"\"{}\\","limit":1}}"#, "[{".repeat(DEPTH_MAX));
        assert!(read_object::<Sample>(&text).is_ok());
    }
}
