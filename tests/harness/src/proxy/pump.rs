//! One way of one connection: what was read waits in a bounded queue until it may be written. Where
//! the queue is full, the reader stops, and the sender's own socket fills: as on a real wire.

use std::sync::atomic::Ordering;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::frames::Frames;
use super::{Fault, Kind, Way};

/// Chunks that wait between reader and writer.
const CHUNKS_MAX: usize = 256;
/// Bytes that are read at once.
const CHUNK_BYTES: usize = 64 * 1024;

struct Chunk {
    bytes: Vec<u8>,
    messages: u64,
    due: Instant,
}

/// Passes on what comes, until one end closes.
pub(super) async fn run(from: OwnedReadHalf, to: OwnedWriteHalf, way: &Way, kind: Kind) {
    let (chunks, taken) = mpsc::channel(CHUNKS_MAX);
    tokio::join!(read(from, chunks, way, kind), write(to, taken, way));
}

async fn read(mut from: OwnedReadHalf, chunks: mpsc::Sender<Chunk>, way: &Way, kind: Kind) {
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut frames = Frames::default();
    // A reset connection has ended too.
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let (mut bytes, mut messages) = (buffer[..length].to_owned(), 0);
        if kind == Kind::Nats {
            frames.push(&bytes);
            bytes.clear();
            for frame in frames.take() {
                if !way.swallows(&frame) {
                    messages += u64::from(frame.subject.is_some());
                    bytes.extend(frame.bytes);
                }
            }
        }
        let due = match way.armed.borrow().fault {
            Fault::Delay(delay) => Instant::now() + delay,
            _ => Instant::now(),
        };
        if !bytes.is_empty() && chunks.send(Chunk { bytes, messages, due }).await.is_err() {
            return;
        }
    }
}

async fn write(mut to: OwnedWriteHalf, mut chunks: mpsc::Receiver<Chunk>, way: &Way) {
    let mut armed = way.armed.subscribe();
    while let Some(Chunk { bytes, messages, due }) = chunks.recv().await {
        sleep_until(due).await;
        // An error says that the proxy has ended.
        if armed.wait_for(|armed| armed.fault != Fault::Stall).await.is_err()
            || to.write_all(&bytes).await.is_err()
        {
            return;
        }
        way.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        way.messages.fetch_add(messages, Ordering::Relaxed);
    }
    // A close is part of what a stall holds back.
    if armed.wait_for(|armed| armed.fault != Fault::Stall).await.is_ok() {
        let _ = to.shutdown().await;
    }
}
