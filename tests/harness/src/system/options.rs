//! How a system of separate processes is to be.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::role_env;
use crate::s3::{BUCKET, KEY};

/// What differs from the defaults.
#[derive(Clone, Debug)]
pub struct Options {
    pub store: Engine,
    /// How many cores; several need a store for several.
    pub cores: usize,
    pub presences: usize,
    /// How many search nodes; `weft dev` has one.
    pub searches: usize,
    /// How many push nodes; `weft dev` has one.
    pub pushes: usize,
    /// More options of the push nodes.
    pub push_args: Vec<String>,
    /// How many nodes of integrations; `weft dev` has one.
    pub integrations: usize,
    /// More options of them.
    pub integrations_args: Vec<String>,
    /// How many edges; `weft dev` has one.
    pub edges: usize,
    /// How many nats-servers; more than one are a cluster, with three copies of each stream.
    pub nats_servers: usize,
    /// Core, each edge and a files node reach NATS through a proxy of their own.
    pub proxied: bool,
    /// Instead of core: two cores over one store, embedded where they are one process.
    pub twin: Option<Twin>,
    /// Core's store is on a disk of its own of this many MB, which only core sees.
    pub core_disk_mb: Option<u32>,
    /// The folder of the files node is on a disk of its own, in the same way.
    pub files_disk_mb: Option<u32>,
    /// Further options of `weft core` (or `weft dev`).
    pub core_args: Vec<String>,
    /// Further options of `weft edge`.
    pub edge_args: Vec<String>,
    /// Further options of `weft presence`.
    pub presence_args: Vec<String>,
    /// Further options and environment of `weft files`.
    pub files_args: Vec<String>,
    pub files_env: Vec<(String, String)>,
    /// How many partitions rooms are spread over.
    pub partitions: u16,
    /// Where the folder is made; `None`: `<target>/weft-tests`.
    pub folder: Option<PathBuf>,
    /// What the processes of Weft log, as `RUST_LOG`; empty: what they log by default.
    pub log: String,
}

impl Default for Options {
    fn default() -> Self {
        // A load of few devices is far beyond what one person types.
        let quota = ["--sender-rate-per-s", "2000", "--sender-burst", "4000"];
        Self {
            store: Engine::asked_for(),
            cores: 1,
            presences: 0,
            searches: 0,
            pushes: 0,
            push_args: Vec::new(),
            integrations: 0,
            integrations_args: Vec::new(),
            edges: 2,
            nats_servers: 1,
            proxied: false,
            twin: None,
            core_disk_mb: None,
            files_disk_mb: None,
            core_args: quota.map(str::to_owned).into(),
            edge_args: Vec::new(),
            presence_args: Vec::new(),
            files_args: Vec::new(),
            files_env: Vec::new(),
            partitions: 4,
            folder: None,
            log: String::new(),
        }
    }
}

impl Options {
    /// Adds options of `weft core`.
    pub fn core(mut self, args: &[&str]) -> Self {
        self.core_args.extend(args.iter().map(|arg| (*arg).to_owned()));
        self
    }

    /// Files are in a bucket of JetStream that takes so many bytes.
    pub fn files_in_jetstream(mut self, bytes: u64) -> Self {
        self.files_args.extend(["--backend", "jetstream"].map(str::to_owned));
        self.core(&["--files-stream-bytes", &bytes.to_string()])
    }

    /// Files are in the bucket of a server that speaks S3, which is reached there.
    pub fn files_in_s3(mut self, address: SocketAddr) -> Self {
        let endpoint = format!("http://{address}");
        let args = ["--backend", "s3", "--s3-bucket", BUCKET, "--s3-allow-http", "--s3-endpoint"];
        self.files_args.extend(args.map(str::to_owned));
        self.files_args.push(endpoint);
        let key = [("AWS_ACCESS_KEY_ID", KEY.0), ("AWS_SECRET_ACCESS_KEY", KEY.1)];
        self.files_env.extend(key.map(|(name, value)| (name.to_owned(), value.to_owned())));
        self
    }

    /// The environment of a role's process.
    pub fn env(&self, role: &str) -> Vec<(String, String)> {
        let mut env = role_env(role);
        env.push(("WEFT_PARTITIONS".to_owned(), self.partitions.to_string()));
        if !self.log.is_empty() {
            env.push(("RUST_LOG".to_owned(), self.log.clone()));
        }
        env
    }

    /// Adds options of `weft edge`.
    pub fn edge(mut self, args: &[&str]) -> Self {
        self.edge_args.extend(args.iter().map(|arg| (*arg).to_owned()));
        self
    }
}

/// The beginning of a command line that mounts a disk in memory on a folder, in a mount namespace of its
/// own, and becomes the rest of the command line there.
pub(super) fn own_disk(folder: &Path, mb: u32) -> Vec<String> {
    let mount = format!("mount -t tmpfs -o size={mb}m none {}", folder.display());
    let script = format!("{mount} && exec \"$@\"");
    ["-rm", "sh", "-c", &script, "sh"].map(str::to_owned).into()
}

/// True where this machine allows [`Options::core_disk_mb`].
pub fn allows_own_disk() -> bool {
    let mut command = std::process::Command::new("unshare");
    command
        .args(own_disk(&std::env::temp_dir(), 1))
        .arg("true")
        .stderr(std::process::Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Engine {
    /// On disk, for one core.
    Embedded,
    /// A FoundationDB server of the system's own. `WEFT_FDB_BIN` names the folder with its programs.
    Fdb,
}

impl Engine {
    /// What `WEFT_TEST_STORE` says (`embedded`, `fdb`), so that every scenario runs on every engine.
    pub fn asked_for() -> Self {
        match std::env::var("WEFT_TEST_STORE").as_deref() {
            Err(_) | Ok("") => Self::Embedded,
            Ok(name) => name.parse().unwrap_or_else(|error| panic!("WEFT_TEST_STORE: {error}")),
        }
    }
}

impl FromStr for Engine {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "embedded" => Ok(Self::Embedded),
            "fdb" => Ok(Self::Fdb),
            _ => Err(format!("a store is embedded or fdb, not {name:?}")),
        }
    }
}

/// How two cores, in one process or two, know which partitions are whose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Twin {
    Live,
    /// By what is said to the process: `duel on`, `duel off`.
    Told,
    /// As `Told`, but each is a process: `twin-a` and `twin-b`. That needs a store for several.
    Apart,
}
