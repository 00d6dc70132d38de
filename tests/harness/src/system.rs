//! A running Weft of real processes: all in one (`weft dev`), or nats-server, core and edges apart.
//!
//! Everything happens on 127.0.0.1, on free ports, in a folder of its own under
//! `<target>/weft-tests/`. The folder of a failed test is kept and named; the next run clears it.

mod binary;
mod bots;
mod folder;
mod operator;
mod options;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use rand::RngExt;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::account::{self, Login};
use crate::http;
use crate::nats::Nats;
use crate::process::{Process, Spec, children};
use crate::proxy::{Kind, Proxy};
use crate::server::BOTS_SEED;
use crate::session::Session;
use crate::wait::until;

pub use binary::{nats_server, twin, weft, weft_on};
pub use bots::{Bot, Bots};
pub use folder::{Folder, copy_folder, target};
use options::own_disk;
pub use options::{Engine, Options, Twin, allows_own_disk};

/// How long a start may take on a busy machine of two cores.
pub const START_LIMIT: Duration = Duration::from_secs(60);
/// The bot that tests share ([`System::bots`]).
pub const BOT: &str = "bot";
/// The parts that tell how they do.
const ROLES: [&str; 8] =
    ["dev", "core", "presence", "search", "push", "integrations", "files", "edge"];
/// A second bot, for attacks of one on the other.
pub const OTHER_BOT: &str = "otherbot";
/// A third one, for what has nothing to do with those.
pub const QUIET_BOT: &str = "quietbot";
#[derive(Debug)]
pub struct System {
    // Processes end before their folder goes.
    processes: BTreeMap<String, Process>,
    folder: Folder,
    edges: Vec<SocketAddr>,
    /// Where parts tell how they do, by the names of their processes.
    admins: BTreeMap<String, SocketAddr>,
    servers: Vec<SocketAddr>,
    cores: Vec<String>,
    /// By the part that goes through them; in the order of the servers.
    proxies: BTreeMap<String, Vec<Proxy>>,
    bots: OnceCell<Bots>,
}

impl System {
    /// `weft dev`, ready. Its process has the name `dev`.
    pub async fn dev() -> Result<Self> {
        let folder = Folder::new()?;
        let mut system = Self {
            processes: BTreeMap::new(),
            edges: vec![free_address()?],
            servers: vec![free_address()?],
            cores: Vec::new(),
            admins: BTreeMap::new(),
            proxies: BTreeMap::new(),
            bots: OnceCell::new(),
            folder,
        };
        let data = system.data();
        let edge = system.edges[0].to_string();
        let port = system.nats().port().to_string();
        let args = [
            "dev",
            "--data",
            &data,
            "--listen",
            &edge,
            "--nats-port",
            &port,
            // Not one that tests share.
            "--bot",
            "devbot",
        ];
        let args: Vec<String> = args.map(str::to_owned).into();
        system.add("dev", weft().await, args, Vec::new()).await?;
        system.ready().await;
        Ok(system)
    }

    /// `nats` (or `nats-0`, … of a cluster), `core` (or `core-0`, …, or `twin`), `presence` (or
    /// `presence-0`, …), `search-0`, …, `push-0`, …, `integrations-0`, …, `edge-0`, `edge-1`, … and perhaps `fdb` as processes of these names, ready.
    pub async fn split(options: Options) -> Result<Self> {
        let folder = match &options.folder {
            Some(parent) => Folder::new_in(parent)?,
            None => Folder::new()?,
        };
        let free = |count| (0..count).map(|_| free_address()).collect::<Result<Vec<_>>>();
        let (edges, servers) = (free(options.edges)?, free(options.nats_servers)?);
        let (processes, proxies) = (BTreeMap::new(), BTreeMap::new());
        let cores = core_names(options.cores);
        let admins = BTreeMap::new();
        let bots = OnceCell::new();
        let mut system = Self { processes, folder, edges, admins, servers, cores, proxies, bots };
        if options.proxied {
            let edges = (0..options.edges).map(|i| format!("edge-{i}"));
            let parts = edges.chain(system.cores.clone());
            let parts = parts.chain(presence_names(options.presences));
            for part in
                parts.chain(search_names(options.searches)).chain(push_names(options.pushes))
            {
                system.add_proxies(&part).await?;
            }
        }
        system.start_servers(options.partitions).await?;
        if options.store == Engine::Fdb {
            system.start_fdb().await?;
        }
        system.start_cores(&options).await?;
        system.start_presence(&options).await?;
        system.start_search(&options).await?;
        system.start_push(&options).await?;
        system.start_integrations(&options).await?;
        for (i, address) in system.edges.clone().into_iter().enumerate() {
            let name = format!("edge-{i}");
            let url = system.nats_url_of(&name);
            let listen = address.to_string();
            let args = ["edge", "--nats", &url, "--listen", &listen, "--node", &name];
            let mut args: Vec<String> = args.map(str::to_owned).into();
            args.extend(options.edge_args.clone());
            system.add(&name, weft().await, args, options.env("edge")).await?;
        }
        system.ready().await;
        Ok(system)
    }

