//! `weft-bench storm`: all devices of an edge lose it at once and come to the others. Real
//! processes, real sessions, and the protocol's own back-off.

mod crowd;
mod groups;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use weft_harness::check::{Violation, check};
use weft_harness::client::Client;
use weft_harness::history::{Device, Entry, Event, History, Room};
use weft_harness::system::System;
use weft_nats::presence::probe;
use weft_nats::{Bus, Filter};

use self::crowd::Crowd;
use self::groups::{Groups, room};
use crate::cpu::resident_bytes;
use crate::log_check::LogCheck;
use crate::progress;
use crate::report::{Latencies, Quantiles, print, round};
use crate::system::{Place, connect, end, ready};
use crate::timeline::{add, get};

/// An edge's key takes 10 s to expire, and its users are given 10 s more: who would be seen offline
/// is by then.
const LOOK_FOR: Duration = Duration::from_secs(30);
/// The seq that makes a group.
const CREATED: u64 = 1;
/// Open files of a process beside its sockets.
const OTHER_FILES: u64 = 500;
/// Most violations that are said.
const VIOLATIONS_SAID: usize = 20;

/// One storm.
#[derive(Args, Clone, Debug)]
pub struct StormOptions {
    /// Devices, each of a user of its own. Each costs two password hashes before the storm.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(2..=50_000))]
    devices: u32,
    /// Each device sends a message every this many seconds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=600))]
    talk_every_s: u32,
    /// How long they talk before their edge is killed.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=600))]
    talk_s: u32,
    #[command(flatten)]
    place: Place,
}

/// Everything is counted from the kill on, where it does not say otherwise.
#[derive(Serialize, Default)]
struct Report {
    scenario: &'static str,
    devices: u32,
    /// Until the last `synced` of anybody.
    seconds_until_last_resumed: f64,
    /// Entries that somebody has not seen, and acknowledged ones that are not in the log: of the
    /// whole run.
    missed: u64,
    /// Words "offline" that anybody was told.
    status_flaps: u64,
    /// What presence published.
    presence_messages_per_user: f64,
    /// Keys of users that the edges wrote.
    presence_writes_per_user: f64,
    /// Memory of their edge, before the kill.
    edge_bytes_per_session: f64,
    /// Until each device's first `synced`.
    resumed_after_s: Quantiles,
    /// Devices that did not come back.
    not_resumed: u64,
    /// Attempts to connect to a living edge.
    attempts_failed: u64,
    /// Sessions that were lost at a living edge: of the whole run.
    disturbed: u64,
    /// Syncs that did not go on from the cursor.
    not_recovered: u64,
    /// Companions whom somebody's last session was not told of.
    unseen_companions: u64,
    /// Messages with an answer, and without one: of the whole run.
    answered: u64,
    unanswered: u64,
    /// Entries that came after a later one of their room: of the whole run.
    reordered: u64,
    /// Messages that are in a log twice.
    doubled: u64,
    /// Entries that somebody got twice, as is allowed around a sync.
    seen_twice: u64,
    /// Frames that no edge may send here, and further promises that were broken.
    faults: u64,
}

/// Measures, and prints the report.
pub async fn measure(options: &StormOptions) -> Result<()> {
    // The processes that are started inherit it.
    allow_files(u64::from(options.devices) + OTHER_FILES)?;
    let system = options.place.weft(3, 1).await?;
    ready(&system, "presence").await;
    let measured = async {
        let report = storm(options, &system).await?;
        print(&report)?;
        report.verdict()
    };
    let measured = measured.await;
    end(system, measured)
}

async fn storm(options: &StormOptions, system: &System) -> Result<Report> {
    let admin = connect(system, "admin", "bench").await?;
    let groups = Groups { devices: options.devices as usize };
    let resident = || resident_bytes(system.process("edge-0").pid()?);
    let empty_bytes = resident()?;
    let mut crowd = Crowd::gather(groups, system.edges()).await?;
    let session_bytes = resident()?.saturating_sub(empty_bytes);
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    crowd.talk_for(seconds(options.talk_every_s), seconds(options.talk_s)).await;
    let published = Published::count(&admin).await?;
    let written = probe(&admin).await?.last_seq();
    progress("killing their edge");
    let before = Before::of(&crowd);
    crowd.flee();
    system.process("edge-0").kill()?;
    crowd.resume().await;
    sleep(LOOK_FOR.saturating_sub(crowd.recorder.now() - before.killed_at)).await;
    crowd.answers().await;
    let logs = crowd.read_logs().await?;
    let heads: Vec<u64> = logs.iter().map(|log| log.last().map_or(0, |last| last.seq)).collect();
    crowd.rest(&heads).await;
    let per_user = |sum: u64| round(sum as f64 / f64::from(options.devices));
    let mut report = Report {
        scenario: "storm",
        devices: options.devices,
        presence_messages_per_user: per_user(published.end()),
        presence_writes_per_user: per_user(probe(&admin).await?.last_seq() - written),
        edge_bytes_per_session: per_user(session_bytes),
        doubled: logs.iter().map(|log| doubled(log)).sum(),
        ..before.report(&crowd)
    };
    let history = crowd.recorder.take();
    report.look_at(&history, before.killed_at, &crowd, &heads);
    report.judge(&history);
    Ok(report)
}

/// What was so when the edge was killed.
struct Before {
    killed_at: Duration,
    offline: u64,
    failed: u64,
    /// Sessions of the edge.
    live: usize,
}

