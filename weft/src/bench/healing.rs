//! `weft bench healing`: processor time per message with ticks and audits and without, in turn.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tokio::time::{Instant, sleep_until};
use weft_nats::meter::{Healing, HealingMeter};

use super::account::sign_up_all;
use super::load::Timeline;
use super::pair::User;
use super::report::{CpuPerMessage, round};
use super::rooms::{Counts, Rooms, Worker};
use super::send::{block_on_one, join_all, measure_cpu, progress};
use super::system::{Kind, Setup, System};
use crate::commands::Partitions;
use crate::error::Error;
use crate::process::say;

/// One comparison.
#[derive(Args, Clone, Debug)]
pub struct HealingOptions {
    /// Direct rooms; about the root of twice as many accounts and connections.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rooms: u32,
    /// Messages per second, all rooms together.
    #[arg(long, default_value_t = 667, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// How long each run is measured, after 2 s of warming up.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// Runs of each kind. One more, before them, counts what ticks and audits bring on the wire.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,
    /// Where the temporary folders are made; it should be on the disk that is to be measured.
    #[arg(long)]
    folder: Option<PathBuf>,
    #[command(flatten)]
    partitions: Partitions,
}

/// The last line.
#[derive(Serialize)]
struct Report {
    scenario: &'static str,
    rooms: u32,
    rate_per_s: u32,
    seconds: u32,
    runs: u32,
    /// Medians.
    with: CpuPerMessage,
    without: CpuPerMessage,
    /// Of edge, core and nats together: how much more with ticks and audits.
    more_percent: f64,
    wire: Wire,
    lost: u64,
    faults: u64,
}

/// What ticks and audits bring on the wire.
#[derive(Serialize, Clone, Copy)]
struct Wire {
    tick_bytes_per_s: f64,
    ticks_per_s: f64,
    audit_bytes_per_s: f64,
    audits_per_s: f64,
}

/// What one run says.
struct Run {
    cpu: CpuPerMessage,
    lost: u64,
    faults: u64,
    wire: Option<Wire>,
}

/// Measures, and prints the report.
pub fn run(options: &HealingOptions) -> Result<(), Error> {
    block_on_one(measure(options))
}

async fn measure(options: &HealingOptions) -> Result<(), Error> {
    progress("counting what ticks and audits bring on the wire");
    let counted = one_run(options, true, true).await?;
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for number in 1..=options.runs {
        // The first of a pair is the one, then the other: whatever drifts falls on both.
        for healing in [number % 2 == 1, number % 2 == 0] {
            let run = one_run(options, healing, false).await?;
            let name = if healing { "with" } else { "without" };
            progress(&format!("run {number} {name}: {:.1} µs per message", total(&run.cpu)));
            if healing { with.push(run) } else { without.push(run) }
        }
    }
    let all = || with.iter().chain(&without).chain([&counted]);
    let (lost, faults) = (all().map(|run| run.lost).sum(), all().map(|run| run.faults).sum());
    let medians = (median(&with), median(&without));
    let report = Report {
        scenario: "healing",
        rooms: options.rooms,
        rate_per_s: options.rate,
        seconds: options.seconds,
        runs: options.runs,
        with: medians.0,
        without: medians.1,
        more_percent: round(100.0 * (median_total(&with) / median_total(&without) - 1.0)),
        wire: counted.wire.ok_or_else(|| Error::Failed("nothing was counted".to_owned()))?,
        lost,
        faults,
    };
    say(&serde_json::to_string(&report).map_err(|error| Error::Failed(error.to_string()))?);
    if lost + faults == 0 {
        return Ok(());
    }
    Err(Error::Failed(format!("{lost} lost, {faults} doubled or reordered")))
}

async fn one_run(options: &HealingOptions, healing: bool, counts_wire: bool) -> Result<Run, Error> {
    let partitions = options.partitions.partitions;
    let folder = options.folder.clone();
    let setup = Setup { kind: Kind::Weft, partitions, folder, healing, edges: 2, presence: false };
    let system = System::start(&setup).await?;
    let counts = Arc::new(Counts::default());
    let mut workers = connect(&system, options, &counts).await?;
    let meter = match counts_wire {
        true => Some(HealingMeter::start(system.admin().await?).await?),
        false => None,
    };
    let measured = Duration::from_secs(options.seconds.into());
    let timeline = Timeline::starting_at(Instant::now(), measured);
    workers.iter_mut().for_each(|worker| worker.set_timeline(timeline));
    let work = join_all(workers.into_iter().map(Worker::run));
    let wire = async {
        let meter = meter?;
        sleep_until(timeline.measure_from).await;
        let before = meter.read();
        sleep_until(timeline.measure_to).await;
        Some(Wire::between(before, meter.read(), measured))
    };
    let (done, cpu_us, wire) = tokio::join!(work, measure_cpu(system.pids(), timeline), wire);
    done?;
    let cpu_us = cpu_us?;
    system.finish().await;
    let acked = counts.acked.load(Ordering::Relaxed).max(1);
    let [edge, core, nats, bench] = cpu_us.map(|us| round(us as f64 / acked as f64));
    let expected = 2 * counts.sent.load(Ordering::Relaxed);
    let lost = expected.saturating_sub(counts.received.load(Ordering::Relaxed));
    let faults = counts.faults.load(Ordering::Relaxed);
    Ok(Run { cpu: CpuPerMessage { edge, core, nats, bench }, lost, faults, wire })
}

async fn connect(
    system: &System,
    options: &HealingOptions,
    counts: &Arc<Counts>,
) -> Result<Vec<Worker>, Error> {
    let rooms = Rooms::new(options.rooms as usize);
    let tokens = sign_up_all(system.edges_of(0).0, &rooms.users).await?;
    let per_room = Duration::from_secs(options.rooms.into()) / options.rate;
    let mut workers = Vec::with_capacity(rooms.users.len());
    let users = rooms.users.into_iter().zip(tokens).zip(rooms.targets);
    for (index, ((name, token), targets)) in (0..).zip(users) {
        let user = User { name, token, edge: system.edges_of(index).0 };
        workers.push(Worker::connect(user, targets, per_room, Arc::clone(counts)).await?);
    }
    Ok(workers)
}

impl Wire {
    fn between(before: Healing, after: Healing, measured: Duration) -> Self {
        let per_s = |before: u64, after: u64| {
            round(after.saturating_sub(before) as f64 / measured.as_secs_f64())
        };
        Self {
            tick_bytes_per_s: per_s(before.tick_bytes, after.tick_bytes),
            ticks_per_s: per_s(before.ticks, after.ticks),
            audit_bytes_per_s: per_s(before.audit_bytes, after.audit_bytes),
            audits_per_s: per_s(before.audits, after.audits),
        }
    }
}

fn total(cpu: &CpuPerMessage) -> f64 {
    cpu.edge + cpu.core + cpu.nats
}

fn median_total(runs: &[Run]) -> f64 {
    median_of(runs.iter().map(|run| total(&run.cpu)))
}

fn median(runs: &[Run]) -> CpuPerMessage {
    let of = |part: fn(&CpuPerMessage) -> f64| median_of(runs.iter().map(|run| part(&run.cpu)));
    CpuPerMessage {
        edge: of(|cpu| cpu.edge),
        core: of(|cpu| cpu.core),
        nats: of(|cpu| cpu.nats),
        bench: of(|cpu| cpu.bench),
    }
}

/// The middle one; of an even number the higher of the two.
fn median_of(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
