//! What an operator does to a running system.

use std::process::Output;

use anyhow::{Result, ensure};
use tokio::process::Command;

use super::{System, role_env, weft};

impl System {
    /// Runs `weft admin …` against the system's NATS: of separate processes.
    pub async fn operate(&self, args: &[&str]) -> Result<Output> {
        let mut command = Command::new(weft().await);
        command.arg("admin").args(args).args(["--nats", &self.nats_url()]);
        Ok(command.envs(role_env("admin")).output().await?)
    }

    /// The same, where it has to succeed: what it printed.
    pub async fn operated(&self, args: &[&str]) -> Result<String> {
        let output = self.operate(args).await?;
        ensure!(output.status.success(), "{args:?}: {output:?}");
        Ok(String::from_utf8(output.stdout)?)
    }
}
