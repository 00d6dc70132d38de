//! `weft-bench healing`: processor time per message with ticks and audits and without, in turn.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Args;
use serde::Serialize;
use tokio::time::{Instant, sleep_until, timeout_at};
use weft_harness::nats::{Message, Nats};
use weft_harness::system::{System, split_password};
use weft_nats::{Filter, Subject};
use weft_proto::svc::{Audit, Method};

use crate::parts::WITHOUT_HEALING;
use crate::progress;
use crate::report::{CpuPerMessage, print, round};
use crate::system::{Place, end, pids};
use crate::timeline::{Pace, Tally, Timeline, get};
use crate::worker::{Job, work};

const TEXT_BYTES: u32 = 200;

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
    #[command(flatten)]
    place: Place,
}

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

/// What ticks and audits bring on the wire: payloads and subjects, of audits with their answers.
#[derive(Serialize, Clone, Copy, Default)]
struct Wire {
    tick_bytes_per_s: f64,
    ticks_per_s: f64,
    audit_bytes_per_s: f64,
    audits_per_s: f64,
}

struct Run {
    cpu: CpuPerMessage,
    lost: u64,
    faults: u64,
    wire: Wire,
}

/// Measures, and prints the report.
pub async fn measure(options: &HealingOptions) -> Result<()> {
    progress("counting what ticks and audits bring on the wire");
    let counted = one_run(options, true, true).await?;
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for number in 1..=options.runs {
        // The first of a pair is the one, then the other: whatever drifts falls on both.
        for heals in [number % 2 == 1, number % 2 == 0] {
            let run = one_run(options, heals, false).await?;
            let name = if heals { "with" } else { "without" };
            progress(&format!("run {number} {name}: {:.1} µs per message", total(&run.cpu)));
            if heals { with.push(run) } else { without.push(run) }
        }
    }
    let sum = |of: fn(&Run) -> u64| with.iter().chain(&without).chain([&counted]).map(of).sum();
    let (lost, faults): (u64, u64) = (sum(|run| run.lost), sum(|run| run.faults));
    let totals = [&with, &without].map(|runs| median_of(runs, total));
    print(&Report {
        scenario: "healing",
        rooms: options.rooms,
        rate_per_s: options.rate,
        seconds: options.seconds,
        runs: options.runs,
        with: median(&with),
        without: median(&without),
        more_percent: round(100.0 * (totals[0] / totals[1] - 1.0)),
        wire: counted.wire,
        lost,
        faults,
    })?;
    ensure!(lost + faults == 0, "{lost} lost, {faults} doubled or reordered");
    Ok(())
}

async fn one_run(options: &HealingOptions, heals: bool, counts_wire: bool) -> Result<Run> {
    let without: &[&str] = if heals { &[] } else { &[WITHOUT_HEALING] };
    let (system, edges) = options.place.parts("", without).await?;
    let tally = Arc::new(Tally::default());
    let measured = Duration::from_secs(options.seconds.into());
    let mut wire = Wire::default();
    let beside = async |timeline: Timeline| {
        if counts_wire {
            wire = Wire::count(&system, timeline, measured).await?;
        }
        Ok(())
    };
    let worked = work(options.jobs(&edges), measured, &tally, pids(&system)?, beside).await;
    let cpu = end(system, worked)?;
    let faults = get(&tally.duplicated) + get(&tally.reordered);
    Ok(Run { cpu, lost: tally.lost(), faults, wire })
}

impl HealingOptions {
    /// Pairs of users: each pair has a room, and one of them sends in it.
    fn jobs(&self, edges: &[std::net::SocketAddr]) -> Vec<Job> {
        let per_room = Duration::from_secs(self.rooms.into()) / self.rate;
        let job = |(index, (user, targets)): (usize, (String, Vec<String>))| {
            let rooms = u32::try_from(targets.len().max(1)).unwrap_or(u32::MAX);
            let pace = Pace::Every { offset: Duration::ZERO, interval: per_room / rooms };
            Job { user, edge: edges[index % edges.len()], targets, pace, text_bytes: TEXT_BYTES }
        };
        users_and_rooms(self.rooms as usize).into_iter().enumerate().map(job).collect()
    }
}

