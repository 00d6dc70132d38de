//! The first frame of a session: who it is, and where it stopped.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::WebSocket;
use futures_util::StreamExt;
use futures_util::stream::SplitStream;
use tokio::time::{Instant, timeout_at};
use weft_proto::frame::{CloseCode, Reply, Request, error_frame, parse_request};
use weft_proto::{ApiError, Cursor, ErrorCode};

use super::presence::Wish;
use super::writer::SocketWriter;
use super::{Ended, Inbound, binary_refused, read};
use crate::auth::Caller;
use crate::connections::ConnectionPlace;
use crate::delivery::mailbox::End;
use crate::shared::Shared;

/// A session that may begin.
pub(crate) struct Greeted {
    pub(crate) caller: Caller,
    /// Empty on a device's first connect.
    pub(crate) cursor: String,
    pub(crate) presence: Wish,
}

/// Waits for `hello` and answers it.
pub(super) async fn greet(
    shared: &Arc<Shared>,
    place: &ConnectionPlace,
    stream: &mut SplitStream<WebSocket>,
    writer: &mut SocketWriter,
    end: &End,
) -> Result<Greeted, Ended> {
    let late_at = Instant::now() + shared.limits.hello_timeout;
    let greeted = tokio::select! {
        biased; // the end first
        code = end.ended() => return Err(Ended::Close(code)),
        () = place.evicted() => return Err(Ended::Gone),
        greeted = timeout_at(late_at, hear(shared, place, stream, writer)) => greeted,
    };
    let (id, greeted) = greeted.unwrap_or(Err(Ended::Close(CloseCode::HelloExpected)))?;
    writer.answer(id, &welcome(shared, &greeted.caller)).await?;
    Ok(greeted)
}

async fn hear(
    shared: &Shared,
    place: &ConnectionPlace,
    stream: &mut SplitStream<WebSocket>,
    writer: &mut SocketWriter,
) -> Result<(u64, Greeted), Ended> {
    let text = loop {
        match read(stream.next().await)? {
            Inbound::Request(text) => break text,
            Inbound::SignOfLife => {}
            Inbound::Binary => {
                writer.feed(binary_refused()).await?;
                return Err(Ended::Close(CloseCode::HelloExpected));
            }
        }
    };
    let (id, checked) = match parse_request(&text) {
        Ok((id, Request::Hello { token, cursor, presence, idle })) => {
            let presence = Wish { is_on: presence, is_idle: idle };
            (Some(id), check(shared, place, &token, cursor, presence).await)
        }
        Ok((id, _)) => {
            let error = ApiError::new(ErrorCode::BadRequest, "the first frame is a hello");
            (Some(id), Err(Refused::from(error)))
        }
        Err(bad) => (bad.id, Err(Refused::from(bad.error))),
    };
    match (id, checked) {
        (Some(id), Ok(greeted)) => Ok((id, greeted)),
        (id, checked) => {
            let no_id = || ApiError::new(ErrorCode::BadRequest, "id").into();
            let Refused { error, close } = checked.err().unwrap_or_else(no_id);
            let frame = error_frame(&error);
            match id {
                Some(id) => writer.answer(id, &frame).await?,
                None => writer.feed(frame.try_into().unwrap_or_default()).await?,
            }
            Err(Ended::Close(close))
        }
    }
}

/// A `hello` that is refused, and how its session is closed.
struct Refused {
    error: ApiError,
    close: CloseCode,
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        let close = match error.code {
            ErrorCode::Unauthorized => CloseCode::BadToken,
            ErrorCode::TokenExpired => CloseCode::TokenExpired,
            ErrorCode::Unavailable | ErrorCode::Overloaded => CloseCode::Unavailable,
            _ => CloseCode::HelloExpected,
        };
        Self { error, close }
    }
}

async fn check(
    shared: &Shared,
    place: &ConnectionPlace,
    token: &str,
    cursor: Option<String>,
    presence: Wish,
) -> Result<Greeted, Refused> {
    let caller = shared.auth.verify(token).await?;
    // An empty text is no cursor; to have none is to leave it out.
    let cursor = match cursor {
        Some(text) => text.parse::<Cursor>()?.to_string(),
        None => String::new(),
    };
    let checked = shared.logins.check(&caller, Duration::ZERO).await;
    checked.map_err(|error| {
        let close = match error.code {
            ErrorCode::Suspended => CloseCode::Suspended,
            _ => CloseCode::LoggedOut,
        };
        Refused { error, close }
    })?;
    place.know()?;
    // Whom a user sees follows from all of their rooms.
    let sees_all = caller.scope.as_ref().is_none_or(|scope| scope.rooms.is_none());
    let presence = Wish { is_on: presence.is_on && sees_all, ..presence };
    Ok(Greeted { caller, cursor, presence })
}

fn welcome(shared: &Shared, caller: &Caller) -> Vec<u8> {
    let limits = &shared.limits;
    let millis = |duration: std::time::Duration| u64::try_from(duration.as_millis());
    let welcome = Reply::Welcome {
        session: format!("{:016x}", rand::random::<u64>()),
        user: caller.user.to_string(),
        device: caller.device.to_string(),
        server_time: shared.now_ms(),
        heartbeat_ms: millis(limits.heartbeat).unwrap_or(u64::MAX),
        silence_ms: millis(limits.silence).unwrap_or(u64::MAX),
        token_expires_at: caller.expires_at_ms,
        in_flight_max: limits.in_flight_max,
        files: shared.life.members.files(caller.user.as_str()),
    };
    welcome.to_frame()
}
