//! The processes that are measured: a nats-server, a core, edges and perhaps a presence node, in a
//! temporary folder.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::fs::statfs;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;
use weft_nats::{Bus, BusOptions, NatsServer, ServerOptions, find_or_install};
use weft_proto::NodeId;

use crate::bots::BotEvents;
use crate::dev::{cache_folder, new_password, server_config};
use crate::error::Error;
use crate::nats_login::PASSWORD_VARIABLE;

const START_TIMEOUT: Duration = Duration::from_secs(60);
/// The kernel's number of tmpfs.
const TMPFS_MAGIC: u64 = 0x0102_1994;

/// Which processes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `weft core` and `weft edge`.
    Weft,
    /// The bare hops.
    Hops,
}

/// How a system is set up.
#[derive(Clone, Debug)]
pub struct Setup {
    pub kind: Kind,
    pub partitions: u16,
    /// Where the temporary folder is made.
    pub folder: Option<PathBuf>,
    /// With ticks and audits, as always but for measuring what they cost.
    pub healing: bool,
    pub edges: usize,
    pub presence: bool,
}

/// Running processes. Dropping it kills them and removes the folder.
pub struct System {
    addresses: Vec<SocketAddr>,
    edges: Vec<Process>,
    presence: Option<Process>,
    core: Process,
    nats: NatsServer,
    secret: String,
    folder: TempDir,
}

/// Process ids.
pub struct Pids {
    pub edge: Vec<u32>,
    pub core: Vec<u32>,
    pub presence: Vec<u32>,
    pub nats: Vec<u32>,
    pub bench: Vec<u32>,
}

impl System {
    /// Starts everything and waits until it is ready.
    pub async fn start(setup: &Setup) -> Result<Self, Error> {
        let Setup { kind, partitions, .. } = *setup;
        let folder = temporary_folder(setup.folder.as_deref())?;
        let secret = new_password();
        let password = |user: &str| Ok(password_of(user, &secret));
        let nats = NatsServer::start(ServerOptions {
            binary: find_or_install(&cache_folder()).await?,
            dir: folder.path().join("nats"),
            port: None,
            config: server_config(partitions, &[], &BotEvents::default(), password)?,
        })
        .await?;
        let url = format!("--nats={}", nats.url());
        let counted = format!("--partitions={partitions}");
        let store = format!("--store=embedded:{}", folder.path().join("store").display());
        let spawn = |role: &'static str, node: &str, more: &[String]| {
            let mut arguments = kind.arguments(role);
            arguments.extend([url.clone(), format!("--node={node}")]);
            arguments.extend(more.iter().cloned());
            let log = folder.path().join(format!("{node}.log"));
            Process::spawn(node, &arguments, &password(role)?, &log)
        };
        let core_options = [vec![store, counted.clone()], setup.core_options()].concat();
        let mut core = spawn("core", "core-1", &core_options)?;
        core.line_with("is ready").await?;
        let mut presence = None;
        if setup.presence {
            let mut started = spawn("presence", "presence-1", &[])?;
            started.line_with("is ready").await?;
            presence = Some(started);
        }
        let listen = "--listen=127.0.0.1:0".to_owned();
        let edge_options = [vec![listen, counted], setup.edge_options()].concat();
        let (mut edges, mut addresses) = (Vec::new(), Vec::new());
        for number in 1..=setup.edges {
            edges.push(spawn("edge", &format!("edge-{number}"), &edge_options)?);
        }
        for edge in &mut edges {
            addresses.push(edge.address().await?);
        }
        Ok(Self { addresses, edges, presence, core, nats, secret, folder })
    }

    /// A connection that may read everything.
    pub async fn admin(&self) -> Result<Bus, Error> {
        self.connect("admin", "bench").await
    }

    /// A connection as a part.
    pub async fn connect(&self, role: &'static str, node: &str) -> Result<Bus, Error> {
        let options = BusOptions {
            url: self.nats.url(),
            user: role.to_owned(),
            password: password_of(role, &self.secret),
            role,
            node: NodeId::new(node).map_err(|error| Error::Failed(error.message))?,
        };
        Ok(Bus::connect(&options).await?)
    }

    /// Where sender and receiver of a pair connect: different edges, and the other way round in
    /// every second pair.
    pub fn edges_of(&self, pair: u32) -> (SocketAddr, SocketAddr) {
        let (one, other) = (self.addresses[0], self.addresses[1]);
        if pair.is_multiple_of(2) { (one, other) } else { (other, one) }
    }

    /// Where the edges listen, in their order.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Kills an edge (SIGKILL), as a machine that dies does.
    pub async fn kill_edge(&mut self, index: usize) -> Result<(), Error> {
        let edge = &mut self.edges[index];
        edge.child.kill().await.map_err(Error::io(format!("killing {}", edge.name)))
    }

    pub fn pids(&self) -> Pids {
        Pids {
            edge: self.edges.iter().map(|edge| edge.pid).collect(),
            core: vec![self.core.pid],
            presence: self.presence.iter().map(|presence| presence.pid).collect(),
            nats: vec![self.nats.pid()],
            bench: vec![std::process::id()],
        }
    }

    /// Kills everything and removes the folder.
    pub async fn finish(self) {
        drop(self.end().await);
    }

    /// Kills everything and leaves the folder, for its logs.
    pub async fn finish_keeping(self) -> PathBuf {
        self.end().await.keep()
    }

    async fn end(self) -> TempDir {
        let parts = self.edges.into_iter().chain(self.presence).chain([self.core]);
        for mut process in parts {
            // It can only have ended already.
            let _ = process.child.kill().await;
        }
        self.nats.kill().await;
        self.folder
    }
}

