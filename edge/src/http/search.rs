//! Search in the caller's messages.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::de::DeserializeOwned;
use serde::de::value::{Error, StrDeserializer};
use weft_proto::frame::{self, Searched};
use weft_proto::{ApiError, ErrorCode, RoomId, UserId};

use super::extract::{Caller, Query, Refusal, read};
use crate::shared::Shared;

/// `GET /v1/search`
pub(super) async fn find(
    State(shared): State<Arc<Shared>>,
    Caller(caller): Caller,
    query: Query,
) -> Result<Response, Refusal> {
    let searched = Box::new(searched(&query)?.checked()?);
    read(&shared, &caller, frame::Query::Search(searched)).await
}

fn searched(query: &Query) -> Result<Searched, ApiError> {
    let owned = |field: &str| Ok::<_, ApiError>(query.text(field)?.map(str::to_owned));
    let has = query.text("has")?.unwrap_or_default();
    let has = has.split(',').filter(|word| !word.is_empty()).map(|it| word("has", it));
    let (after, limit) = query.page()?;
    Ok(Searched {
        text: owned("text")?.unwrap_or_default(),
        room: query.text("room")?.map(RoomId::new).transpose()?,
        from: query.text("from")?.map(UserId::new).transpose()?,
        since: owned("since")?,
        until: owned("until")?,
        zone: owned("zone")?,
        has: has.collect::<Result<_, _>>()?,
        mentions_me: flag(query, "mentions_me")?,
        thread: query.number("thread")?,
        order: query.text("order")?.map(|it| word("order", it)).transpose()?.unwrap_or_default(),
        counts: flag(query, "counts")?,
        after,
        limit,
    })
}

/// One of a fixed set of words.
fn word<W: DeserializeOwned>(field: &str, text: &str) -> Result<W, ApiError> {
    W::deserialize(StrDeserializer::<Error>::new(text)).map_err(|_| {
        ApiError::new(ErrorCode::BadRequest, format!("the field {field} has an unknown word"))
    })
}

fn flag(query: &Query, field: &str) -> Result<bool, ApiError> {
    match query.text(field)? {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => {
            let message = format!("the field {field} has to be true or false");
            Err(ApiError::new(ErrorCode::BadRequest, message))
        }
    }
}
