//! `weft-bench year`: what a year of traffic leaves in a store, and what removing the old costs.
//!
//! The owners and keepers of all partitions work on an embedded store in a folder; their logs and their
//! bus are in memory. Their clock runs 360 times as fast as the runtime's, and that one stands still
//! while anybody works: so a year takes minutes, and core's own pauses are as long as ever beside it.

pub mod cost;
pub mod owners;
pub mod ports;
pub mod tables;
pub mod town;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use serde::Serialize;
use tokio::time::{Instant, sleep_until};
use weft_core::FEATURE_LEVEL;
use weft_core::partition::retention::{Keeper, Retention};
use weft_core::services::layout;
use weft_proto::Partition;
use weft_storage::Store;
use weft_storage::embedded::Embedded;

use self::cost::{Cost, Counted, Meter};
use self::owners::{Owners, Workers};
use self::ports::{DAY, FastClock};
use self::tables::{Tables, read_tables};
use self::town::Town;
use crate::progress;
use crate::report::print;
use crate::system::warn_of_memory;

pub const PARTITIONS: Partition = 4;
const MONTH_DAYS: u64 = 30;
/// Beyond the days that a table's rows are kept: those that are not over, and the next look's.
const DAYS_MORE: u64 = 2;
/// The tables that are checked: each row is written once.
const BOUNDED: [&str; 6] = ["journal", "inbox", "resend", "dead_letter", "device", "minute"];
/// A follower of the journal that never moves is there from this day on ...
const IDLER_BEGINS: u64 = 120;
/// ... and is forgotten at this one.
const IDLER_ENDS: u64 = 240;

/// One year.
#[derive(Args, Clone, Debug)]
pub struct YearOptions {
    /// How many days are played.
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u64).range(1..=3_650))]
    days: u64,
    /// Users, each in ten direct rooms and one to three groups; from 1,000 on only accounts.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    users: u32,
    /// Messages of a day, of all users.
    #[arg(long, default_value_t = 5_500)]
    messages_per_day: u64,
    /// How often messages come in a day: as many at once as that leaves.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..=1_440))]
    bursts_per_day: u64,
    /// Removes nothing but what a client id got, which can't be kept for ever: for comparison.
    #[arg(long)]
    keep_all: bool,
    /// Where the store's temporary folder is made; it should be on the disk that is to be measured.
    #[arg(long)]
    folder: Option<PathBuf>,
}

/// What a month left and cost; a line of its own.
#[derive(Serialize)]
struct Month {
    scenario: &'static str,
    day: u64,
    messages: u64,
    #[serde(flatten)]
    tables: Tables,
    /// Rows that were written since the beginning and are not there any more.
    removed: BTreeMap<&'static str, u64>,
    disk_bytes: u64,
    /// The owners' commits since the beginning, and everything beside them but the walks.
    sending: Cost,
    /// Of those, commits that also delete a piece of the journal, and such that delete what client ids got.
    journal_pieces: u64,
    resend_pieces: u64,
    /// The daily walks since the beginning.
    walks: Cost,
}

/// The last line.
#[derive(Serialize)]
struct Report {
    scenario: &'static str,
    days: u64,
    users: u32,
    messages: u64,
    keep_all: bool,
    wall_s: f64,
    sending_cpu_s_per_million: f64,
    walks_cpu_s_per_day: f64,
    walks_cpu_s_per_million: f64,
    walks_commits_per_day: f64,
    walks_bytes_per_day: f64,
    /// The walks' processor time, to that of sending.
    walks_to_sending: f64,
    /// How long the longest walk of all partitions took, with its pauses.
    walk_s_max: f64,
}