impl Kind {
    fn arguments(self, role: &str) -> Vec<String> {
        match self {
            Self::Weft => vec![role.to_owned(), "--with-parent".to_owned()],
            Self::Hops => vec!["bench".to_owned(), format!("hop-{role}")],
        }
    }
}

impl Setup {
    /// One sender of the benchmark stands for many: no quota may be what is measured.
    fn core_options(&self) -> Vec<String> {
        let mut options = match self.kind {
            Kind::Weft => words(&["--sender-rate-per-s=1000000", "--sender-burst=1000000"]),
            Kind::Hops => Vec::new(),
        };
        options.extend((!self.healing).then(|| "--without-ticks".to_owned()));
        options
    }

    fn edge_options(&self) -> Vec<String> {
        let mut options = match self.kind {
            Kind::Weft => words(&[
                "--sends-per-s=1000000",
                "--sends-burst=1000000",
                "--accounts-per-s=1000000",
                "--accounts-burst=1000000",
                "--address-connections-max=1000000",
                "--drain-s=0",
            ]),
            Kind::Hops => Vec::new(),
        };
        options.extend((!self.healing).then(|| "--without-audits".to_owned()));
        options
    }
}

fn password_of(user: &str, secret: &str) -> String {
    format!("{user}-{secret}")
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
}

/// One child process of this executable.
struct Process {
    name: String,
    pid: u32,
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    log: std::path::PathBuf,
}

impl Process {
    fn spawn(name: &str, arguments: &[String], password: &str, log: &Path) -> Result<Self, Error> {
        let failed = || Error::io(format!("starting {name}"));
        let executable = std::env::current_exe().map_err(failed())?;
        let log_file = File::create(log).map_err(Error::file(log))?;
        let mut command = Command::new(executable);
        // What the user has set for another weft is not meant for this one.
        for (variable, _) in std::env::vars_os() {
            if variable.to_string_lossy().starts_with("WEFT_") {
                command.env_remove(variable);
            }
        }
        let spawned = command
            .args(arguments)
            .env(PASSWORD_VARIABLE, password)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log_file)
            .kill_on_drop(true)
            .spawn();
        let mut child = spawned.map_err(failed())?;
        let missing = || Error::Failed(format!("{name} ended at once"));
        let lines = BufReader::new(child.stdout.take().ok_or_else(missing)?).lines();
        let pid = child.id().ok_or_else(missing)?;
        Ok(Self { name: name.to_owned(), pid, child, lines, log: log.to_owned() })
    }

    /// The next line of its standard output that contains `needle`.
    async fn line_with(&mut self, needle: &str) -> Result<String, Error> {
        let reading = async {
            while let Ok(Some(line)) = self.lines.next_line().await {
                if line.contains(needle) {
                    return Some(line);
                }
            }
            None
        };
        match timeout(START_TIMEOUT, reading).await {
            Ok(Some(line)) => Ok(line),
            Ok(None) => Err(Error::Failed(format!("{} ended: {}", self.name, self.last_words()))),
            Err(_) => {
                let words = self.last_words();
                Err(Error::Failed(format!("{} did not start in time: {words}", self.name)))
            }
        }
    }

    async fn address(&mut self) -> Result<SocketAddr, Error> {
        let line = self.line_with("listens on http://").await?;
        let address = line.rsplit_once("http://").and_then(|(_, address)| address.parse().ok());
        address.ok_or_else(|| Error::Failed(format!("{} says: {line}", self.name)))
    }

    fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().last().unwrap_or("it said nothing").to_owned()
    }
}

/// A folder of a run, gone at its end.
pub fn temporary_folder(parent: Option<&Path>) -> Result<TempDir, Error> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("weft-bench-");
    let made = match parent {
        Some(parent) => builder.tempdir_in(parent),
        None => builder.tempdir(),
    };
    let folder = made.map_err(Error::io("can't make a temporary folder"))?;
    warn_of_memory(folder.path());
    Ok(folder)
}

fn warn_of_memory(folder: &Path) {
    if statfs(folder).is_ok_and(|disk| disk.f_type as u64 == TMPFS_MAGIC) {
        eprintln!(
            "weft: {} is in memory, where fsync costs nothing: name a disk with --folder",
            folder.display()
        );
    }
}