impl Before {
    fn of(crowd: &Crowd) -> Self {
        let sum = |of: fn(&Client) -> u64| crowd.clients.iter().map(|client| of(client)).sum();
        Self {
            killed_at: crowd.recorder.now(),
            offline: sum(Client::told_offline),
            failed: sum(Client::failed),
            live: crowd.devices().iter().filter(|client| client.is_synced()).count(),
        }
    }

    fn report(&self, crowd: &Crowd) -> Report {
        let now = Self::of(crowd);
        let closes: usize = crowd.clients.iter().map(|client| client.closes().len()).sum();
        let unseen: usize = (0..crowd.clients.len()).map(|number| crowd.unseen_by(number)).sum();
        let (answered, unanswered) = crowd.answered();
        let again = |syncs: Vec<Option<String>>| syncs.into_iter().skip(1).flatten().count() as u64;
        Report {
            status_flaps: now.offline - self.offline,
            attempts_failed: now.failed - self.failed,
            // The kill has ended each session of the edge.
            disturbed: closes.saturating_sub(self.live) as u64,
            not_recovered: crowd.clients.iter().map(|client| again(client.syncs())).sum(),
            unseen_companions: unseen as u64,
            answered,
            unanswered,
            ..Report::default()
        }
    }
}

impl Report {
    /// Takes in who got what when.
    fn look_at(&mut self, history: &History, killed_at: Duration, crowd: &Crowd, heads: &[u64]) {
        let mut logs: HashMap<(&Device, &Room), LogCheck> = HashMap::new();
        let mut resumed: HashMap<&Device, Duration> = HashMap::new();
        let mut last = Duration::ZERO;
        for (event, at) in history.events.iter().zip(&history.times) {
            match event {
                Event::Received { device, entry, .. } if entry.seq > CREATED => {
                    let log = logs.entry((device, &entry.room)).or_default();
                    log.saw(entry.seq - CREATED, entry.seq - CREATED - 1);
                }
                Event::Synced { device, .. } if *at >= killed_at => {
                    last = last.max(*at - killed_at);
                    resumed.entry(device).or_insert(*at - killed_at);
                }
                _ => {}
            }
        }
        let latencies = Latencies::default();
        for client in crowd.devices() {
            match resumed.get(client.name()) {
                Some(after) => latencies.record(*after),
                None => self.not_resumed += 1,
            }
        }
        self.seconds_until_last_resumed = round(last.as_secs_f64());
        self.resumed_after_s = latencies.quantiles_in(Duration::from_secs(1));
        self.seen_twice = logs.values().map(LogCheck::duplicated).sum();
        self.reordered = logs.values().map(LogCheck::reordered).sum();
        for (number, client) in crowd.clients.iter().enumerate() {
            for group in crowd.groups.of(number) {
                let sent = heads[group].saturating_sub(CREATED);
                let room = Room::from(room(group));
                let log = logs.get(&(client.name(), &room));
                self.missed += log.map_or(sent, |log| log.lost(sent));
            }
            for defect in client.defects() {
                progress(&format!("{}: {defect}", client.name()));
                self.faults += 1;
            }
        }
    }

    /// Takes in what the judge of all tests finds.
    fn judge(&mut self, history: &History) {
        for (number, violation) in check(history).into_iter().enumerate() {
            if number < VIOLATIONS_SAID {
                progress(&violation.to_string());
            }
            match violation {
                Violation::LostAck { .. } | Violation::FalseAck { .. } => self.missed += 1,
                Violation::Doubled { .. } => {}
                _ => self.faults += 1,
            }
        }
    }

    fn verdict(&self) -> Result<()> {
        let faults = [
            (self.missed, "missed"),
            (self.status_flaps, "words \"offline\""),
            (self.not_resumed, "devices did not come back"),
            (self.not_recovered, "syncs did not go on from the cursor"),
            (self.unanswered, "unanswered"),
            (self.reordered, "reordered"),
            (self.doubled, "doubled"),
            (self.unseen_companions, "companions unseen"),
            (self.faults, "frames or promises not to be expected"),
        ];
        let faults = faults.iter().filter(|(count, _)| *count > 0);
        let faults: Vec<String> = faults.map(|(count, what)| format!("{count} {what}")).collect();
        ensure!(faults.is_empty(), faults.join(", "));
        Ok(())
    }
}

/// Entries whose client id is in the room before.
fn doubled(log: &[Entry]) -> u64 {
    let mut known = HashSet::new();
    log.iter().filter(|entry| !known.insert(&entry.client_id)).count() as u64
}

/// Counts what presence publishes.
struct Published {
    count: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Published {
    async fn count(admin: &Bus) -> Result<Self> {
        let mut statuses = admin.subscribe_wildcard(&Filter::Statuses).await?;
        admin.flush().await?;
        let count = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&count);
        let task = tokio::spawn(async move {
            while statuses.next().await.is_some() {
                add(&counted, 1);
            }
        });
        Ok(Self { count, task })
    }

    fn end(self) -> u64 {
        self.task.abort();
        get(&self.count)
    }
}

/// Lets this process, and those that it starts, have this many files open.
fn allow_files(count: u64) -> Result<()> {
    let limits = getrlimit(Resource::Nofile);
    // `None`: no limit.
    if limits.current.is_none_or(|current| current >= count) {
        return Ok(());
    }
    if let Some(maximum) = limits.maximum.filter(|maximum| *maximum < count) {
        bail!(
            "a process may have {maximum} open files here, {count} are needed: raise the hard limit \
             (ulimit -Hn), or take fewer --devices"
        );
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(count), ..limits })
        .with_context(|| format!("can't have {count} open files"))
}
