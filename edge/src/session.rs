//! One live WebSocket. One task owns all of it: it reads requests, writes what delivery and core
//! have for it, and knows when it is time to end.

mod hello;
mod presence;
mod requests;
mod turn;
mod writer;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use futures_util::StreamExt;
use futures_util::stream::SplitStream;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_tungstenite::tungstenite;
use weft_proto::frame::{CloseCode, Reply, error_frame};
use weft_proto::{ApiError, ErrorCode};

use self::hello::Greeted;
use self::presence::{CompanionWatch, SessionPresence, presence_frame};
use self::requests::Requests;
use self::writer::SocketWriter;
use crate::connections::ConnectionPlace;
use crate::delivery::mailbox::{End, Mailbox};
use crate::delivery::{Delivery, Frames, OnEntry, TokenCell};
use crate::drain::Departure;
use crate::logins::LiveLogin;
use crate::metrics;
use crate::shared::Shared;

/// WebSocket's own codes.
const CLOSE_NORMAL: u16 = 1000;
const CLOSE_NOT_UTF8: u16 = 1007;
const CLOSE_TOO_BIG: u16 = 1009;
const CLOSE_PROTOCOL: u16 = 1002;

/// Why a session is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ended {
    /// The server ends it.
    Close(CloseCode),
    /// What came can't be read, with a code of WebSocket's own.
    Unreadable(u16, &'static str),
    /// The client has logged out.
    LoggedOut,
    /// The client has closed, and waits for the answer to that.
    Closed,
    /// The connection broke.
    Gone,
}

impl Ended {
    /// As the metrics have it.
    fn word(self) -> &'static str {
        match self {
            Self::Close(CloseCode::GoingAway) => "4000",
            Self::Close(CloseCode::SlowReader) => "4001",
            Self::Close(CloseCode::Silent) => "4002",
            Self::Close(CloseCode::Unavailable) => "4003",
            Self::Close(CloseCode::BadToken) => "4100",
            Self::Close(CloseCode::TokenExpired) => "4101",
            Self::Close(CloseCode::HelloExpected) => "4102",
            Self::Close(CloseCode::LoggedOut) => "4103",
            Self::Close(CloseCode::Suspended) => "4104",
            Self::Unreadable(CLOSE_PROTOCOL, _) => "1002",
            Self::Unreadable(CLOSE_NOT_UTF8, _) => "1007",
            Self::Unreadable(CLOSE_TOO_BIG, _) => "1009",
            Self::Unreadable(..) => "other",
            Self::LoggedOut => "1000",
            Self::Closed | Self::Gone => "gone",
        }
    }
}

/// Serves a socket until it ends.
pub(crate) async fn run(shared: Arc<Shared>, socket: WebSocket, place: Arc<ConnectionPlace>) {
    let end = End::new(shared.life.front.token());
    let (sink, mut stream) = socket.split();
    let mut writer = SocketWriter::new(sink, end.clone(), shared.limits.write_stall);
    // Boxed, as the end is: neither is a part of the time between them.
    let greeted = Box::pin(hello::greet(&shared, &place, &mut stream, &mut writer, &end)).await;
    let ended = match greeted {
        Ok(greeted) => {
            let mut session = Session::new(&shared, greeted, stream, writer, end);
            let ended = session.serve().await;
            tracing::debug!(user = %session.requests.caller().user, ?ended, "session ended");
            if let Ended::LoggedOut | Ended::Close(CloseCode::LoggedOut | CloseCode::Suspended) =
                ended
            {
                session.requests.presence().log_out();
            }
            writer = session.writer;
            ended
        }
        Err(ended) => ended,
    };
    metrics::CLOSES.increment(ended.word());
    Box::pin(say_goodbye(writer, ended, shared.limits.goodbye)).await;
}

async fn say_goodbye(writer: SocketWriter, ended: Ended, patience: Duration) {
    match ended {
        Ended::Close(code) => writer.close(code as u16, reason(code), patience).await,
        Ended::Unreadable(code, reason) => writer.close(code, reason, patience).await,
        Ended::LoggedOut => writer.close(CLOSE_NORMAL, "logged out", patience).await,
        Ended::Closed => writer.answer_close(patience).await,
        Ended::Gone => {}
    }
}

/// Names the session in logs and tells people what the code means.
fn reason(code: CloseCode) -> &'static str {
    match code {
        CloseCode::GoingAway => "going away",
        CloseCode::SlowReader => "slow reader",
        CloseCode::Silent => "silent",
        CloseCode::Unavailable => "unavailable",
        CloseCode::BadToken => "bad token",
        CloseCode::TokenExpired => "token expired",
        CloseCode::HelloExpected => "hello expected",
        CloseCode::LoggedOut => "logged out",
        CloseCode::Suspended => "suspended",
    }
}

