//! The command line.

use clap::{Args, Parser, Subcommand, ValueEnum};
use weft_runtime::LogFormat;

use crate::admin::AdminOptions;
use crate::bots::BotsKeyOptions;
use crate::dev::DevOptions;
use crate::health::HealthOptions;
use crate::nats_config::NatsConfigOptions;
use crate::roles::core::CoreOptions;
use crate::roles::edge::EdgeOptions;
use crate::roles::files::FilesOptions;
use crate::roles::integrations::IntegrationsOptions;
use crate::roles::presence::PresenceOptions;
use crate::roles::push::PushOptions;
use crate::roles::search::SearchOptions;

/// Weft, a messaging fabric that people run themselves.
///
/// Without a command it is `weft dev`: everything on this machine.
#[derive(Parser, Debug)]
#[command(name = "weft", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub dev: DevOptions,
    /// How log lines look on standard error. RUST_LOG says which are written.
    #[arg(long, global = true, env = "WEFT_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormatName,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Runs everything on this machine: nats-server, core, presence, search, push, integrations, files and edge, with one data folder.
    Dev(DevOptions),
    /// Runs an edge: takes WebSockets and HTTP. It keeps no data; run as many as you like.
    Edge(EdgeOptions),
    /// Runs a core: orders and keeps what is sent.
    Core(CoreOptions),
    /// Runs a presence node: knows who is here. Run one or more; each can do all of it.
    Presence(PresenceOptions),
    /// Runs a push node: notifies devices of what their users have not seen. Run one; another one takes over from it.
    Push(PushOptions),
    /// Runs a node of integrations: bots have their feeds by it, and webhooks are told. Run one; another one takes over from it.
    Integrations(IntegrationsOptions),
    /// Runs a search node: keeps an index of all messages. Run one or more; each has all of it.
    Search(SearchOptions),
    /// Runs a files node: takes uploads and serves what was uploaded.
    Files(FilesOptions),
    /// Prints the configuration that Weft needs nats-server to have.
    NatsConfig(NatsConfigOptions),
    /// Prints the public key of those who answer for bots' logins on NATS, for nats-server's WEFT_BOTS_ISSUER; makes the
    /// key where there is none.
    BotsKey(BotsKeyOptions),
    /// Asks an edge whether it can serve: exit code 0 if so, else 1 and the reason.
    Health(HealthOptions),
    /// Looks into a store, or mends it, while no core runs on it; looks at the nodes that run.
    Admin(AdminOptions),
}

/// [`LogFormat`] in words.
#[derive(ValueEnum, Clone, Copy, Debug)]
pub enum LogFormatName {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl From<LogFormatName> for LogFormat {
    fn from(name: LogFormatName) -> Self {
        match name {
            LogFormatName::Text => Self::Text,
            LogFormatName::Json => Self::Json,
        }
    }
}

/// How many partitions rooms are spread over.
#[derive(Args, Clone, Debug)]
pub struct Partitions {
    /// How many partitions rooms are spread over. Fixed for the life of a store; nats-server's
    /// mapping, core and edge must say the same.
    #[arg(long, env = "WEFT_PARTITIONS", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub partitions: u16,
}

/// The stream of files, which is made where their bytes are to be in JetStream.
#[derive(Args, Clone, Debug)]
pub struct FilesStream {
    /// Make the bucket WEFT_FILES for `weft files --backend jetstream`, and let it grow to so many bytes; 0: there is
    /// none. nats-server's configuration and core must say the same.
    #[arg(long, value_name = "BYTES", env = "WEFT_FILES_STREAM_BYTES", default_value_t = 0)]
    pub files_stream_bytes: u64,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// Of all commands: clap itself looks only at the one that is run.
    #[test]
    fn no_two_options_of_a_command_have_one_name() {
        Cli::command().debug_assert();
    }
}
