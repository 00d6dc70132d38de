//! `send`: an entry for a room. What the entry says is read by its kind.

use std::borrow::Cow;

use serde::Deserialize;

use super::{REQUEST_ID_MAX, Request};
use crate::check::missing;
use crate::client_id::ClientId;
use crate::error::ApiError;
use crate::json::{read_object, try_object};
use crate::kind::{Body, MESSAGE};
use crate::room::RoomId;

#[derive(Deserialize)]
struct Send<'a> {
    #[serde(borrow)]
    room: Option<Cow<'a, str>>,
    #[serde(borrow)]
    client_id: Cow<'a, str>,
}

pub(super) fn read(text: &str) -> Result<Request, ApiError> {
    let Send { room, client_id } = read_object(text)?;
    let room = room.map(|room| RoomId::new(&room)).transpose()?;
    let (client_id, body) = (ClientId::parse(&client_id)?, Body::from_text(text)?);
    if room.is_none() && !matches!(body, Body::Create(_)) {
        return Err(missing("room"));
    }
    Ok(Request::Send { room, client_id, body })
}

/// What nearly all frames are, in one reading: a text message with nothing beside the text. Of any other
/// frame [`read`] and its like say what it is, or what is wrong with it.
pub(super) fn read_message(text: &str) -> Option<(u64, Request)> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Message<'a> {
        id: u64,
        #[serde(borrow)]
        r#type: Cow<'a, str>,
        #[serde(borrow)]
        room: Cow<'a, str>,
        #[serde(borrow)]
        client_id: Cow<'a, str>,
        #[serde(borrow)]
        kind: Option<Cow<'a, str>>,
        #[serde(borrow)]
        text: Cow<'a, str>,
    }
    let Message { id, r#type, room, client_id, kind, text } = try_object(text)?;
    let is_message = r#type == "send" && kind.is_none_or(|word| word == MESSAGE.word);
    if !is_message || !(1..=REQUEST_ID_MAX).contains(&id) {
        return None;
    }
    let (room, client_id) = (RoomId::new(&room).ok()?, ClientId::parse(&client_id).ok()?);
    Some((
        id,
        Request::Send { room: Some(room), client_id, body: Body::message(text.into_owned()).ok()? },
    ))
}