struct Session {
    shared: Arc<Shared>,
    stream: SplitStream<WebSocket>,
    writer: SocketWriter,
    end: End,
    requests: Requests,
    /// Core is asked whether its login lasts.
    _live: LiveLogin,
    /// Taken by [`serve`](Self::serve).
    delivery: Option<Delivery>,
    /// When something came last.
    heard_at: Instant,
    /// When it leaves a draining edge. Boxed, as is what waits for that: it is rare.
    leave: Option<Box<Departure>>,
}

impl Session {
    fn new(
        shared: &Arc<Shared>,
        greeted: Greeted,
        stream: SplitStream<WebSocket>,
        writer: SocketWriter,
        end: End,
    ) -> Self {
        let Greeted { caller, cursor, presence } = greeted;
        let bytes_max = shared.limits.mailbox_bytes_max;
        let mailbox = Mailbox::new(bytes_max, caller.device.clone(), end.clone());
        let (user, scope) = (caller.user.clone(), caller.scope.clone());
        let token = TokenCell::new(Arc::clone(&caller.token));
        let live = shared.logins.enter(token.clone(), end.clone());
        let presence = SessionPresence::new(shared, &caller, token.clone(), presence);
        let requests =
            Requests::new(Arc::clone(shared), caller, token.clone(), Arc::clone(&presence));
        let reading = Arc::clone(&shared.reading);
        let on_entry = Arc::clone(&presence) as Arc<dyn OnEntry>;
        let delivery = Delivery::new(reading, user, token, cursor, mailbox, on_entry).within(scope);
        let shared = Arc::clone(shared);
        let heard_at = Instant::now();
        Self {
            shared,
            stream,
            writer,
            end,
            requests,
            _live: live,
            delivery: Some(delivery),
            heard_at,
            leave: None,
        }
    }

    /// Runs until the session is over, and says why.
    async fn serve(&mut self) -> Ended {
        match self.run().await {
            Err(ended) => ended,
            Ok(never) => match never {},
        }
    }

    async fn run(&mut self) -> Result<std::convert::Infallible, Ended> {
        let Some(delivery) = self.delivery.take() else { return Err(Ended::Gone) };
        let (end, shared) = (self.end.clone(), Arc::clone(&self.shared));
        let mut ended = std::pin::pin!(end.ended());
        let mut draining = Box::pin(shared.life.drain.begun());
        let mut turn = std::pin::pin!(delivery.turn());
        // Boxed: it waits most of the time, and would be a part of every idle session.
        let mut companions =
            Box::pin(CompanionWatch::new(Arc::clone(self.requests.presence())).turn());
        let mut timer = std::pin::pin!(sleep_until(self.due_at()));
        loop {
            // The end, time, what the client says, what it waits for, what it gets by itself. What
            // was written is flushed when there is nothing else to do, so that it goes together.
            tokio::select! {
                biased;
                code = &mut ended => return Err(Ended::Close(code)),
                () = &mut draining, if self.leave.is_none() => Box::pin(self.on_drain()).await?,
                // Boxed: it is rare, and would be a large part of every idle session.
                () = &mut timer => Box::pin(self.on_time(timer.as_mut())).await?,
                // Boxed too: between two frames, what a request needs is no part of the session.
                frame = self.stream.next() => Box::pin(self.on_frame(frame)).await?,
                answer = self.requests.next_answer() => {
                    self.requests.on_answer(answer, &mut self.writer).await?;
                }
                (delivery, frames) = &mut turn => {
                    turn.set(delivery.turn());
                    self.put_out(frames).await?;
                }
                (watch, told) = &mut companions => {
                    companions.set(watch.turn());
                    metrics::PRESENCE_TOLD.add(told.len() as u64);
                    self.writer.feed(presence_frame(told)).await?;
                }
                flushed = self.writer.flush(), if self.writer.has_unflushed() => flushed?,
            }
            if self
                .leave
                .as_ref()
                .is_some_and(|leave| leave.is_over(self.requests.unanswered_sends()))
            {
                return Err(Ended::Close(CloseCode::GoingAway));
            }
            let due_at = self.due_at();
            if due_at < timer.deadline() {
                timer.as_mut().reset(due_at);
            }
        }
    }

