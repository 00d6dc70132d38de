//! The processes that are measured, in a temporary folder.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use clap::Args;
use rustix::fs::statfs;
use serde_json::Value;
use weft_harness::http;
use weft_harness::system::{
    Engine, Options, START_LIMIT, System, free_address, role_env, split_password,
};
use weft_harness::wait::until;
use weft_nats::{Bus, BusOptions};
use weft_proto::NodeId;

use crate::progress;

/// The kernel's number of tmpfs.
const TMPFS_MAGIC: u64 = 0x0102_1994;

/// Where and how large.
#[derive(Args, Clone, Debug)]
pub struct Place {
    /// Where the temporary folder is made; it should be on the disk that is to be measured. It is kept
    /// where something went wrong.
    #[arg(long)]
    pub folder: Option<PathBuf>,
    /// How many partitions rooms are spread over.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub partitions: u16,
}

impl Place {
    /// The folder in which one is made for each run.
    pub fn parent(&self) -> PathBuf {
        let parent = self.folder.clone().unwrap_or_else(std::env::temp_dir);
        warn_of_memory(&parent);
        parent
    }

    /// `weft` processes. One sender here sends as much as many: no quota may be what is measured.
    pub async fn weft(&self, edges: usize, presences: usize) -> Result<System> {
        System::split(self.weft_options(edges, presences)).await
    }

    /// Of such processes.
    pub fn weft_options(&self, edges: usize, presences: usize) -> Options {
        let million = |option: &&str| format!("--{option}=1000000");
        let edge_args = [
            "sends-per-s",
            "sends-burst",
            "requests-per-s",
            "requests-burst",
            "accounts-per-s",
            "accounts-burst",
            "address-connections-max",
        ];
        Options {
            edges,
            presences,
            core_args: ["sender-rate-per-s", "sender-burst"].iter().map(million).collect(),
            edge_args: edge_args.iter().map(million).collect(),
            ..self.options()
        }
    }

    /// The bare hops instead of `weft`'s parts: a core and two edges, and where these listen. They are
    /// ready where they accept connections.
    pub async fn hops(&self) -> Result<(System, Vec<SocketAddr>)> {
        let mut system = System::split(Options { cores: 0, edges: 0, ..self.options() }).await?;
        let program = std::env::current_exe()?;
        let url = system.nats_url();
        let partitions = self.partitions.to_string();
        let command = |role: &str, node: &str| {
            let command = format!("hop-{role}");
            let args =
                ["part", &command, "--nats", &url, "--node", node, "--partitions", &partitions];
            args.map(str::to_owned).to_vec()
        };
        let store = system.path().join("store").display().to_string();
        let core = [command("core", "core"), vec!["--store".to_owned(), store]].concat();
        system.add("core", &program, core, role_env("core")).await?;
        let core = system.process("core");
        until("the core is ready", START_LIMIT, async || {
            core.output().contains("is ready").then_some(())
        })
        .await;
        let mut edges = Vec::new();
        for node in ["edge-0", "edge-1"] {
            let address = free_address()?;
            let listen = vec!["--listen".to_owned(), address.to_string()];
            let args = [command("edge", node), listen].concat();
            system.add(node, &program, args, role_env("edge")).await?;
            edges.push(address);
        }
        for node in ["edge-0", "edge-1"] {
            let edge = system.process(node);
            let listens = async || edge.output().contains("is ready").then_some(());
            until(&format!("{node} is ready"), START_LIMIT, listens).await;
        }
        Ok((system, edges))
    }

    fn options(&self) -> Options {
        Options {
            store: Engine::Embedded,
            partitions: self.partitions,
            folder: Some(self.parent()),
            ..Options::default()
        }
    }
}

/// A connection as a part, or as `admin`, who may read everything.
pub async fn connect(system: &System, role: &'static str, node: &str) -> Result<Bus> {
    let options = BusOptions {
        url: system.nats_url(),
        user: role.to_owned(),
        password: split_password(role),
        role,
        node: NodeId::new(node).map_err(|error| anyhow!(error.message))?,
    };
    Ok(Bus::connect(&options).await?)
}

/// Waits until a part says that it is ready.
pub async fn ready(system: &System, name: &str) {
    let admin = system.admin(name);
    until(&format!("{name} is ready"), START_LIMIT, async || {
        let answer = http::call(admin, "GET", "/readyz", None, &Value::Null).await.ok()?;
        (answer.status == 200).then_some(())
    })
    .await;
}

/// Ends it: its folder stays where the measurement went wrong.
pub fn end<T>(system: System, measured: Result<T>) -> Result<T> {
    if measured.is_err() {
        system.keep();
        progress(&format!("the logs of all parts are in {}", system.path().display()));
    }
    measured
}

/// Process ids of edges, core, nats-server and this process.
pub fn pids(system: &System) -> Result<[Vec<u32>; 4]> {
    let pid = |name: &str| system.process(name).pid();
    Ok([
        vec![pid("edge-0")?, pid("edge-1")?],
        vec![pid("core")?],
        vec![system.nats_pid()?],
        vec![std::process::id()],
    ])
}

pub fn warn_of_memory(folder: &Path) {
    if statfs(folder).is_ok_and(|disk| disk.f_type as u64 == TMPFS_MAGIC) {
        progress(&format!(
            "{} is in memory, where fsync costs nothing: name a disk with --folder",
            folder.display()
        ));
    }
}
