//! The one binary: every role of Weft, and the whole of it on one machine (`weft dev`).
//!
//! Expected failures are one line on standard error and exit code 1; a wrong command line is 2.

mod admin;
mod admin_listener;
mod bots;
mod commands;
#[cfg(test)]
mod compose;
mod dev;
mod error;
mod health;
mod http;
mod metrics;
mod nats_config;
mod nats_login;
mod open_files;
mod process;
mod roles;

use std::process::ExitCode;

use clap::Parser;

use crate::commands::{Cli, Command};
use crate::error::Error;

/// With glibc's allocator a quarter of core's CPU time in `weft-bench send` went into it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    weft_runtime::init_telemetry(log_filter(cli.command.as_ref()), cli.log_format.into());
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weft: {}", error.one_line());
            ExitCode::FAILURE
        }
    }
}

/// What is logged where RUST_LOG says nothing.
fn log_filter(command: Option<&Command>) -> &'static str {
    match command {
        Some(
            Command::Edge(_)
            | Command::Core(_)
            | Command::Presence(_)
            | Command::Push(_)
            | Command::Integrations(_)
            | Command::Search(_)
            | Command::Files(_),
        ) => "warn,weft=info",
        Some(
            Command::NatsConfig(_) | Command::BotsKey(_) | Command::Health(_) | Command::Admin(_),
        ) => "warn",
        // A terminal with a person before it.
        None | Some(Command::Dev(_)) => "warn,weft::dev=info,weft_nats::server=info",
    }
}

fn run(cli: Cli) -> Result<(), Error> {
    match cli.command {
        None => dev::run(cli.dev),
        Some(Command::Dev(options)) => dev::run(options),
        Some(Command::Edge(options)) => roles::edge::run(options),
        Some(Command::Core(options)) => roles::core::run(options),
        Some(Command::Presence(options)) => roles::presence::run(options),
        Some(Command::Integrations(options)) => roles::integrations::run(options),
        Some(Command::Push(options)) => roles::push::run(options),
        Some(Command::Search(options)) => roles::search::run(options),
        Some(Command::Files(options)) => roles::files::run(options),
        Some(Command::NatsConfig(options)) => nats_config::run(&options),
        Some(Command::BotsKey(options)) => bots::run(&options),
        Some(Command::Health(options)) => health::run(&options),
        Some(Command::Admin(options)) => admin::run(options),
    }
}
