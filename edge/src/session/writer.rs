//! The writing half of a socket: frames are fed into a small buffer and flushed together. A client
//! that takes nothing for too long is a slow reader.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use futures_util::stream::SplitSink;
use futures_util::{FutureExt, SinkExt};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use weft_proto::frame::{CloseCode, with_id};
use weft_runtime::when_some;

use super::Ended;
use crate::delivery::mailbox::End;
use crate::metrics;

/// How long a client may take to read what is before the close frame, where the edge itself ends.
const CLOSE_TIMEOUT_ENDING: Duration = Duration::from_secs(1);
/// A client that takes this much per second is never too slow for one large frame.
const BYTES_PER_SECOND_MIN: usize = 16_384;
/// After this many frames without a flush one is made, even if more is to be done.
const UNFLUSHED_FRAMES_MAX: u32 = 64;

pub(crate) struct SocketWriter {
    sink: SplitSink<WebSocket, Message>,
    end: End,
    stall: Duration,
    unflushed: Option<Unflushed>,
}

/// What was fed since all was written.
#[derive(Clone, Copy)]
struct Unflushed {
    since: Instant,
    bytes: usize,
    frames: u32,
}

impl SocketWriter {
    pub(crate) fn new(sink: SplitSink<WebSocket, Message>, end: End, stall: Duration) -> Self {
        Self { sink, end, stall, unflushed: None }
    }

    /// Takes a frame. It waits only where the buffer is full and the client takes nothing.
    pub(crate) async fn feed(&mut self, frame: Utf8Bytes) -> Result<(), Ended> {
        let fed = self.unflushed.get_or_insert_with(|| Unflushed {
            since: Instant::now(),
            bytes: 0,
            frames: 0,
        });
        fed.bytes += frame.len();
        fed.frames += 1;
        metrics::FRAMES_SENT.increment();
        metrics::BYTES_SENT.add(frame.len() as u64);
        let must_flush = fed.frames.is_multiple_of(UNFLUSHED_FRAMES_MAX);
        let (sink, end) = (&mut self.sink, &self.end);
        let feed = async {
            sink.feed(Message::Text(frame)).await?;
            if must_flush { sink.flush().await } else { Ok(()) }
        };
        let mut feed = std::pin::pin!(feed);
        // Nearly always there is room: no timer then.
        let fed = match feed.as_mut().now_or_never() {
            Some(fed) => fed,
            None => {
                let slow_at = slow_at(self.unflushed, self.stall);
                tokio::select! {
                    biased; // the end, then the write, then its time
                    code = end.ended() => return Err(Ended::Close(code)),
                    fed = feed => fed,
                    () = when_some(slow_at.map(sleep_until)) => return Err(Ended::Close(CloseCode::SlowReader)),
                }
            }
        };
        fed.map_err(|_| Ended::Gone)?;
        if must_flush {
            self.unflushed = None;
        }
        Ok(())
    }

    /// Takes the answer to a request, made without its id.
    pub(crate) async fn answer(&mut self, id: u64, frame: &[u8]) -> Result<(), Ended> {
        match Utf8Bytes::try_from(with_id(id, frame)) {
            Ok(text) => self.feed(text).await,
            Err(_) => {
                tracing::error!("an answer is not text");
                Err(Ended::Close(CloseCode::Unavailable))
            }
        }
    }

    /// Something is to be written.
    pub(crate) fn has_unflushed(&self) -> bool {
        self.unflushed.is_some()
    }

    /// Writes all that was fed. Cancel-safe.
    pub(crate) async fn flush(&mut self) -> Result<(), Ended> {
        self.sink.flush().await.map_err(|_| Ended::Gone)?;
        self.unflushed = None;
        Ok(())
    }

    /// When the client counts as too slow, if nothing changes.
    pub(crate) fn slow_at(&self) -> Option<Instant> {
        slow_at(self.unflushed, self.stall)
    }

    /// Says goodbye, where the client takes it in time, after what was written before.
    pub(crate) async fn close(mut self, code: u16, reason: &'static str, patience: Duration) {
        let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
        let close = async {
            let _ = self.sink.send(Message::Close(Some(frame))).await;
        };
        in_time(close, patience, &self.end).await;
    }

    /// Sends the answer to the client's own goodbye, which the library has ready.
    pub(crate) async fn answer_close(mut self, patience: Duration) {
        let flush = async {
            let _ = self.sink.flush().await;
        };
        in_time(flush, patience, &self.end).await;
    }
}

/// Waits for a goodbye to be written, for this long, and not for long where the edge itself ends.
async fn in_time(goodbye: impl Future<Output = ()>, patience: Duration, end: &End) {
    let ending = async {
        end.shutdown().await;
        sleep(CLOSE_TIMEOUT_ENDING).await;
    };
    tokio::select! {
        biased; // the frame before its time
        _ = timeout(patience, goodbye) => {}
        () = ending => {}
    }
}

fn slow_at(unflushed: Option<Unflushed>, stall: Duration) -> Option<Instant> {
    let fed = unflushed?;
    let seconds = fed.bytes / BYTES_PER_SECOND_MIN;
    Some(fed.since + stall + Duration::from_secs(seconds as u64))
}
