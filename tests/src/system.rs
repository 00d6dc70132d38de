//! A running Weft of real processes: all in one (`weft dev`), or nats-server, core and edges apart.
//!
//! Everything happens on 127.0.0.1, on free ports, in a folder of its own under
//! `<target>/weft-tests/`. The folder of a failed test is kept and named; the next run clears it.

mod binary;
mod folder;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rand::RngExt;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::account::{self, Login};
use crate::http;
use crate::nats::Nats;
use crate::process::{Process, Spec, children};
use crate::session::Session;
use crate::wait::until;

pub use binary::{nats_server, weft};
pub use folder::Folder;

/// How long a start may take on a busy machine of two cores.
pub const START_LIMIT: Duration = Duration::from_secs(60);
/// The bot that every system knows.
pub const BOT: &str = "bot";
/// A second bot, for attacks of one on the other.
pub const OTHER_BOT: &str = "otherbot";

/// What differs from the defaults.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many edges; `weft dev` has one.
    pub edges: usize,
    /// Further options of `weft core` (or `weft dev`).
    pub core_args: Vec<String>,
    /// Further options of `weft edge`.
    pub edge_args: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        // A load of few devices is far beyond what one person types.
        let quota = ["--sender-rate-per-s", "2000", "--sender-burst", "4000"];
        Self { edges: 2, core_args: quota.map(str::to_owned).into(), edge_args: Vec::new() }
    }
}

impl Options {
    /// Adds options of `weft core`.
    #[must_use]
    pub fn core(mut self, args: &[&str]) -> Self {
        self.core_args.extend(args.iter().map(|arg| (*arg).to_owned()));
        self
    }

    /// Adds options of `weft edge`.
    #[must_use]
    pub fn edge(mut self, args: &[&str]) -> Self {
        self.edge_args.extend(args.iter().map(|arg| (*arg).to_owned()));
        self
    }
}

/// A running Weft.
#[derive(Debug)]
pub struct System {
    // Processes end before their folder goes.
    processes: BTreeMap<String, Process>,
    folder: Folder,
    edges: Vec<SocketAddr>,
    nats: SocketAddr,
}

impl System {
    /// `weft dev`, ready. Its process has the name `dev`.
    ///
    /// # Errors
    /// Where it can't be started.
    ///
    /// # Panics
    /// Where it does not become ready.
    pub async fn dev() -> Result<Self> {
        let folder = Folder::new()?;
        let mut system = Self {
            processes: BTreeMap::new(),
            edges: vec![free_address()?],
            nats: free_address()?,
            folder,
        };
        let data = system.data();
        let edge = system.edges[0].to_string();
        let port = system.nats.port().to_string();
        let args = [
            "dev",
            "--data",
            &data,
            "--listen",
            &edge,
            "--nats-port",
            &port,
            "--bot",
            BOT,
            "--bot",
            OTHER_BOT,
        ];
        let args = args.map(str::to_owned).into();
        system.add("dev", weft().await, args, Vec::new()).await?;
        system.ready().await;
        Ok(system)
    }

    /// `nats`, `core` and `edge-0`, `edge-1`, … as processes of these names, ready.
    ///
    /// # Errors
    /// Where they can't be started.
    ///
    /// # Panics
    /// Where they do not become ready.
    pub async fn split(options: Options) -> Result<Self> {
        let folder = Folder::new()?;
        let edges = (0..options.edges).map(|_| free_address()).collect::<Result<_>>()?;
        let mut system = Self { processes: BTreeMap::new(), edges, nats: free_address()?, folder };
        system.start_nats().await?;
        let mut args = system.core_args("store");
        args.extend(options.core_args);
        system.add("core", weft().await, args, role_env("core")).await?;
        for (i, address) in system.edges.clone().into_iter().enumerate() {
            let name = format!("edge-{i}");
            let url = system.nats_url();
            let listen = address.to_string();
            let args = ["edge", "--nats", &url, "--listen", &listen, "--node", &name];
            let mut args: Vec<String> = args.map(str::to_owned).into();
            args.extend(options.edge_args.clone());
            system.add(&name, weft().await, args, role_env("edge")).await?;
        }
        system.ready().await;
        Ok(system)
    }

    /// The command line of a core on a store of this name in the system's folder.
    #[must_use]
    pub fn core_args(&self, store: &str) -> Vec<String> {
        let store = format!("embedded:{}", self.folder.path().join(store).display());
        let url = self.nats_url();
        let args = ["core", "--nats", &url, "--store", &store, "--bot", BOT, "--bot", OTHER_BOT];
        args.map(str::to_owned).into()
    }

    /// Adds and starts a process of the weft binary or another program.
    ///
    /// # Errors
    /// Where it can't be started.
    pub async fn add(
        &mut self,
        name: &str,
        program: &Path,
        args: Vec<String>,
        mut env: Vec<(String, String)>,
    ) -> Result<()> {
        let server = nats_server().await.to_string_lossy().into_owned();
        env.push(("WEFT_NATS_SERVER".to_owned(), server));
        let spec = Spec {
            name: name.to_owned(),
            program: program.to_owned(),
            args,
            env,
            folder: self.folder.path().to_owned(),
        };
        self.processes.insert(name.to_owned(), Process::start(spec)?);
        Ok(())
    }

