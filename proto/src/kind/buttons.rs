//! Buttons below a bot's message: who presses one tells the bot so.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::check::{check_chars, empty};
use crate::error::{ApiError, ErrorCode};
use crate::limits::{
    BUTTON_ID_BYTES_MAX, BUTTON_LABEL_CHARS_MAX, BUTTON_ROWS_MAX, BUTTONS_PER_ROW_MAX,
};

/// A row of buttons, side by side.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ButtonRow {
    #[prost(message, repeated, tag = "1")]
    pub buttons: Vec<Button>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, prost::Message)]
pub struct Button {
    /// By which the bot knows it: no other one of the message has it.
    #[prost(string, tag = "1")]
    #[serde(default)]
    pub id: String,
    /// What people see.
    #[prost(string, tag = "2")]
    #[serde(default)]
    pub label: String,
    /// `primary` or `danger`; empty: like others. Another word is shown as none.
    #[prost(string, tag = "3")]
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub style: String,
}

/// On the wire a row is a list.
impl Serialize for ButtonRow {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.buttons.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ButtonRow {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self { buttons: Vec::deserialize(deserializer)? })
    }
}

/// # Errors
/// [`ErrorCode::BadRequest`], [`ErrorCode::TooLong`] where nobody may send them.
pub(super) fn check(rows: &[ButtonRow]) -> Result<(), ApiError> {
    let is_long = rows.iter().any(|row| row.buttons.len() > BUTTONS_PER_ROW_MAX);
    if rows.len() > BUTTON_ROWS_MAX || is_long {
        let message = format!(
            "a message has at most {BUTTON_ROWS_MAX} rows of {BUTTONS_PER_ROW_MAX} buttons"
        );
        return Err(ApiError::new(ErrorCode::TooLong, message));
    }
    if rows.iter().any(|row| row.buttons.is_empty()) {
        return Err(empty("buttons"));
    }
    let mut ids = BTreeSet::new();
    for Button { id, label, style } in rows.iter().flat_map(|row| &row.buttons) {
        if id.is_empty() || id.len() > BUTTON_ID_BYTES_MAX || !ids.insert(id) {
            let message = format!(
                "the id of a button is a text of 1 to {BUTTON_ID_BYTES_MAX} bytes that no other one has"
            );
            return Err(ApiError::new(ErrorCode::BadRequest, message));
        }
        if label.trim().is_empty() {
            return Err(empty("label"));
        }
        check_chars("label", label, BUTTON_LABEL_CHARS_MAX)?;
        check_chars("style", style, BUTTON_LABEL_CHARS_MAX)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::error::ErrorCode;
    use crate::kind::Body;

    #[test]
    fn buttons_are_few_and_told_apart() {
        let read =
            |buttons: &str| Body::from_text(&format!(r#"{{"text":"x","buttons":{buttons}}}"#));
        let body =
            read(r#"[[{"id":"yes","label":"Yes","style":"primary"},{"id":"no","label":"No"}]]"#);
        let body = body.expect("a body");
        let extras = body.as_message().expect("a message").extras();
        assert_eq!(extras.buttons[0].buttons[1].label, "No");
        let json = r#"{"kind":"message","text":"x","buttons":[[{"id":"yes","label":"Yes","style":"primary"},{"id":"no","label":"No"}]]}"#;
        assert_eq!(body.to_json(), json.as_bytes());
        let button = r#"{"id":"ID","label":"L"}"#;
        let row = |count: usize| {
            let one = |n: usize| button.replace("ID", &n.to_string());
            format!("[{}]", (0..count).map(one).collect::<Vec<_>>().join(","))
        };
        for (bad, code) in [
            ("[[]]".to_owned(), ErrorCode::BadRequest),
            (format!("[[{button},{button}]]"), ErrorCode::BadRequest),
            (r#"[[{"id":"","label":"x"}]]"#.to_owned(), ErrorCode::BadRequest),
            (r#"[[{"id":"a","label":" "}]]"#.to_owned(), ErrorCode::BadRequest),
            (format!("[{}]", row(6)), ErrorCode::TooLong),
            (format!("[{}]", vec![row(1); 6].join(",")), ErrorCode::TooLong),
            (format!(r#"[[{{"id":"a","label":"{}"}}]]"#, "x".repeat(81)), ErrorCode::TooLong),
        ] {
            assert_eq!(read(&bad).expect_err(&bad).code, code, "{bad}");
        }
    }
}
