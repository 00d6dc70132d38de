//! `weft-bench presence`: how fast a change of a user's presence reaches those who watch, and what
//! it costs. The edges are simulated: their sessions have no sockets, but all that an edge does for
//! presence is the edge's own code, each over a connection of its own.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;
use rand::seq::SliceRandom;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use weft_harness::system::System;
use weft_nats::presence::probe;
use weft_nats::{Bus, NodeInfo, Registration};
use weft_presence::{Announcer, Statuses, Visit, Watcher};
use weft_proto::limits::PRESENCE_USERS_MAX;
use weft_proto::presence::Status;
use weft_proto::svc::CountPresent;
use weft_proto::{DeviceId, NodeId, UserId};
use weft_runtime::lock;

use crate::cpu::resident_bytes;
use crate::progress;
use crate::report::{Latencies, Quantiles, print, round};
use crate::system::{Place, connect, end, ready};

/// Changes are made in groups, so often per second.
const GROUPS_PER_S: u32 = 50;
/// What is underway at the end may take this long to arrive.
const DRAIN: Duration = Duration::from_secs(10);
/// All users are known after this long, or something is broken.
const ENTER_TIMEOUT: Duration = Duration::from_secs(120);

/// One measurement.
#[derive(Args, Clone, Debug)]
pub struct PresenceOptions {
    /// Users who are online, spread evenly over the edges.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=2_000_000))]
    users: u32,
    /// Simulated edges.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
    edges: u32,
    /// How many of the users change in a second, in percent.
    #[arg(long, default_value_t = 1.0)]
    changes_percent: f64,
    /// How many users are watched.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    watched: u32,
    /// How many sessions watch each of them.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    watchers: u32,
    /// How long changes are made.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// How long before that nothing changes, and no key may be written.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=540))]
    idle_seconds: u32,
    #[command(flatten)]
    place: Place,
}

#[derive(Serialize)]
struct Report {
    scenario: &'static str,
    users: u32,
    change_to_watcher_ms: Quantiles,
    changes_seen: u64,
    changes_expected: u64,
    kv_writes_per_change: f64,
    kv_writes_idle: u64,
    /// Of the presence node.
    bytes_per_online_user: f64,
    /// Of nats-server, which holds the keys.
    nats_bytes_per_online_user: f64,
    /// From the first session to the last user that the presence node knew.
    seconds_until_all_online: f64,
}

/// An edge without sockets.
struct SimulatedEdge {
    announcer: Announcer,
    statuses: Statuses,
    _membership: Registration,
    _bus: Bus,
}

/// Measures, and prints the report.
pub async fn measure(options: &PresenceOptions) -> Result<()> {
    ensure!(options.watched <= options.users, "more users are watched than there are");
    let system = options.place.weft(0, 1).await?;
    for part in ["core", "presence"] {
        ready(&system, part).await;
    }
    let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
    let measured = run(options, &system, &stop, &mut tasks).await;
    stop.cancel();
    tasks.abort_all();
    let report = end(system, measured)?;
    print(&report)?;
    let Report { changes_seen, changes_expected, kv_writes_idle, .. } = report;
    ensure!(
        changes_seen == changes_expected && kv_writes_idle == 0,
        "{changes_seen} of {changes_expected} changes were seen, {kv_writes_idle} keys were written while \
         nothing changed"
    );
    Ok(())
}

async fn run(
    options: &PresenceOptions,
    system: &System,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
) -> Result<Report> {
    let admin = connect(system, "admin", "bench").await?;
    let mut edges = Vec::new();
    for number in 0..options.edges {
        edges.push(simulate_edge(system, number, stop, tasks).await?);
    }
    let users = users(options.users)?;
    let memory = || -> Result<(u64, u64)> {
        let presence = system.process("presence").pid()?;
        Ok((resident_bytes(presence)?, resident_bytes(system.nats_pid()?)?))
    };
    let before = memory()?;
    let began = Instant::now();
    let visits = enter(&users, &edges)?;
    all_online(&admin, &users).await?;
    let online_after = began.elapsed();
    progress(&format!("{} users are online after {online_after:.1?}", options.users));
    let after = memory()?;
    let per_user = |before: u64, after: u64| {
        round(after.saturating_sub(before) as f64 / f64::from(options.users))
    };

    let watching = Watching::start(options, &users, &edges, tasks);
    sleep(Duration::from_secs(1)).await;
    let idle_from = last_seq(&admin).await?;
    sleep(Duration::from_secs(options.idle_seconds.into())).await;
    let idle_to = last_seq(&admin).await?;
    progress(&format!("{} keys were written while nothing changed", idle_to - idle_from));

    let changes = change(options, &visits, &watching).await;
    let expected = watching.expected.load(Ordering::Relaxed);
    let seen = || watching.seen.load(Ordering::Relaxed);
    let deadline = Instant::now() + DRAIN;
    while seen() < expected && Instant::now() < deadline {
        sleep(Duration::from_millis(20)).await;
    }
    let written = last_seq(&admin).await? - idle_to;
    Ok(Report {
        scenario: "presence",
        users: options.users,
        change_to_watcher_ms: watching.latencies.quantiles(),
        changes_seen: seen(),
        changes_expected: expected,
        kv_writes_per_change: round(written as f64 / changes.max(1) as f64),
        kv_writes_idle: idle_to - idle_from,
        bytes_per_online_user: per_user(before.0, after.0),
        nats_bytes_per_online_user: per_user(before.1, after.1),
        seconds_until_all_online: round(online_after.as_secs_f64()),
    })
}

