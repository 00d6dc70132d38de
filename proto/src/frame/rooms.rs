//! `rooms`, `room`, `members` and `banned`: the caller's rooms, one of them, and who is in it.

use std::borrow::Cow;

use serde::Deserialize;

use super::{Query, Request, or_default, page_limit};
use crate::error::ApiError;
use crate::json::read_object;
use crate::room::RoomId;

#[derive(Deserialize)]
struct Rooms {
    #[serde(default, deserialize_with = "or_default")]
    after: String,
    limit: Option<u32>,
}

pub(super) fn read_rooms(text: &str) -> Result<Request, ApiError> {
    #[derive(Deserialize)]
    struct Which {
        #[serde(default, deserialize_with = "or_default")]
        hidden: bool,
    }
    let (Rooms { after, limit }, Which { hidden }) = (read_object(text)?, read_object(text)?);
    Ok(Query::Rooms { after, limit: page_limit(limit)?, hidden }.into())
}

#[derive(Deserialize)]
struct Room<'a> {
    #[serde(borrow)]
    room: Cow<'a, str>,
}

pub(super) fn read_room_id(text: &str) -> Result<RoomId, ApiError> {
    let Room { room } = read_object(text)?;
    RoomId::new(&room)
}

pub(super) fn read_room(text: &str) -> Result<Request, ApiError> {
    Ok(Query::Room { room: read_room_id(text)? }.into())
}

pub(super) fn read_members(text: &str) -> Result<Request, ApiError> {
    let (room, after, limit) = read_users(text)?;
    Ok(Query::Members { room, after, limit }.into())
}

pub(super) fn read_banned(text: &str) -> Result<Request, ApiError> {
    let (room, after, limit) = read_users(text)?;
    Ok(Query::Banned { room, after, limit }.into())
}

/// A page of a room's users: after which one it begins, and how many it may hold.
pub(super) fn read_users(text: &str) -> Result<(RoomId, String, u32), ApiError> {
    let (room, Rooms { after, limit }) = (read_room_id(text)?, read_object(text)?);
    Ok((room, after, page_limit(limit)?))
}
