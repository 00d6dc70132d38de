//! nats-server under `weft dev`: started, and started again when it dies.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};
use weft_nats::config::{NatsPasswords, Secret, ServerConfig};
use weft_nats::{NatsServer, ServerOptions, find_or_install};

use super::folder::Folder;
use crate::error::Error;

/// Between a death and the next start; doubled while it keeps dying.
const RESTART_DELAY_MIN: Duration = Duration::from_millis(100);
/// A start costs little, and meanwhile nobody is served: after 20 s edges are not ready.
const RESTART_DELAY_MAX: Duration = Duration::from_secs(2);
/// A server that lived this long has started well.
const STABLE_AFTER: Duration = Duration::from_secs(30);
/// nats-server's own orderly end takes up to 3 s; what it has acknowledged is in its files.
const STOP_PATIENCE: Duration = Duration::from_millis(1_200);

/// The server and the task that keeps it running.
pub struct Nats {
    url: String,
    stop: Option<oneshot::Sender<()>>,
    keeper: tokio::task::JoinHandle<()>,
}

impl Nats {
    /// Finds or installs nats-server, and starts it. `port` 0: any.
    pub async fn start(folder: &Folder, port: u16, config: ServerConfig) -> Result<Self, Error> {
        let binary = find_or_install(&cache_folder()).await?;
        let mut options =
            ServerOptions { binary, dir: folder.nats(), port: (port != 0).then_some(port), config };
        let server = NatsServer::start(options.clone()).await?;
        tracing::debug!(url = server.url(), pid = server.pid(), "nats-server runs");
        // Clients know this port: the next one has it too.
        options.port = Some(server.port());
        let url = server.url();
        let (stop, stopped) = oneshot::channel();
        let keeper = tokio::spawn(keep(server, options, stopped));
        Ok(Self { url, stop: Some(stop), keeper })
    }

    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Ends it. Its name, where it had to be killed.
    pub async fn finish(mut self) -> Option<&'static str> {
        drop(self.stop.take());
        if timeout(STOP_PATIENCE, &mut self.keeper).await.is_ok() {
            return None;
        }
        // Dropping the server kills it.
        self.keeper.abort();
        let _ = (&mut self.keeper).await;
        Some("nats-server")
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// The configuration with the passwords that `password` gives. `bots_issuer`: the public key of who answers for bots.
pub fn server_config(
    partitions: u16,
    bots_issuer: &str,
    password: impl Fn(&str) -> Result<String, Error>,
) -> Result<ServerConfig, Error> {
    let secret = |user: &str| password(user).map(Secret::Value);
    Ok(ServerConfig {
        partitions,
        passwords: NatsPasswords {
            edge: secret("edge")?,
            core: secret("core")?,
            presence: secret("presence")?,
            files: secret("files")?,
            search: secret("search")?,
            push: secret("push")?,
            integrations: secret("integrations")?,
            admin: secret("admin")?,
        },
        bots_issuer: Secret::Value(bots_issuer.to_owned()),
        files_bytes_max: 0,
    })
}

/// Where an installed nats-server is kept, for all data folders of this user.
pub fn cache_folder() -> PathBuf {
    let from = |variable: &str| std::env::var_os(variable).filter(|value| !value.is_empty());
    if let Some(cache) = from("XDG_CACHE_HOME") {
        return PathBuf::from(cache).join("weft");
    }
    match from("HOME") {
        Some(home) => PathBuf::from(home).join(".cache").join("weft"),
        None => std::env::temp_dir().join("weft-cache"),
    }
}

/// Starts the server again whenever it dies, until `stop` is dropped.
async fn keep(mut server: NatsServer, options: ServerOptions, mut stop: oneshot::Receiver<()>) {
    let mut delay = RESTART_DELAY_MIN;
    loop {
        let started_at = Instant::now();
        let died = tokio::select! {
            _ = &mut stop => None,
            how = death_of(&server) => Some(how),
        };
        let Some(how) = died else { return server.stop().await };
        tracing::warn!(how, "nats-server died: starting it again");
        if started_at.elapsed() >= STABLE_AFTER {
            delay = RESTART_DELAY_MIN;
        }
        server = tokio::select! {
            _ = &mut stop => return,
            server = start_again(&options, &mut delay) => server,
        };
        tracing::info!(pid = server.pid(), "nats-server runs again");
    }
}

/// How it ended, when it has.
async fn death_of(server: &NatsServer) -> String {
    let mut exited = server.watch();
    let how = exited.wait_for(Option::is_some).await;
    how.ok().and_then(|how| how.clone()).unwrap_or_default()
}

async fn start_again(options: &ServerOptions, delay: &mut Duration) -> NatsServer {
    loop {
        sleep(*delay).await;
        *delay = (*delay * 2).min(RESTART_DELAY_MAX);
        match NatsServer::start(options.clone()).await {
            Ok(server) => return server,
            Err(error) => tracing::error!(%error, "nats-server can't be started again"),
        }
    }
}
