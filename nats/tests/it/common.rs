//! A server with Weft's configuration, on a free port, in a folder of its own.

use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::OnceCell;
use weft_nats::config::{Bot, Passwords, Secret, ServerConfig};
use weft_nats::{AssetOptions, Bus, BusOptions, NatsServer, ServerOptions, assets};
use weft_proto::{NodeId, Partition, RoomId, UserId};

/// Longer than anything should take: a test that waits so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub fn user(name: &str) -> UserId {
    UserId::new(name).expect("user id")
}

pub fn room(name: &str) -> RoomId {
    RoomId::new(name).expect("room id")
}

pub fn node(name: &str) -> NodeId {
    NodeId::new(name).expect("node id")
}

pub fn cache_dir() -> PathBuf {
    let named = std::env::var_os("WEFT_CACHE").map(PathBuf::from);
    let cache = || std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::home_dir().map(|home| home.join(".cache"));
    named.or_else(|| cache().or_else(home).map(|cache| cache.join("weft"))).expect("a cache folder")
}

pub async fn binary() -> PathBuf {
    static BINARY: OnceCell<PathBuf> = OnceCell::const_new();
    let find = || async { weft_nats::find_or_install(&cache_dir()).await.expect("nats-server") };
    BINARY.get_or_init(find).await.clone()
}

pub fn server_config(partitions: Partition) -> ServerConfig {
    let secret = |role: &str| Secret::Value(format!("{role}-password"));
    let bot = |name: &str, rooms| Bot { name: user(name), password: secret(name), rooms };
    ServerConfig {
        partitions,
        passwords: Passwords {
            edge: secret("edge"),
            core: secret("core"),
            presence: secret("presence"),
            admin: secret("admin"),
        },
        bots: vec![
            bot("bot", Some(vec![room("public")])),
            bot("eve", None),
            bot("cron", Some(Vec::new())),
        ],
    }
}

pub struct Fixture {
    pub server: Option<NatsServer>,
    pub options: ServerOptions,
    pub assets: AssetOptions,
    // Last, so that the server is gone before its folder.
    _dir: tempfile::TempDir,
}

impl Fixture {
    /// A server without streams.
    pub async fn bare(partitions: Partition) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let config = server_config(partitions);
        let mut options =
            ServerOptions { binary: binary().await, dir: dir.path().into(), port: None, config };
        let server = NatsServer::start(options.clone()).await.expect("start");
        options.port = Some(server.port());
        let small = 64 << 20;
        let assets = AssetOptions {
            partitions,
            replicas: 1,
            ingest_bytes_max: small,
            event_bytes_max: small,
        };
        Self { server: Some(server), options, assets, _dir: dir }
    }

    /// A server with its streams.
    pub async fn new(partitions: Partition) -> Self {
        let fixture = Self::bare(partitions).await;
        let core = fixture.bus("core", "setup").await;
        assets::ensure(&core, &fixture.assets).await.expect("assets");
        core.close().await;
        fixture
    }

    pub fn port(&self) -> u16 {
        self.options.port.expect("a port")
    }

    pub fn bus_options(&self, role: &'static str, name: &str) -> BusOptions {
        BusOptions {
            url: format!("nats://127.0.0.1:{}", self.port()),
            user: role.to_owned(),
            password: format!("{role}-password"),
            role,
            node: node(name),
        }
    }

    pub async fn bus(&self, role: &'static str, name: &str) -> Bus {
        Bus::connect(&self.bus_options(role, name)).await.expect("connect")
    }

    /// kill -9
    pub async fn kill(&mut self) {
        self.server.take().expect("running").kill().await;
    }

    /// Stops the server for a moment, or lets it go on.
    pub fn signal(&self, signal: Signal) {
        let pid = self.server.as_ref().expect("running").pid();
        let pid = Pid::from_raw(pid.cast_signed()).expect("a process");
        kill_process(pid, signal).expect("a signal");
    }

    /// Starts it again, on the same port and files.
    pub async fn restart(&mut self) {
        self.server = Some(NatsServer::start(self.options.clone()).await.expect("restart"));
    }
}

/// Waits for a condition.
pub async fn eventually<F: AsyncFnMut() -> bool>(what: &str, mut condition: F) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// Waits for a future.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("never: {what}"))
}
