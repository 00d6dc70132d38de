//! The limit: the same hops, connections and processes with nothing but bytes in them, as fast as
//! possible. What Weft does beyond that is the difference.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::load::Timeline;
use super::send::{SendOptions, join_all};
use super::socket::Socket;
use super::system::{Kind, System};
use crate::error::Error;

/// How long it is measured.
const MEASURED: Duration = Duration::from_secs(5);

/// Messages per second from frame to frame.
pub async fn measure(options: &SendOptions) -> Result<f64, Error> {
    let system = System::start(&options.setup(Kind::Hops)).await?;
    let mut pairs = Vec::new();
    for index in 0..options.pairs {
        let (from, to) = system.edges_of(index);
        pairs.push(connect(index, from, to).await?);
    }
    let timeline = Timeline::starting_at(Instant::now(), MEASURED);
    let received = Arc::new(AtomicU64::new(0));
    let runs = pairs.into_iter().map(|(sender, receiver)| {
        let text = "x".repeat(options.text_bytes as usize);
        run(sender, receiver, text, options.window, timeline, Arc::clone(&received))
    });
    join_all(runs).await?;
    system.finish().await;
    Ok(received.load(Ordering::Relaxed) as f64 / MEASURED.as_secs_f64())
}

async fn connect(index: u32, from: SocketAddr, to: SocketAddr) -> Result<(Socket, Socket), Error> {
    let (user, room) = (format!("user{index}"), format!("pair{index}"));
    let sender = Socket::connect(from, &format!("/send/{user}/{room}"), None, &user).await?;
    let mut receiver = Socket::connect(to, &format!("/receive/{user}/{room}"), None, &user).await?;
    // It says so when its subscription stands.
    receiver.next().await?;
    Ok((sender, receiver))
}

async fn run(
    mut sender: Socket,
    mut receiver: Socket,
    text: String,
    window: u32,
    timeline: Timeline,
    received: Arc<AtomicU64>,
) -> Result<(), Error> {
    let mut underway = 0;
    while Instant::now() < timeline.measure_to {
        if underway < window {
            for _ in underway..window {
                sender.feed(text.clone()).await?;
            }
            sender.flush().await?;
            underway = window;
        }
        let mut came = 0;
        tokio::select! {
            frame = receiver.next() => came += u32::from(frame.is_ok()),
            () = sleep_until(timeline.measure_to) => {}
        }
        while receiver.try_next()?.is_some() {
            came += 1;
        }
        underway -= came;
        if timeline.is_measured(Instant::now()) {
            received.fetch_add(came.into(), Ordering::Relaxed);
        }
    }
    Ok(())
}
