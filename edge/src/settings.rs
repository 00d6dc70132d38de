//! What users keep for their own devices alone, settings, drafts and relations, on its way to core: each command goes alone, to
//! the user's own notebook.

use bytes::Bytes;
use weft_proto::{ApiError, Body, RoomId};

use crate::auth::Caller;
use crate::http::answered;
use crate::metrics;
use crate::sending::made_id;
use crate::shared::Shared;

/// Changes how a user wants a room to be, or what they have typed for it and not sent: core's answer.
///
/// # Errors
/// Those of the protocol.
pub(crate) async fn keep(shared: &Shared, caller: &Caller, body: &Body) -> Result<Bytes, ApiError> {
    let notebook = RoomId::direct(&caller.user, &caller.user);
    let command = caller.command(notebook, (made_id(), true), body)?;
    let answer = answered(shared, &caller.user, command).await;
    let counter = match body {
        Body::Draft(_) => &metrics::DRAFTS,
        Body::Relation(_) => &metrics::RELATIONS,
        _ => &metrics::SETTINGS,
    };
    counter.increment(answer.as_ref().map_or_else(|error| error.code.as_str(), |_| "ok"));
    answer
}
