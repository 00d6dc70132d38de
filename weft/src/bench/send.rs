//! `weft bench send`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::account::sign_up_all;
use super::cpu::used_us;
use super::limit;
use super::load::{Pace, Tally, Timeline};
use super::pair::{Outcome, Pair, User};
use super::report::{CpuPerMessage, Report, round};
use super::system::{Kind, Pids, Setup, System};
use crate::commands::Partitions;
use crate::error::Error;
use crate::process::{Signals, say};

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
    /// Where the temporary folder is made; it should be on the disk that is to be measured.
    #[arg(long)]
    pub folder: Option<PathBuf>,
    #[command(flatten)]
    pub partitions: Partitions,
}

/// Measures the limit, then the scenario, and prints the report.
pub fn run(options: &SendOptions) -> Result<(), Error> {
    block_on_one(measure(options))
}

/// Runs a measurement until it is done or a signal comes. One thread: the client must leave the
/// processor to what it measures.
pub fn block_on_one(measure: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::io("starting"))?;
    runtime.block_on(async {
        let mut signals = Signals::listen()?;
        tokio::select! {
            biased;
            signal = signals.next() => Err(Error::Failed(format!("ended by {signal}"))),
            result = measure => result,
        }
    })
}

async fn measure(options: &SendOptions) -> Result<(), Error> {
    progress("measuring the limit: the bare hops, as fast as possible");
    let limit_per_s = limit::measure(options).await?;
    progress(&format!("the limit is {limit_per_s:.0} messages per second"));
    let system = System::start(&options.setup(Kind::Weft)).await?;
    progress(&format!("making {} accounts", 2 * options.pairs));
    let pairs = connect_pairs(&system, options).await?;
    let timeline =
        Timeline::starting_at(Instant::now(), Duration::from_secs(options.seconds.into()));
    let tally = Arc::new(Tally::new());
    progress(&match options.rate {
        Some(rate) => format!("sending {rate} messages per second"),
        None => "sending as fast as possible".to_owned(),
    });
    let runs = (0..).zip(pairs).map(|(index, pair)| {
        Pair::new(pair, options.pace(index), timeline, Arc::clone(&tally)).run()
    });
    let meter = measure_cpu(system.pids(), timeline);
    let (outcomes, cpu_us) = tokio::join!(join_all(runs), meter);
    let (outcomes, cpu_us) = (outcomes?, cpu_us?);
    system.finish().await;
    let total = sum(&outcomes);
    progress(&format!("{} messages sent, {} unanswered", total.sent, total.unanswered));
    let report = options.report(&tally, &total, cpu_us, limit_per_s);
    let line = serde_json::to_string(&report).map_err(|error| Error::Failed(error.to_string()))?;
    say(&line);
    if total.lost + total.duplicated + total.reordered + total.unanswered == 0 {
        return Ok(());
    }
    Err(Error::Failed(format!(
        "{} lost, {} duplicated, {} reordered, {} unanswered",
        total.lost, total.duplicated, total.reordered, total.unanswered
    )))
}

impl SendOptions {
    /// The system of a run.
    pub fn setup(&self, kind: Kind) -> Setup {
        let partitions = self.partitions.partitions;
        let folder = self.folder.clone();
        Setup { kind, partitions, folder, healing: true, edges: 2, presence: false }
    }

    fn pace(&self, index: u32) -> Pace {
        let Some(rate) = self.rate else { return Pace::Window(self.window) };
        // Senders take turns, so that the rate is even.
        let turn = Duration::from_secs(1) / rate;
        Pace::Every { offset: turn * index, interval: turn * self.pairs }
    }

    fn report(&self, tally: &Tally, total: &Outcome, cpu_us: [u64; 4], limit_per_s: f64) -> Report {
        let seconds = f64::from(self.seconds);
        let sends_per_s = tally.acked() as f64 / seconds;
        let per_message = |cpu_us: u64| round(cpu_us as f64 / tally.acked().max(1) as f64);
        let [edge, core, nats, bench] = cpu_us.map(per_message);
        Report {
            scenario: "send",
            seconds,
            sends_per_s: round(sends_per_s),
            ack_ms: tally.ack.quantiles(),
            send_to_receive_ms: tally.receive.quantiles(),
            lost: total.lost,
            duplicated: total.duplicated,
            reordered: total.reordered,
            cpu_us_per_message: CpuPerMessage { edge, core, nats, bench },
            limit_per_s: round(limit_per_s),
            ratio_to_limit: round(sends_per_s / limit_per_s),
        }
    }
}

async fn connect_pairs(
    system: &System,
    options: &SendOptions,
) -> Result<Vec<super::pair::Connected>, Error> {
    let name = |index: u32, end: &str| format!("bench-{index}-{end}");
    let users: Vec<String> =
        (0..options.pairs).flat_map(|index| [name(index, "a"), name(index, "b")]).collect();
    let tokens = sign_up_all(system.edges_of(0).0, &users).await?;
    let mut accounts = users.into_iter().zip(tokens);
    let mut next = |edge| {
        let (name, token) = accounts.next()?;
        Some(User { name, token, edge })
    };
    let mut pairs = Vec::new();
    for index in 0..options.pairs {
        let (from, to) = system.edges_of(index);
        if let (Some(sender), Some(receiver)) = (next(from), next(to)) {
            pairs.push(Pair::connect(sender, receiver, options.text_bytes).await?);
        }
    }
    Ok(pairs)
}

/// Processor time of edges, core, nats-server and this process while it is measured.
pub async fn measure_cpu(pids: Pids, timeline: Timeline) -> Result<[u64; 4], Error> {
    let read = || -> Result<[u64; 4], Error> {
        let Pids { edge, core, nats, bench, .. } = &pids;
        Ok([used_us(edge)?, used_us(core)?, used_us(nats)?, used_us(bench)?])
    };
    sleep_until(timeline.measure_from).await;
    let before = read()?;
    sleep_until(timeline.measure_to).await;
    let after = read()?;
    Ok(std::array::from_fn(|at| after[at] - before[at]))
}

/// Runs all at once; the first error ends it.
pub async fn join_all<T: Send + 'static>(
    runs: impl Iterator<Item = impl Future<Output = Result<T, Error>> + Send + 'static>,
) -> Result<Vec<T>, Error> {
    let mut tasks: JoinSet<Result<T, Error>> = runs.collect();
    let mut results = Vec::with_capacity(tasks.len());
    while let Some(joined) = tasks.join_next().await {
        results.push(joined.map_err(|error| Error::Failed(error.to_string()))??);
    }
    Ok(results)
}

fn sum(outcomes: &[Outcome]) -> Outcome {
    outcomes.iter().fold(Outcome::default(), |total, one| Outcome {
        sent: total.sent + one.sent,
        unanswered: total.unanswered + one.unanswered,
        lost: total.lost + one.lost,
        duplicated: total.duplicated + one.duplicated,
        reordered: total.reordered + one.reordered,
    })
}

pub fn progress(text: &str) {
    eprintln!("weft bench: {text}");
}
