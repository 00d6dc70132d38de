//! `token`: a fresh token for the live session.

use serde::Deserialize;

use super::Request;
use crate::error::ApiError;
use crate::hidden::Hidden;
use crate::json::read_object;

#[derive(Deserialize)]
struct Token {
    token: String,
}

pub(super) fn read(text: &str) -> Result<Request, ApiError> {
    let Token { token } = read_object(text)?;
    Ok(Request::Token { token: Hidden(token) })
}
