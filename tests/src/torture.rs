//! Torture: real processes under real load, broken at random for minutes or hours, and compared
//! with what was promised. `cargo run -p weft-tests --release -- torture --minutes 5 --seed 1`
//!
//! | module | duty |
//! | --- | --- |
//! | `schedule` | what is broken when: a function of the seed |
//! | `faults` | how it is broken, and mended |
//! | `world` | the processes, the links between them, and whoever ends by itself |
//! | `people`, `talk`, `words` | users, devices and rooms of a round; senders of all kinds, and what they say |
//! | `groups` | what the owner of a group does with it, and who comes and goes |
//! | `administrators` | who closes rooms and suspends users |
//! | `away` | who is away and is notified |
//! | `blocks` | who blocks whom |
//! | `strangers` | who writes to whom they don't know, and what becomes of it |
//! | `search` | who searches for what was said |
//! | `retention` | entries that expire |
//! | `later` | what people schedule to be sent later |
//! | `files` | who uploads, sends, forwards and reads files |
//! | `hostile` | strangers who mean harm, and what they do to everybody else |
//! | `round` | talk while things break, silence, comparison |
//! | `outage` | the longest time without an ack |
//! | `report` | the stories of violations, and the line of numbers |
//!
//! The faults of a seed are always the same; what they hit is not: time is real.

mod administrators;
mod away;
mod blocks;
mod faults;
mod files;
mod groups;
mod hostile;
mod later;
pub mod outage;
mod people;
mod report;
mod retention;
mod round;
pub mod schedule;
mod search;
mod strangers;
mod talk;
mod words;
mod world;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use self::outage::{all_cut_off, longest};
use self::report::{LogReader, Totals, explain_some, fault_line};
use self::round::Judged;
use self::schedule::Schedule;
use self::world::World;
use weft_harness::history::{Event, Recorder};
use weft_harness::system::Engine;

/// The longest time before everything is compared, and forgotten.
const ROUND_MAX: Duration = Duration::from_secs(300);

#[derive(Clone, Debug)]
pub struct Options {
    pub minutes: u64,
    pub seed: u64,
    /// Three nats-servers instead of one.
    pub cluster: bool,
    pub store: Engine,
    pub cores: usize,
    /// Hostile clients beside the people.
    pub hostile: bool,
    /// Further options of `weft core`.
    pub core_args: Vec<String>,
    /// Further options of `weft edge`.
    pub edge_args: Vec<String>,
}

/// Runs it, and says what was found: the stories on standard error, numbers as one line of JSON on
/// standard output. True where every promise was kept.
pub async fn run(options: Options) -> Result<bool> {
    eprintln!("seed {}", options.seed);
    let recorder = Recorder::default();
    let world = World::start(recorder, &options).await?;
    let watch = tokio::spawn(Arc::clone(&world).watch());
    let ran = rounds(&world, &options).await;
    watch.abort();
    let _ = watch.await;
    let totals = ran.as_ref().ok();
    let is_good = totals.is_some_and(|totals| totals.violations + totals.findings == 0);
    if let Some(totals) = totals {
        println!("{}", totals.line(&world, &options));
    }
    if !is_good {
        eprintln!("logs, data and histories: {}", world.system.path().display());
        world.system.keep();
    }
    ran.map(|_| is_good)
}

async fn rounds(world: &Arc<World>, options: &Options) -> Result<Totals> {
    let all = Duration::from_secs(60 * options.minutes.max(1));
    let count = all.as_secs().div_ceil(ROUND_MAX.as_secs());
    let lasts = all / u32::try_from(count)?;
    let mut totals = Totals::default();
    let mut logs = LogReader::default();
    let crowd = people::crowd(world).await?;
    for number in 1..=count {
        // Each round has a schedule of its own, so that how long the one before took does not
        // matter.
        let mut schedule = Schedule::new(options.seed.wrapping_mul(1_000) + number, world.shape);
        let judged = round::run(world, &crowd, &mut schedule, lasts, options.hostile).await?;
        totals.take(world, &judged);
        let mut findings = world.take_findings();
        findings.extend(logs.findings(world, &mut totals.error_lines));
        totals.findings += findings.len();
        if !judged.violations.is_empty() || !findings.is_empty() {
            tell(world, number, &judged, &findings)?;
        }
        let counts = world.recorder.counts();
        eprintln!(
            "round {number} of {count}: {} acks and {} deliveries so far, {} violations",
            counts.acks,
            counts.deliveries,
            judged.violations.len() + findings.len()
        );
    }
    Ok(totals)
}

/// Says what is wrong, and keeps what was seen.
fn tell(world: &World, number: u64, judged: &Judged, findings: &[String]) -> Result<()> {
    let faults = world.faults();
    let mut text: String = findings.iter().map(|finding| format!("FOUND {finding}\n")).collect();
    text.push_str(&explain_some(judged, &faults));
    eprint!("{text}");
    let folder = world.system.path();
    let all: String = judged.violations.iter().map(|violation| format!("{violation}\n")).collect();
    let made: String = faults.iter().map(|fault| fault_line(fault) + "\n").collect();
    std::fs::write(folder.join(format!("round-{number}.violations")), text + "\n" + &all)?;
    std::fs::write(folder.join(format!("round-{number}.history")), judged.history.to_lines())?;
    std::fs::write(folder.join(format!("round-{number}.faults")), made)?;
    Ok(())
}

impl Totals {
    fn take(&mut self, world: &World, judged: &Judged) {
        self.violations += judged.violations.len();
        self.notified.add(judged.notified);
        let history = &judged.history;
        let logs = history.events.iter().filter_map(|event| match event {
            Event::Final { entries, .. } => Some(entries),
            _ => None,
        });
        logs.flatten().for_each(|entry| self.count(entry));
        let is_kept = |event: &&Event| matches!(event, Event::MarkKept { .. });
        self.marks += history.events.iter().filter(is_kept).count();
        let is_set = |event: &&Event| matches!(event, Event::SettingKept { .. });
        self.settings += history.events.iter().filter(is_set).count();
        let is_typed = |event: &&Event| matches!(event, Event::DraftKept { .. });
        self.drafts += history.events.iter().filter(is_typed).count();
        history.events.iter().for_each(|event| self.take_deed(event));
        history.events.iter().for_each(|event| self.listed.take(event));
        let times = history.events.iter().zip(&history.times);
        let acks: Vec<Duration> = times
            .filter_map(|(event, at)| matches!(event, Event::Acked { .. }).then_some(*at))
            .collect();
        let cut_off = all_cut_off(&world.cut_offs(), (1 << world.shape.edges) - 1);
        self.raw = self.raw.max(longest(judged.talked, &acks, &[]));
        if let Some(compared) = judged.compared {
            self.compared.push(compared.line());
        }
        self.unexplained = self.unexplained.max(longest(judged.talked, &acks, &cut_off));
    }
}
