//! `weft bench storm`: all devices of an edge lose it at once and come to the others. Real
//! processes, real sessions, and the protocol's own back-off.

mod crowd;
mod device;
mod groups;
mod outgoing;
mod seen;
mod tally;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use weft_nats::presence::probe;
use weft_nats::{Bus, Filter};

use self::crowd::Crowd;
use self::device::Outcome;
use self::groups::{Groups, Log};
use self::outgoing::Acked;
use self::seen::Seen;
use self::tally::Tally;
use super::report::{Quantiles, round};
use super::send::{block_on_one, progress};
use super::system::{Kind, Setup, System};
use crate::commands::Partitions;
use crate::error::Error;
use crate::process::say;

/// An edge's key takes 10 s to expire, and its users are given 10 s more: who would be seen offline
/// is by then.
const LOOK_FOR: Duration = Duration::from_secs(30);
/// Open files of a process beside its sockets.
const OTHER_FILES: u64 = 500;

/// One storm.
#[derive(Args, Clone, Debug)]
pub struct StormOptions {
    /// Devices, each of a user of its own. Each costs two password hashes before the storm.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(2..=50_000))]
    devices: u32,
    /// Each device sends a message every so many seconds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=600))]
    talk_every_s: u32,
    /// How long they talk before their edge is killed.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=600))]
    talk_s: u32,
    /// Where the temporary folder is made. It is kept where something went wrong.
    #[arg(long)]
    folder: Option<PathBuf>,
    #[command(flatten)]
    partitions: Partitions,
}

/// The last line. Everything is counted from the kill on, where it does not say otherwise.
#[derive(Serialize)]
struct Report {
    scenario: &'static str,
    devices: u32,
    /// Until the last `synced` of anybody.
    seconds_until_last_resumed: f64,
    /// Entries that somebody has not seen, and acknowledged ones that do not stand in the log: of
    /// the whole run.
    missed: u64,
    /// Words "offline" that anybody was told.
    status_flaps: u64,
    /// What presence published.
    presence_messages_per_user: f64,
    /// Keys of users that the edges wrote.
    presence_writes_per_user: f64,
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
    /// Contacts whom somebody's last session was not told of.
    unseen_contacts: u64,
    /// Messages with an answer, and without one: of the whole run.
    answered: u64,
    unanswered: u64,
    /// Entries that came behind a later one of their room: of the whole run.
    reordered: u64,
    /// Messages that stand in a log twice.
    doubled: u64,
    /// Entries that somebody got twice, as is allowed around a sync.
    seen_twice: u64,
    /// Frames that no edge may send here.
    faults: u64,
}

/// Measures, and prints the report.
pub fn run(options: &StormOptions) -> Result<(), Error> {
    block_on_one(measure(options))
}

async fn measure(options: &StormOptions) -> Result<(), Error> {
    // The processes that are started inherit it.
    crate::open_files::allow(u64::from(options.devices) + OTHER_FILES)?;
    let mut system = System::start(&Setup {
        kind: Kind::Weft,
        partitions: options.partitions.partitions,
        folder: options.folder.clone(),
        healing: true,
        edges: 3,
        presence: true,
    })
    .await?;
    let verdict = match storm(options, &mut system).await {
        Ok(report) => {
            let line = serde_json::to_string(&report);
            say(&line.map_err(|error| Error::Failed(error.to_string()))?);
            report.verdict()
        }
        Err(error) => Err(error),
    };
    match verdict {
        Ok(()) => system.finish().await,
        Err(_) => {
            let folder = system.finish_keeping().await;
            progress(&format!("the logs of all parts are in {}", folder.display()));
        }
    }
    verdict
}

async fn storm(options: &StormOptions, system: &mut System) -> Result<Report, Error> {
    let admin = system.admin().await?;
    let groups = Groups { devices: options.devices as usize };
    let talk_every = Duration::from_secs(options.talk_every_s.into());
    let crowd = Crowd::gather(groups, talk_every, system.addresses()).await?;
    let tally = Arc::clone(crowd.tally());
    let report = kill_and_count(options, system, &admin, crowd).await;
    for (word, count) in tally.words() {
        progress(&format!("{count} times: {word}"));
    }
    report
}