    /// The client may go at once, or goes when it is closed.
    async fn on_drain(&mut self) -> Result<(), Ended> {
        let leave = self.shared.life.drain.leave(rand::random());
        self.leave = Some(Box::new(leave));
        let frame = Reply::Draining { close_in_ms: leave.close_in_ms(Instant::now()) }.to_frame();
        self.writer.feed(frame.try_into().unwrap_or_default()).await
    }

    async fn put_out(&mut self, frames: Result<Frames, CloseCode>) -> Result<(), Ended> {
        for frame in frames.map_err(Ended::Close)? {
            self.writer.feed(frame).await?;
        }
        Ok(())
    }

    /// Any frame is a sign of life; a text is a request.
    async fn on_frame(&mut self, frame: Option<Result<Message, axum::Error>>) -> Result<(), Ended> {
        self.heard_at = Instant::now();
        self.requests.presence().touch();
        match read(frame)? {
            Inbound::Request(text) => self.requests.on_request(&text, &mut self.writer).await,
            Inbound::Binary => self.writer.feed(binary_refused()).await,
            Inbound::SignOfLife => Ok(()),
        }
    }

    /// The first instant at which something is due.
    fn due_at(&self) -> Instant {
        let silent_at = self.heard_at + self.shared.limits.silence;
        let leaves_at = self.leave.as_ref().map(|leave| leave.looks_at());
        let others = [self.requests.due_at(), self.writer.slow_at(), leaves_at];
        others.into_iter().flatten().fold(silent_at.min(self.requests.expires_at()), Instant::min)
    }

    async fn on_time(&mut self, timer: Pin<&mut Sleep>) -> Result<(), Ended> {
        let now = Instant::now();
        if self.requests.expires_at() <= now {
            return Err(Ended::Close(CloseCode::TokenExpired));
        }
        if self.writer.slow_at().is_some_and(|at| at <= now) {
            return Err(Ended::Close(CloseCode::SlowReader));
        }
        let unanswered = self.requests.unanswered_sends();
        if self.leave.as_mut().is_some_and(|leave| leave.look(now, unanswered)) {
            return Err(Ended::Close(CloseCode::GoingAway));
        }
        if self.heard_at + self.shared.limits.silence <= now {
            // While a write waited nobody read: what has come since counts.
            let unread = futures_util::FutureExt::now_or_never(self.stream.next());
            let frame = unread.ok_or(Ended::Close(CloseCode::Silent))?;
            self.on_frame(frame).await?;
        }
        self.requests.on_time(now, &mut self.writer).await?;
        timer.reset(self.due_at());
        Ok(())
    }
}

/// What a frame means to a session.
enum Inbound {
    Request(axum::extract::ws::Utf8Bytes),
    Binary,
    SignOfLife,
}

fn read(frame: Option<Result<Message, axum::Error>>) -> Result<Inbound, Ended> {
    metrics::FRAMES_RECEIVED.add(u64::from(matches!(frame, Some(Ok(_)))));
    match frame {
        None => Err(Ended::Gone),
        Some(Ok(Message::Close(_))) => Err(Ended::Closed),
        Some(Ok(Message::Text(text))) => {
            metrics::BYTES_RECEIVED.add(text.len() as u64);
            Ok(Inbound::Request(text))
        }
        Some(Ok(Message::Binary(_))) => Ok(Inbound::Binary),
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(Inbound::SignOfLife),
        Some(Err(error)) => Err(why(error)),
    }
}

fn why(error: axum::Error) -> Ended {
    let error = error.into_inner();
    match error.downcast_ref::<tungstenite::Error>() {
        Some(tungstenite::Error::Capacity(_)) => Ended::Unreadable(CLOSE_TOO_BIG, "too large"),
        Some(tungstenite::Error::Utf8(_)) => Ended::Unreadable(CLOSE_NOT_UTF8, "not UTF-8"),
        Some(tungstenite::Error::Protocol(
            tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
        )) => Ended::Gone,
        Some(tungstenite::Error::Protocol(_)) => Ended::Unreadable(CLOSE_PROTOCOL, "protocol"),
        _ => Ended::Gone,
    }
}

fn binary_refused() -> axum::extract::ws::Utf8Bytes {
    let error = ApiError::new(ErrorCode::BadEncoding, "frames are JSON in text messages");
    // Made by serde_json: always text.
    error_frame(&error).try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// An idle session is little more than its future.
    #[test]
    fn a_session_is_small() {
        fn size<F>(_: impl FnOnce(Arc<Shared>, WebSocket, Arc<ConnectionPlace>) -> F) -> usize {
            std::mem::size_of::<F>()
        }
        let bytes = size(run);
        assert!(bytes <= 8_192, "{bytes} bytes");
    }
}
