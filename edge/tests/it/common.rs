//! A server, a fake core and an edge, each test its own.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use tokio::sync::OnceCell;
use weft_edge::{Edge, EdgeOptions, Limits};
use weft_nats::config::{Passwords, Secret, ServerConfig};
use weft_nats::{AssetOptions, Bus, BusOptions, NatsServer, ServerOptions, assets};
use weft_proto::token::{Claims, TOKEN_AUDIENCE};
use weft_proto::{NodeId, RoomId, UserId};

use crate::client::{Client, http};
use crate::core::Core;

/// Longer than anything should take: a test that waits so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A key pair for tests alone: PKCS#8, and the public half.
const PRIVATE: [u8; 48] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
    0x94, 0x6d, 0x02, 0x05, 0xb7, 0x74, 0x9b, 0xe4, 0x1d, 0xc5, 0x58, 0xaf, 0xdd, 0xfc, 0x44, 0x96,
    0x81, 0x64, 0x6d, 0x28, 0x73, 0x6c, 0xd4, 0xd3, 0x1b, 0x06, 0x0e, 0xcd, 0x7f, 0xbf, 0xcb, 0x41,
];
pub const PUBLIC: [u8; 32] = [
    0x67, 0xa1, 0x6b, 0x69, 0x26, 0x9a, 0x25, 0xda, 0x28, 0x1d, 0xa4, 0x38, 0x2b, 0x9f, 0x75, 0x93,
    0xe8, 0x07, 0x85, 0x20, 0x8c, 0xc3, 0xfd, 0x37, 0x95, 0xbe, 0xe5, 0xab, 0xf9, 0xf7, 0x1e, 0xd3,
];
pub const KID: &str = "k1";

pub fn user(name: &str) -> UserId {
    UserId::new(name).expect("user id")
}

pub fn room(name: &str) -> RoomId {
    RoomId::new(name).expect("room id")
}

pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// A token of device `phone`.
pub fn token(name: &str) -> String {
    token_until(name, "phone", now_s() + 3_600, KID)
}

pub fn token_until(name: &str, device: &str, expires_at_s: u64, kid: &str) -> String {
    let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::EdDSA) };
    let claims = Claims {
        sub: name.to_owned(),
        dev: device.to_owned(),
        iss: TOKEN_AUDIENCE.to_owned(),
        aud: TOKEN_AUDIENCE.to_owned(),
        iat: now_s(),
        exp: expires_at_s,
        login: None,
    };
    jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ed_der(&PRIVATE)).expect("sign")
}

fn cache_dir() -> PathBuf {
    let named = std::env::var_os("WEFT_CACHE").map(PathBuf::from);
    let cache = || std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::home_dir().map(|home| home.join(".cache"));
    named.or_else(|| cache().or_else(home).map(|cache| cache.join("weft"))).expect("a cache folder")
}

async fn binary() -> PathBuf {
    static BINARY: OnceCell<PathBuf> = OnceCell::const_new();
    let find = || async { weft_nats::find_or_install(&cache_dir()).await.expect("nats-server") };
    BINARY.get_or_init(find).await.clone()
}

/// nats-server, core and one edge.
pub struct World {
    pub edge: Edge,
    pub core: Core,
    pub edge_bus: Bus,
    server: Option<NatsServer>,
    options: ServerOptions,
    // Last, so that the server is gone before its folder.
    _dir: tempfile::TempDir,
}

impl World {
    pub async fn new() -> Self {
        Self::with(Limits::default()).await
    }

    pub async fn with(limits: Limits) -> Self {
        let world = Self::begin(limits, |_| {}).await;
        world.ready().await;
        world
    }

    pub async fn ready(&self) {
        eventually("the edge is ready", async || self.get("/readyz", None).await.0 == 200).await;
    }

    /// Prepares core before the edge starts, and does not wait for it.
    pub async fn begin(limits: Limits, prepare: impl FnOnce(&Core)) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let secret = |role: &str| Secret::Value(format!("{role}-password"));
        let passwords = Passwords {
            edge: secret("edge"),
            core: secret("core"),
            presence: secret("presence"),
            admin: secret("admin"),
        };
        let config = ServerConfig { partitions: 1, passwords, bots: Vec::new() };
        let mut options =
            ServerOptions { binary: binary().await, dir: dir.path().into(), port: None, config };
        let server = NatsServer::start(options.clone()).await.expect("start");
        options.port = Some(server.port());
        let core_bus = bus(&server, "core").await;
        let asset_options = AssetOptions { partitions: 1, ..AssetOptions::default() };
        assets::ensure(&core_bus, &asset_options).await.expect("assets");
        let core = Core::start(core_bus).await;
        prepare(&core);
        let edge_bus = bus(&server, "edge").await;
        let edge = Edge::start(EdgeOptions {
            bus: edge_bus.clone(),
            node: NodeId::new("edge-1").expect("node"),
            listen: ([127, 0, 0, 1], 0).into(),
            url: None,
            region: String::new(),
            partitions: 1,
            limits,
        })
        .await
        .expect("edge");
        Self { edge, core, edge_bus, server: Some(server), options, _dir: dir }
    }

    pub async fn get(&self, path: &str, token: Option<&str>) -> (u16, serde_json::Value) {
        http(self.edge.local_addr(), "GET", path, token, b"").await
    }

    /// A socket on which nothing was said.
    pub async fn socket(&self) -> Client {
        Client::connect(self.edge.local_addr()).await
    }

    /// A synced session of a new device.
    pub async fn session(&self, name: &str) -> Client {
        self.resume(name, None).await.0
    }

    /// A synced session, and all that came up to and with `synced`.
    pub async fn resume(
        &self,
        name: &str,
        cursor: Option<&str>,
    ) -> (Client, Vec<serde_json::Value>) {
        let mut client = self.socket().await;
        let mut hello = serde_json::json!({ "id": 1, "type": "hello", "token": token(name) });
        if let Some(cursor) = cursor {
            hello["cursor"] = cursor.into();
        }
        client.send(&hello).await;
        assert_eq!(client.next().await["type"], "welcome");
        let pushes = client.until_synced().await;
        (client, pushes)
    }

    /// A connection of another part.
    pub async fn bus(&self, role: &'static str) -> Bus {
        bus(self.server.as_ref().expect("running"), role).await
    }

    pub async fn kill_nats(&mut self) {
        self.server.take().expect("running").kill().await;
    }

    pub async fn restart_nats(&mut self) {
        self.server = Some(NatsServer::start(self.options.clone()).await.expect("restart"));
    }
}

async fn bus(server: &NatsServer, role: &'static str) -> Bus {
    let options = BusOptions {
        url: server.url(),
        user: role.to_owned(),
        password: format!("{role}-password"),
        role,
        node: NodeId::new(&format!("{role}-1")).expect("node"),
    };
    Bus::connect(&options).await.expect("connect")
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
