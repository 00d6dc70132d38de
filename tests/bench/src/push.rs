//! `weft-bench push`: what it costs that devices are notified, and how soon they are.
//!
//! Pairs of users send messages that nobody reads: alone; while each of them notifies a device at a gateway that takes it;
//! while the gateway accepts connections and never answers; and alone again. Then while no push node lives, and how fast
//! one works off what has waited.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use weft_harness::account::Login;
use weft_harness::gateway::{Gateway, Got};
use weft_harness::system::System;
use weft_runtime::{Clock as _, SystemClock};

use crate::cpu::{resident_bytes, used_us};
use crate::pairs::{PAIRS, Pairs};
use crate::progress;
use crate::report::{Latencies, Quantiles, print, round};
use crate::system::{Place, end, ready};

/// How long a user has to see a message by themselves.
const DELAY: Duration = Duration::from_secs(3);
/// How long the last notification may take.
const TOLD_LIMIT: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(20);

#[derive(Args, Clone, Debug)]
pub struct PushOptions {
    /// How long messages are measured each time, after 2 s of warming up.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// Messages per second, of 20 pairs. A user has at most 1,000 notifications that wait.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    #[command(flatten)]
    place: Place,
}

#[derive(Serialize)]
struct Report {
    scenario: &'static str,
    rate: u32,
    alone_ack_ms: Quantiles,
    notified_ack_ms: Quantiles,
    hanging_ack_ms: Quantiles,
    alone_again_ack_ms: Quantiles,
    /// Of the medians and the p99: while the gateway hangs to the mean of both times alone.
    hanging_ratio: [f64; 2],
    notifications: usize,
    doubles: usize,
    /// From the entry's commit to the gateway's request, beyond the 3 s.
    delay_ms: Quantiles,
    /// Processor time in µs: of `weft push` per notification, of core and nats-server per message, alone and notified.
    push_cpu_us: f64,
    core_cpu_us: [f64; 2],
    nats_cpu_us: [f64; 2],
    /// Of `weft push`, in MB, in the end.
    push_rss_mb: f64,
    /// Notifications that had waited, and how many a second one push node sent.
    waited: usize,
    notifications_per_s: f64,
}

pub async fn measure(options: &PushOptions) -> Result<()> {
    let mut started = options.place.weft_options(2, 0);
    started.pushes = 1;
    started.push_args = ["--push-allow", "127.0.0.0/8"].map(str::to_owned).to_vec();
    let system = System::split(started).await?;
    let report = with_system(options, &system).await;
    print(&end(system, report)?)
}

async fn with_system(options: &PushOptions, system: &System) -> Result<Report> {
    let (at, gateway) = Gateway::start().await?;
    let measured = Duration::from_secs(options.seconds.into());
    let pairs = |phase| Pairs { phase, rate: options.rate, measured };
    let push = system.process("push-0");
    let alone = pairs("alone").send(system, async |_| Ok(())).await?;
    let before = used_us(&[push.pid()?])?;
    let register = async |at: SocketAddr, path: &str, logins: &[Login]| {
        for (number, login) in logins.iter().skip(1).step_by(2).enumerate() {
            register(system, login, &format!("http://{at}{path}/{number}")).await?;
        }
        Ok(())
    };
    let of_good = async |logins: &[Login]| register(at, "/good", logins).await;
    let notified = pairs("notified").send(system, of_good).await?;
    let good = told(&gateway, "/good", notified.messages).await?;
    let push_cpu_us = used_us(&[push.pid()?])? - before;
    let delays = Latencies::default();
    good.iter().for_each(|got| delays.record(delay(got)));
    let delay_ms = delays.quantiles();
    progress(&format!("notified {} ms and {} ms after the delay", delay_ms.p50, delay_ms.p99));
    let (silent, hanging) = hangs().await?;
    let of_silent = async |logins: &[Login]| register(silent, "/silent", logins).await;
    let hung = pairs("hanging").send(system, of_silent).await?;
    hanging.abort();
    let again = pairs("again").send(system, async |_| Ok(())).await?;
    let push_rss_mb = round(resident_bytes(push.pid()?)? as f64 / 1e6);
    push.kill()?;
    let of_late = async |logins: &[Login]| register(at, "/late", logins).await;
    let waited = pairs("waiting").send(system, of_late).await?.messages;
    push.restart()?;
    ready(system, "push-0").await;
    let late = told(&gateway, "/late", waited).await?;
    let (Some(first), Some(last)) = (late.first(), late.last()) else { unreachable!() };
    let notifications_per_s = round(late.len() as f64 / (last.at - first.at).as_secs_f64());
    progress(&format!("{notifications_per_s} notifications per second"));
    let ratio = |of: fn(&Quantiles) -> f64| {
        round(of(&hung.ack) / ((of(&alone.ack) + of(&again.ack)) / 2.0))
    };
    Ok(Report {
        scenario: "push",
        rate: options.rate,
        alone_ack_ms: alone.ack,
        notified_ack_ms: notified.ack,
        hanging_ack_ms: hung.ack,
        alone_again_ack_ms: again.ack,
        hanging_ratio: [ratio(|ack| ack.p50), ratio(|ack| ack.p99)],
        notifications: good.len(),
        doubles: good.len() - distinct(&good),
        delay_ms,
        push_cpu_us: round(push_cpu_us as f64 / good.len() as f64),
        core_cpu_us: [alone.cpu.core, notified.cpu.core],
        nats_cpu_us: [alone.cpu.nats, notified.cpu.nats],
        push_rss_mb,
        waited: late.len(),
        notifications_per_s,
    })
}

async fn register(system: &System, login: &Login, url: &str) -> Result<()> {
    let secret = "whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
    let push = json!({ "kind": "webhook", "url": url, "secret": secret });
    let path = format!("/v1/devices/{}/push", login.device);
    let answer = login.call(system.edge(), "PUT", &path, &push).await?;
    ensure!(answer.status == 204, "{answer:?}");
    Ok(())
}

/// Accepts connections, and says nothing.
async fn hangs() -> Result<(SocketAddr, JoinHandle<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let at = listener.local_addr()?;
    let accepting = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((socket, _)) = listener.accept().await {
            held.push(socket);
        }
    });
    Ok((at, accepting))
}

/// Waits until each message has notified, and gives what came, each device at an address of its own.
async fn told(gateway: &Arc<Gateway>, path: &str, messages: u64) -> Result<Vec<Got>> {
    let limit = Instant::now() + TOLD_LIMIT;
    loop {
        let of_device = |number| gateway.at(&format!("{path}/{number}"));
        let mut got: Vec<Got> = (0..PAIRS).flat_map(of_device).collect();
        got.sort_by_key(|got| got.at);
        if distinct(&got) as u64 >= messages {
            return Ok(got);
        }
        ensure!(Instant::now() < limit, "{} of {messages} notified", got.len());
        sleep(LOOK_EVERY * 10).await;
    }
}

fn of(got: &Got) -> Value {
    serde_json::from_slice(&got.body).unwrap_or_default()
}

fn distinct(got: &[Got]) -> usize {
    let places = got.iter().map(|got| {
        let told = of(got);
        (told["room"].to_string(), told["seq"].as_u64())
    });
    places.collect::<BTreeSet<_>>().len()
}

fn delay(got: &Got) -> Duration {
    let at_ms = SystemClock.now_ms() - got.at.elapsed().as_millis() as u64;
    let due_ms = of(got)["time"].as_u64().unwrap_or_default() + DELAY.as_millis() as u64;
    Duration::from_millis(at_ms.saturating_sub(due_ms))
}