    async fn start_cores(&mut self, options: &Options) -> Result<()> {
        if let Some(kind) = options.twin {
            return self.start_twins(kind).await;
        }
        for name in self.cores.clone() {
            let mut args = self.core_args("store");
            args[2] = self.nats_url_of(&name);
            if options.store == Engine::Fdb {
                args[4] = format!("fdb:{}", self.cluster_file().display());
                // An embedded store keeps its core's name.
                args.extend(["--node", &name].map(str::to_owned));
            }
            let replicas = if options.nats_servers >= 3 { "3" } else { "1" };
            args.extend(["--replicas", replicas].map(str::to_owned));
            args.extend(options.core_args.clone());
            let weft = weft_on(options.store).await;
            let disk = options.core_disk_mb.map(|mb| (self.path().join("store"), mb));
            self.add_on(disk, &name, weft, args, options.env("core")).await?;
        }
        Ok(())
    }

    async fn start_presence(&mut self, options: &Options) -> Result<()> {
        for name in presence_names(options.presences) {
            let url = self.nats_url_of(&name);
            let mut args =
                ["presence", "--nats", &url, "--node", &name].map(str::to_owned).to_vec();
            args.extend(options.presence_args.clone());
            self.add(&name, weft().await, args, options.env("presence")).await?;
        }
        Ok(())
    }

    async fn start_search(&mut self, options: &Options) -> Result<()> {
        for name in search_names(options.searches) {
            let url = self.nats_url_of(&name);
            let data = self.path().join(&name).display().to_string();
            let args = ["search", "--nats", &url, "--node", &name, "--data", &data];
            let args = args.map(str::to_owned).to_vec();
            self.add(&name, weft().await, args, options.env("search")).await?;
        }
        Ok(())
    }

    async fn start_push(&mut self, options: &Options) -> Result<()> {
        for name in push_names(options.pushes) {
            let url = self.nats_url_of(&name);
            let key = self.path().join("push.pem").display().to_string();
            let args = ["push", "--nats", &url, "--node", &name, "--key", &key];
            let mut args = args.map(str::to_owned).to_vec();
            args.extend(options.push_args.clone());
            self.add(&name, weft().await, args, options.env("push")).await?;
        }
        Ok(())
    }

    async fn start_integrations(&mut self, options: &Options) -> Result<()> {
        for name in (0..options.integrations).map(|i| format!("integrations-{i}")) {
            let url = self.nats_url_of(&name);
            let args = ["integrations", "--nats", &url, "--node", &name];
            let mut args = args.map(str::to_owned).to_vec();
            args.extend(options.integrations_args.clone());
            self.add(&name, weft().await, args, options.env("integrations")).await?;
        }
        Ok(())
    }

    async fn start_twins(&mut self, kind: Twin) -> Result<()> {
        let store = match kind {
            Twin::Live | Twin::Told => format!("embedded:{}", self.path().join("store").display()),
            Twin::Apart => format!("fdb:{}", self.cluster_file().display()),
        };
        let told = if kind == Twin::Live { "live" } else { "told" };
        let args = vec![self.nats_url_of("core"), store, told.to_owned()];
        if kind != Twin::Apart {
            return self.add("twin", twin(Engine::Embedded).await, args, role_env("core")).await;
        }
        for name in ["twin-a", "twin-b"] {
            let mut args = args.clone();
            args.push(name.to_owned());
            self.add(name, twin(Engine::Fdb).await, args, role_env("core")).await?;
        }
        Ok(())
    }

    /// A proxy before each nats-server, for this part alone.
    async fn add_proxies(&mut self, part: &str) -> Result<()> {
        let mut proxies = Vec::new();
        for server in &self.servers {
            proxies.push(Proxy::start(*server, Kind::Nats).await?);
        }
        self.proxies.insert(part.to_owned(), proxies);
        Ok(())
    }