/// As few users as have this many pairs, and the rooms that each sends in.
fn users_and_rooms(count: usize) -> Vec<(String, Vec<String>)> {
    let users = (2..).find(|n: &usize| n * (n - 1) / 2 >= count).unwrap_or(2);
    let name = |index: usize| format!("bench-{index:04}");
    let mut all: Vec<_> = (0..users).map(|index| (name(index), Vec::new())).collect();
    let pairs = (0..users).flat_map(|b| (0..b).map(move |a| (a, b)));
    for (index, (a, b)) in pairs.take(count).enumerate() {
        let sender = if index % 2 == 0 { a } else { b };
        all[sender].1.push(format!("{}~{}", name(a), name(b)));
    }
    all
}

impl Wire {
    /// Counts while it is measured. The replies of all edges only `admin` may read.
    async fn count(system: &System, timeline: Timeline, measured: Duration) -> Result<Self> {
        let mut admin = Nats::connect(system.nats(), "admin", &split_password("admin")).await?;
        let audits = Subject::Svc { service: Audit::SERVICE.into(), method: Audit::METHOD.into() };
        let (ticks, audits) = (Filter::Ticks.to_string(), audits.to_string());
        for subject in [&ticks, &audits, "_INBOX_edge.>"] {
            admin.subscribe(subject).await?;
        }
        admin.flush().await?;
        sleep_until(timeline.measure_from).await;
        admin.taken().await?;
        let is_tick = |subject: &str| subject.starts_with(ticks.trim_end_matches('*'));
        let bytes = |message: &Message| (message.subject.len() + message.payload.len()) as f64;
        let (mut sum, mut replies) = (Self::default(), HashSet::new());
        while let Some(message) = next_before(&mut admin, timeline.measure_to).await? {
            if is_tick(&message.subject) {
                sum.ticks_per_s += 1.0;
                sum.tick_bytes_per_s += bytes(&message);
            } else if message.subject == audits {
                sum.audits_per_s += 1.0;
                sum.audit_bytes_per_s += bytes(&message);
                replies.extend(message.reply);
            } else if replies.remove(&message.subject) {
                sum.audit_bytes_per_s += bytes(&message);
            }
        }
        let per_s = |sum: f64| round(sum / measured.as_secs_f64());
        Ok(Self {
            tick_bytes_per_s: per_s(sum.tick_bytes_per_s),
            ticks_per_s: per_s(sum.ticks_per_s),
            audit_bytes_per_s: per_s(sum.audit_bytes_per_s),
            audits_per_s: per_s(sum.audits_per_s),
        })
    }
}

/// The next message; `None`: time is over. Then the connection is of no more use.
async fn next_before(admin: &mut Nats, end: Instant) -> Result<Option<Message>> {
    timeout_at(end, admin.next()).await.ok().transpose()
}

fn total(cpu: &CpuPerMessage) -> f64 {
    cpu.edge + cpu.core + cpu.nats
}

fn median(runs: &[Run]) -> CpuPerMessage {
    CpuPerMessage {
        edge: median_of(runs, |cpu| cpu.edge),
        core: median_of(runs, |cpu| cpu.core),
        nats: median_of(runs, |cpu| cpu.nats),
        bench: median_of(runs, |cpu| cpu.bench),
    }
}

/// The middle one; of an even number the higher of the two.
fn median_of(runs: &[Run], of: fn(&CpuPerMessage) -> f64) -> f64 {
    let mut values: Vec<f64> = runs.iter().map(|run| of(&run.cpu)).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_few_users_as_have_so_many_pairs() {
        let users = users_and_rooms(20_000);
        assert_eq!(users.len(), 201);
        let mut all: Vec<&String> = users.iter().flat_map(|(_, rooms)| rooms).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 20_000);
        assert!(all.iter().all(|room| {
            let (a, b) = room.split_once('~').expect("two");
            a < b
        }));
    }
}
