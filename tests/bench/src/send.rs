//! `weft-bench send`.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use serde::Serialize;

use crate::limit;
use crate::progress;
use crate::report::{CpuPerMessage, Quantiles, print, round};
use crate::system::{Place, end, pids};
use crate::timeline::{Pace, Tally, get};
use crate::worker::{Job, work};

/// One run.
#[derive(Args, Clone, Debug)]
pub struct SendOptions {
    /// Pairs of users: twice as many accounts and connections.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub pairs: u32,
    /// How long it is measured, after 2 s of warming up.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub seconds: u32,
    /// Sends per second, all pairs together; without it: as fast as possible.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: Option<u32>,
    /// Unanswered sends per sender, where it goes as fast as possible.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=250))]
    pub window: u32,
    /// Bytes of a message's text.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(40..=100_000))]
    pub text_bytes: u32,
    #[command(flatten)]
    pub place: Place,
}

#[derive(Serialize)]
struct Report {
    scenario: &'static str,
    seconds: f64,
    sends_per_s: f64,
    ack_ms: Quantiles,
    send_to_receive_ms: Quantiles,
    lost: u64,
    duplicated: u64,
    reordered: u64,
    cpu_us_per_message: CpuPerMessage,
    limit_per_s: f64,
    ratio_to_limit: f64,
}

/// Measures the limit, then the scenario, and prints the report.
pub async fn measure(options: &SendOptions) -> Result<()> {
    progress("measuring the limit: the bare hops, as fast as possible");
    let limit_per_s = limit::measure(options).await?;
    progress(&format!("the limit is {limit_per_s:.0} messages per second"));
    let system = options.place.weft(2, 0).await?;
    progress(&match options.rate {
        Some(rate) => format!("sending {rate} messages per second"),
        None => "sending as fast as possible".to_owned(),
    });
    let tally = Arc::new(Tally::default());
    let measured = Duration::from_secs(options.seconds.into());
    let jobs = options.jobs(system.edges());
    let worked = work(jobs, measured, &tally, pids(&system)?).await;
    let cpu_us_per_message = end(system, worked)?;
    let sends_per_s = get(&tally.acked) as f64 / f64::from(options.seconds);
    let [lost, duplicated, reordered, unanswered] =
        [tally.lost(), get(&tally.duplicated), get(&tally.reordered), get(&tally.unanswered)];
    progress(&format!("{} messages sent, {unanswered} unanswered", get(&tally.sent)));
    print(&Report {
        scenario: "send",
        seconds: options.seconds.into(),
        sends_per_s: round(sends_per_s),
        ack_ms: tally.ack.quantiles(),
        send_to_receive_ms: tally.receive.quantiles(),
        lost,
        duplicated,
        reordered,
        cpu_us_per_message,
        limit_per_s: round(limit_per_s),
        ratio_to_limit: round(sends_per_s / limit_per_s),
    })?;
    let faults = lost + duplicated + reordered + unanswered;
    ensure!(
        faults == 0,
        "{lost} lost, {duplicated} duplicated, {reordered} reordered, {unanswered} unanswered"
    );
    Ok(())
}

impl SendOptions {
    /// Sender and receiver of a pair are at different edges, and the other way round in every second
    /// pair.
    fn jobs(&self, edges: &[std::net::SocketAddr]) -> Vec<Job> {
        let pair = |index: u32| {
            let [sender, receiver] = ["a", "b"].map(|end| format!("bench-{index}-{end}"));
            let room = format!("{sender}~{receiver}");
            let at = |end: u32| edges[((index + end) % 2) as usize];
            let job = |user, end, targets| Job {
                user,
                edge: at(end),
                targets,
                pace: self.pace(index),
                text_bytes: self.text_bytes,
            };
            [job(sender, 0, vec![room]), job(receiver, 1, Vec::new())]
        };
        (0..self.pairs).flat_map(pair).collect()
    }

    fn pace(&self, index: u32) -> Pace {
        let Some(rate) = self.rate else { return Pace::Window(self.window) };
        // Senders take turns, so that the rate is even.
        let turn = Duration::from_secs(1) / rate;
        Pace::Every { offset: turn * index, interval: turn * self.pairs }
    }
}
