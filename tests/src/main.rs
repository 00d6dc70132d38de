//! The long trials, from a command line. Tests are in `tests/`.

mod aging;
mod torture;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use weft_harness::system::Engine;

/// Long trials of Weft as a whole.
#[derive(Parser, Debug)]
#[command(name = "weft-tests")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Breaks processes and links at random under load, and compares what everybody saw.
    Torture {
        /// How long things are broken.
        #[arg(long, default_value_t = 5)]
        minutes: u64,
        /// Which faults; by default others each time.
        #[arg(long)]
        seed: Option<u64>,
        /// Three nats-servers as one cluster.
        #[arg(long)]
        cluster: bool,
        /// What keeps everything. With `fdb`, WEFT_FDB_BIN names the folder with FoundationDB's
        /// programs.
        #[arg(long, default_value = "embedded")]
        store: Engine,
        /// Hostile clients beside the people, whose acks must not become slow by them.
        #[arg(long)]
        hostile: bool,
        /// How many cores; an embedded store belongs to one.
        #[arg(long, default_value_t = 1)]
        cores: usize,
        /// A further option of `weft core`, as `--core-arg=--sender-burst=10`. Can be given several
        /// times.
        #[arg(long = "core-arg", value_name = "OPTION")]
        core_args: Vec<String>,
        /// A further option of `weft edge`. Can be given several times.
        #[arg(long = "edge-arg", value_name = "OPTION")]
        edge_args: Vec<String>,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let Command::Torture { minutes, seed, cluster, store, cores, hostile, core_args, edge_args } =
        Cli::parse().command;
    let seed = seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    anyhow::ensure!(
        cores == 1 || cores > 1 && store == Engine::Fdb,
        "an embedded store has exactly one core: --store fdb for more"
    );
    let options =
        torture::Options { minutes, seed, cluster, store, cores, hostile, core_args, edge_args };
    Ok(if torture::run(options).await? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
