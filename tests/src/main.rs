//! The long trials, from a command line. Tests are in `tests/`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use weft_tests::torture;

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
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let Command::Torture { minutes, seed, cluster } = Cli::parse().command;
    let seed = seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let is_good = torture::run(torture::Options { minutes, seed, cluster }).await?;
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