async fn kill_and_count(
    options: &StormOptions,
    system: &mut System,
    admin: &Bus,
    crowd: Crowd,
) -> Result<Report, Error> {
    let tally = Arc::clone(crowd.tally());
    crowd.settle().await?;
    crowd.talk_for(Duration::from_secs(options.talk_s.into())).await;
    let published = Published::count(admin).await?;
    let written = probe(admin).await?.last_seq();
    progress("killing their edge");
    tally.kill();
    system.kill_edge(0).await?;
    crowd.resume().await;
    sleep(LOOK_FOR.saturating_sub(tally.since_kill())).await;
    crowd.answers().await;
    let logs = crowd.read_logs().await?;
    let heads: Arc<[u64]> = logs.iter().map(|log| log.head).collect();
    crowd.rest(Arc::clone(&heads)).await;
    let published = options.per_user(published.end());
    let written = options.per_user(probe(admin).await?.last_seq() - written);
    let outcomes = crowd.leave().await?;
    Ok(Report {
        presence_messages_per_user: published,
        presence_writes_per_user: written,
        ..options.report(&tally, &logs, &heads, &outcomes)
    })
}

/// Counts what presence publishes.
struct Published {
    count: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Published {
    async fn count(admin: &Bus) -> Result<Self, Error> {
        let mut statuses = admin.subscribe_wildcard(&Filter::Statuses).await?;
        admin.flush().await?;
        let count = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&count);
        let task = tokio::spawn(async move {
            while statuses.next().await.is_some() {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Ok(Self { count, task })
    }

    fn end(self) -> u64 {
        self.task.abort();
        self.count.load(Ordering::Relaxed)
    }
}

impl StormOptions {
    fn per_user(&self, sum: u64) -> f64 {
        round(sum as f64 / f64::from(self.devices))
    }

    /// Without what presence did.
    fn report(&self, tally: &Tally, logs: &[Log], heads: &[u64], outcomes: &[Outcome]) -> Report {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let sum = |of: &dyn Fn(&Seen) -> u64| outcomes.iter().map(|it| of(&it.seen)).sum::<u64>();
        let counts = &tally.counts;
        let answered = count(&counts.answered);
        Report {
            scenario: "storm",
            devices: self.devices,
            seconds_until_last_resumed: round(tally.last_resumed_s()),
            missed: sum(&|seen| seen.missed(heads)) + not_kept(outcomes, logs),
            status_flaps: count(&counts.status_flaps),
            presence_messages_per_user: 0.0,
            presence_writes_per_user: 0.0,
            resumed_after_s: tally.resumed_after().quantiles_in(Duration::from_secs(1)),
            not_resumed: u64::from(self.devices).saturating_sub(tally.resumed() as u64),
            attempts_failed: count(&counts.attempts_failed),
            disturbed: count(&counts.disturbed),
            not_recovered: count(&counts.not_recovered),
            unseen_contacts: sum(&|seen| seen.unseen_contacts() as u64),
            answered,
            unanswered: count(&counts.made) - answered,
            reordered: sum(&Seen::reordered),
            doubled: logs.iter().map(|log| log.doubled).sum(),
            seen_twice: sum(&Seen::duplicated),
            faults: count(&counts.faults),
        }
    }
}

/// Acknowledged messages that do not stand where their `ack` says.
fn not_kept(outcomes: &[Outcome], logs: &[Log]) -> u64 {
    let acked = outcomes.iter().flat_map(|outcome| &outcome.acked);
    let is_kept = |acked: &Acked| {
        let log = logs.get(acked.group);
        log.is_some_and(|log| log.has(acked.seq, &acked.client_id.to_string()))
    };
    acked.filter(|acked| !is_kept(acked)).count() as u64
}

impl Report {
    fn verdict(&self) -> Result<(), Error> {
        let faults = [
            (self.missed, "missed"),
            (self.status_flaps, "words \"offline\""),
            (self.not_resumed, "devices did not come back"),
            (self.not_recovered, "syncs did not go on from the cursor"),
            (self.unanswered, "unanswered"),
            (self.reordered, "reordered"),
            (self.doubled, "doubled"),
            (self.unseen_contacts, "contacts unseen"),
            (self.faults, "frames not to be expected"),
        ];
        let faults = faults.iter().filter(|(count, _)| *count > 0);
        let faults: Vec<String> = faults.map(|(count, what)| format!("{count} {what}")).collect();
        if faults.is_empty() { Ok(()) } else { Err(Error::Failed(faults.join(", "))) }
    }
}
