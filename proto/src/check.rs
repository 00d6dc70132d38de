//! What is wrong with a field, in the words of `docs/protocol.md`.

use crate::error::{ApiError, ErrorCode};
use crate::limits::REASON_CHARS_MAX;

/// The error for a field that is not there.
#[must_use]
pub fn missing(field: &str) -> ApiError {
    ApiError::new(ErrorCode::BadRequest, format!("the field {field} is missing"))
}

/// The error for a field with nothing in it.
#[must_use]
pub fn empty(field: &str) -> ApiError {
    ApiError::new(ErrorCode::BadRequest, format!("the field {field} is empty"))
}

/// The error for a number that is 0.
#[must_use]
pub fn not_zero(field: &str) -> ApiError {
    ApiError::new(
        ErrorCode::BadRequest,
        format!("the field {field} has to be a whole number from 1"),
    )
}

/// The error for a reason that says nothing, or too much.
///
/// # Errors
/// [`ErrorCode::BadRequest`], [`ErrorCode::TooLong`].
pub fn check_reason(reason: Option<&str>) -> Result<(), ApiError> {
    let Some(reason) = reason else { return Ok(()) };
    if reason.trim().is_empty() {
        return Err(ApiError::new(ErrorCode::BadRequest, "the field reason is blank"));
    }
    check_chars("reason", reason, REASON_CHARS_MAX)
}

/// The error for a text field of more than `chars_max` Unicode scalar values.
///
/// # Errors
/// [`ErrorCode::TooLong`].
pub fn check_chars(field: &str, text: &str, chars_max: usize) -> Result<(), ApiError> {
    // Bytes are never fewer than characters, so most texts need no counting.
    if text.len() > chars_max && text.chars().count() > chars_max {
        return Err(ApiError::new(
            ErrorCode::TooLong,
            format!("the field {field} has more than {chars_max} characters"),
        ));
    }
    Ok(())
}