    /// The command line of a core on a store of this name in the system's folder.
    pub fn core_args(&self, store: &str) -> Vec<String> {
        let store = format!("embedded:{}", self.folder.path().join(store).display());
        let url = self.nats_url();
        ["core", "--nats", &url, "--store", &store].map(str::to_owned).into()
    }

    /// Adds and starts a process of the weft binary or another program.
    pub async fn add(
        &mut self,
        name: &str,
        program: &Path,
        args: Vec<String>,
        mut env: Vec<(String, String)>,
    ) -> Result<()> {
        if args.iter().any(|arg| ROLES.contains(&arg.as_str())) {
            let admin = free_address()?;
            env.push(("WEFT_ADMIN_LISTEN".to_owned(), admin.to_string()));
            self.admins.insert(name.to_owned(), admin);
        }
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

    /// The same, with a folder on a disk of its own of so many MB, where that is asked for.
    async fn add_on(
        &mut self,
        disk: Option<(PathBuf, u32)>,
        name: &str,
        weft: &Path,
        args: Vec<String>,
        env: Vec<(String, String)>,
    ) -> Result<()> {
        let Some((folder, mb)) = disk else { return self.add(name, weft, args, env).await };
        std::fs::create_dir_all(&folder)?;
        let mut wrapped = own_disk(&folder, mb);
        wrapped.push(weft.to_string_lossy().into_owned());
        wrapped.extend(args);
        self.add(name, Path::new("unshare"), wrapped, env).await
    }

    /// Adds and starts `weft files` (of this name), and waits until it serves. Where it does.
    pub async fn add_files(&mut self, options: &Options) -> Result<SocketAddr> {
        if options.proxied {
            self.add_proxies("files").await?;
        }
        let (address, url) = (free_address()?, self.nats_url_of("files"));
        let (listen, data) = (address.to_string(), self.path().join("files").display().to_string());
        let args =
            ["files", "--nats", &url, "--listen", &listen, "--data", &data, "--files-look-s", "1"];
        let args = args.map(str::to_owned).into_iter().chain(options.files_args.clone()).collect();
        let env = [options.env("files"), options.files_env.clone()].concat();
        let disk = options.files_disk_mb.map(|mb| (self.path().join("files"), mb));
        self.add_on(disk, "files", weft().await, args, env).await?;
        self.files_serve(address).await;
        Ok(address)
    }

    /// Waits until files are served there.
    pub async fn files_serve(&self, address: SocketAddr) {
        until("files are served", START_LIMIT, async || {
            let answer = http::request(address, "OPTIONS", "/v1/files", &[], b"").await.ok()?;
            (answer.status == 204).then_some(())
        })
        .await;
    }

    /// Waits until every edge that runs can serve.
    pub async fn ready(&self) {
        let followers = |name: &str| name.starts_with("push-") || name.starts_with("integrations-");
        for (name, address) in self.admins.iter().filter(|(name, _)| followers(name)) {
            until(&format!("{name} is ready"), START_LIMIT, async || {
                let answer =
                    http::call(*address, "GET", "/readyz", None, &Value::Null).await.ok()?;
                (answer.status == 200).then_some(())
            })
            .await;
        }
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

    pub fn process(&self, name: &str) -> &Process {
        self.processes.get(name).unwrap_or_else(|| panic!("no process has the name {name}"))
    }

    /// nats-server's process id, also where it is the child of `weft dev`.
    pub fn nats_pid(&self) -> Result<u32> {
        if let Some(nats) = self.processes.get("nats") {
            return nats.pid();
        }
        let children = children(self.process("dev").pid()?)?;
        let nats = children.iter().find(|(_, command)| command.starts_with("nats-server"));
        Ok(nats.with_context(|| format!("no nats-server among {children:?}"))?.0)
    }

    /// The names of the processes of the cores.
    pub fn core_names(&self) -> &[String] {
        &self.cores
    }

    pub fn edges(&self) -> &[SocketAddr] {
        &self.edges
    }

    /// Where a part tells how it does: `/metrics`, `/readyz`.
    pub fn admin(&self, name: &str) -> SocketAddr {
        *self.admins.get(name).unwrap_or_else(|| panic!("no part has the name {name}"))
    }

    pub fn edge(&self) -> SocketAddr {
        self.edges[0]
    }

    /// Where nats-server listens; the first one of a cluster.
    pub fn nats(&self) -> SocketAddr {
        self.servers[0]
    }

    pub fn servers(&self) -> &[SocketAddr] {
        &self.servers
    }

    /// The proxies between a part (`core`, `edge-0`, …) and each nats-server, with
    /// [`Options::proxied`].
    pub fn proxies(&self, part: &str) -> &[Proxy] {
        self.proxies.get(part).unwrap_or_else(|| panic!("{part} goes through no proxy"))
    }

    /// The proxy between a part and the first nats-server.
    pub fn proxy(&self, part: &str) -> &Proxy {
        &self.proxies(part)[0]
    }

    /// A connection to nats-server by hand, of a part's user or of a bot that tests share.
    pub async fn nats_as(&self, user: &str) -> Result<Nats> {
        if [BOT, OTHER_BOT, QUIET_BOT].contains(&user) {
            return self.nats_by(self.bot(user).await?).await;
        }
        Nats::connect(self.nats(), user, &self.password(user)?).await
    }

    pub fn password(&self, user: &str) -> Result<String> {
        if !self.processes.contains_key("dev") {
            return Ok(split_password(user));
        }
        let file = Path::new(&self.data()).join("secrets").join(format!("{user}.password"));
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        Ok(text.trim_end().to_owned())
    }

    /// A new user with a name that begins so, logged in as `phone`.
    pub async fn user(&self, name: &str) -> Result<Login> {
        let name = unique(name);
        account::sign_up(self.edge(), &name).await?;
        account::login(self.edge(), &name, "phone").await
    }

    /// Another device of a user.
    pub async fn device(&self, user: &str, device: &str) -> Result<Login> {
        account::login(self.edge(), user, device).await
    }

    /// A session without a cursor at the first edge.
    pub async fn session(&self, login: &Login) -> Result<Session> {
        Session::open(self.edge(), login, None).await
    }

    /// The folder with all logs and data.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Lets the folder stay when this value goes; the next run clears it.
    pub fn keep(&self) {
        self.folder.keep();
    }

    fn data(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    /// Where the nats-servers listen, as URLs.
    pub fn nats_url(&self) -> String {
        urls(self.servers.iter().copied())
    }

    /// Where a part connects to: the servers, or its proxies before them.
    fn nats_url_of(&self, part: &str) -> String {
        match self.proxies.get(part) {
            Some(proxies) => urls(proxies.iter().map(Proxy::addr)),
            None => self.nats_url(),
        }
    }
}

/// One `weft dev` for all tests of a binary. It ends with the test process.
pub async fn shared() -> &'static System {
    static SYSTEM: OnceCell<System> = OnceCell::const_new();
    let start = async || System::dev().await.expect("weft dev starts");
    let system = SYSTEM.get_or_init(start).await;
    eprintln!("logs and data: {}", system.path().display());
    system
}

fn core_names(count: usize) -> Vec<String> {
    match count {
        1 => vec!["core".to_owned()],
        count => (0..count).map(|i| format!("core-{i}")).collect(),
    }
}

fn search_names(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("search-{i}")).collect()
}

fn push_names(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|i| format!("push-{i}"))
}

