//! `weft nats-config`: the configuration that Weft needs nats-server to have.

use std::path::PathBuf;

use clap::Args;
use weft_nats::config::{
    BOTS_ISSUER_VARIABLE, Cluster, NatsPasswords, Routes, Secret, ServerAddresses, ServerConfig,
};

use crate::commands::{FilesStream, Partitions};
use crate::dev::print_text;
use crate::error::Error;

/// The user of servers among each other.
const ROUTE: &str = "route";

/// One server of an installation.
#[derive(Args, Clone, Debug)]
pub struct NatsConfigOptions {
    /// The server's name: differs from server to server.
    #[arg(long, default_value = "weft-1")]
    pub name: String,
    /// The address that it listens on, for clients and for the other servers of its cluster. Whoever
    /// runs it for other machines says so: 0.0.0.0, or the address of one network.
    #[arg(long, default_value = "127.0.0.1")]
    pub host: String,
    /// The port that it listens on.
    #[arg(long, default_value_t = 4222)]
    pub port: u16,
    /// Where JetStream keeps its files.
    #[arg(long, default_value = "/data")]
    pub store_dir: PathBuf,
    #[command(flatten)]
    pub partitions: Partitions,
    #[command(flatten)]
    pub files_stream: FilesStream,
    /// The cluster that the server is part of: the same name on each. The others are in its
    /// environment: WEFT_ROUTES='["nats://route:<WEFT_ROUTE_PASSWORD>@<host>:6222", …]'.
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// The port that it listens on for the other servers of its cluster.
    #[arg(long, default_value_t = 6222, requires = "cluster")]
    pub cluster_port: u16,
    /// Don't tell clients the addresses of the other servers, because they reach them through
    /// something else.
    #[arg(long, requires = "cluster")]
    pub no_advertise: bool,
}

/// Prints it.
pub fn run(options: &NatsConfigOptions) -> Result<(), Error> {
    let secret = |user: &str| Secret::Env(variable_of(user));
    let config = ServerConfig {
        partitions: options.partitions.partitions,
        passwords: NatsPasswords {
            edge: secret("edge"),
            core: secret("core"),
            presence: secret("presence"),
            files: secret("files"),
            search: secret("search"),
            push: secret("push"),
            integrations: secret("integrations"),
            admin: secret("admin"),
        },
        bots_issuer: Secret::Env(BOTS_ISSUER_VARIABLE.to_owned()),
        files_bytes_max: options.files_stream.files_stream_bytes,
    };
    let place = ServerAddresses {
        name: options.name.clone(),
        host: options.host.clone(),
        port: options.port,
        store_dir: options.store_dir.clone(),
        log_file: None,
        pid_file: None,
        cluster: options.cluster.as_ref().map(|name| Cluster {
            name: name.clone(),
            host: options.host.clone(),
            port: options.cluster_port,
            routes: Routes::Env { password: variable_of(ROUTE), list: "WEFT_ROUTES".to_owned() },
            advertise: !options.no_advertise,
        }),
    };
    print_text(&format!("{HEAD}{}", config.render(&place)))
}

/// The environment variable of nats-server that holds a user's password.
fn variable_of(user: &str) -> String {
    format!("WEFT_{}_PASSWORD", user.to_ascii_uppercase())
}

const HEAD: &str = "\
# nats-server (2.11 or newer) for Weft: nats-server -c <this file>
# Passwords come from the server's environment. nats-server reads an environment variable like a
# value of this file: a password must begin with a letter and consist of letters, digits, - and _.
# WEFT_BOTS_ISSUER is what weft bots-key prints.
";