/// Plays it, checks the bounds, and prints the report.
pub async fn measure(options: &YearOptions) -> Result<()> {
    let parent = options.folder.clone().unwrap_or_else(std::env::temp_dir);
    warn_of_memory(&parent);
    let folder = tempfile::Builder::new().prefix("weft-bench-").tempdir_in(parent)?;
    let mut year = Year::begin(options, folder.path()).await?;
    for day in 1..=options.days {
        year.day(day).await?;
        if day % MONTH_DAYS == 0 || day == options.days {
            year.month(day).await?;
        }
    }
    year.end().await
}

/// A year at work.
struct Year<'a> {
    options: &'a YearOptions,
    folder: &'a Path,
    clock: Arc<FastClock>,
    meter: Meter,
    /// Each counts what goes through it.
    sending: Counted,
    walking: Counted,
    beside: Counted,
    keepers: Vec<Keeper>,
    town: Town,
    workers: Workers,
    /// Rows written until each day's end, from day 0 on.
    written: Vec<BTreeMap<&'static str, u64>>,
    walk_max: Duration,
}

impl<'a> Year<'a> {
    async fn begin(options: &'a YearOptions, folder: &'a Path) -> Result<Self> {
        let store = Store::new(Embedded::open(folder)?);
        let clock = Arc::new(FastClock::start());
        let of = || Counted::new(store.clone());
        let (sending, walking, beside) = (of(), of(), of());
        layout::open(&beside.store(), PARTITIONS, FEATURE_LEVEL).await?;
        let retention = Retention::default();
        let journal_age = if options.keep_all { Duration::MAX } else { retention.journal };
        let owners = Owners::start(&sending.store(), &clock, journal_age)?;
        let mut keepers = Vec::new();
        for (partition, clocks) in (0..PARTITIONS).zip(owners.clocks) {
            let (store, partitions) = (walking.store(), PARTITIONS);
            let feature_level = FEATURE_LEVEL;
            keepers.push(Keeper { store, clocks, partition, partitions, retention, feature_level });
        }
        let random = SmallRng::seed_from_u64(1);
        let town =
            Town::found(&beside, &clock, (owners.logs, owners.bus), options.users, random).await?;
        let written = vec![BTreeMap::new()];
        let (meter, walk_max) = (Meter::default(), Duration::ZERO);
        Ok(Self {
            options,
            folder,
            clock,
            meter,
            sending,
            walking,
            beside,
            keepers,
            town,
            workers: owners.workers,
            written,
            walk_max,
        })
    }

    /// A day: messages, what is done beside them, and the walk, as core's keepers do it once a day.
    async fn day(&mut self, day: u64) -> Result<()> {
        let (bursts, messages) = (self.options.bursts_per_day, self.options.messages_per_day);
        let began = self.clock.began() + DAY * u32::try_from(day - 1)?;
        let meter = self.meter.begin()?;
        for burst in 0..bursts {
            let until = |burst| messages * burst / bursts;
            self.town.talk(until(burst + 1) - until(burst)).await?;
            sleep_until(began + DAY * u32::try_from(burst + 1)? / u32::try_from(bursts)?).await;
        }
        self.town.live_a_day(day).await?;
        self.town.follow().await?;
        match day {
            IDLER_BEGINS => self.town.follow_idly().await?,
            IDLER_ENDS => self.town.forget_the_idler().await?,
            _ => {}
        }
        self.meter.end_sending(meter)?;
        if !self.options.keep_all {
            self.walk().await?;
        }
        let mut written = BTreeMap::new();
        for counted in [&self.sending, &self.beside] {
            for (table, rows) in counted.counts().written {
                *written.entry(table).or_default() += rows;
            }
        }
        self.written.push(written);
        self.workers.check()
    }

    async fn walk(&mut self) -> Result<()> {
        let (meter, paused_from) = (self.meter.begin()?, Instant::now());
        let worked_from = std::time::Instant::now();
        for keeper in &self.keepers {
            keeper.walk().await?;
        }
        // The runtime's clock has the pauses alone, the machine's the work alone.
        self.walk_max = self.walk_max.max(paused_from.elapsed() + worked_from.elapsed());
        self.meter.end_walk(meter)
    }