async fn simulate_edge(
    system: &System,
    number: u32,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
) -> Result<SimulatedEdge> {
    let name = format!("edge-{number}");
    let node = NodeId::new(&name).map_err(|error| anyhow!(error.message))?;
    let bus = connect(system, "edge", &name).await?;
    let boot = format!("{:016x}", rand::random::<u64>());
    let info = NodeInfo { boot: boot.clone(), ..NodeInfo::default() };
    let registration = Registration::join(&bus, "edge", &node, info).await?;
    let announcer = Announcer::new(node, boot);
    tasks.spawn(announcer.clone().run(bus.clone(), stop.clone()));
    let statuses = Statuses::new(bus.clone());
    tasks.spawn(statuses.clone().run());
    Ok(SimulatedEdge { announcer, statuses, _membership: registration, _bus: bus })
}

fn users(count: u32) -> Result<Vec<UserId>> {
    let user = |number| UserId::new(&format!("bench-{number:07}"));
    let users: Result<_, _> = (0..count).map(user).collect();
    users.map_err(|error| anyhow!(error.message))
}

fn enter(users: &[UserId], edges: &[SimulatedEdge]) -> Result<Vec<Visit>> {
    let device = DeviceId::new("bench").map_err(|error| anyhow!(error.message))?;
    let at = users.iter().zip(edges.iter().cycle());
    Ok(at.map(|(user, edge)| edge.announcer.enter(user.clone(), device.clone(), false)).collect())
}

async fn all_online(admin: &Bus, users: &[UserId]) -> Result<()> {
    let all = async {
        for some in users.chunks(PRESENCE_USERS_MAX) {
            let users: Vec<String> = some.iter().map(UserId::to_string).collect();
            loop {
                let answer = admin.call(&CountPresent { users: users.clone() }).await;
                if answer.is_ok_and(|answer| answer.count as usize == some.len()) {
                    break;
                }
                sleep(Duration::from_millis(20)).await;
            }
        }
    };
    timeout(ENTER_TIMEOUT, all).await.context("not all users are known in time")
}

async fn last_seq(admin: &Bus) -> Result<u64> {
    Ok(probe(admin).await?.last_seq())
}

/// Those who watch, and what they have seen.
struct Watching {
    /// Of the watched users: when the change was made.
    changed_at: Mutex<HashMap<UserId, Instant>>,
    latencies: Latencies,
    expected: AtomicU64,
    seen: AtomicU64,
    watchers: u32,
    watched: HashSet<UserId>,
}

impl Watching {
    fn start(
        options: &PresenceOptions,
        users: &[UserId],
        edges: &[SimulatedEdge],
        tasks: &mut JoinSet<()>,
    ) -> Arc<Self> {
        let watched = &users[..options.watched as usize];
        let watching = Arc::new(Self {
            changed_at: Mutex::default(),
            latencies: Latencies::default(),
            expected: AtomicU64::new(0),
            seen: AtomicU64::new(0),
            watchers: options.watchers,
            watched: watched.iter().cloned().collect(),
        });
        // Sessions of some dozen companions each, and the watchers of a user on all edges.
        for group in watched.chunks(50) {
            for edge in edges.iter().cycle().take(options.watchers as usize) {
                let watcher = edge.statuses.watcher();
                watcher.watch(group.iter().cloned());
                tasks.spawn(Arc::clone(&watching).look(watcher));
            }
        }
        watching
    }

    async fn look(self: Arc<Self>, watcher: Watcher) {
        let mut seen = HashSet::new();
        loop {
            for presence in watcher.changed().await {
                if presence.status != Status::Away || !seen.insert(presence.user.clone()) {
                    continue;
                }
                let changed_at = lock(&self.changed_at);
                if let Some(at) = changed_at.get(&presence.user) {
                    self.latencies.record(at.elapsed());
                    self.seen.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }
}

/// Lets users turn away, each at most once; how many.
async fn change(options: &PresenceOptions, visits: &[Visit], watching: &Watching) -> u64 {
    let users = match users(options.users) {
        Ok(users) => users,
        Err(_) => return 0,
    };
    let mut order: Vec<usize> = (0..visits.len()).collect();
    order.shuffle(&mut rand::rng());
    let per_s = f64::from(options.users) * options.changes_percent / 100.0;
    let per_group = per_s / f64::from(GROUPS_PER_S);
    let mut ticks = interval(Duration::from_secs(1) / GROUPS_PER_S);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut due, mut made) = (0.0, 0_usize);
    for _ in 0..options.seconds * GROUPS_PER_S {
        ticks.tick().await;
        due += per_group;
        while (made as f64) < due && made < order.len() {
            let index = order[made];
            made += 1;
            if watching.watched.contains(&users[index]) {
                watching.expected.fetch_add(watching.watchers.into(), Ordering::Relaxed);
                let mut changed_at = lock(&watching.changed_at);
                changed_at.insert(users[index].clone(), Instant::now());
            }
            visits[index].set_idle(true);
        }
    }
    made as u64
}
