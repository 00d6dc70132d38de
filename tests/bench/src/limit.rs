//! The limit: the same hops, connections and processes with nothing but bytes in them, as fast as
//! possible. What Weft does beyond that is the difference.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::Result;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use weft_harness::socket::Socket;

use crate::send::SendOptions;
use crate::system::end;
use crate::timeline::{Timeline, add, get};

const MEASURED: Duration = Duration::from_secs(5);

/// Messages per second from frame to frame.
pub async fn measure(options: &SendOptions) -> Result<f64> {
    let (system, edges) = options.place.hops().await?;
    let received = Arc::new(AtomicU64::new(0));
    let measured = run_all(options, &edges, &received).await;
    end(system, measured)?;
    Ok(get(&received) as f64 / MEASURED.as_secs_f64())
}

async fn run_all(
    options: &SendOptions,
    edges: &[SocketAddr],
    received: &Arc<AtomicU64>,
) -> Result<()> {
    let mut pairs = Vec::new();
    for index in 0..options.pairs {
        let at = |end: u32| edges[((index + end) % 2) as usize];
        let path = |verb: &str| format!("/{verb}/user{index}/pair{index}");
        let sender = Socket::dial(at(0), &path("send"), None, None).await?;
        let mut receiver = Socket::dial(at(1), &path("receive"), None, None).await?;
        // It says so when it is subscribed.
        receiver.next_text().await?;
        pairs.push((sender, receiver));
    }
    let timeline = Timeline::starting_at(Instant::now(), MEASURED);
    let mut runs = JoinSet::new();
    for (sender, receiver) in pairs {
        let text = "x".repeat(options.text_bytes as usize);
        runs.spawn(run(sender, receiver, text, options.window, timeline, Arc::clone(received)));
    }
    while let Some(ended) = runs.join_next().await {
        ended??;
    }
    Ok(())
}

async fn run(
    mut sender: Socket,
    mut receiver: Socket,
    text: String,
    window: u32,
    timeline: Timeline,
    received: Arc<AtomicU64>,
) -> Result<()> {
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
            frame = receiver.next_text() => came += u32::from(frame.is_ok()),
            () = sleep_until(timeline.measure_to) => {}
        }
        while receiver.try_next_text()?.is_some() {
            came += 1;
        }
        underway -= came;
        if timeline.is_measured(Instant::now()) {
            add(&received, came.into());
        }
    }
    Ok(())
}
