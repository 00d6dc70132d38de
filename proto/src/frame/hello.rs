//! `hello`: who it is and where it stopped.

use serde::Deserialize;

use super::Request;
use crate::error::ApiError;
use crate::hidden::Hidden;
use crate::json::read_object;

#[derive(Deserialize)]
struct Hello {
    token: String,
    cursor: Option<String>,
    presence: Option<bool>,
    idle: Option<bool>,
}

pub(super) fn read(text: &str) -> Result<Request, ApiError> {
    let Hello { token, cursor, presence, idle } = read_object(text)?;
    Ok(Request::Hello {
        token: Hidden(token),
        cursor,
        presence: presence.unwrap_or(true),
        idle: idle.unwrap_or(false),
    })
}