fn presence_names(count: usize) -> Vec<String> {
    match count {
        1 => vec!["presence".to_owned()],
        count => (0..count).map(|i| format!("presence-{i}")).collect(),
    }
}

/// The environment of a role's process beside a nats-server of [`System::split`]. An edge that is
/// told to end does not drain, unless its options say so: most tests wait for its end alone.
pub fn role_env(role: &str) -> Vec<(String, String)> {
    let password = ("WEFT_NATS_PASSWORD".to_owned(), split_password(role));
    let drain = ("WEFT_DRAIN_S".to_owned(), "0".to_owned());
    let seed = ("WEFT_BOTS_SEED".to_owned(), BOTS_SEED.to_owned());
    if role == "core" { vec![password, drain, seed] } else { vec![password, drain] }
}

fn urls(addresses: impl Iterator<Item = SocketAddr>) -> String {
    addresses.map(|address| format!("nats://{address}")).collect::<Vec<_>>().join(",")
}

/// The password of a NATS user of [`System::split`].
pub fn split_password(user: &str) -> String {
    format!("w-{user}-of-the-tests")
}

/// A name that no other test has.
pub fn unique(name: &str) -> String {
    format!("{name}-{:08x}", rand::random::<u32>())
}

/// The direct room of two users.
pub fn direct(a: &Login, b: &Login) -> String {
    let (low, high) = if a.user <= b.user { (a, b) } else { (b, a) };
    format!("{}~{}", low.user, high.user)
}

/// A free port below those that outgoing connections take: it stays free while its server restarts.
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