    /// Says what is there, and checks it.
    async fn month(&mut self, day: u64) -> Result<()> {
        let tables = read_tables(&self.beside.store()).await?;
        let all = self.written.last().context("a day")?;
        let left = |table: &&str, rows: u64| rows.saturating_sub(tables.rows_of(table));
        let bounded = all.iter().filter(|(table, _)| BOUNDED.contains(table));
        let removed = bounded.map(|(table, rows)| (*table, left(table, *rows)));
        let (sending, walking) = (self.sending.counts(), self.walking.counts());
        let pieces = |table| sending.ranges.get(table).copied().unwrap_or_default();
        let month = Month {
            scenario: "year",
            day,
            messages: self.town.messages(),
            removed: removed.collect(),
            disk_bytes: cost::disk_bytes(self.folder)?,
            journal_pieces: pieces("journal"),
            resend_pieces: pieces("resend"),
            sending: sending.cost(self.meter.sending()),
            walks: walking.cost(self.meter.walks()),
            tables,
        };
        print(&month)?;
        progress(&format!("day {day}: {} bytes on disk", month.disk_bytes));
        if self.options.keep_all { Ok(()) } else { self.check(day, &month.tables) }
    }

    /// Of a table whose rows are kept for so many days there are no more than these days' rows.
    fn check(&self, day: u64, tables: &Tables) -> Result<()> {
        let days = |kept: Duration| kept.as_secs() / 86_400;
        let kept = Retention::default();
        let is_held = (IDLER_BEGINS..=IDLER_ENDS + DAYS_MORE).contains(&day);
        let journal_days = days(kept.journal) * if is_held { 2 } else { 1 };
        // Of each partition the newest one that is old stays.
        let minutes_more = u64::from(PARTITIONS);
        for table in BOUNDED {
            let (days, more) = match table {
                "journal" => (journal_days, 0),
                "inbox" => (days(kept.inboxes), 0),
                "dead_letter" => (days(kept.dead_letters), 0),
                "device" => (days(kept.logins), 0),
                "minute" => (days(kept.minutes), minutes_more),
                // What client ids got, for 25 hours.
                _ => (1, 0),
            };
            let written = |day: usize| self.written[day].get(table).copied().unwrap_or_default();
            let before = usize::try_from(day.saturating_sub(days + DAYS_MORE))?;
            let bound = written(self.written.len() - 1) - written(before) + more;
            let rows = tables.rows_of(table);
            ensure!(rows <= bound, "day {day}: {rows} rows of {table}, and {bound} at the most");
            ensure!(rows > 0, "day {day}: no rows of {table}: nothing was checked");
        }
        Ok(())
    }

    async fn end(mut self) -> Result<()> {
        self.workers.end().await?;
        let (days, messages) = (self.options.days, self.town.messages());
        let per = |value: f64, of: f64| crate::report::round(value / of.max(1e-9));
        let millions = messages as f64 / 1e6;
        let (sending, walks) = (self.meter.sending(), self.meter.walks());
        let walking = self.walking.counts();
        print(&Report {
            scenario: "year",
            days,
            users: self.options.users,
            messages,
            keep_all: self.options.keep_all,
            wall_s: crate::report::round(self.meter.elapsed().as_secs_f64()),
            sending_cpu_s_per_million: per(sending.as_secs_f64(), millions),
            walks_cpu_s_per_day: per(walks.as_secs_f64(), days as f64),
            walks_cpu_s_per_million: per(walks.as_secs_f64(), millions),
            walks_commits_per_day: per(walking.commits as f64, days as f64),
            walks_bytes_per_day: per(walking.bytes as f64, days as f64),
            walks_to_sending: per(walks.as_secs_f64(), sending.as_secs_f64()),
            walk_s_max: crate::report::round(self.walk_max.as_secs_f64()),
        })
    }
}
