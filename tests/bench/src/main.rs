//! `weft-bench`: measures a whole system of separate processes on this machine.
//!
//! Each run has a temporary folder, a nats-server, a core and its edges of its own, all deleted at its
//! end (`store`, `rooms`, `find`, `expiry` and `year`: a store alone). What is expected of them is checked while it is measured. `WEFT_BIN`
//! names the `weft` binary that is measured; else the workspace's own is built, with this binary's profile.

mod cpu;
mod expiry;
mod feeds;
mod files;
mod find;
mod groups;
mod hops;
mod limit;
mod log_check;
mod pairs;
mod presence;
mod push;
mod report;
mod rooms;
mod scan;
mod search;
mod send;
mod store;
mod storm;
mod system;
mod timeline;
mod worker;
mod year;

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use weft_runtime::LogFormat;

/// With glibc's allocator a quarter of core's CPU time went into it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures Weft.
#[derive(Parser, Debug)]
#[command(name = "weft-bench", version)]
struct Cli {
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Subcommand, Debug)]
enum Scenario {
    /// Pairs of users on two edges send each other 200-byte messages.
    ///
    /// Checks that nothing is lost, doubled or reordered (else exit code 1) and prints one JSON
    /// object as its last line. Before, it measures the limit: the same hops with nothing but bytes
    /// in them.
    Send(send::SendOptions),
    /// Presence: how fast a change reaches those who watch, and what it costs.
    ///
    /// Simulated edges with users; some of the users change. Checks that each watcher sees each
    /// change and that nothing is written for users who merely stay online (else exit code 1), and
    /// prints one JSON object as its last line.
    Presence(presence::PresenceOptions),
    /// The store alone, without NATS: guarded commits like core's, scans and points.
    ///
    /// For the embedded store each is also done by its library bare, with the same keys, values and
    /// fsyncs, in turn. Prints one JSON object as its last line.
    Store(store::StoreOptions),
    /// A user with many rooms loads the list of rooms, and comes back.
    ///
    /// Core's calls on an embedded store, without NATS. Checks what each answer has (else exit code 1), and prints
    /// one JSON object as its last line.
    Rooms(rooms::RoomsOptions),
    /// One owner makes groups and adds members, at the quotas that everybody has.
    ///
    /// Prints one JSON object as its last line.
    Groups(groups::GroupsOptions),
    /// Users are found by what their names begin with, among very many.
    ///
    /// Core's call on an embedded store, without NATS. Checks that somebody is found (else exit code 1), and prints
    /// one JSON object as its last line.
    Find(find::FindOptions),
    /// Messages are indexed and found among very many; and how soon one is found after its ack.
    ///
    /// The index alone, then a system of separate processes. Prints one JSON object as its last line.
    Search(search::SearchOptions),
    /// Feeds of bots: what a node of integrations puts into them, with very many rooms and bots that read nothing.
    ///
    /// A system of separate processes. Prints one JSON object as its last line.
    Feeds(feeds::FeedsOptions),
    /// Files: uploads and downloads beside what their storage can do, thumbnails, and messages meanwhile.
    ///
    /// A system of separate processes. Checks that a file comes back as it was (else exit code 1), and prints one JSON object as its
    /// last line.
    Files(files::FilesOptions),
    /// Devices are notified: how soon, what it costs, and what a gateway that hangs costs those who write.
    ///
    /// A system of separate processes. Checks that each message notifies (else exit code 1), and prints one JSON object as its last
    /// line.
    Push(push::PushOptions),
    /// Devices lose their edge at once, and reconnect to the others.
    ///
    /// Three edges; all devices are at the first one, which is killed while they talk in small
    /// groups. Checks that nobody misses an entry and nobody is seen offline meanwhile (else exit
    /// code 1), and prints one JSON object as its last line.
    Storm(storm::StormOptions),
    /// A year of a store, compressed: what it leaves, and what removing the old costs.
    ///
    /// Core's owners and keepers at work on an embedded store, without NATS. Prints a JSON object for
    /// each month: rows and bytes of every table, what the files take, and the cost of sending and of
    /// trimming; and one for all of it as its last line. Checks that what is not kept for ever stays
    /// bounded (else exit code 1).
    Year(year::YearOptions),
    /// Entries of all rooms expire at once.
    ///
    /// Core's owners at work on an embedded store, without NATS. Checks that what has expired is deleted, and nothing else (else
    /// exit code 1), and prints one JSON object as its last line.
    Expiry(expiry::ExpiryOptions),
    /// A part of a measured system that no `weft` has.
    #[command(hide = true)]
    Part {
        #[command(subcommand)]
        part: Part,
    },
}

#[derive(Subcommand, Debug)]
enum Part {
    /// The limit's edge.
    HopEdge(hops::HopEdgeOptions),
    /// The limit's core.
    HopCore(hops::HopCoreOptions),
}

fn main() -> ExitCode {
    weft_runtime::init_telemetry("warn", LogFormat::Text);
    match run(Cli::parse().scenario) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weft-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(scenario: Scenario) -> Result<()> {
    let mut one = tokio::runtime::Builder::new_current_thread();
    let mut many = tokio::runtime::Builder::new_multi_thread();
    // The client must leave the processor to what it measures.
    let one = one.enable_all().build()?;
    match scenario {
        Scenario::Send(options) => one.block_on(until_signal(send::measure(&options))),
        Scenario::Store(options) => one.block_on(until_signal(store::measure(&options))),
        Scenario::Rooms(options) => one.block_on(until_signal(rooms::measure(&options))),
        Scenario::Find(options) => one.block_on(until_signal(find::measure(&options))),
        Scenario::Expiry(options) => one.block_on(until_signal(expiry::measure(&options))),
        Scenario::Search(options) => {
            many.enable_all().build()?.block_on(until_signal(search::measure(&options)))
        }
        Scenario::Push(options) => {
            many.enable_all().build()?.block_on(until_signal(push::measure(&options)))
        }
        Scenario::Feeds(options) => {
            many.enable_all().build()?.block_on(until_signal(feeds::measure(&options)))
        }
        Scenario::Files(options) => {
            many.enable_all().build()?.block_on(until_signal(files::measure(&options)))
        }
        Scenario::Groups(options) => one.block_on(until_signal(groups::measure(&options))),
        Scenario::Storm(options) => one.block_on(until_signal(storm::measure(&options))),
        Scenario::Year(options) => {
            let mut fast = tokio::runtime::Builder::new_current_thread();
            let fast = fast.enable_all().start_paused(true).build()?;
            fast.block_on(until_signal(year::measure(&options)))
        }
        Scenario::Presence(options) => {
            many.enable_all().build()?.block_on(until_signal(presence::measure(&options)))
        }
        Scenario::Part { part } => many.enable_all().build()?.block_on(async {
            match part {
                Part::HopEdge(options) => hops::run_edge(options).await,
                Part::HopCore(options) => hops::run_core(options).await,
            }
        }),
    }
}

/// Runs a measurement until it is done or a signal comes: then too its processes and its folder go.
async fn until_signal(measure: impl Future<Output = Result<()>>) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        biased;
        _ = tokio::signal::ctrl_c() => bail!("ended by SIGINT"),
        _ = terminate.recv() => bail!("ended by SIGTERM"),
        result = measure => result,
    }
}

/// Says on standard error what is done now.
fn progress(text: &str) {
    eprintln!("weft-bench: {text}");
}
