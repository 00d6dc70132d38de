//! `reactions`: who has put an emoji on a message.

use std::borrow::Cow;

use serde::Deserialize;

use super::{Query, Request, or_default, page_limit};
use crate::check::missing;
use crate::error::ApiError;
use crate::json::read_object;
use crate::kind::{check_emoji, target_of};
use crate::room::RoomId;

#[derive(Deserialize)]
struct Reactions<'a> {
    #[serde(borrow)]
    room: Cow<'a, str>,
    target: Option<u64>,
    emoji: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    after: String,
    limit: Option<u32>,
}

pub(super) fn read(text: &str) -> Result<Request, ApiError> {
    let Reactions { room, target, emoji, after, limit } = read_object(text)?;
    let (room, target) = (RoomId::new(&room)?, target_of(target)?);
    let emoji = emoji.ok_or_else(|| missing("emoji"))?;
    check_emoji(&emoji)?;
    Ok(Query::Reactions { room, target, emoji, after, limit: page_limit(limit)? }.into())
}