    async fn start_nats(&mut self) -> Result<()> {
        let port = self.nats.port().to_string();
        let streams = self.folder.path().join("jetstream").display().to_string();
        let args = ["nats-config", "--host", "127.0.0.1", "--port", &port, "--store-dir", &streams];
        let bots = ["--bot", BOT, "--bot", OTHER_BOT];
        let output = tokio::process::Command::new(weft().await).args(args).args(bots).output();
        let output = output.await?;
        ensure!(output.status.success(), "weft nats-config: {output:?}");
        let file = self.folder.path().join("nats.conf");
        std::fs::write(&file, output.stdout)?;
        let env = ["edge", "core", "presence", "admin", BOT, OTHER_BOT]
            .map(|user| (format!("WEFT_{}_PASSWORD", user.to_uppercase()), split_password(user)));
        let args = vec!["-c".to_owned(), file.display().to_string()];
        self.add("nats", nats_server().await, args, env.into()).await?;
        let address = self.nats;
        until("nats-server answers", START_LIMIT, async || {
            tokio::net::TcpStream::connect(address).await.ok()
        })
        .await;
        Ok(())
    }

    /// Waits until every edge that runs can serve.
    ///
    /// # Panics
    /// After a minute, or where a process has ended.
    pub async fn ready(&self) {
        for (i, edge) in self.edges.iter().enumerate() {
            let name = format!("edge-{i}");
            let process = self.processes.get(&name).or_else(|| self.processes.get("dev"));
            if process.is_some_and(|process| !process.is_running()) {
                let process = process.map(Process::name).unwrap_or_default();
                panic!("{process} has ended: see {}", self.folder.path().display());
            }
            until(&format!("{name} at {edge} is ready"), START_LIMIT, async || {
                let answer = http::call(*edge, "GET", "/readyz", None, &Value::Null).await.ok()?;
                (answer.status == 200).then_some(())
            })
            .await;
        }
    }

    /// A process by its name.
    ///
    /// # Panics
    /// Where there is none.
    #[must_use]
    pub fn process(&self, name: &str) -> &Process {
        self.processes.get(name).unwrap_or_else(|| panic!("no process has the name {name}"))
    }

    /// nats-server's process id, also where it is the child of `weft dev`.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn nats_pid(&self) -> Result<u32> {
        if let Some(nats) = self.processes.get("nats") {
            return nats.pid();
        }
        let children = children(self.process("dev").pid()?)?;
        let nats = children.iter().find(|(_, command)| command.starts_with("nats-server"));
        Ok(nats.with_context(|| format!("no nats-server among {children:?}"))?.0)
    }

    /// Where clients connect.
    #[must_use]
    pub fn edges(&self) -> &[SocketAddr] {
        &self.edges
    }

    /// The first edge.
    #[must_use]
    pub fn edge(&self) -> SocketAddr {
        self.edges[0]
    }

    /// Where nats-server listens.
    #[must_use]
    pub fn nats(&self) -> SocketAddr {
        self.nats
    }

    /// A connection to nats-server by hand.
    ///
    /// # Errors
    /// Where the user is refused.
    pub async fn nats_as(&self, user: &str) -> Result<Nats> {
        Nats::connect(self.nats, user, &self.password(user)?).await
    }

    /// The password of a NATS user.
    ///
    /// # Errors
    /// Where it is not in the data folder.
    pub fn password(&self, user: &str) -> Result<String> {
        if !self.processes.contains_key("dev") {
            return Ok(split_password(user));
        }
        let file = Path::new(&self.data()).join("secrets").join(format!("{user}.password"));
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        Ok(text.trim_end().to_owned())
    }

    /// A new user with a name that begins so, logged in as `phone`.
    ///
    /// # Errors
    /// Where it is refused.
    pub async fn user(&self, name: &str) -> Result<Login> {
        let name = unique(name);
        account::sign_up(self.edge(), &name).await?;
        account::login(self.edge(), &name, "phone").await
    }

    /// Another device of a user.
    ///
    /// # Errors
    /// Where it is refused.
    pub async fn device(&self, user: &str, device: &str) -> Result<Login> {
        account::login(self.edge(), user, device).await
    }

    /// A session without a cursor at the first edge.
    ///
    /// # Errors
    /// Where it does not open.
    pub async fn session(&self, login: &Login) -> Result<Session> {
        Session::open(self.edge(), login, None).await
    }

    /// The folder with all logs and data.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    fn data(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    /// Where nats-server listens, as a URL.
    #[must_use]
    pub fn nats_url(&self) -> String {
        format!("nats://{}", self.nats)
    }
}

/// One `weft dev` for all tests of a file. It ends with the test process.
///
/// # Panics
/// Where it can't be started.
pub async fn shared() -> &'static System {
    static SYSTEM: OnceCell<System> = OnceCell::const_new();
    let start = async || System::dev().await.expect("weft dev starts");
    let system = SYSTEM.get_or_init(start).await;
    eprintln!("logs and data: {}", system.path().display());
    system
}

/// The environment of a role's process beside a nats-server of [`System::split`].
#[must_use]
pub fn role_env(role: &str) -> Vec<(String, String)> {
    vec![("WEFT_NATS_PASSWORD".to_owned(), split_password(role))]
}

fn split_password(user: &str) -> String {
    format!("w-{user}-of-the-tests")
}

/// A name that no other test has.
#[must_use]
pub fn unique(name: &str) -> String {
    format!("{name}-{:08x}", rand::random::<u32>())
}

/// The direct room of two users.
#[must_use]
pub fn direct(a: &Login, b: &Login) -> String {
    let (low, high) = if a.user <= b.user { (a, b) } else { (b, a) };
    format!("{}~{}", low.user, high.user)
}

/// A free port below those that outgoing connections take: it stays free while its server restarts.
///
/// # Errors
/// Where none is found.
pub fn free_address() -> Result<SocketAddr> {
    for _ in 0..100 {
        let port = rand::rng().random_range(10_000..30_000);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    anyhow::bail!("no free port")
}
