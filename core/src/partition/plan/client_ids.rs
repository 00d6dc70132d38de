//! What a client id is answered that has an answer already, and which ids are taken.

use weft_proto::frame::{Ack, Reply, invited_frame};
use weft_proto::limits::{CLIENT_ID_AGE_MS_MAX, CLIENT_ID_AHEAD_MS_MAX};
use weft_proto::{ApiError, ClientId, ErrorCode, RoomId};

use super::Times;
use crate::partition::state::Answered;

/// What who sends a command again is told.
///
/// # Errors
/// [`ErrorCode::Conflict`] where it has another content.
pub(super) fn answer_resend(
    room: &RoomId,
    client_id: Option<ClientId>,
    answered: &Answered,
    content_hash: u64,
) -> Result<Vec<u8>, ApiError> {
    let Answered { seq, ordinal, time_ms: time, ref invited, .. } = *answered;
    match (answered.content_hash == content_hash, seq) {
        (true, 0) if invited.is_empty() => Ok(Reply::Done {}.to_frame()),
        (true, 0) => Ok(invited_frame(invited)),
        (true, _) => Ok(Ack { room, seq, ordinal, time, client_id, invited }.to_frame()),
        (false, 0) => {
            let message = "the client id is used already, with another content";
            Err(ApiError::new(ErrorCode::Conflict, message))
        }
        (false, _) => {
            let message =
                format!("the client id is used already, with another content, at seq {seq}");
            Err(ApiError { seq: Some(seq), ..ApiError::new(ErrorCode::Conflict, message) })
        }
    }
}

/// Looks at the age of a sender's own id. A command may have waited for hours, and a clock may be
/// wrong: the times that are kinder to the sender count.
///
/// # Errors
/// [`ErrorCode::ExpiredId`].
pub(super) fn check_age(
    own_id: Option<ClientId>,
    floor_hour: u32,
    times: Times,
) -> Result<(), ApiError> {
    let Some(client_id) = own_id else { return Ok(()) };
    let stamped_ms = client_id.time_ms();
    let (earlier_ms, later_ms) =
        (times.now_ms.min(times.stored_at_ms), times.now_ms.max(times.stored_at_ms));
    // Below the floor there are no resend records any more, whatever the clocks say now.
    let is_old = client_id.hour() < floor_hour
        || stamped_ms.saturating_add(CLIENT_ID_AGE_MS_MAX) < earlier_ms;
    if is_old {
        let message = "the client id is more than 24 h old: look in the room before sending again";
        return Err(ApiError::new(ErrorCode::ExpiredId, message));
    }
    if stamped_ms > later_ms.saturating_add(CLIENT_ID_AHEAD_MS_MAX) {
        let message = "the client id is more than 1 h ahead: stamp it by the server's time";
        return Err(ApiError::new(ErrorCode::ExpiredId, message));
    }
    Ok(())
}
