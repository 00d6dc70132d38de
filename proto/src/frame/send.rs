//! `send`: an entry for a room. What the entry says is read by its kind.

use std::borrow::Cow;

use serde::Deserialize;

use super::Request;
use crate::client_id::ClientId;
use crate::error::ApiError;
use crate::json::read_object;
use crate::kind::Body;
use crate::room::RoomId;

#[derive(Deserialize)]
struct Send<'a> {
    #[serde(borrow)]
    room: Cow<'a, str>,
    #[serde(borrow)]
    client_id: Cow<'a, str>,
}

pub(super) fn read(text: &str) -> Result<Request, ApiError> {
    let Send { room, client_id } = read_object(text)?;
    Ok(Request::Send {
        room: RoomId::new(&room)?,
        client_id: ClientId::parse(&client_id)?,
        body: Body::from_text(text)?,
    })
}
