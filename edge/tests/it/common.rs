//! A server, a fake core and an edge, each test its own.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use weft_edge::{Edge, EdgeOptions, Limits};
use weft_harness::server::Server;
pub use weft_harness::server::{room, user};
pub use weft_harness::wait::{PATIENCE, eventually, soon};
use weft_nats::Bus;
use weft_proto::NodeId;
use weft_proto::token::{Claims, TOKEN_AUDIENCE};

use crate::client::{Client, http};
use crate::core::Core;

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
        scope: None,
        nkey: None,
    };
    jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ed_der(&PRIVATE)).expect("sign")
}

/// nats-server, core and one edge.
pub struct World {
    pub edge: Edge,
    pub core: Core,
    pub edge_bus: Bus,
    // Last, so that its users end before it.
    server: Server,
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
        let server = Server::new(1).await;
        let core_bus = server.bus("core", "core-1").await;
        let core = Core::start(core_bus).await;
        prepare(&core);
        let edge_bus = server.bus("edge", "edge-1").await;
        let edge = Edge::start(EdgeOptions {
            bus: edge_bus.clone(),
            node: NodeId::new("edge-1").expect("node"),
            listen: ([127, 0, 0, 1], 0).into(),
            url: None,
            region: String::new(),
            partitions: 1,
            limits,
            beside: None,
        })
        .await
        .expect("edge");
        Self { edge, core, edge_bus, server }
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
        self.server.bus(role, &format!("{role}-1")).await
    }

    pub async fn kill_nats(&mut self) {
        self.server.kill().await;
    }

    pub async fn restart_nats(&mut self) {
        self.server.restart().await;
    }
}
