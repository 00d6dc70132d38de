//! `weft bench`: measures a whole system of separate processes on this machine.
//!
//! Each run has a temporary folder, a nats-server, a core and its edges of its own, all gone at its
//! end. What is expected of them is checked while it is measured.

mod account;
mod cpu;
mod healing;
mod hops;
mod limit;
mod load;
mod log_check;
mod pair;
mod presence;
mod report;
mod rooms;
mod scan;
mod send;
mod socket;
mod store;
mod storm;
mod system;

use clap::{Args, Subcommand};

use crate::error::Error;

/// Measurements.
#[derive(Args, Clone, Debug)]
pub struct BenchOptions {
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Subcommand, Clone, Debug)]
enum Scenario {
    /// Pairs of users on two edges send each other 200-byte messages.
    ///
    /// Checks that nothing is lost, doubled or reordered (else exit code 1) and prints one JSON
    /// object as its last line. Before, it measures the limit: the same hops with nothing but bytes
    /// in them.
    Send(send::SendOptions),
    /// What ticks and audits cost: runs with and without them in turn.
    ///
    /// Users send in many direct rooms at a steady rate. Checks that nothing is lost, doubled or
    /// reordered, and prints one JSON object as its last line, with medians over the runs.
    Healing(healing::HealingOptions),
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
    /// Devices lose their edge at once, and reconnect to the others.
    ///
    /// Three edges; all devices are at the first one, which is killed while they talk in small
    /// groups. Checks that nobody misses an entry and nobody is seen offline meanwhile (else exit
    /// code 1), and prints one JSON object as its last line.
    Storm(storm::StormOptions),
    /// The limit's edge.
    #[command(hide = true)]
    HopEdge(hops::HopEdgeOptions),
    /// The limit's core.
    #[command(hide = true)]
    HopCore(hops::HopCoreOptions),
}

/// Runs it.
pub fn run(options: BenchOptions) -> Result<(), Error> {
    match options.scenario {
        Scenario::Send(options) => send::run(&options),
        Scenario::Healing(options) => healing::run(&options),
        Scenario::Presence(options) => presence::run(&options),
        Scenario::Store(options) => store::run(&options),
        Scenario::Storm(options) => storm::run(&options),
        Scenario::HopEdge(options) => hops::run_edge(options),
        Scenario::HopCore(options) => hops::run_core(options),
    }
}
