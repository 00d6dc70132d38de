//! A nats-server with Weft's configuration as a child of this process: for tests of single crates,
//! each with one of its own. A user's password is `<user>-password`.

use std::sync::Arc;

use rustix::process::Signal;
use tokio::sync::OnceCell;
use weft_nats::config::{NatsPasswords, Secret, ServerConfig};
use weft_nats::{
    AssetOptions, BotGrant, BotLogin, Bus, BusOptions, Issuer, NatsServer, ServerOptions, Services,
    assets,
};
use weft_proto::{ApiError, DeviceId, ErrorCode, NodeId, Partition, RoomId, UserId};

use crate::nats::Nats;
use crate::process::send_signal;
use crate::system::{Folder, nats_server};

pub struct Server {
    /// `None`: killed or taken.
    pub running: Option<NatsServer>,
    pub options: ServerOptions,
    pub assets: AssetOptions,
    /// Answers for bots' logins in core's place, from the first one on.
    bots: OnceCell<(Bus, Services)>,
    // Last, so that the server has ended before its folder.
    folder: Folder,
}

pub fn user(name: &str) -> UserId {
    UserId::new(name).expect("user id")
}

pub fn room(name: &str) -> RoomId {
    RoomId::new(name).expect("room id")
}

pub fn node(name: &str) -> NodeId {
    NodeId::new(name).expect("node id")
}

/// The key that answers for bots' logins here and in systems of tests.
pub(crate) const BOTS_SEED: &str =
    "0707070707070707070707070707070707070707070707070707070707070707";

pub(crate) fn bots_issuer() -> Issuer {
    Issuer::from_hex(BOTS_SEED).expect("a seed")
}

/// What a bot may do whose token is `<bot>-password`: `bot` all, `eve` write messages in the group `public`, `cron` read.
pub fn bot_grant(name: &str) -> BotGrant {
    BotGrant {
        bot: user(name),
        token: DeviceId::new(&format!("t-{name}")).expect("device id"),
        made_ms: 7,
        rooms: (name == "eve").then(|| vec![room("public")]),
        kinds: (name == "eve").then(|| vec!["message".to_owned()]),
        may_write: name != "cron",
        expires_s: u32::MAX.into(),
    }
}

async fn decide(login: BotLogin) -> Result<BotGrant, ApiError> {
    if BOTS.contains(&login.user.as_str()) && login.token == password(&login.user) {
        return Ok(bot_grant(&login.user));
    }
    Err(ApiError::new(ErrorCode::Unauthorized, "no such bot"))
}

/// The bots that a server of a test knows.
pub const BOTS: [&str; 3] = ["bot", "eve", "cron"];

pub fn server_config(partitions: Partition) -> ServerConfig {
    let secret = |role: &str| Secret::Value(password(role));
    ServerConfig {
        partitions,
        passwords: NatsPasswords {
            edge: secret("edge"),
            core: secret("core"),
            presence: secret("presence"),
            files: secret("files"),
            search: secret("search"),
            push: secret("push"),
            integrations: secret("integrations"),
            admin: secret("admin"),
        },
        bots_issuer: Secret::Value(bots_issuer().public().to_owned()),
        files_bytes_max: 0,
    }
}

fn password(user: &str) -> String {
    format!("{user}-password")
}

impl Server {
    /// A server without streams.
    pub async fn bare(partitions: Partition) -> Self {
        let folder = Folder::new().expect("a folder");
        let (binary, dir) = (nats_server().await.to_owned(), folder.path().join("nats"));
        let mut options =
            ServerOptions { binary, dir, port: None, config: server_config(partitions) };
        let server = NatsServer::start(options.clone()).await.expect("start");
        options.port = Some(server.port());
        let small = 64 << 20;
        let assets = AssetOptions {
            partitions,
            replicas: 1,
            ingest_bytes_max: small,
            event_bytes_max: small,
            files_bytes_max: small,
        };
        let bots = OnceCell::new();
        Self { running: Some(server), options, assets, bots, folder }
    }

    /// A server with its streams.
    pub async fn new(partitions: Partition) -> Self {
        let server = Self::bare(partitions).await;
        let core = server.bus("core", "setup").await;
        assets::ensure(&core, &server.assets).await.expect("assets");
        core.close().await;
        server
    }

    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    pub fn port(&self) -> u16 {
        self.options.port.expect("a port")
    }

    pub fn bus_options(&self, role: &'static str, name: &str) -> BusOptions {
        BusOptions {
            url: format!("nats://127.0.0.1:{}", self.port()),
            user: role.to_owned(),
            password: password(role),
            role,
            node: node(name),
        }
    }

    /// A connection of a part.
    pub async fn bus(&self, role: &'static str, name: &str) -> Bus {
        Bus::connect(&self.bus_options(role, name)).await.expect("connect")
    }

    pub async fn by_hand(&self, user: &str) -> Nats {
        if BOTS.contains(&user) {
            self.bots.get_or_init(async || self.answer_for_bots().await).await;
        }
        let address = ([127, 0, 0, 1], self.port()).into();
        Nats::connect(address, user, &password(user)).await.expect("connect")
    }

    async fn answer_for_bots(&self) -> (Bus, Services) {
        let core = self.bus("core", "bots").await;
        let services = Services::start(&core, "0.1.0");
        let answering = services.answer_bot_logins(Arc::new(bots_issuer()), decide);
        answering.await.expect("subscribe");
        core.flush().await.expect("flush");
        (core, services)
    }

    /// Asks JetStream as the admin, as no part of Weft may; its answer.
    pub async fn ask(&self, verb: &str, body: &str) -> String {
        let mut admin = self.by_hand("admin").await;
        let subject = format!("$JS.API.{verb}");
        let answer = admin.request(&subject, "_INBOX_admin.1", body.as_bytes()).await;
        String::from_utf8(answer.expect("an answer").payload).expect("text")
    }

    /// Stops the server for a moment, or lets it go on.
    pub fn signal(&self, signal: Signal) {
        let pid = self.running.as_ref().expect("running").pid();
        send_signal(pid, signal).expect("a signal");
    }

    /// kill -9
    pub async fn kill(&mut self) {
        self.running.take().expect("running").kill().await;
    }

    pub async fn stop(&mut self) {
        self.running.take().expect("running").stop().await;
    }

    /// Starts it again, on the same port and files.
    pub async fn restart(&mut self) {
        self.running = Some(NatsServer::start(self.options.clone()).await.expect("restart"));
    }
}
