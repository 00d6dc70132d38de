//! What users keep for their own devices, on its way to core: each command goes alone, to the user's own notebook.

use bytes::Bytes;
use weft_proto::kind::Setting;
use weft_proto::{ApiError, Body, RoomId, UserId};

use crate::http::answered;
use crate::metrics;
use crate::outbox::Command;
use crate::sending::made_id;
use crate::shared::Shared;

/// Changes how a user wants a room to be: core's answer.
///
/// # Errors
/// Those of the protocol.
pub(crate) async fn set(
    shared: &Shared,
    user: &UserId,
    setting: Setting,
) -> Result<Bytes, ApiError> {
    let (room, payload) = (RoomId::direct(user, user), Body::Setting(setting).to_json().into());
    let command = Command { room, client_id: made_id(), is_made: true, payload };
    let answer = answered(shared, user, command).await;
    metrics::SETTINGS.increment(answer.as_ref().map_or_else(|error| error.code.as_str(), |_| "ok"));
    answer
}
