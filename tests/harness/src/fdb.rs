//! The FoundationDB server of a system whose store is one: the process `fdb`, on loopback, with its
//! data in the system's folder.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::process::Command;

use crate::system::{START_LIMIT, System, free_address};
use crate::wait::until;

/// How long one try of fdbcli may take, in seconds.
const CLI_LIMIT_S: &str = "10";

/// The folder with `fdbserver` and `fdbcli`: `WEFT_FDB_BIN`.
fn programs() -> Result<PathBuf> {
    let programs = std::env::var_os("WEFT_FDB_BIN").map(PathBuf::from);
    programs.context("WEFT_FDB_BIN must name a folder with fdbserver and fdbcli")
}

impl System {
    /// What `--store` names: the file that leads to the server.
    pub fn cluster_file(&self) -> PathBuf {
        self.path().join("fdb.cluster")
    }

    /// Starts a server with an empty database, and waits until it serves.
    pub(crate) async fn start_fdb(&mut self) -> Result<()> {
        let programs = programs()?;
        let address = free_address()?.to_string();
        let file = self.cluster_file();
        std::fs::write(&file, format!("test:test@{address}\n"))?;
        let data = self.path().join("fdb.data");
        let logs = self.path().join("fdb.logs");
        std::fs::create_dir_all(&logs)?;
        let path = |path: &PathBuf| path.display().to_string();
        let args = ["--public-address", &address, "--listen-address", "public"];
        let mut args: Vec<String> = args.map(str::to_owned).into();
        args.extend(["--datadir".to_owned(), path(&data), "--logdir".to_owned(), path(&logs)]);
        args.extend(["--cluster-file".to_owned(), path(&file)]);
        self.add("fdb", &programs.join("fdbserver"), args, Vec::new()).await?;
        self.fdb_says("configure new single ssd", "Database created").await;
        Ok(())
    }

    /// Asks fdbcli until it says so.
    async fn fdb_says(&self, command: &str, wanted: &str) {
        let cli = programs().unwrap_or_default().join("fdbcli");
        let file = self.cluster_file();
        until(&format!("FoundationDB: {command}: {wanted}"), START_LIMIT, async || {
            let mut asked = Command::new(&cli);
            asked.arg("-C").arg(&file).args(["--timeout", CLI_LIMIT_S, "--exec", command]);
            let output = tokio::time::timeout(Duration::from_secs(20), asked.output()).await;
            let output = output.ok()?.ok()?;
            String::from_utf8_lossy(&output.stdout).contains(wanted).then_some(())
        })
        .await;
    }
}
