//! How a role finds NATS and says who it is.

use std::path::{Path, PathBuf};

use clap::Args;
use weft_nats::BusOptions;
use weft_proto::NodeId;

use crate::error::Error;

/// The environment variable that may hold a password. There is no option for it: everybody on
/// the machine can read a command line.
pub const PASSWORD_VARIABLE: &str = "WEFT_NATS_PASSWORD";

/// How to reach NATS.
#[derive(Args, Clone, Debug)]
pub struct NatsLogin {
    /// `nats://host:port`, or several, separated by commas. Never with a password in it.
    #[arg(
        long = "nats",
        value_name = "URL",
        env = "WEFT_NATS_URL",
        default_value = "nats://127.0.0.1:4222"
    )]
    pub url: String,
    /// The NATS user; by default it has the role's name.
    #[arg(long = "nats-user", value_name = "USER", env = "WEFT_NATS_USER")]
    pub user: Option<String>,
    /// A file that holds the NATS user's password. Without it: the environment variable
    /// WEFT_NATS_PASSWORD.
    #[arg(long = "nats-password-file", value_name = "FILE", env = "WEFT_NATS_PASSWORD_FILE")]
    pub password_file: Option<PathBuf>,
}

impl NatsLogin {
    /// The connection of a role of this process.
    pub fn bus_options(&self, role: &'static str, node: &NodeId) -> Result<BusOptions, Error> {
        if self.url.contains('@') {
            return Err(Error::Failed(format!(
                "a NATS URL must not hold a user or password: everybody on the machine can read a \
                 command line. Use --nats-user and --nats-password-file or {PASSWORD_VARIABLE}"
            )));
        }
        Ok(BusOptions {
            url: self.url.clone(),
            user: self.user.clone().unwrap_or_else(|| role.to_owned()),
            password: self.password()?,
            role,
            node: node.clone(),
        })
    }

    fn password(&self) -> Result<String, Error> {
        if let Some(file) = &self.password_file {
            return read_password(file);
        }
        std::env::var(PASSWORD_VARIABLE).ok().filter(|password| !password.is_empty()).ok_or_else(
            || {
                Error::Failed(format!(
                    "the NATS password is missing: give --nats-password-file or {PASSWORD_VARIABLE}"
                ))
            },
        )
    }
}

/// Reads a password file: its one line, without the line's end.
pub fn read_password(file: &Path) -> Result<String, Error> {
    let text = std::fs::read_to_string(file).map_err(Error::file(file))?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(Error::Failed(format!("the password file {} is empty", file.display())));
    }
    Ok(password.to_owned())
}
