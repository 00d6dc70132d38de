//! What users keep for their own devices alone, settings, drafts and relations, on its way to core: each command goes alone, to
//! the user's own notebook.

use bytes::Bytes;
use weft_proto::{ApiError, Body, RoomId, UserId};

use crate::http::answered;
use crate::metrics;
use crate::outbox::Command;
use crate::sending::made_id;
use crate::shared::Shared;

/// Changes how a user wants a room to be, or what they have typed for it and not sent: core's answer.
///
/// # Errors
/// Those of the protocol.
pub(crate) async fn keep(shared: &Shared, user: &UserId, body: &Body) -> Result<Bytes, ApiError> {
    let (room, payload) = (RoomId::direct(user, user), body.to_json().into());
    let command = Command { room, client_id: made_id(), is_made: true, payload };
    let answer = answered(shared, user, command).await;
    let counter = match body {
        Body::Draft(_) => &metrics::DRAFTS,
        Body::Relation(_) => &metrics::RELATIONS,
        _ => &metrics::SETTINGS,
    };
    counter.increment(answer.as_ref().map_or_else(|error| error.code.as_str(), |_| "ok"));
    answer
}
